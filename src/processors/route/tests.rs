use arrow_array::cast::AsArray as _;
use proptest::prelude::*;

use super::*;
use crate::config::source::from_str;
use crate::tables::Additions;
use crate::tables::rows::{ErrorRow, InvocationRow, RowBuilders};

/// Three invocations, of `eu-west`, `us-east` and no region, and an error.
fn rows() -> Vec<TableBatch> {
    let mut rows = RowBuilders::new();
    for (id, region) in [("1", Some("eu-west")), ("2", Some("us-east")), ("3", None)] {
        let region = region.map(Into::into);
        rows.push_invocation(&InvocationRow { invocation_id: id.into(), region, ..InvocationRow::default() }).unwrap();
    }
    rows.push_error(&ErrorRow { error_id: "e".into(), ..ErrorRow::default() }).unwrap();
    rows.finish()
}

/// What the exporters `a`, `b` and `c` get, by the ids of rows, and how many rows go nowhere.
fn routed(yaml: &str) -> ([String; 3], u64) {
    let config: RouteConfig = from_str(yaml).unwrap();
    let ids: [ComponentId; 3] = ["a", "b", "c"].map(|id| id.parse().unwrap());
    let route = Route::new(&config, &ids.each_ref(), &Additions::default().schemas()).unwrap();
    let mut tally = Tally::default();
    let mut got: [String; 3] = Default::default();
    for (to, batch) in rows().into_iter().flat_map(|batch| route.apply(&batch, &mut tally)).collect::<Vec<_>>() {
        for (_, got) in got.iter_mut().enumerate().filter(|(at, _)| to.contains(*at)) {
            got.extend(batch.batch.column(0).as_string::<i32>().iter().flatten());
        }
    }
    (got, tally.rows_filtered)
}

fn check(yaml: &str, a: &str, b: &str, c: &str) {
    assert_eq!(routed(yaml), ([a.to_owned(), b.to_owned(), c.to_owned()], 0), "{yaml}");
}

const EU: &str = "{ column: invocations.region, matches: '^eu-', exporters: [b] }";

#[test]
fn a_row_goes_where_its_rule_leads_and_every_other_row_to_the_default() {
    check(&format!("{{ rules: [{EU}], default: [a] }}"), "23e", "1", "");
    check(&format!("{{ rules: [{EU}, {{ table: errors, exporters: [c] }}], default: [a] }}"), "23", "1", "e");
}

#[test]
fn without_a_default_other_rows_go_to_every_exporter() {
    check(&format!("{{ rules: [{EU}] }}"), "23e", "123e", "23e");
    check("{}", "123e", "123e", "123e");
}

#[test]
fn rows_without_a_destination_are_counted() {
    assert_eq!(routed(&format!("{{ rules: [{EU}], default: [] }}")), ([String::new(), "1".into(), String::new()], 3));
}

#[test]
fn the_first_rule_that_matches_counts_or_all_of_them() {
    let rules = format!("rules: [{EU}, {{ table: invocations, exporters: [b, c] }}], default: [a]");
    check(&format!("{{ {rules} }}"), "e", "123", "23");
    check(&format!("{{ {rules}, match: all }}"), "e", "123", "123");
}

#[test]
fn a_rule_puts_conditions_together() {
    let rule = |condition: &str| format!("{{ rules: [{{ {condition}, exporters: [b] }}], default: [a] }}");
    check(
        &rule("any: [{ column: invocations.region, matches: '^eu-' }, { column: invocations.region, equals: us-east }]"),
        "3e",
        "12",
        "",
    );
    check(&rule("not: { column: invocations.region, matches: '^eu-' }"), "1e", "23", "");
    check(&rule("all: [{ table: invocations }, { not: { column: invocations.region, matches: '' } }]"), "12e", "3", "");
    let said = from_str::<RouteConfig>("rules: [{ not: { attribute: a, equals: 1 }, exporters: [a] }]").unwrap_err().to_string();
    assert!(said.contains("found `attribute`: rows are routed"), "{said}");
}

#[test]
fn a_rule_that_cannot_be_meant_is_refused_with_its_place() {
    let check = |yaml: &str, expected: &str| {
        let said = from_str::<RouteConfig>(yaml).unwrap_err().to_string();
        assert_eq!(said, format!("yaml:1:{expected}"));
    };
    check("rules: [{ exporters: [a] }]", "9: expected `column` or `table` in a rule, found neither");
    check(
        "rules: [{ table: errors, exporters: [] }]",
        "9: expected an exporter in `exporters`, found none; to drop rows use `filter`",
    );
    check(
        "rules: [{ table: error, exporters: [a] }]",
        "9: expected one of the tables invocations, rate_limits, deployments, errors, found `error`; did you mean `errors`?",
    );
    check("match: some", "8: unknown value `some`, expected one of first, all");
}

proptest! {
    /// Whatever the rules are, a row reaches an exporter at most once, and what reaches none is counted.
    #[test]
    fn no_row_is_doubled_or_lost(leads in proptest::collection::vec((0..4_usize, 1..8_u8), 0..5), all: bool, default in 0..8_u8) {
        let conditions = ["column: invocations.region, matches: '^eu-'", "column: invocations.region, equals: us-east", "table: errors", "table: invocations"];
        let ids = |bits: u8| ["a", "b", "c"].iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, id)| *id).collect::<Vec<_>>().join(", ");
        let rules: Vec<String> = leads.iter().map(|(condition, bits)| format!("{{ {}, exporters: [{}] }}", conditions[*condition], ids(*bits))).collect();
        let yaml = format!("{{ rules: [{}], default: [{}], match: {} }}", rules.join(", "), ids(default), if all { "all" } else { "first" });
        let (got, nowhere) = routed(&yaml);
        for got in &got {
            for id in "123e".chars() {
                prop_assert!(got.matches(id).count() <= 1, "{yaml}: {got}");
            }
        }
        let reached = "123e".chars().filter(|id| got.iter().any(|got| got.contains(*id))).count();
        prop_assert_eq!(reached as u64 + nowhere, 4, "{}", yaml);
    }
}
