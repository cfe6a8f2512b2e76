use serde::{Deserialize, Deserializer};

use super::source::Source;
use super::*;

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct Otlp {
    endpoint: String,
    limit: Option<u64>,
}

#[derive(Debug)]
enum AnyComponent {
    Otlp(Otlp),
    Nop,
}

impl Component for AnyComponent {
    const WHAT: &'static str = "receiver";
    const KINDS: &'static [&'static str] = &["otlp", "nop"];

    fn read<'de, D: Deserializer<'de>>(kind: &str, deserializer: D) -> Result<Self, D::Error> {
        match kind {
            "otlp" => Otlp::deserialize(deserializer).map(AnyComponent::Otlp),
            _ => Ok(AnyComponent::Nop),
        }
    }

    fn schema(_kind: &str, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<String>()
    }
}

#[derive(Debug, Default, Deserialize)]
struct Nothing {}

type Doc = Document<AnyComponent, AnyComponent, AnyComponent, AnyComponent, Nothing>;

const TAIL: &str = "exporters: {nop: }\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [nop]}}}\n";

fn parse(head: &str) -> Result<Doc, ConfigError> {
    let source = Source { path: "pipelines.yaml".into(), text: format!("{head}{TAIL}") };
    source.parse(|name| match name {
        "PORT" => Some("4317".to_owned()),
        "ODD" => Some("it's: \"1\" #\\".to_owned()),
        _ => None,
    })
}

fn otlp(head: &str) -> Otlp {
    let document = parse(head).unwrap();
    match document.receivers.get(&"otlp".parse().unwrap()) {
        Some(AnyComponent::Otlp(otlp)) => Otlp { endpoint: otlp.endpoint.clone(), limit: otlp.limit },
        other => panic!("{other:?}"),
    }
}

fn error(head: &str) -> String {
    parse(head).unwrap_err().to_string()
}

#[test]
fn a_component_without_settings_has_its_defaults() {
    assert_eq!(otlp("receivers:\n  otlp:\n"), Otlp::default());
    assert_eq!(otlp("receivers:\n  otlp: {}\n"), Otlp::default());
}

#[test]
fn environment_variables_are_resolved_within_their_scalar() {
    let head = "receivers:\n  otlp:\n    endpoint: 127.0.0.1:${env:PORT}\n    limit: ${env:PORT}\n";
    assert_eq!(otlp(head), Otlp { endpoint: "127.0.0.1:4317".into(), limit: Some(4317) });
    assert_eq!(otlp("receivers:\n  otlp:\n    endpoint: ${env:MISSING:-::1}\n").endpoint, "::1");
    assert_eq!(
        error("receivers:\n  otlp:\n    endpoint: ${env:MISSING}\n"),
        "pipelines.yaml:3:15: environment variable MISSING is not set; set it, or give a default: ${env:MISSING:-default}"
    );
}

#[test]
fn environment_variables_are_resolved_within_quotes_too() {
    for (scalar, expected) in [
        ("\"x${env:PORT}\"", "x4317"),
        ("'x${env:PORT}y'", "x4317y"),
        ("\"${env:MISSING:-}\"", ""),
        ("\"a \\\" ${env:ODD}\"", "a \" it's: \"1\" #\\"),
        ("'${env:ODD}'", "it's: \"1\" #\\"),
    ] {
        assert_eq!(otlp(&format!("receivers:\n  otlp: {{ endpoint: {scalar}, limit: 1 }}\n")).endpoint, expected, "{scalar}");
    }
    let message = error("receivers:\n  otlp:\n    endpoint: \"${env:MISSING}\"\n");
    assert!(message.starts_with("pipelines.yaml:3:16: environment variable MISSING is not set"), "{message}");
}

#[test]
fn an_unknown_setting_is_named_with_its_place_and_the_nearest_name() {
    assert_eq!(
        error("receivers:\n  otlp:\n    endpont: x\n"),
        "pipelines.yaml:3:5: unknown setting `endpont`, expected one of endpoint, limit; did you mean `endpoint`?"
    );
}

#[test]
fn an_unknown_component_is_named_with_its_place_and_the_nearest_name() {
    let message = error("receivers:\n  otpl: {}\n");
    assert!(message.starts_with("pipelines.yaml:2:"), "{message}");
    assert!(message.ends_with("unknown receiver type `otpl`, expected one of otlp, nop; did you mean `otlp`?"), "{message}");
}

#[test]
fn a_wrong_leaf_says_what_was_expected() {
    #[derive(Debug, Deserialize)]
    struct Leaves {
        #[expect(dead_code, reason = "only its parsing is of interest")]
        size: ByteSize,
    }
    let source = Source { path: "x.yaml".into(), text: "size: 64KiX\n".into() };
    let message = source.parse::<Leaves>(|_| None).unwrap_err().to_string();
    assert_eq!(message, "x.yaml:1:7: expected a size such as 64KiB, 128MiB or 10GiB, found `64KiX`");
}

#[test]
fn sizes_and_durations_are_read_with_their_units() {
    for (text, bytes) in [("0", 0), ("4096", 4096), ("64KiB", 65536), ("10GiB", 10 << 30), ("5MB", 5_000_000)] {
        assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes, "{text}");
    }
    for (text, millis) in [("0", 0), ("500ms", 500), ("60s", 60_000), ("10m", 600_000), ("24h", 86_400_000)] {
        assert_eq!(text.parse::<Span>().unwrap().get().as_millis(), millis, "{text}");
    }
    for text in ["", "s", "-1s", "1.5s", "10", "99999999999999999999s"] {
        assert!(text.parse::<Span>().is_err(), "{text}");
    }
}

#[test]
fn a_secret_is_never_printed() {
    assert_eq!(format!("{:?}", Secret::new("hunter2")), "[secret]");
}
