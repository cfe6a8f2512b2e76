//! How much is found and how much is taken for a find that is none, by class: the table in docs/privacy.md.
//!
//! Secrets are made by a seeded generator, in the forms of the rules' own templates and in others, and stand in error messages, JSON, URLs,
//! logs and the frames of eight languages. Ordinary texts are made the same way, from what telemetry is full of: hashes, ids, paths,
//! versions, times, sentences about secrets.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;

/// Where a phrase stands. `@` is the phrase; none of them ends or begins a value of its own.
const CONTEXTS: &[&str] = &[
    "@",
    "Error: request failed: @",
    "upstream said 401 (@) after 3 tries",
    "level=error msg=\"@\" attempt=2",
    "2026-11-24T06:31:06Z ERROR checkout @ retrying",
    "java.lang.IllegalStateException: @\n\tat com.example.Checkout.pay(Checkout.java:42)",
    "Traceback (most recent call last):\n  File \"app.py\", line 7, in pay\n    client.get()\nValueError: @",
    "Error: @\n    at Object.<anonymous> (/app/index.js:12:5)",
    "panic: @\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:9 +0x1d",
    "System.Exception: @\n   at App.Pay.Run() in /src/Pay.cs:line 12",
    "PHP Fatal error: Uncaught Exception: @ in /app/pay.php:3\nStack trace:\n#0 {main}",
    "pay.rb:12:in 'call': @ (RuntimeError)",
    "thread 'main' panicked at src/main.rs:4:5:\n@",
    "first line\\n@\\nlast line",
    "naïve — @ — 价格",
];

/// What stands right behind a token.
const FOLLOWERS: &[&str] =
    &["", " ", ",", ")", "&x=1", "}", ">", "]", ".", ". Then", "|", ": no", "?", ";", "\"", "'", "\n", "\\n", "!"];

/// Ordinary text: nothing in it may go.
const ORDINARY: &[&str] = &[
    "commit <h40> is not an ancestor of <h40>",
    "request <h8>-<h4>-<h4>-<h4>-<h12> failed with 503",
    "trace <h32> span <h16>",
    "00-<h32>-<h16>-01",
    "image registry.example.com/app@sha256:<h64>",
    "etag \"<h32>\" does not match \"<h32>\"",
    "md5 <h32>  build/app.js",
    "duration=1<d3>ms bytes=2<d7>",
    "user 4<d8> not found",
    "offset 1<d12> of partition 3",
    "at 17<d8>000 and 17<d8>",
    "password is required",
    "the password must be longer than <d1> characters",
    "Unexpected token < in JSON at position <d2>",
    "invalid token: expected `)`",
    "missing authorization header for /v1/orders/<d6>",
    "secret not found: projects/app/secrets/db/versions/<d1>",
    "    at com.example.auth.PasswordEncoder.encode(PasswordEncoder.java:<d3>)",
    "    at TokenProvider.refresh (/var/task/node_modules/@scope/auth/dist/index.js:<d3>:<d2>)",
    "  File \"/opt/python/lib/python3.12/site-packages/boto3/session.py\", line <d3>, in client",
    "goroutine <d2> [running]:\nmain.(*Server).handle(0xc000<h6>)\n\t/src/server.go:<d3> +0x<h3>",
    "   at Acme.Billing.Cards.Validate(String number) in /src/Cards.cs:line <d3>",
    "core::panicking::panic_fmt::h<h16>",
    "webpack://app/./src/pages/index.<h8>.chunk.js:1:2<d4>",
    "https://cdn.example.com/assets/app.<h20>.js?v=<h8>",
    "s3://bucket/year=2026/month=11/part-00<d3>-<h8>-<h4>-<h4>-<h4>-<h12>.c000.snappy.parquet",
    "arn:aws:lambda:eu-central-1:12<d10>:function:checkout:<d2>",
    "RequestId: <h8>-<h4>-<h4>-<h4>-<h12> Process exited before completing request",
    "REPORT RequestId: <h8>-<h4>-<h4>-<h4>-<h12>\tDuration: 1<d2>.<d2> ms\tMax Memory Used: <d2> MB",
    "ray <h16>-FRA",
    "key 'user_id' is missing; keys: id, name, created_at",
    "cache key orders:<d6>:items was evicted",
    "primary key violation: duplicate key value (id)=(<d6>)",
    "listening on 127.0.0.1:<d4>, peer 10.0.<d2>.7",
    "nginx/1.25.<d1> openssl/3.0.<d2> curl/8.5.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "ECONNREFUSED: connect to db.internal:5432 timed out after <d4> ms",
    "SELECT * FROM users WHERE id = <d5> AND deleted_at IS NULL",
    "could not decode base64 at byte <d3>",
    "rate limit of 1000 per minute reached by tenant-<d4>",
    "0x<h40> is not a contract",
    "Iceberg snapshot 3<d18> is newer than <d1>",
    "thread-pool-<d2> shut down, <d3> tasks pending",
];

struct Score {
    planted: usize,
    found: usize,
}

/// Plants the secrets of every rule into every context.
fn recall(sanitizer: &Sanitizer) -> BTreeMap<Class, Score> {
    let mut scores: BTreeMap<Class, Score> = BTreeMap::new();
    let mut seed = 1_000;
    for rule in all() {
        for template in rule.found {
            for (index, context) in CONTEXTS.iter().enumerate() {
                seed += 1;
                let (phrase, expected, secret) = example(template, rule.class, seed);
                let start = expected.find(mark::OPEN).unwrap();
                let follower = FOLLOWERS[(index + usize::try_from(seed).unwrap()) % FOLLOWERS.len()];
                // A follower goes where the secret ends its phrase; elsewhere the phrase has its own.
                let phrase = if phrase.ends_with(&secret) { format!("{phrase}{follower}") } else { phrase };
                let sent = context.replace('@', &phrase);
                let stored = sanitizer.clean(&sent, Mode::Text).text.into_owned();
                let score = scores.entry(rule.class).or_insert(Score { planted: 0, found: 0 });
                score.planted += 1;
                // A short secret may stand in the context by chance; with what is before it, it does not.
                let head = phrase[..start].chars().rev().take(6).collect::<Vec<_>>();
                let whole: String = head.into_iter().rev().chain(secret.chars()).collect();
                let found = !stored.contains(&whole);
                score.found += usize::from(found);
                if !found {
                    println!("missed {}: {sent}\n    stored {stored}", rule.id);
                }
            }
        }
    }
    scores
}

/// The texts of which something went, with what went.
fn mistaken(sanitizer: &Sanitizer) -> (usize, Vec<(String, String)>) {
    let mut texts = 0;
    let mut wrong = Vec::new();
    for template in ORDINARY {
        for seed in 0..100 {
            let text = Noise(50_000 + seed).fill(template);
            let stored = sanitizer.clean(&text, Mode::Text).text.into_owned();
            texts += 1;
            if stored != text {
                wrong.push((text, stored));
            }
        }
    }
    (texts, wrong)
}

/// The table as it stands in docs/privacy.md.
fn table(scores: &BTreeMap<Class, Score>) -> String {
    let mut table = String::from("| class | planted | found |\n|---|---|---|\n");
    for (class, score) in scores {
        let thousandths = score.found * 1000 / score.planted;
        let (whole, rest) = (thousandths / 10, thousandths % 10);
        let _ = writeln!(table, "| `{}` | {} | {whole}.{rest} % |", class.name(), score.planted);
    }
    table
}

#[test]
fn what_is_planted_is_found_and_what_is_ordinary_stays() {
    let scores = recall(&sanitizer());
    let default = configured("{}");
    let (texts, wrong) = mistaken(&default);
    wrong.iter().step_by(20).for_each(|(text, stored)| println!("changed {text}\n     to {stored}"));
    println!("{}{} of {texts} ordinary texts changed", table(&scores), wrong.len());
    for (class, score) in &scores {
        let checked = matches!(class, Class::Card | Class::Iban | Class::Jwt);
        let least = if checked { 1000 } else { 995 };
        assert!(score.found * 1000 >= score.planted * least, "{}: {} of {}", class.name(), score.found, score.planted);
    }
    assert!(
        wrong.len() * 200 <= texts,
        "{} of {texts} ordinary texts changed, such as {:?}",
        wrong.len(),
        &wrong[..wrong.len().min(5)]
    );
}

/// `FLOE_WRITE_DOCS=1` writes it.
#[test]
fn the_table_in_the_docs_is_the_one_that_is_measured() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/privacy.md");
    let docs = std::fs::read_to_string(path).unwrap();
    let (begin, end) = ("<!-- measured -->\n", "<!-- end of measured -->");
    let start = docs.find(begin).unwrap() + begin.len();
    let stop = docs.find(end).unwrap();
    let measured = table(&recall(&sanitizer()));
    if std::env::var_os("FLOE_WRITE_DOCS").is_some() {
        std::fs::write(path, format!("{}{measured}{}", &docs[..start], &docs[stop..])).unwrap();
        return;
    }
    assert_eq!(&docs[start..stop], measured, "run this test with FLOE_WRITE_DOCS=1 and look at what changed");
}
