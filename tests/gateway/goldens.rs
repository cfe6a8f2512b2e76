//! The requests of every emitter, through the binary in all three forms: the rows that are read back are those of the golden files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::floe::Floe;
use super::python;

/// How often each request is sent: as JSON, as protobuf, over gRPC.
const FORMS: usize = 3;

/// The golden files hold what the mapping makes, so nothing is sanitised; and ids come from the key of their unit tests.
const ID_KEY: &str = "a key of ids, for tests only";
const RAW: &str = "[invocation_id, function_id, language, version, error_type, error_message, client_ip, region, colo, event_id, \
                   limit_type, deployment_id, previous_version, deployed_by, status, rollback_reason, error_id, stack_trace]";

/// The folders of emitters, by what their `map.yaml` says.
fn emitters() -> BTreeMap<String, Vec<PathBuf>> {
    let mut by_config: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")).unwrap() {
        let folder = entry.unwrap().path();
        if folder.is_dir() {
            let config = fs::read_to_string(folder.join("map.yaml")).unwrap_or_default();
            by_config.entry(config.trim().to_owned()).or_default().push(folder);
        }
    }
    by_config
}

fn files_ending(folders: &[PathBuf], ending: &str) -> Vec<PathBuf> {
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_str().unwrap().ends_with(ending));
    files.sort();
    files
}

/// The rows of golden files by table, as sorted lines.
fn golden_rows(folders: &[PathBuf]) -> BTreeMap<String, Vec<String>> {
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in files_ending(folders, ".rows.jsonl") {
        for line in fs::read_to_string(path).unwrap().lines() {
            let mut row: Value = serde_json::from_str(line).unwrap();
            let table = row.as_object_mut().unwrap().remove("table").unwrap();
            let all = rows.entry(table.as_str().unwrap().to_owned()).or_default();
            all.extend(std::iter::repeat_n(row.to_string(), FORMS));
        }
    }
    for rows in rows.values_mut() {
        rows.sort();
    }
    rows
}

fn gateway(config: &str) -> Floe {
    let map = format!("map: {{ max_event_age: 0, max_future_skew: 0, id_key: \"{ID_KEY}\", {config} }}");
    Floe::start_with(|shipped| {
        let changed = shipped
            .replace("map: { preset: functions, max_event_age: 0 }", &map)
            .replace("[map, sanitize, hash_ip, truncate_stack], exporters: [iceberg, prometheus]", "[map], exporters: [iceberg]")
            .replace("    namespace: analytics", &format!("    namespace: analytics\n    allow_raw: {RAW}"));
        assert!(changed.contains(&map) && changed.contains("[map], exporters: [iceberg]"), "the shipped chain has changed");
        changed
    })
}

/// The terms of a law, by the name that starts its line in `floe status`: the sum first.
fn law(status: &str, name: &str) -> Vec<u64> {
    let line = status.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_else(|| panic!("no {name}:\n{status}"));
    let terms = line.trim_start().trim_start_matches(name).split("  watermark").next().unwrap();
    terms.split(['=', '+']).map(|term| term.trim().parse().unwrap()).collect()
}

#[test]
fn requests_of_every_emitter_make_their_golden_rows_in_every_encoding() {
    for (config, folders) in emitters() {
        let floe = gateway(&config);
        let (grpc, http) = (floe.ports.grpc.to_string(), floe.ports.http.to_string());
        let requests = files_ending(&folders, ".json");
        let mut arguments = vec![grpc.as_str(), http.as_str()];
        arguments.extend(requests.iter().map(|path| path.to_str().unwrap()));
        let replies = python::json_lines("replay.py", &arguments);
        assert_eq!(replies.len(), requests.len() * FORMS);
        floe.flush();

        let golden = golden_rows(&folders);
        let status = floe.run("status");
        for table in ["invocations", "rate_limits", "deployments", "errors"] {
            let expected = golden.get(table).cloned().unwrap_or_default();
            let mut found: Vec<String> = python::rows(&floe, table).iter().map(Value::to_string).collect();
            found.sort();
            assert_eq!(found, expected, "{table} with map: {{ {config} }}");
            let rows = expected.len() as u64;
            assert_eq!(law(&status, &format!("iceberg:{table}")), [rows, rows, 0, 0, 0], "{status}");
        }
        for signal in ["traces", "logs"] {
            let of_signal = || replies.iter().filter(|reply| reply["signal"] == signal);
            let total = |what: &str| -> u64 { of_signal().map(|reply| reply[what].as_u64().unwrap()).sum() };
            let [received, refused, duplicate, rejected, filtered, unmapped, mapped] = law(&status, signal)[..] else {
                panic!("the first law has seven terms:\n{status}")
            };
            assert_eq!((received, rejected), (total("sent"), total("rejected")), "what senders saw of {signal}:\n{status}");
            assert_eq!((refused, duplicate, filtered), (0, 0, 0), "{status}");
            assert_eq!(received, rejected + unmapped + mapped, "{status}");
        }
    }
}
