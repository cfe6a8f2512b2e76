use serde::{Deserialize, Deserializer};

use super::source::{Source, Sources, from_str};
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
    parse_all(&[("pipelines.yaml", &format!("{head}{TAIL}"))], &[])
}

fn parse_all(files: &[(&str, &str)], sets: &[&str]) -> Result<Doc, ConfigError> {
    let files = files.iter().map(|(path, text)| Source { path: path.into(), text: (*text).to_owned() }).collect();
    let sources = Sources { files, sets: sets.iter().map(|set| (*set).to_owned()).collect() };
    sources.parse(|name| match name {
        "PORT" => Some("4317".to_owned()),
        "ODD" => Some("it's: \"1\" #\\".to_owned()),
        "MONEY" => Some("$1".to_owned()),
        _ => None,
    })
}

fn otlp(head: &str) -> Otlp {
    otlp_of(parse(head))
}

fn otlp_of(document: Result<Doc, ConfigError>) -> Otlp {
    let document = document.unwrap();
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
fn a_reference_may_stand_beside_text_and_in_a_default() {
    for (scalar, expected) in [
        ("${PORT}", "4317"),
        ("a${env:PORT}b${env:PORT}", "a4317b4317"),
        ("\"${env:MISSING:-${env:PORT}}\"", "4317"),
        ("costs $$5, $5 or ${env:MONEY}", "costs $5, $5 or $1"),
        ("$${env:PORT}", "${env:PORT}"),
        ("^eu$", "^eu$"),
    ] {
        assert_eq!(otlp(&format!("receivers:\n  otlp:\n    endpoint: {scalar}\n")).endpoint, expected, "{scalar}");
    }
    for (scalar, expected) in [
        ("${env:MISSING", "3:15: expected `}` at the end"),
        ("a ${vault:x}", "3:17: expected ${env:NAME}, ${env:NAME:-default} or ${file:path}, found `${vault:x}`"),
        ("${}", "3:15: expected ${env:NAME}"),
    ] {
        let message = error(&format!("receivers:\n  otlp:\n    endpoint: {scalar}\n"));
        assert!(message.starts_with(&format!("pipelines.yaml:{expected}")), "{message}");
    }
}

#[test]
fn a_reference_to_a_file_is_its_whole_content_and_never_structure() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let head = format!("receivers:\n  otlp:\n    endpoint: x-${{file:{}}}\n", path.display());
    let message = error(&head);
    assert!(
        message.starts_with("pipelines.yaml:3:17: cannot use file /") && message.contains("secret: No such file"),
        "{message}"
    );
    std::fs::write(&path, "a: [1]\n\n").unwrap();
    assert_eq!(otlp(&head).endpoint, "x-a: [1]\n");
    std::fs::write(&path, [0xff]).unwrap();
    assert!(error(&head).contains("expected text in UTF-8"));
}

#[test]
fn a_list_is_no_map_of_settings() {
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Choice {
        Inline {
            #[expect(dead_code, reason = "only its parsing is of interest")]
            size: u64,
        },
        Boxed(#[expect(dead_code, reason = "only its parsing is of interest")] Otlp),
    }
    let check = |message: String, place: &str| {
        assert_eq!(message, format!("{place}: expected a map of settings, found a list"));
    };
    check(error("receivers:\n  otlp: [a, 1]\n"), "pipelines.yaml:2:9");
    check(error("receivers:\n  otlp: []\n"), "pipelines.yaml:2:9");
    check(from_str::<Vec<Otlp>>("- [a]\n").unwrap_err().to_string(), "yaml:1:3");
    check(from_str::<Choice>("inline: [1]\n").unwrap_err().to_string(), "yaml:1:9");
    check(from_str::<Choice>("boxed: [a, 1]\n").unwrap_err().to_string(), "yaml:1:8");
    assert!(from_str::<Choice>("inline: { size: 1 }\n").is_ok());
}

const BASE: &str = "receivers:\n  otlp:\n    endpoint: a\n    limit: 1\n";

#[test]
fn later_files_are_merged_over_earlier_ones() {
    let base = format!("{BASE}{TAIL}");
    let merged = |over: &str| otlp_of(parse_all(&[("a.yaml", &base), ("b.yaml", over)], &[]));
    assert_eq!(merged("receivers: { otlp: { limit: 2 } }"), Otlp { endpoint: "a".into(), limit: Some(2) });
    assert_eq!(merged("receivers: { otlp: }"), Otlp::default(), "nothing is a value, as in the Collector");
    assert_eq!(merged("# nothing"), Otlp { endpoint: "a".into(), limit: Some(1) });
    let over = "receivers: { nop: }\nservice: { pipelines: { traces: { receivers: [nop] } } }";
    let document = parse_all(&[("a.yaml", &base), ("b.yaml", over)], &[]).unwrap();
    let pipeline = document.service.pipelines.values().next().unwrap();
    let ids = |ids: &[Placed<ComponentId>]| ids.iter().map(|id| format!("{} at {}", id.value, id.place)).collect::<Vec<_>>();
    assert_eq!(ids(&pipeline.receivers), ["nop at b.yaml:2:47"], "lists are replaced");
    assert_eq!(ids(&pipeline.exporters), ["nop at a.yaml:6:63"]);
}

#[test]
fn an_error_names_the_file_it_is_in() {
    let base = format!("{BASE}{TAIL}");
    let error = |over: &str| parse_all(&[("a.yaml", &base), ("b.yaml", over)], &[]).unwrap_err().to_string();
    assert!(
        error("receivers:\n  otlp:\n    limit: x")
            .starts_with("b.yaml:3:12: expected a whole number, 0 or more, found the text `x`")
    );
    assert!(error("receivers:\n  otlp:\n    limt: 1").starts_with("b.yaml:3:5: unknown setting `limt`"));
    assert!(error("[1]").starts_with("b.yaml:1:1: expected the sections receivers, exporters and service"));
}

#[test]
fn a_setting_of_the_command_line_goes_before_every_file() {
    let base = format!("{BASE}{TAIL}");
    let set = |sets: &[&str]| parse_all(&[("a.yaml", &base)], sets);
    assert_eq!(otlp_of(set(&["receivers.otlp.limit=${env:PORT}"])), Otlp { endpoint: "a".into(), limit: Some(4317) });
    assert_eq!(
        otlp_of(set(&["receivers::otlp::endpoint=a=b.c", "receivers.otlp.limit="])),
        Otlp { endpoint: "a=b.c".into(), limit: None }
    );
    assert!(set(&["receivers.nop/x={}"]).unwrap().receivers.get(&"nop/x".parse().unwrap()).is_some());
    let error = |set_: &str| set(&[set_]).unwrap_err().to_string();
    assert_eq!(
        error("receivers.otlp.limit=x"),
        "--set receivers.otlp.limit: expected a whole number, 0 or more, found the text `x`"
    );
    assert!(error("receivers.otlp.limt=1").starts_with("--set receivers.otlp.limt: unknown setting `limt`"));
    assert!(error("receivers..x=1").starts_with("--set receivers..x: expected a setting and its value"));
    assert!(error("x").starts_with("--set: expected a setting and its value"));
    assert!(error("a=[").starts_with("--set a: expected YAML"), "{}", error("a=["));
    assert!(error("receivers.otlp.endpoint=${env:NO}").starts_with("--set receivers.otlp.endpoint: environment variable NO"));
}

#[test]
fn what_a_setting_or_a_reference_holds_is_not_shown() {
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Yes,
    }
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its parsing is of interest")]
    struct Leaves {
        size: Option<ByteSize>,
        word: Option<Word>,
        words: Option<Vec<Word>>,
        address: Option<std::net::SocketAddr>,
    }
    let set = |set: &str| parse_all(&[("a.yaml", &format!("{BASE}{TAIL}"))], &[set]).unwrap_err().to_string();
    for secret in [
        "receivers.otlp.tokn=hunter2",
        "receivers.otlp.tokn hunter2",
        "hunter2",
        "receivers: {otlp: {t: hunter2=}}",
        "a=[hunter2",
    ] {
        let message = set(secret);
        assert!(message.starts_with("--set") && !message.contains("hunter2"), "{message}");
    }
    let not_shown = "found what its reference stands for, which is not shown";
    let message = error("receivers:\n  otlp:\n    limit: ${env:MONEY}\n");
    assert_eq!(message, format!("pipelines.yaml:3:12: expected a whole number, 0 or more, {not_shown}"));
    for leaf in
        ["size: ${env:A:-hunter2}", "word: ${env:A:-hunter2}", "words: [\"${env:A:-hunter2}\"]", "address: ${env:A:-hunter2}"]
    {
        let message = from_str::<Leaves>(leaf).unwrap_err().to_string();
        assert!(message.starts_with("yaml:1:") && !message.contains("hunter2"), "{message}");
    }
    assert!(from_str::<Leaves>("word: hunter2").unwrap_err().to_string().contains("hunter2"), "what stands in the file is shown");
}

#[test]
fn anchors_aliases_and_merge_keys_mean_what_yaml_says() {
    let head = "receivers:\n  nop: &base { endpoint: a, limit: 1 }\n  otlp: { <<: *base, limit: 2 }\n";
    assert_eq!(otlp(head), Otlp { endpoint: "a".into(), limit: Some(2) });
    let head = "receivers:\n  nop: &text x\n  otlp: { endpoint: *text }\n";
    assert_eq!(otlp(head).endpoint, "x");
    let bomb = (1..30).fold(String::new(), |bomb, n| bomb + &format!("  nop/{n}: &a{n} [*a{0}, *a{0}, *a{0}]\n", n - 1));
    assert!(error(&format!("receivers:\n  nop/0: &a0 [x]\n{bomb}")).contains("found more once aliases are written out"));
}

#[test]
fn what_yaml_cannot_mean_here_is_refused_with_its_place() {
    let check = |head: &str, expected: &str| {
        let message = error(head);
        assert!(message.starts_with(&format!("pipelines.yaml:{expected}")), "{message}");
    };
    check("receivers:\n  otlp:\n  otlp:\n", "3:3: `otlp` stands here twice, first at pipelines.yaml:2:3; keep one of them");
    check("receivers:\n  otlp: !secret x\n", "2:17: expected no tag, found `!secret`");
    check("receivers:\n  otlp: *nothing\n", "2:9: expected YAML");
    check("receivers:\n  [a]: 1\n", "2:3: expected a name before the colon");
    check("receivers: {\n", "3:1: expected YAML");
    check("--- {}\n---\n", "2:1: expected one document");
    let nothing = parse_all(&[("a.yaml", "")], &[]).unwrap_err().to_string();
    assert_eq!(nothing, "a.yaml: missing setting `receivers`");
}

proptest::proptest! {
    /// Whatever stands in a file, reading it ends, in a tree or in words.
    #[test]
    fn no_text_makes_a_panic(text in "[-a-z:{}\\[\\]&*!#$<>|\"' \n\t0-9,~?%@`]{0,60}") {
        let _ = from_str::<serde_json::Value>(&text);
    }

    /// What is printed is read again as the same.
    #[test]
    fn printed_yaml_is_read_as_the_same(texts in proptest::collection::vec("[ -~é\n]{0,12}", 1..6), number: i64, truth: bool) {
        let value = serde_json::json!({
            "texts": texts, "nested": { "list": [{ "text": texts[0], "number": number }], "empty": {}, "none": [] },
            "truth": truth, "nothing": null, "float": 1.5,
        });
        let text = printed::yaml(&value, 0);
        proptest::prop_assert_eq!(from_str::<serde_json::Value>(&text).unwrap(), value, "{}", text);
    }
}

#[test]
fn a_text_that_would_be_a_key_is_printed_in_quotes() {
    assert_eq!(printed::yaml(&serde_json::json!(["0:", "127.0.0.1:4317"]), 0), "- \"0:\"\n- 127.0.0.1:4317\n");
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
    let message = from_str::<Leaves>("size: 64KiX\n").unwrap_err().to_string();
    assert_eq!(message, "yaml:1:7: expected a size such as 64KiB, 128MiB or 10GiB, found `64KiX`");
}

#[test]
fn sizes_and_durations_are_read_with_their_units() {
    for (text, bytes) in [("0", 0), ("4096", 4096), ("64KiB", 65536), ("10GiB", 10 << 30), ("5MB", 5_000_000)] {
        assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes, "{text}");
    }
    for (text, millis) in [("0", 0), ("500ms", 500), ("60s", 60_000), ("10m", 600_000), ("24h", 86_400_000)] {
        assert_eq!(text.parse::<Span>().unwrap().get().as_millis(), millis, "{text}");
    }
    for text in ["1536KiB", "10GiB", "1000", "0", "3TiB"] {
        assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
    }
    for text in ["1500ms", "90s", "36h", "0ms", "61m"] {
        assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
    }
    for text in ["", "s", "-1s", "1.5s", "10", "99999999999999999999s"] {
        assert!(text.parse::<Span>().is_err(), "{text}");
    }
}

#[test]
fn a_secret_is_never_printed() {
    assert_eq!(format!("{:?}", Secret::new("hunter2")), "[secret]");
}
