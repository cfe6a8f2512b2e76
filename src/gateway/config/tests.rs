use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::config::schema;
use crate::config::source::Source;

const REST: &str = "receivers: { otlp: }\nexporters: { prometheus: }\n";

fn error(text: &str) -> String {
    let source = Source { path: "a.yaml".into(), text: text.to_owned() };
    read(&Sources::from(source)).unwrap_err().to_string()
}

#[test]
fn empty_pipelines_are_refused_with_their_place() {
    assert_eq!(
        error(&format!("{REST}service: {{ pipelines: {{}} }}")),
        "a.yaml:3:23: service.pipelines is empty, expected traces, logs or metrics"
    );
}

#[test]
fn rows_are_not_moved_out_while_they_wait_for_their_commit() {
    let said = error(
        "receivers: { otlp: }\nexporters:\n  iceberg: { commit: { max_age: 60s }, dead_letter: { after: 1m } }\nprocessors: { map: , sanitize: , hash_ip: , truncate_stack: }\n\
         service: { pipelines: { traces: { receivers: [otlp], processors: [map, sanitize, hash_ip, truncate_stack], exporters: [iceberg] } } }",
    );
    assert!(
        said.starts_with("a.yaml:3:3: `dead_letter.after` of exporter `iceberg` is 1m, expected longer than `commit.max_age`"),
        "{said}"
    );
}

#[test]
fn there_is_one_extension_of_a_kind() {
    let said = error(&format!(
        "{REST}extensions:\n  wal:\n  wal/two:\nservice: {{ pipelines: {{ traces: {{ receivers: [otlp], exporters: [prometheus] }} }} }}"
    ));
    assert_eq!(said, "a.yaml:5:3: extension `wal/two` is a second `wal`, the first is `wal` at a.yaml:4:3; keep one of them");
}

#[test]
fn an_extension_that_is_not_listed_is_off_where_it_can_be() {
    let extensions = |list: &str| {
        let text = format!(
            "{REST}extensions: {{ health_check: {{ endpoint: 127.0.0.1:1 }} }}\nservice: {{ {list} pipelines: {{ traces: {{ receivers: [otlp], exporters: [prometheus] }} }} }}"
        );
        Extensions::of(&read(&Sources::from(Source { path: "a.yaml".into(), text })).unwrap())
    };
    let all = extensions("");
    assert_eq!((all.health_check.map(|on| on.endpoint.port()), all.admin.is_some()), (Some(1), true));
    let one = extensions("extensions: [health_check],");
    assert_eq!((one.health_check.map(|on| on.endpoint.port()), one.admin.is_some()), (Some(1), false));
    let none = extensions("extensions: [],");
    assert!(none.health_check.is_none() && none.admin.is_none());
    let said = error(&format!(
        "{REST}service: {{ extensions: [pprof], pipelines: {{ traces: {{ receivers: [otlp], exporters: [prometheus] }} }} }}"
    ));
    assert!(said.starts_with("a.yaml:3:25: service.extensions names extension `pprof`, which is not defined"), "{said}");
}

/// The object that a node of the schema allows, if it allows one with properties.
fn object<'a>(root: &'a Value, node: &'a Value) -> Option<&'a Value> {
    if let Some(reference) = node["$ref"].as_str() {
        return object(root, root.pointer(reference.strip_prefix('#')?)?);
    }
    if node.get("properties").is_some() {
        return Some(node);
    }
    ["anyOf", "allOf"].iter().filter_map(|key| node[key].as_array()).flatten().find_map(|node| object(root, node))
}

/// The settings that the types know in this place, as they say it themselves to a wrong one. `[]` in the path is a list.
fn known(path: &[&str]) -> BTreeSet<String> {
    let nested = path.iter().rev().fold("{ no_such: 1 }".to_owned(), |inner, key| match *key {
        "[]" => format!("[{inner}]"),
        key => format!("{{ {key}: {inner} }}"),
    });
    let said = error(&nested);
    let (_, names) = said.split_once(" `no_such`, expected one of ").unwrap_or_else(|| panic!("{path:?}: {said}"));
    names.split(';').next().unwrap_or_default().split(", ").map(str::to_owned).collect()
}

fn compare(root: &Value, node: &Value, path: &[&str], seen: &mut usize) {
    let Some(node) = object(root, node) else { return };
    let properties = node["properties"].as_object().unwrap();
    let described: BTreeSet<String> = properties.keys().cloned().collect();
    assert_eq!(described, known(path), "schema and types at {path:?}");
    assert_eq!(node["additionalProperties"], false, "{path:?}");
    *seen += described.len();
    for (name, property) in properties {
        // A condition stands in conditions: one level says all.
        if path.contains(&name.as_str()) {
            continue;
        }
        compare(root, property, &[path, &[name]].concat(), seen);
        compare(root, &property["items"], &[path, &[name, "[]"]].concat(), seen);
    }
}

#[test]
fn the_schema_has_every_setting_that_the_types_have() {
    let root = schema::of::<Config>().to_value();
    let sections: [(&str, &[&str]); 4] = [
        ("receivers", ReceiverConfig::KINDS),
        ("processors", ProcessorConfig::KINDS),
        ("exporters", ExporterConfig::KINDS),
        ("extensions", ExtensionConfig::KINDS),
    ];
    let mut seen = 0;
    for (section, kinds) in sections {
        let reference = &root["properties"][section];
        let text = reference["$ref"].as_str().or(reference["allOf"][0]["$ref"].as_str()).unwrap();
        let patterns = root.pointer(&text[1..]).unwrap()["patternProperties"].as_object().unwrap();
        assert_eq!(patterns.len(), kinds.len());
        for kind in kinds {
            let (_, settings) = patterns.iter().find(|(pattern, _)| pattern.starts_with(&format!("^{kind}("))).unwrap();
            compare(&root, settings, &[section, kind], &mut seen);
        }
    }
    compare(&root, &root["properties"]["service"], &["service"], &mut seen);
    assert!(seen > 60, "only {seen} settings were compared");
}

#[test]
fn an_added_column_has_one_type_in_the_tables_of_an_exporter() {
    let config = |kind: &str, exporter: &str| {
        format!(
            "receivers: {{ otlp: }}\n\
             processors:\n  \
               map: {{ columns: {{ errors: {{ n: {{ attribute: n, type: long }} }} }} }}\n  \
               map/logs: {{ columns: {{ errors: {{ n: {{ attribute: n, type: {kind} }} }} }} }}\n\
             exporters: {{ iceberg: , iceberg/logs: {{ namespace: logs }} }}\n\
             service:\n  \
               pipelines:\n    \
                 traces: {{ receivers: [otlp], processors: [map], exporters: [iceberg] }}\n    \
                 logs: {{ receivers: [otlp], processors: [map/logs], exporters: [{exporter}] }}\n"
        )
    };
    let read = |yaml: &str| {
        let source = Source { path: "a.yaml".into(), text: yaml.to_owned() };
        read(&Sources::from(source)).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(read(&config("long", "iceberg")), Ok(()));
    assert_eq!(read(&config("double", "iceberg/logs")), Ok(()));
    let said = read(&config("double", "iceberg")).unwrap_err();
    assert!(said.contains("`iceberg` is fed by `map/logs` and `map`, and `errors.n` is added as double and as long"), "{said}");
    assert!(said.starts_with("a.yaml:8:"), "{said}");
}
