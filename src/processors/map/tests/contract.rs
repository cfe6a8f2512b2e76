//! docs/mapping.md is a contract: what it says of sources is written from the rules, and the rules are tried one by one.

use std::fmt::Write as _;

use super::*;
use crate::processors::map::lookup::Attr;
use crate::processors::map::preset::{self, ColumnSources, Source};
use crate::processors::map::rules::{NATIVE_KINDS, PLATFORMS, TRIGGERED_KINDS};
use crate::signals::attributes::Attributes;
use crate::signals::{SpanKind, Value};
use crate::tables::ColumnType;
use crate::tables::rows::Cell;

fn names(attrs: &[Attr]) -> String {
    attrs.iter().map(|attr| format!("`{}`", attr.name())).collect::<Vec<_>>().join(", ")
}

fn source(source: &Source) -> String {
    match source {
        Source::Of(attrs) => names(attrs),
        Source::Part(attrs, part) => format!("{} ({part})", names(attrs)),
        Source::Said(words) => (*words).to_owned(),
    }
}

fn table(of: Table) -> String {
    let mut out = "| column | type | sources in order | and |\n|---|---|---|---|\n".to_owned();
    for (column, rule) in of.columns().iter().zip(preset::columns(of)) {
        let sources: Vec<String> = rule.sources.iter().map(source).collect();
        let _ = writeln!(out, "| {} | {} | {} | {} |", column.name, column.kind, sources.join("; "), rule.remark);
    }
    out
}

fn kinds(kinds: &[SpanKind]) -> String {
    let name = |kind: &SpanKind| match kind {
        SpanKind::Unspecified => "unset".to_owned(),
        kind => format!("{kind:?}").to_uppercase(),
    };
    kinds.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn rules() -> String {
    let platforms = PLATFORMS.map(|platform| format!("`{platform}`")).join(", ");
    let any = |attrs: &[Attr]| names(attrs).replace(", ", " or ");
    let cold = "a cold-start attribute";
    format!(
        "| rule | kind | and |\n|---|---|---|\n\
         | A | {} | {} |\n\
         | B | any | `cloudflare.handler_type`, and it is the root of its invocation: no `cloudflare.invocation.sequence.number` other than 1, no \
         ancestor with its `faas.invocation_id` |\n\
         | C | SERVER | any of `faas.trigger`, {cold}, `faas.name` on the resource, a `cloud.platform` of {platforms} |\n\
         | D | {} | `faas.trigger` and {cold} |\n",
        kinds(&NATIVE_KINDS),
        any(&preset::INVOCATION_ID),
        kinds(&TRIGGERED_KINDS),
    )
}

/// What a sent value reads as, by the type of its column.
fn values() -> String {
    let keys = Keys::default();
    let mut attributes = Attributes::new(&keys);
    attributes.items = vec![Value::Int(1), Value::Str("a".into())];
    attributes.entries = vec![("k".into(), Value::Bool(true))];
    let text = |text: &'static str| Value::Str(text.into());
    let sent = [
        ("`200`", Value::Int(200)),
        ("`\"200\"`", text("200")),
        ("`200.0`", Value::Double(200.0)),
        ("`\" 2e2 \"`", text(" 2e2 ")),
        ("`0.5`", Value::Double(0.5)),
        ("`true`", Value::Bool(true)),
        ("`\"TRUE\"`", text("TRUE")),
        ("`1`", Value::Int(1)),
        ("`\"0\"`", text("0")),
        ("`\"yes\"`", text("yes")),
        ("`5000000000`", Value::Int(5_000_000_000)),
        ("`NaN`", Value::Double(f64::NAN)),
        ("`[1, \"a\"]`", Value::Array(crate::signals::Slice { start: 0, len: 2 })),
        ("`{\"k\": true}`", Value::Map(crate::signals::Slice { start: 0, len: 1 })),
        ("bytes 00 ff", Value::Bytes(vec![0, 255].into())),
    ];
    let kinds = [ColumnType::String, ColumnType::Long, ColumnType::Int, ColumnType::Double, ColumnType::Boolean];
    let mut out = format!("| sent | {} |\n|---|{}\n", kinds.map(|kind| kind.to_string()).join(" | "), "---|".repeat(kinds.len()));
    for (name, value) in &sent {
        let read = kinds.map(|kind| match Cell::read(kind, value, &attributes) {
            Ok(Some(Cell::Text(Some(text)))) => format!("`{text}`"),
            Ok(Some(Cell::Long(Some(number)))) => number.to_string(),
            Ok(Some(Cell::Int(Some(number)))) => number.to_string(),
            Ok(Some(Cell::Double(Some(number)))) => number.to_string(),
            Ok(Some(Cell::Bool(Some(flag)))) => flag.to_string(),
            Ok(_) => "NULL".to_owned(),
            Err(_) => "NULL, counted".to_owned(),
        });
        let _ = writeln!(out, "| {name} | {} |", read.join(" | "));
    }
    out
}

/// `FLOE_WRITE_DOCS=1` writes them.
#[test]
fn the_tables_in_the_docs_are_those_of_the_rules() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/mapping.md");
    let mut docs = std::fs::read_to_string(path).unwrap();
    let tables = Table::ALL.map(|of| (of.name(), table(of)));
    let written: Vec<_> = [("rules", rules()), ("values", values())].into_iter().chain(tables).collect();
    for (name, expected) in &written {
        let begin = format!("<!-- from the rules: {name} -->\n");
        let start = docs.find(&begin).unwrap_or_else(|| panic!("no {begin}")) + begin.len();
        let stop = start + docs[start..].find("<!-- end -->").unwrap();
        if std::env::var_os("FLOE_WRITE_DOCS").is_some() {
            docs.replace_range(start..stop, expected);
        } else {
            assert_eq!(&docs[start..stop], expected, "run this test with FLOE_WRITE_DOCS=1 and look at what changed");
        }
    }
    if std::env::var_os("FLOE_WRITE_DOCS").is_some() {
        std::fs::write(path, docs).unwrap();
    }
}

#[test]
fn every_column_of_every_table_has_its_rule() {
    for of in Table::ALL {
        let ruled: Vec<&str> = preset::columns(of).iter().map(|rule| rule.column).collect();
        let columns: Vec<&str> = of.columns().iter().map(|column| column.name).collect();
        assert_eq!(ruled, columns, "{}", of.name());
    }
}

/// One row of a table from nothing but these attributes.
fn row(of: Table, column: &str, attributes: &[KeyValue]) -> Row {
    let mapped = match of {
        Table::Invocations => {
            let mut sent = failed(span(1, SERVER, &[attr("faas.trigger", "http")]), "");
            sent.attributes.extend_from_slice(attributes);
            if column == "duration_ms" {
                sent.start_time_unix_nano = 0;
            }
            map_spans(&[], vec![sent])
        }
        Table::RateLimits => map_logs(&[], vec![named(log(9, "", attributes), "faas.rate_limit")]),
        Table::Deployments => map_logs(&[], vec![named(log(9, "", attributes), "faas.deployment")]),
        Table::Errors => map_logs(&[], vec![log(17, "", attributes)]),
    };
    mapped.only(of).clone()
}

/// A value that only the attribute of this number has, and what the column then holds.
fn sample(kind: ColumnType, column: &str, number: usize, key: &str) -> (KeyValue, String) {
    let small = i32::try_from(number).unwrap() + 1;
    match kind {
        ColumnType::Boolean => (attr(key, number.is_multiple_of(2)), number.is_multiple_of(2).to_string()),
        ColumnType::Long | ColumnType::Int => (attr(key, i64::from(small)), small.to_string()),
        ColumnType::Double => (attr(key, f64::from(small) + 0.5), format!("{small}.5")),
        _ if column == "status" => (attr(key, "failure"), "failed".to_owned()),
        _ if column == "limit_type" => (attr(key, "per-function"), "per_function".to_owned()),
        _ if column == "client_ip" => {
            let address = format!("203.0.113.{small}");
            (attr(key, address.as_str()), address)
        }
        _ => {
            let text = format!("v{small}");
            (attr(key, text.as_str()), text)
        }
    }
}

/// The attributes of a column that count as a whole, in their order.
fn whole(rule: &ColumnSources) -> Vec<Attr> {
    let of = |source: &Source| match source {
        Source::Of(attrs) => attrs.to_vec(),
        Source::Part(..) | Source::Said(_) => Vec::new(),
    };
    rule.sources.iter().flat_map(of).collect()
}

#[test]
fn each_source_fills_its_column_and_wins_over_the_next() {
    let mut tried = 0;
    for of in Table::ALL {
        for (column, rule) in of.columns().iter().zip(preset::columns(of)) {
            let sources = whole(rule);
            let samples: Vec<_> =
                (0..).zip(&sources).map(|(number, attr)| sample(column.kind, column.name, number, attr.name())).collect();
            for (at, (sent, expected)) in samples.iter().enumerate() {
                let alone = row(of, column.name, std::slice::from_ref(sent));
                assert_eq!(&alone[column.name], expected, "{}.{} by {}", of.name(), column.name, sent.key);
                let Some((next, _)) = samples.get(at + 1) else { continue };
                // Where they stand on the record says nothing.
                for both in [[sent.clone(), next.clone()], [next.clone(), sent.clone()]] {
                    let found = row(of, column.name, &both);
                    assert_eq!(&found[column.name], expected, "{}.{}: {} before {}", of.name(), column.name, sent.key, next.key);
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 70, "only {tried} pairs of sources");
}
