//! The configuration from the command line's side: several files, `--set`, what is in effect, and the schema, held by an independent validator.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::python;

fn floe(directory: &Path, arguments: &[&str]) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_floe"));
    process.current_dir(directory).args(arguments).env("FLOE_TEST_KEY", "a secret of sixteen bytes").output().unwrap()
}

fn printed(directory: &Path, arguments: &[&str]) -> String {
    let output = floe(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(directory: &Path, arguments: &[&str]) -> String {
    let output = floe(directory, arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A directory with the shipped configuration and these files.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::copy(root().join("pipelines.yaml"), directory.path().join("pipelines.yaml")).unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

#[test]
fn several_files_and_settings_are_one_configuration() {
    let over = "processors: { hash_ip: { key: \"${env:FLOE_TEST_KEY}\" }, map: { id_key: \"${file:id.key}\" } }\n";
    let directory = directory(&[("over.yaml", over), ("id.key", "0123456789abcdef\n")]);
    let both = ["-c", "pipelines.yaml", "-c", "over.yaml", "--set", "receivers.otlp.protocols.grpc.endpoint=127.0.0.1:14317"];
    let effective = printed(directory.path(), &[&["print-config"], &both[..]].concat());
    assert!(effective.contains("endpoint: 127.0.0.1:14317"), "{effective}");
    assert_eq!(effective.matches("[redacted]").count(), 2, "{effective}");
    assert!(!effective.contains("sixteen") && !effective.contains("0123456789abcdef"), "{effective}");
    // What is left out has its default written.
    for line in ["transport: tcp", "private-key: true", "phone: false", "max_future_skew: 24h", "sources: [span_event, log]"] {
        assert!(effective.contains(line), "{line} in {effective}");
    }
    // What is printed is read to the same effect.
    fs::write(directory.path().join("printed.yaml"), &effective).unwrap();
    assert_eq!(printed(directory.path(), &["print-config", "-c", "printed.yaml"]), effective);
    assert!(printed(directory.path(), &[&["validate"], &both[..]].concat()).contains("pipelines.yaml and over.yaml are valid"));
}

#[test]
fn an_error_leads_to_its_file_or_its_setting() {
    let directory = directory(&[("over.yaml", "exporters:\n  iceberg/eu:\n    namespace: analytics\n")]);
    let both = ["validate", "-c", "pipelines.yaml", "-c", "over.yaml"];
    let said = refused(directory.path(), &both);
    assert!(said.contains("over.yaml:2:3: exporters `iceberg` and `iceberg/eu` write the same tables"), "{said}");
    let said = refused(directory.path(), &["validate", "--set", "extensions.wal/two={}"]);
    assert!(said.contains("--set extensions.wal/two: extension `wal/two` is a second `wal`"), "{said}");
    let said = refused(directory.path(), &["validate", "--set", "service.pipelines="]);
    assert!(said.contains("--set service.pipelines: expected a map, found nothing"), "{said}");
    for key in ["processors.map.id_key", "processors.hash_ip.key"] {
        let said = refused(directory.path(), &["validate", "--set", &format!("{key}=hunter2secret")]);
        assert!(said.contains(&format!("--set {key}: expected a key of at least 16 bytes")), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let route = "processors:\n  route: { rules: [{ table: errors, exporters: [icebrg] }] }\nservice:\n  pipelines:\n    \
                 traces: { receivers: [otlp], processors: [map, sanitize, hash_ip, truncate_stack, route], exporters: [iceberg] }\n";
    fs::write(directory.path().join("over.yaml"), route).unwrap();
    let said = refused(directory.path(), &both);
    assert!(said.contains("over.yaml:2:49: `route` leads to exporter `icebrg`, which pipeline `traces` does not have"), "{said}");
    assert!(said.contains("did you mean `iceberg`?"), "{said}");
}

#[test]
fn components_are_listed_with_the_version() {
    let directory = directory(&[]);
    let listed = printed(directory.path(), &["components"]);
    let listed: Value = serde_saphyr::from_str(&listed).unwrap();
    assert_eq!(listed["buildinfo"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(listed["processors"].as_array().unwrap().contains(&json!({ "name": "route" })));
}

/// The errors that an independent validator finds in each configuration.
fn validate(schema: &Value, instances: &[(String, Value)]) -> Vec<(String, Vec<String>)> {
    let script = root().join("tests/python/check_schema.py");
    let mut process =
        Command::new(python::interpreter()).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let given = json!({ "schema": schema, "instances": instances });
    process.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let read = |line: &str| -> (String, Vec<String>) {
        let found: Value = serde_json::from_str(line).unwrap();
        let errors = found["errors"].as_array().unwrap().iter().map(|error| error.as_str().unwrap().to_owned()).collect();
        (found["name"].as_str().unwrap().to_owned(), errors)
    };
    lines.lines().map(read).collect()
}

/// The YAML blocks of the documents: whole configurations, and snippets of them.
fn documented() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let docs = fs::read_dir(root().join("docs")).unwrap().flatten().map(|entry| entry.path());
    for path in docs.chain([root().join("README.md")]).filter(|path| path.extension().is_some_and(|have| have == "md")) {
        let text = fs::read_to_string(&path).unwrap();
        for block in text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            found.push((path.display().to_string(), block.to_owned()));
        }
    }
    found
}

#[test]
fn the_schema_takes_every_shipped_configuration_and_refuses_wrong_keys() {
    let directory = directory(&[]);
    let schema: Value = serde_json::from_str(&printed(directory.path(), &["schema"])).unwrap();
    let mut texts = documented();
    assert!(texts.len() > 5, "the documents have YAML");
    for entry in fs::read_dir(root().join("examples/pipelines")).unwrap().flatten() {
        texts.push((entry.path().display().to_string(), fs::read_to_string(entry.path()).unwrap()));
    }
    let shipped = fs::read_to_string(root().join("pipelines.yaml")).unwrap();
    texts.push(("pipelines.yaml".into(), shipped.clone()));
    texts.push(("print-config".into(), printed(directory.path(), &["print-config"])));
    let whole: Value = serde_saphyr::from_str(&shipped).unwrap();
    let right: Vec<(String, Value)> = texts
        .into_iter()
        .map(|(name, text)| {
            let mut value: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
            // A snippet is completed by the sections that it does not show.
            for section in ["receivers", "exporters", "service"] {
                if value.get(section).is_none() {
                    value[section] = whole[section].clone();
                }
            }
            (name, value)
        })
        .collect();
    for (name, errors) in validate(&schema, &right) {
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
    let wrong: Vec<(String, Value)> = [
        ("/receivers/otpl", json!({})),
        ("/receivers/otlp/protocols/grpc/endpont", json!("x")),
        ("/exporters/iceberg/namspace", json!("x")),
        ("/exporters/prometheus/max_series", json!("many")),
        ("/processors/hash_ip/mode", json!("rot13")),
        ("/processors/truncate_stack/max_bytes", json!("8 apples")),
        ("/service/pipelines/trace", json!({ "receivers": ["otlp"], "exporters": ["iceberg"] })),
        ("/service/pipelines/traces/exporters", json!("iceberg")),
        ("/extensions/wal/fsync", json!("sometimes")),
        ("/extension", json!({})),
    ]
    .into_iter()
    .map(|(pointer, value)| {
        let mut config = whole.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = parent.split('/').skip(1).fold(&mut config, |node, key| &mut node[key]);
        parent[key] = value;
        (pointer.to_owned(), config)
    })
    .collect();
    for (pointer, errors) in validate(&schema, &wrong) {
        assert!(!errors.is_empty(), "the schema takes {pointer}");
    }
}
