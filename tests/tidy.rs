//! What a machine can check about how the house is kept: who imports whom, how long files are, and that every example still parses.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking and speak on stdout"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use floe::config::source::{Source, Sources};
use floe::gateway::{build, config};

/// The import table of `src/lib.rs`. A room may always import itself.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("config", &[]),
    ("faults", &[]),
    ("server", &[]),
    ("signals", &["config"]),
    ("tables", &["config"]),
    ("receivers", &["config", "server", "signals", "telemetry", "wal"]),
    ("processors", &["config", "signals", "tables"]),
    ("wal", &["clock", "config", "faults"]),
    ("exporters::prometheus", &["clock", "config", "server", "signals", "tables"]),
    ("exporters::iceberg", &["clock", "config", "faults", "tables", "wal"]),
    ("exporters", &[]),
    ("pipelines", &["clock", "exporters::prometheus", "processors", "receivers", "signals", "tables", "telemetry", "wal"]),
    ("telemetry", &["clock", "config", "processors", "server", "signals", "tables"]),
];
/// These know every room.
const KNOW_ALL: &[&str] = &["gateway", "cli", "lib", "main"];

const LONG_FILE: usize = 400;
const LONGEST_FILE: usize = 800;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder with this extension.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![root().join(folder)];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|have| have == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// `src/exporters/iceberg/cut.rs` is in `exporters::iceberg`, `src/wal/frame.rs` in `wal`.
fn room_of(path: &Path) -> String {
    let relative = path.strip_prefix(root().join("src")).unwrap().with_extension("");
    let parts: Vec<&str> = relative.iter().map(|part| part.to_str().unwrap()).collect();
    match parts.as_slice() {
        ["exporters", exporter, ..] => format!("exporters::{exporter}"),
        [room, ..] => (*room).to_owned(),
        [] => unreachable!("a file has a name"),
    }
}

/// The rooms that a file names as `crate::room`.
fn imports(text: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    for path in code.flat_map(|line| line.split("crate::").skip(1)) {
        let mut names = path.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|name| !name.is_empty());
        let room = names.next().unwrap_or_default().to_owned();
        match names.next() {
            Some(exporter) if room == "exporters" => rooms.insert(format!("exporters::{exporter}")),
            _ => rooms.insert(room),
        };
    }
    rooms
}

#[test]
fn rooms_import_what_the_table_allows() {
    let mut wrong = Vec::new();
    for path in files("src", "rs") {
        let room = room_of(&path);
        if KNOW_ALL.contains(&room.as_str()) {
            continue;
        }
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(have, _)| *have == room) else {
            wrong.push(format!("{}: room `{room}` is not in the table", path.display()));
            continue;
        };
        for import in imports(&fs::read_to_string(&path).unwrap()) {
            if import != room && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{}: `{room}` may not import `{import}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn iceberg_stands_in_its_room_only() {
    for path in files("src", "rs") {
        let text = fs::read_to_string(&path).unwrap();
        let uses = text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains("use iceberg"));
        assert!(!uses || room_of(&path) == "exporters::iceberg", "{} uses iceberg", path.display());
    }
}

#[test]
fn only_the_clock_asks_what_time_it_is() {
    for path in files("src", "rs") {
        if room_of(&path) == "clock" {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        assert!(!code.contains("SystemTime::now"), "{} asks for the time", path.display());
    }
}

#[test]
fn files_are_of_a_length_that_can_be_read() {
    let mut long = Vec::new();
    for folder in ["src", "tests", "examples", "bench"] {
        for path in files(folder, "rs") {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= LONGEST_FILE, "{} has {lines} lines, at most {LONGEST_FILE} are allowed", path.display());
            if lines > LONG_FILE {
                long.push(format!("{lines:5} {}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    println!("files past {LONG_FILE} lines: {}\n{}", long.len(), long.join("\n"));
}

/// Checks a whole configuration as `floe validate` does.
fn check_configuration(name: &str, text: &str) {
    let source = Source { path: name.into(), text: text.to_owned() };
    let parsed = config::read(&Sources::from(source)).unwrap_or_else(|error| panic!("{error}"));
    build::validate(&parsed).unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[test]
fn every_shipped_configuration_is_valid() {
    check_configuration("pipelines.yaml", &fs::read_to_string(root().join("pipelines.yaml")).unwrap());
    let examples = files("examples/pipelines", "yaml");
    assert!(!examples.is_empty());
    for path in examples {
        check_configuration(&path.display().to_string(), &fs::read_to_string(&path).unwrap());
    }
}

/// The fenced blocks of a Markdown file in this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<(bool, String)> = None;
    for line in text.lines() {
        match (&mut block, line.trim_start().strip_prefix("```")) {
            (None, Some(tag)) => block = Some((tag.trim() == language, String::new())),
            (Some(_), Some(_)) => {
                if let Some((true, text)) = block.take() {
                    found.push(text);
                }
                block = None;
            }
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

#[test]
fn every_configuration_in_the_docs_is_valid() {
    let mut documents = files("docs", "md");
    documents.push(root().join("README.md"));
    for path in documents {
        for block in blocks(&fs::read_to_string(&path).unwrap(), "yaml") {
            let name = path.display().to_string();
            if block.contains("service:") {
                check_configuration(&name, &block);
            } else {
                check_configuration(&name, &complete(&block));
            }
        }
    }
}

/// The sections of a configuration and their components, by indentation: `(section, component, text)`; the section's own line has no component.
fn components(text: &str) -> Vec<(String, String, String)> {
    let mut found: Vec<(String, String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty()) {
        let indent = line.len() - line.trim_start().len();
        let name = line.trim_start().split(':').next().unwrap_or_default().to_owned();
        match (indent, found.last().map(|(section, ..)| section.clone())) {
            (0, _) => found.push((name, String::new(), format!("{line}\n"))),
            (2, Some(section)) => found.push((section, name, format!("{line}\n"))),
            (_, Some(_)) => found.last_mut().unwrap().2.extend([line, "\n"]),
            (_, None) => found.push((String::new(), name, format!("{line}\n"))),
        }
    }
    found
}

/// A snippet, put into the shipped configuration: its components replace those of the same section and name, or are added.
fn complete(snippet: &str) -> String {
    let mut whole = components(&fs::read_to_string(root().join("pipelines.yaml")).unwrap());
    for (section, component, text) in components(snippet).into_iter().filter(|(_, component, _)| !component.is_empty()) {
        let same = whole.iter().position(|(s, c, _)| (s, c) == (&section, &component));
        let last = whole.iter().rposition(|(s, ..)| *s == section);
        match (same, last) {
            (Some(same), _) => whole[same].2 = text,
            (None, Some(last)) => whole.insert(last + 1, (section, component, text)),
            (None, None) => panic!("the snippet has a section `{section}` that no configuration has:\n{snippet}"),
        }
    }
    whole.into_iter().map(|(_, _, text)| text).collect()
}

#[test]
fn links_in_the_docs_lead_somewhere() {
    let mut documents = files("docs", "md");
    documents.push(root().join("README.md"));
    for path in documents {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(path.parent().unwrap().join(target).exists(), "{}: {target} does not exist", path.display());
        }
    }
}

#[test]
fn crash_points_are_not_in_the_default_build() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let features: Vec<&str> =
        manifest.lines().skip_while(|line| *line != "[features]").skip(1).take_while(|line| !line.starts_with('[')).collect();
    assert!(features.contains(&"faults = []"), "{features:?}");
    assert!(!features.iter().any(|line| line.starts_with("default") && line.contains("faults")), "{features:?}");
}
