//! How much is found and how much is taken for a find that is none, by class: the table in docs/privacy.md.
//!
//! Secrets are made by a seeded generator, in the forms of the rules' own templates and in others, and stand in error messages, JSON, URLs,
//! logs and the frames of eight languages. Ordinary texts are made the same way, from what telemetry is full of: hashes, ids, paths,
//! versions, times, sentences about secrets.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::forms::FORMS;
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

/// How a phrase is written inside another text.
struct Embedding {
    name: &'static str,
    wrap: fn(&str) -> String,
    /// How a secret of the phrase reads in it.
    written: fn(&str) -> String,
}

fn same(text: &str) -> String {
    text.to_owned()
}

fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn in_url(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

const EMBEDDINGS: &[Embedding] = &[
    Embedding { name: "JSON", wrap: |text| format!("{{\"message\":\"{}\",\"n\":1}}", in_json(text)), written: in_json },
    Embedding {
        name: "JSON in JSON",
        wrap: |text| format!("{{\"log\":\"{{\\\"m\\\":\\\"{}\\\"}}\"}}", in_json(&in_json(text))),
        written: |text| in_json(&in_json(text)),
    },
    Embedding { name: "URL", wrap: |text| format!("GET /log?m={}&n=1", in_url(text)), written: in_url },
    Embedding { name: "YAML", wrap: |text| format!("error:\n  message: {text}\n  code: 1"), written: same },
    Embedding { name: "environment", wrap: |text| format!("PATH=/bin\nLAST_ERROR={text}\nHOME=/root"), written: same },
    Embedding { name: "shell", wrap: |text| format!("+ sh -c {text}"), written: same },
    Embedding { name: "logfmt", wrap: |text| format!("ts=1 msg={text} n=1"), written: same },
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
    "integrity=\"sha384-<b64>\" crossorigin=\"anonymous\"",
    "integrity: sha512-<b86>==",
    "\"resolved\": \"https://registry.npmjs.org/lodash/-/lodash-4.17.<d2>.tgz\"",
    "Digest: sha256:<h64>",
    "ETag: W/\"<h8>-<h11>\"",
    "Cf-Ray: <h16>-FRA",
    "x-amzn-trace-id: Root=1-<h8>-<h24>;Parent=<h16>;Sampled=1",
    "x-request-id: <h8>-<h4>-<h4>-<h4>-<h12>",
    "traceparent: 00-<h32>-<h16>-01",
    "tracestate: rojo=<h16>,congo=t61rcWkgMzE",
    "!function(e,t){\"use strict\";var n=t.key,r=t.token;e.exports=n&&r?n+r:void 0}(<d3>,<d2>);",
    "const{token:t,password:p}=await o(e);return p?t:null",
    "SELECT id, password_hash FROM users WHERE token = $1 AND session_id = $2 LIMIT <d2>",
    "UPDATE sessions SET token = ? WHERE key = ? AND expires_at < <d10>",
    "INSERT INTO api_keys (id, name, key_prefix) VALUES (?, ?, ?)",
    "npm WARN deprecated @types/keyv@4.2.<d1>: use keyv instead",
    "Key (email)=(?) already exists",
    "AccessDenied: User is not authorized to perform secretsmanager:GetSecretValue on secret prod/db",
    "arn:aws:secretsmanager:eu-west-1:12<d10>:secret:prod/db-AbCdEf",
    "arn:aws:iam::12<d10>:role/service-role/checkout-role-<u8>",
    "The security token included in the request is invalid",
    "ExpiredTokenException: the token has expired at 2026-11-24T06:31:06Z",
    "the API key is missing; set OPENAI_API_KEY in the environment",
    "AuthenticationError: No API key provided. Set your key with openai.api_key = <API-KEY>",
    "error: authentication required: basic authentication failed for user",
    "cookie: SameSite attribute is missing",
    "Authorization header must start with Bearer",
    "jwt malformed; jwt expired at <d10>",
    "unable to get local issuer certificate; self signed certificate in chain",
    "com.fasterxml.jackson.databind.exc.UnrecognizedPropertyException: Unrecognized field \"token\" (class com.example.Session)",
    "com/example/auth/PasswordResetTokenRepositoryCustomImpl$$EnhancerBySpringCGLIB$$<h8>",
    "java.lang.Object@<h8>",
    "0x<h16> 0x<h12> in libc.so.6",
    "/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.<d2>",
    "git@github.com:org/repo.git#<h40>",
    "refs/heads/feature/JIRA-<d4>-session-token-refresh",
    "v1.2.<d1>-rc.<d1>+build.<d4>",
    "Build 10.0.19041.<d4>",
    "postgres://localhost:5432/shop",
    "redis://cache:6379/0",
    "kafka offset lag <d9> on partition 1<d1>",
    "user_id=<d9> order=<d12>",
    "order 20261124-<d6>-<d4>",
    "isbn 978-3-16-1<d5>-0",
    "password policy: minimum length <d2>, maximum age <d2> days",
    "Password: ********",
    "password=<redacted>",
    "token=[Filtered] key=[FILTERED]",
    "secret=$(cat /run/secrets/db)",
    "api_key: ${{ secrets.API_KEY }}",
    "max_tokens=<d4> total_tokens=<d4> prompt_tokens: <d3>",
    "the keyword 'async' is reserved",
    "keyboard interrupt after <d2> s",
    "mysql is down, curl returned <d2>, docker login failed",
    "curl: (28) Operation timed out after <d5> milliseconds",
    "AssertionError: expected 'abc' to equal 'abd'",
    "[32mPASS[0m src/app.test.ts (<d1>.<d3> s)",
    "data:image/png;base64,iVBORw0KGgo<b100>==",
    "nonce-<b22>==",
    "-----BEGIN CERTIFICATE-----\n<b64>\n<b64>\n-----END CERTIFICATE-----",
    "ssh-rsa AAAAB3NzaC1yc2E<b200> deploy",
    "Forwarded: for=10.0.0.<d1>;proto=https",
    "lat=52.520<d2> lon=13.404<d2>",
    "10.0.0.1:<d4> -> 192.168.1.<d2>:443",
    "mac 00:1a:2b:<h2>:<h2>:<h2>",
    "std::collections::hash::map::HashMap<K,V,S>::insert",
    "Foo::Bar::Baz#call at lib/foo/bar.rb:<d3>",
    "2026/11/24 06:31:06 http: TLS handshake error from 10.0.0.<d1>:<d5>: EOF",
];

struct Score {
    planted: usize,
    found: usize,
}

/// Plants the secrets of every rule, and those of other forms, into every context.
fn recall(sanitizer: &Sanitizer) -> BTreeMap<Class, Score> {
    let mut scores: BTreeMap<Class, Score> = BTreeMap::new();
    let mut seed = 1_000;
    let rules = all().flat_map(|rule| rule.found.iter().map(move |template| (rule.class, *template)));
    for (class, template) in rules.chain(FORMS.iter().copied()) {
        let score = scores.entry(class).or_insert(Score { planted: 0, found: 0 });
        for (index, context) in CONTEXTS.iter().enumerate() {
            seed += 1;
            let follower = FOLLOWERS[(index + usize::try_from(seed).unwrap()) % FOLLOWERS.len()];
            let wrap = |phrase: &str| context.replace('@', phrase);
            score.plant(sanitizer, (class, template), seed, follower, context, wrap, same);
        }
        for embedding in EMBEDDINGS {
            // What is encoded already would be encoded twice.
            if embedding.name == "URL" && template.contains('%') {
                continue;
            }
            seed += 1;
            score.plant(sanitizer, (class, template), seed, "", embedding.name, embedding.wrap, embedding.written);
        }
    }
    scores
}

/// A line of JSON for bench/scanners.py, where `FLOE_WRITE_CORPUS` names a file.
fn write_case(class: &str, secret: &str, text: &str, found: bool) {
    use std::io::Write as _;
    let Some(path) = std::env::var_os("FLOE_WRITE_CORPUS") else { return };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{}", serde_json::json!({ "class": class, "secret": secret, "text": text, "found": found })).unwrap();
}

impl Score {
    #[allow(clippy::too_many_arguments, reason = "what is planted, where and how")]
    fn plant(
        &mut self,
        sanitizer: &Sanitizer,
        (class, template): (Class, &str),
        seed: u64,
        follower: &str,
        place: &str,
        wrap: impl Fn(&str) -> String,
        written: fn(&str) -> String,
    ) {
        let (phrase, expected, secret) = example(template, Class::Secret, seed);
        let start = expected.find(mark::OPEN).unwrap();
        // A follower goes where the secret ends its phrase; elsewhere the phrase has its own.
        let phrase = if phrase.ends_with(&secret) { format!("{phrase}{follower}") } else { phrase };
        let sent = wrap(&phrase);
        let stored = sanitizer.clean(&sent, Mode::Text).text.into_owned();
        self.planted += 1;
        // A short secret may stand in the context by chance; with what is before it, it does not.
        let head = phrase[..start].chars().rev().take(6).collect::<Vec<_>>();
        let whole: String = head.into_iter().rev().chain(secret.chars()).collect();
        let found = !stored.contains(&written(&whole));
        self.found += usize::from(found);
        write_case(class.name(), &written(&secret), &sent, found);
        if !found {
            println!("missed {template} in {place}: {sent}\n    stored {stored}");
        }
    }
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
            write_case("ordinary", &text, &text, stored != text);
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

/// Every form that its secret ends, in every context and embedding, before every character that is part of no token.
#[test]
fn no_secret_survives_in_any_context_before_any_character() {
    let sanitizer = sanitizer();
    let mut scores: BTreeMap<Class, Score> = BTreeMap::new();
    let last: Vec<(Class, &str)> =
        all().filter_map(|rule| Some((rule.class, *rule.found.iter().find(|template| template.ends_with('»'))?))).collect();
    let followers: Vec<String> = (' '..='~').filter(|&c| !Alphabet::Url.has(c as u8)).map(String::from).collect();
    for (seed, (class, template)) in (7_000..).zip(last) {
        let score = scores.entry(class).or_insert(Score { planted: 0, found: 0 });
        for follower in &followers {
            for context in CONTEXTS {
                let wrap = |phrase: &str| context.replace('@', phrase);
                score.plant(&sanitizer, (class, template), seed, follower, context, wrap, same);
            }
            for embedding in EMBEDDINGS.iter().filter(|embedding| embedding.name != "URL" || !template.contains('%')) {
                score.plant(&sanitizer, (class, template), seed, follower, embedding.name, embedding.wrap, embedding.written);
            }
        }
    }
    let planted: usize = scores.values().map(|score| score.planted).sum();
    println!("{planted} cases\n{}", table(&scores));
    for (class, score) in &scores {
        assert!(score.found * 1000 >= score.planted * 995, "{}: {} of {}", class.name(), score.found, score.planted);
    }
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
