use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use base64::Engine as _;

use super::rules::{Find, all};
use super::scan::{Alphabet, Scan};
use super::*;
use crate::signals::points::{OwnedPoint, OwnedScope, OwnedValue};
use crate::signals::{MetricKind, Timestamp};
use crate::tables::Table;

mod corpus;
mod forms;
mod properties;

/// With every class on, also the one that is off by default.
fn sanitizer() -> Sanitizer {
    configured(r#"{"classes":{"phone":true}}"#)
}

fn configured(json: &str) -> Sanitizer {
    Sanitizer::new(&serde_json::from_str(json).unwrap()).unwrap()
}

/// A generator of its own, so that an example is the same in every run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % count
    }

    /// `count` characters of the set; a digit, a capital and a small letter come first where the set has them.
    fn text(&mut self, set: char, count: usize) -> String {
        const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let (alphabet, first) = match set {
            'w' => (format!("0123456789{LETTERS}"), "7Qk"),
            'u' => (format!("0123456789{}", &LETTERS[..26]), "7Q"),
            'l' => (format!("0123456789_-{LETTERS}"), "7Qk"),
            'b' => (format!("0123456789+/{LETTERS}"), "7Qk"),
            'h' => ("0123456789abcdef".to_owned(), "7c"),
            'd' => ("0123456789".to_owned(), "7"),
            'a' => (LETTERS.to_owned(), "Qk"),
            _ => panic!("unknown set {set}"),
        };
        let mut text: String = first.chars().take(count).collect();
        while text.len() < count {
            text.push(char::from(alphabet.as_bytes()[self.below(alphabet.len())]));
        }
        // No generated text ends in a byte that could as well follow it.
        if text.ends_with(['-', '_', '+', '/']) {
            text.pop();
            text.push('Z');
        }
        text
    }

    fn jwt(&mut self) -> String {
        let part = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(r#"{"sub":"jane","iat":1}"#), self.text('l', 43))
    }

    /// A number of 16 digits with this beginning and Luhn's sum.
    fn card(&mut self, issuer: &str) -> String {
        let body = format!("{issuer}{}", self.text('d', 11));
        let digits: String =
            (0..10).map(|last| format!("{body}{last}")).find(|number| validate::card(number.as_bytes())).unwrap();
        digits
    }

    /// A German account with its check digits.
    fn iban(&mut self) -> String {
        let account = self.text('d', 18);
        (2..99).map(|check| format!("DE{check:02}{account}")).find(|number| validate::iban(number.as_bytes())).unwrap()
    }

    /// Fills a template in.
    fn fill(&mut self, template: &str) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some(open) = rest.find('<') {
            out.push_str(&rest[..open]);
            let inside = rest[open + 1..].find('>').map(|close| &rest[open + 1..open + 1 + close]);
            let count = inside.and_then(|inside| inside.get(1..)).and_then(|count| count.parse::<usize>().ok());
            match (inside, count) {
                (Some("jwt"), _) => out.push_str(&self.jwt()),
                (Some("card"), _) => out.push_str(&self.card("4539")),
                (Some("pan"), _) => out.push_str(&grouped(&self.card("4539"), '-')[5..]),
                (Some("grouped"), _) => out.push_str(&grouped(&self.card("5105"), ' ')),
                (Some("iban"), _) => out.push_str(&self.iban()),
                (Some("ibans"), _) => out.push_str(&grouped(&self.iban(), ' ')),
                (Some(inside), Some(count)) if "wulbhda".contains(&inside[..1]) => {
                    out.push_str(&self.text(inside.chars().next().unwrap(), count));
                }
                _ => {
                    out.push('<');
                    rest = &rest[open + 1..];
                    continue;
                }
            }
            rest = &rest[open + 1 + inside.unwrap().len() + 1..];
        }
        out + rest
    }
}

fn grouped(number: &str, separator: char) -> String {
    let groups: Vec<&str> = number.as_bytes().chunks(4).map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(&separator.to_string())
}

/// A filled template as the text that is sent, the text expected, and the secret.
fn example(template: &str, class: Class, seed: u64) -> (String, String, String) {
    let filled = Noise(seed).fill(template);
    let (before, rest) = filled.split_once('«').unwrap();
    let (secret, after) = rest.split_once('»').unwrap();
    (format!("{before}{secret}{after}"), format!("{before}[redacted:{}]{after}", class.name()), secret.to_owned())
}

#[test]
fn every_example_of_a_rule_is_found_and_only_the_secret_goes() {
    let sanitizer = sanitizer();
    let mut wrong = Vec::new();
    for rule in all() {
        for template in rule.found {
            for seed in 0..20 {
                let (sent, expected, _) = example(template, rule.class, seed);
                let clean = sanitizer.clean(&sent, Mode::Text);
                if clean.text != expected || clean.redactions != 1 {
                    wrong.push(format!("{}: {sent}\n  expected {expected}\n  came     {}", rule.id, clean.text));
                    break;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each rule by itself: an example that stays may be another rule's find.
#[test]
fn no_counterexample_of_a_rule_is_found_by_it() {
    let mut wrong = Vec::new();
    for rule in all() {
        let words = Words::new(Mode::Text, |other| other.id == rule.id, &Arc::from([]), Allowed::default());
        for template in rule.kept {
            for seed in 0..20 {
                let sent = Noise(seed).fill(template);
                if !words.find(&sent).is_empty() {
                    wrong.push(format!("{}: {sent}", rule.id));
                    break;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rules_have_names_of_their_own_examples_and_a_way_to_be_found() {
    for (index, rule) in all().enumerate() {
        assert!(all().take(index).all(|earlier| earlier.id != rule.id), "{}", rule.id);
        assert!(!rule.found.is_empty() && !rule.kept.is_empty(), "{}", rule.id);
        assert_eq!(rule.keywords.is_empty(), matches!(rule.find, Find::Shape { .. }), "{}", rule.id);
        assert!(rule.class.name().len() + mark::OPEN.len() < mark::MAX_BYTES, "{}", rule.id);
    }
}

/// Classes that know their token by its form, one template each.
const TOKENS: &[&str] = &[
    "AKIA<u16>",
    "ghp_<w36>",
    "github_pat_<w22>_<w59>",
    "glpat-<w20>",
    "xoxb-<d12>-<d12>-<w24>",
    "sk_live_<w24>",
    "AIza<w35>",
    "ya29.<w60>",
    "GOCSPX-<w28>",
    "npm_<w36>",
    "pypi-AgEIcHlwaS5vcmc<w80>",
    "SG.<w22>.<w43>",
    "SK<h32>",
    "sk-proj-<w60>",
    "sk-ant-api03-<w80>",
    "hvs.<w90>",
    "cfut_<w48>",
    "dop_v1_<h64>",
    "<jwt>",
];

#[test]
fn a_token_goes_whatever_follows_it_and_wherever_it_stands() {
    let sanitizer = sanitizer();
    // Every character that is part of no token, and what languages write behind a value.
    let ascii = (' '..='~').filter(|&c| !Alphabet::Url.has(c as u8)).map(String::from);
    let others = ["", "\n", "\r\n", "\t", "\\n", "\\\"", "%26", "&amp;", "<br>", ". Then", "é", "…", "\u{a0}", "\u{1b}[0m"]
        .map(str::to_owned);
    let followers: Vec<String> = ascii.chain(others).collect();
    let contexts = [
        "@",
        "error: @",
        "{\"message\":\"bad @\"}",
        "{\\\"token\\\":\\\"@\\\"}",
        "line\\n@",
        "https://h/p?t=@&x=1",
        "x%3D@",
        "    at login (@:1:2)",
        "java.lang.IllegalStateException: @",
        "  File \"a.py\", line 1, in f\n    f('@')",
        "\u{1b}[31m@\u{1b}[0m",
        "key=@",
        "(@",
        "é@",
    ];
    let mut count = 0;
    for (seed, template) in TOKENS.iter().enumerate() {
        let token = Noise(seed as u64).fill(template);
        for context in contexts {
            for follower in &followers {
                let sent = context.replace('@', &format!("{token}{follower}"));
                let clean = sanitizer.clean(&sent, Mode::Text);
                let body = &token[token.len() - 12..];
                assert!(!clean.text.contains(body), "{template} in {context} before {follower:?}: {}", clean.text);
                assert!(clean.redactions >= 1);
                count += 1;
            }
        }
    }
    println!("{count} cases: {} tokens, {} contexts, {} followers", TOKENS.len(), contexts.len(), followers.len());
}

#[test]
fn ordinary_text_survives_byte_for_byte() {
    let sanitizer = sanitizer();
    for text in [
        "",
        "Unexpected token < in JSON at position 0",
        "password is required",
        "The password must be at least 12 characters long",
        "TypeError: Cannot read properties of undefined (reading 'secret')",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8 (HEAD -> main)",
        "request 123e4567-e89b-12d3-a456-426614174000 failed",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736 span 00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "org.springframework.security.authentication.BadCredentialsException: Bad credentials",
        "    at com.example.auth.TokenService.validate(TokenService.java:4242)",
        "    at Object.<anonymous> (/var/task/node_modules/@aws-sdk/client-s3/dist-cjs/index.js:1234:56)",
        "  File \"/usr/lib/python3.12/site-packages/requests/auth.py\", line 1234, in __call__",
        "System.IO.FileNotFoundException: Could not load 'System.Text.Json, Version=8.0.0.0, Culture=neutral, PublicKeyToken=null'",
        "panic: runtime error: index out of range [5] with length 3",
        "thread 'main' panicked at src/main.rs:4:5: called `Option::unwrap()` on a `None` value",
        "core::result::Result<T,E>::expect::h9fceb02d0ae598e9",
        "2026-11-24T06:31:06.123456789Z took 1234.5678 ms",
        "Invalid token: expected identifier",
        "secrets manager: access denied",
        "key 'user_id' not found; primary key violation on key=(42)",
        "node:internal/process/task_queues:95:5",
        "localhost:8080 127.0.0.1:5432 10.0.0.7",
        "naïve café — 价格 ¥4111",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36",
        "[redacted:jwt] password=[redacted:password]",
        "us-east-1 arn:aws:lambda:us-east-1:123456789012:function:checkout",
    ] {
        let clean = sanitizer.clean(text, Mode::Text);
        assert_eq!(clean.text, text);
        assert!(matches!(clean.text, Cow::Borrowed(_)));
        assert_eq!(clean.redactions, 0);
    }
}

#[test]
fn ids_are_held_against_what_no_id_looks_like_and_texts_in_their_place_against_all() {
    let sanitizer = sanitizer();
    for id in ["4111111111111111", "key=7Qk0aB3dE5fG7hJ9", "1.4.2", "10.0.0.7", "6f0e1b7f37245f2a9334ee564c4d1749"] {
        assert_eq!(sanitizer.clean(id, Mode::Id).text, id);
    }
    let token = Noise(1).fill("ghp_<w36>");
    for (id, expected) in [
        (token.as_str(), "[redacted:github-token]"),
        ("203.0.113.5", "[redacted:ip]"),
        ("jane@example.com", "[redacted:email]"),
        ("card 4111111111111111", "card [redacted:card]"),
        ("postgres://u:Zx9secretPw@h/db", "postgres://u:[redacted:url-password]@h/db"),
        ("request password=Zx9secretPw", "request password=[redacted:password]"),
    ] {
        assert_eq!(sanitizer.clean(id, Mode::Id).text, expected);
    }
}

#[test]
fn a_class_that_is_off_finds_nothing() {
    let sanitizer = configured(r#"{"classes":{"email":false}}"#);
    assert_eq!(sanitizer.clean("a@b.io from 203.0.113.5", Mode::Text).text, "a@b.io from [redacted:ip]");
    assert!(serde_json::from_str::<SanitizeConfig>(r#"{"classes":{"emails":false}}"#).is_err());
    assert!(serde_json::from_str::<SanitizeConfig>(r#"{"class":{}}"#).is_err());
}

#[test]
fn telephone_numbers_stay_unless_their_class_is_on() {
    let text = "call +49 30 901820, phone: (415) 555-0132";
    assert_eq!(configured("{}").clean(text, Mode::Text).text, text);
    assert_eq!(sanitizer().clean(text, Mode::Text).text, "call [redacted:phone], phone: [redacted:phone]");
}

#[test]
fn a_rule_of_the_user_finds_what_its_expression_says_in_texts_and_ids() {
    let sanitizer = configured(
        r#"{"rules":[{"name":"acme","keywords":["ACME_"],"pattern":"acme_[0-9]{4}"},
                     {"name":"badge","keywords":["badge"],"pattern":"badge (?<secret>[0-9]+)"}]}"#,
    );
    for (text, expected) in [
        ("x acme_1234, acme_5678.", "x [redacted:acme], [redacted:acme]."),
        ("acme_12", "acme_12"),
        ("ACME_1234", "ACME_1234"),
        ("badge 77 of x", "badge [redacted:badge] of x"),
        ("password=acme_1234", "password=[redacted:password]"),
    ] {
        for mode in [Mode::Text, Mode::Id] {
            assert_eq!(sanitizer.clean(text, mode).text, expected, "{mode:?}");
        }
    }
}

#[test]
fn more_keywords_than_are_sensible_are_refused() {
    let keywords: Vec<String> = (0..1001).map(|number| format!("word{number}")).collect();
    let json = serde_json::json!({ "rules": [{ "name": "acme", "keywords": keywords, "pattern": "x" }] });
    let error = Sanitizer::new(&serde_json::from_value(json).unwrap()).unwrap_err().to_string();
    assert!(error.contains("1001 keywords, expected at most 1000"), "{error}");
}

#[test]
fn a_mark_is_no_name_of_what_follows_it_and_hides_nothing() {
    let token = Noise(1).fill("ghp_<w36>");
    for (text, expected) in [
        ("[redacted:password]: 12 of 13", "[redacted:password]: 12 of 13"),
        ("[redacted:github-token]=x7Qk0aB3dE5fG7hJ9", "[redacted:github-token]=x7Qk0aB3dE5fG7hJ9"),
        (&format!("[redacted:{token}]"), "[redacted:[redacted:github-token]]"),
        ("[redacted:other password=hunter2]", "[redacted:other password=[redacted:password]]"),
    ] {
        assert_eq!(sanitizer().clean(text, Mode::Text).text, expected);
    }
}

#[test]
fn what_is_escaped_or_written_on_the_next_line_is_found_where_it_stands() {
    for (text, expected) in [
        ("{\\u0022password\\u0022:\\u0022x1\\u0022}", "{\\u0022password\\u0022:\\u0022[redacted:password]\\u0022}"),
        ("password\\u003dx1\\u0026n=1", "password\\u003d[redacted:password]\\u0026n=1"),
        ("&quot;password&quot;:&quot;x1&quot;", "&quot;password&quot;:&quot;[redacted:password]&quot;"),
        ("- name: DB_PASSWORD\n  value: x1\n", "- name: DB_PASSWORD\n  value: [redacted:password]\n"),
        ("password: |\n  x1\nuser: a", "password: |\n  [redacted:password]\nuser: a"),
        ("name=\"password\"\r\n\r\nx1\r\n--", "name=\"password\"\r\n\r\n[redacted:password]\r\n--"),
        ("a jane\\u0040example.com b", "a [redacted:email] b"),
        ("to jürgen.x@müller.de now", "to [redacted:email] now"),
    ] {
        assert_eq!(sanitizer().clean(text, Mode::Text).text, expected);
    }
    let key = Noise(4).fill("AccountKey=<b40>\\u002B<b43>==;x=1");
    assert_eq!(sanitizer().clean(&key, Mode::Text).text, "AccountKey=[redacted:azure-key];x=1");
}

#[test]
fn a_find_of_the_users_in_a_mark_is_none() {
    let json = r#"{"rules":[{"name":"acme-token","keywords":["acme"],"pattern":"acme[-_a-z0-9]+"}],"allow":["acme_public"]}"#;
    let once = configured(json).clean("acme_public acme_abc", Mode::Text).text.into_owned();
    assert_eq!(once, "acme_public [redacted:acme-token]");
    assert_eq!(configured(json).clean(&once, Mode::Text).redactions, 0);
}

#[test]
fn what_is_allowed_stays_if_it_is_the_whole_find() {
    let sanitizer = configured(r#"{"allow":["AKIA7QEXAMPLEEXAMPL0","[a-z]+@example[.]com"]}"#);
    for (text, expected) in [
        ("key AKIA7QEXAMPLEEXAMPL0 of bob@example.com", "key AKIA7QEXAMPLEEXAMPL0 of bob@example.com"),
        ("bob@example.com.org", "[redacted:email]"),
        ("AKIA7QEXAMPLEEXAMPL1", "[redacted:aws-key]"),
    ] {
        assert_eq!(sanitizer.clean(text, Mode::Text).text, expected);
    }
}

#[test]
fn a_rule_that_cannot_work_is_refused_where_it_is_written() {
    for (json, expected) in [
        (r#"{"rules":[{"name":"Acme","keywords":["acme"],"pattern":"a"}]}"#, "lower-case letters"),
        (r#"{"rules":[{"name":"acme","keywords":["ac"],"pattern":"a"}]}"#, "at least 3 bytes"),
        (r#"{"rules":[{"name":"acme","keywords":[],"pattern":"a"}]}"#, "at least one keyword"),
        (r#"{"rules":[{"name":"acme","keywords":["acme"],"pattern":"a*"}]}"#, "matches nothing as well"),
        (r#"{"rules":[{"name":"acme","keywords":["acme"],"pattern":"("}]}"#, "regular expression"),
        (r#"{"allow":["("]}"#, "regular expression"),
    ] {
        let error = serde_json::from_str::<SanitizeConfig>(json).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

fn errors(columns: &[(&str, Vec<Option<String>>)]) -> TableBatch {
    let schema = Table::Errors.schema();
    let rows = columns[0].1.len();
    let mut arrays: Vec<ArrayRef> = schema.fields().iter().map(|field| new_null_array(field.data_type(), rows)).collect();
    for (name, values) in columns {
        arrays[Table::Errors.column(name).unwrap()] = Arc::new(StringArray::from(values.clone()));
    }
    TableBatch { table: Table::Errors, batch: RecordBatch::try_new(schema, arrays).unwrap() }
}

fn values(batch: &TableBatch, name: &str) -> Vec<Option<String>> {
    let column = batch.strings(Table::Errors.column(name).unwrap()).unwrap();
    column.iter().map(|value| value.map(str::to_owned)).collect()
}

#[test]
fn a_column_is_cleaned_row_by_row_and_nulls_stay() {
    let token = Noise(3).fill("ghp_<w36>");
    let messages = vec![
        Some("fine".to_owned()),
        None,
        Some(format!("bad {token}")),
        Some("card 4111111111111111".to_owned()),
        Some("ghp_".to_owned()),
    ];
    let batch = errors(&[("error_message", messages.clone()), ("error_type", vec![Some(token), None, None, None, None])]);
    let mut tally = Tally::default();
    let out = sanitizer().apply(batch.clone(), &mut tally);
    let expected = [Some("fine"), None, Some("bad [redacted:github-token]"), Some("card [redacted:card]"), Some("ghp_")];
    assert_eq!(values(&out, "error_message"), expected.map(|value| value.map(str::to_owned)));
    assert_eq!(values(&out, "error_type")[0].as_deref(), Some("[redacted:github-token]"));
    assert_eq!(tally.noted(Note::Redaction), 3);

    // A slice of a longer batch has offsets that do not begin at zero.
    let sliced = TableBatch { table: batch.table, batch: batch.batch.slice(2, 2) };
    let out = sanitizer().apply(sliced, &mut Tally::default());
    assert_eq!(values(&out, "error_message"), expected[2..4].iter().map(|value| value.map(str::to_owned)).collect::<Vec<_>>());
}

#[test]
fn a_column_without_a_find_is_the_same_array() {
    let batch = errors(&[("error_message", vec![Some("password is required".to_owned()), Some("token <".to_owned())])]);
    let index = Table::Errors.column("error_message").unwrap();
    let out = sanitizer().apply(batch.clone(), &mut Tally::default());
    assert!(Arc::ptr_eq(batch.batch.column(index), out.batch.column(index)));
}

#[test]
fn a_stored_message_is_bounded_and_no_mark_is_cut() {
    let tail = " password=hunter2".repeat(1000);
    for pad in 0..40 {
        let message = format!("{}{tail}", "x".repeat(pad));
        let out = sanitizer().apply(errors(&[("error_message", vec![Some(message)])]), &mut Tally::default());
        let stored = values(&out, "error_message").remove(0).unwrap();
        assert!(stored.len() <= MAX_MESSAGE_BYTES && stored.len() > MAX_MESSAGE_BYTES - 64);
        assert!(!stored.contains("hunter2"));
        assert!(stored.rfind('[') < stored.rfind(']'), "{}", &stored[stored.len() - 40..]);
    }
}

#[test]
fn a_long_text_is_read_up_to_a_delimiter_so_that_no_head_of_a_token_stays() {
    let token = Noise(5).fill("ghp_<w36>");
    for offset in 0..token.len() + 2 {
        let text = format!("{} {token}{}", "a ".repeat((MAX_STACK_BYTES - offset) / 2), " b".repeat(100));
        let out = sanitizer().apply(errors(&[("stack_trace", vec![Some(text)])]), &mut Tally::default());
        let stored = values(&out, "stack_trace").remove(0).unwrap();
        assert!(stored.len() <= MAX_STACK_BYTES);
        assert!(!stored.contains(&token[4..16]));
    }
}

#[test]
fn the_points_of_prometheus_are_cleaned_in_every_string() {
    let token = Noise(6).fill("ghp_<w36>");
    let metric = Arc::new(Descriptor {
        name: format!("calls {token}"),
        description: "mail a@b.io".to_owned(),
        unit: token.clone(),
        kind: MetricKind::Gauge,
    });
    let resource: Arc<[Label]> = Arc::from(vec![("host".to_owned(), token.clone())]);
    let point = OwnedPoint {
        metric,
        resource,
        scope: Arc::new(OwnedScope {
            name: token.clone(),
            version: "1".to_owned(),
            schema_url: format!("https://shop.example/?key={token}"),
            attributes: vec![("k".to_owned(), token.clone())],
        }),
        labels: vec![(token.clone(), "v".to_owned()), ("k".to_owned(), "password=hunter2".to_owned())],
        start: Timestamp(0),
        time: Timestamp(1),
        no_value: false,
        exemplars: Vec::new(),
        value: OwnedValue::Int(1),
    };
    let mut points = Points { list: vec![point.clone(), point] };
    let mut tally = Tally::default();
    sanitizer().apply_to_points(&mut points, &mut tally);
    let shown = format!("{points:?}");
    assert!(!shown.contains(&token) && !shown.contains("hunter2") && !shown.contains("a@b.io"), "{shown}");
    assert!(Arc::ptr_eq(&points.list[0].metric, &points.list[1].metric));
    // The metric, the resource and the scope once, the labels of each point.
    assert_eq!(tally.noted(Note::Redaction), 7 + 2 * 2);
}

#[test]
fn a_label_goes_by_its_name_as_well() {
    for (key, value, expected) in [
        ("db.password", "hunter2", "[redacted:password]"),
        ("api_key", "a \"b\" c", "[redacted:password]"),
        ("http.request.header.authorization", "[\"Bearer opaque-1\"]", "[\"Bearer [redacted:authorization]\"]"),
        ("http.request.header.cookie", "[\"a=1; b=2\"]", "[\"[redacted:cookie]\"]"),
        ("refresh_token", "7Qk0aB3dE5fG7hJ9", "[redacted:secret]"),
        ("Authorization", "Token 7Qk0aB3dE5fG7hJ9", "Token [redacted:authorization]"),
        ("http.request.header.x-api-key", "[\"7Qk0aB3dE5fG7hJ9\"]", "[redacted:password]"),
        ("password", "required", "required"),
        ("token.type", "bearer12", "bearer12"),
        ("http.route", "/login/password", "/login/password"),
        ("db.password", "", ""),
    ] {
        let mut labels = [(key.to_owned(), value.to_owned())];
        sanitizer().clean_labels(&mut labels, &mut 0);
        assert_eq!(labels, [(key.to_owned(), expected.to_owned())]);
    }
}

#[test]
fn hostile_text_takes_linear_work() {
    let sanitizer = sanitizer();
    for piece in [
        "password=",
        "password: \"",
        "eyJ-",
        "://",
        "://a:b@",
        "-----BEGIN PRIVATE KEY-----",
        "@a.",
        "sk-",
        "token=\\\"",
        "aws ",
        "4 ",
        "1.",
        "a:",
        "Cookie: a=",
        "Authorization: Digest ",
        "%3A%2F%2F",
        "key=",
        "<password>",
        "-----BEGIN ",
        "DE89 ",
        "ssn ",
        "x@tcp(",
        "token=",
        "token=a1",
        "authorization=",
        "password:[\"a\",",
        "password=${",
        "Private-Lines: 2\n",
        "-----BEGIN PRIVATE KEY-----",
        "key-",
        "xoxd-",
        "\nPASSWORD=a",
    ] {
        let work = |bytes: usize| {
            let text = piece.repeat(bytes / piece.len());
            let mut scan = Scan::new(&text);
            let found = sanitizer.text.find_in(&mut scan).len();
            scan.work + found
        };
        let (short, long) = (work(2 << 10), work(64 << 10));
        // 32 times the text, so 32 times the work; a quadratic rule would do 1,024 times as much.
        assert!(long <= short * 40 + 4096, "{piece}: {short}, then {long}");
    }
}
