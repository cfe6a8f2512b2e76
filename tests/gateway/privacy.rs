//! Nothing raw anywhere: secrets of every class and addresses in every string of all three signals, in three encodings, in requests that are
//! no requests, with the log at its most talkative; then every byte that floe wrote or said is searched for them.

mod requests;
mod secrets;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use prost::Message as _;

use super::floe::{Floe, files_below};
use super::{python, send};
use secrets::{PHRASES, Planted, Search};

/// Every class on, columns added from planted attributes, rows from metrics.
fn gateway() -> Floe {
    let mut floe = Floe::prepare(|shipped| {
        let columns = "columns: { invocations: { tenant: { attribute: app.tenant, type: string }, state: { field: status_message }, \
                       span: { field: name } }, errors: { severity: { field: severity_text }, scope: { field: scope_name } } }";
        let metrics = "metrics: [{ metric: rate_limit.hits, table: rate_limits, columns: { limit_type: { attribute: [rate_limit.type, \
                       error.type] } } }]";
        let changed = shipped
            .replace("max_event_age: 0 }", &format!("max_event_age: 0, {columns}, {metrics} }}"))
            .replace("sanitize: {}", "sanitize: { classes: { phone: true } }")
            .replace(
                "processors: [sanitize], exporters: [prometheus]",
                "processors: [map, sanitize, hash_ip], exporters: [iceberg, prometheus]",
            )
            .replace("telemetry: {", "telemetry: { logs: { level: debug },");
        assert!(changed.contains("app.tenant") && changed.contains("phone") && changed.contains("debug"), "{changed}");
        changed
    });
    floe.env.push(("RUST_LOG", "trace".to_owned()));
    floe.restart();
    floe
}

/// Searches what floe wrote and says now.
fn assert_nothing_raw(floe: &Floe, planted: &Search) {
    for path in files_below(&floe.directory) {
        // Requests that the test keeps for its senders; SQLite's own side files come and go.
        if !path.starts_with(floe.directory.join("requests"))
            && let Ok(bytes) = fs::read(&path)
        {
            planted.assert_none_in(&path.display().to_string(), &bytes);
        }
    }
    for (name, address) in [("prometheus", floe.ports.prometheus), ("own metrics", floe.ports.metrics)] {
        planted.assert_none_in(name, &send::get(address, "/metrics").unwrap().body);
    }
    for command in ["status", "tables", "print-config"] {
        planted.assert_none_in(command, floe.run(command).as_bytes());
    }
}

#[test]
fn no_planted_secret_and_no_address_is_in_anything_that_floe_writes_or_says() {
    let floe = gateway();
    let mut planted = Planted::new();
    let folder = floe.directory.join("requests");
    fs::create_dir(&folder).unwrap();
    let mut files = Vec::new();
    for number in 0..PHRASES.len() {
        planted.plant(number);
        let made = [
            ("traces", requests::traces(&mut planted, number).encode_to_vec()),
            ("logs", requests::logs(&mut planted).encode_to_vec()),
            ("metrics", requests::metrics(&mut planted).encode_to_vec()),
        ];
        for (signal, body) in made {
            let path = folder.join(format!("{number}-{signal}"));
            fs::write(&path, body).unwrap();
            files.push(path.to_str().unwrap().to_owned());
        }
    }
    let planted = planted.search();
    let (grpc, http) = (floe.ports.grpc.to_string(), floe.ports.http.to_string());
    let mut arguments = vec![grpc.as_str(), http.as_str()];
    arguments.extend(files.iter().map(String::as_str));
    let replies = python::run("forms.py", &arguments);
    planted.assert_none_in("the replies", replies.as_bytes());
    let taken = replies.lines().filter(|line| matches!(*line, "200" | "grpc")).count();
    assert_eq!(taken, 3 * files.len(), "{}", &replies[..replies.len().min(2000)]);
    assert_nothing_raw(&floe, &planted);

    floe.flush();
    assert_nothing_raw(&floe, &planted);
    let dump = python::run("dump.py", &[floe.data().to_str().unwrap()]);
    planted.assert_none_in("the files without their compression", dump.as_bytes());
    let page = send::get(floe.ports.prometheus, "/metrics").unwrap().text();
    for (class, _) in PHRASES {
        let mark = format!("[redacted:{class}]");
        assert!(dump.contains(&mark) && page.contains(&mark), "no {mark} tells that something was there");
    }
    for table in ["invocations", "errors", "rate_limits", "deployments"] {
        assert!(dump.contains(&format!("warehouse/analytics/{table}/")), "no rows of {table} were made");
    }
}

/// Sends bytes and gives what comes back until the server closes or says no more.
fn raw(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let _ = stream.write_all(bytes);
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    reply
}

/// HTTP/2 with one header block, its fields as literals without an index (RFC 7541, 6.2.2).
fn http2(fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            // A length of 127 and more takes a second byte; none here takes a third.
            match u8::try_from(text.len()).unwrap() {
                short @ ..127 => block.push(short),
                long => block.extend([127, long - 127]),
            }
            block.extend(text.as_bytes());
        }
    }
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[]), frame(1, 4, 1, &block), frame(0, 1, 1, body)].concat()
}

/// Bodies that are no request, with the phrase where another type is expected.
fn malformed_json(phrase: &str) -> Vec<String> {
    let text = serde_json::to_string(phrase).unwrap();
    let span = |field: &str| format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{field}}}]}}]}}]}}"#);
    vec![
        phrase.to_owned(),
        text.clone(),
        format!("{{{text}"),
        format!("{{{text}:1}}"),
        format!(r#"{{"resourceSpans":{text}}}"#),
        format!(r#"{{"resourceSpans":[{{"resource":{text}}}]}}"#),
        span(&format!(r#""traceId":{text}"#)),
        span(&format!(r#""kind":{text}"#)),
        span(&format!(r#""startTimeUnixNano":{text}"#)),
        span(&format!(r#""flags":{text}"#)),
        span(&format!(r#""status":{{"code":{text}}}"#)),
        span(&format!(r#""status":{text}"#)),
        span(&format!(r#""attributes":{{{text}:{text}}}"#)),
        span(&format!(r#""attributes":[{{"key":{text},"value":{text}}}]"#)),
        span(&format!(r#""attributes":[{{"key":{text},"value":{{"intValue":{text}}}}}]"#)),
        span(&format!(r#""attributes":[{{"key":{text},"value":{{"boolValue":{text}}}}}]"#)),
        span(&format!(r#""attributes":[{{"key":{text},"value":{{"bytesValue":{text}}}}}]"#)),
        span(&format!(r#""attributes":[{{"key":{text},"value":{{"doubleValue":{text}}}}}]"#)),
        span(&format!(r#""name":{text},"name":{text}"#)),
        span(&format!(r#""name":{text}"#)).replace("]}", "]"),
    ]
}

#[test]
fn requests_that_are_refused_are_not_echoed() {
    let floe = gateway();
    let mut planted = Planted::new();
    let mut replies: Vec<u8> = Vec::new();
    let http = floe.ports.http;
    for number in (0..PHRASES.len()).step_by(5) {
        planted.plant(number);
        let phrase = planted.text("a request that is refused");
        let line = phrase.replace('\n', " ");
        for body in malformed_json(&phrase) {
            for signal in ["traces", "logs", "metrics"] {
                let body = body.replace(
                    "Spans",
                    if signal == "logs" {
                        "Logs"
                    } else if signal == "metrics" {
                        "Metrics"
                    } else {
                        "Spans"
                    },
                );
                replies.extend(send::export_json(http, signal, body.as_bytes()).unwrap().body);
            }
        }
        let whole = requests::logs(&mut planted).encode_to_vec();
        for end in (0..whole.len()).step_by(whole.len() / 5) {
            replies.extend(send::export(http, "logs", &whole[..end]).unwrap().body);
        }
        let one = line.replace(' ', "%20");
        let paths = [format!("/v1/{one}"), format!("/v1/traces/{one}"), format!("/v1/traces?t={one}"), format!("/{line}")];
        for to in [http, floe.ports.grpc, floe.ports.prometheus, floe.ports.metrics, floe.ports.health, floe.ports.admin] {
            for path in &paths {
                replies.extend(raw(
                    to,
                    format!("POST {path} HTTP/1.1\r\nHost: {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes(),
                ));
            }
        }
        for header in [
            "Content-Type",
            "Content-Encoding",
            "Content-Length",
            "Transfer-Encoding",
            "Authorization",
            "Origin",
            "Expect",
            &line,
        ] {
            let head = format!(
                "POST /v1/traces HTTP/1.1\r\nHost: floe\r\n{header}: {line}\r\nX-Other: {line}\r\nConnection: close\r\n\r\n{line}"
            );
            replies.extend(raw(http, head.as_bytes()));
        }
        replies.extend(raw(http, format!("{line} /v1/traces HTTP/1.1\r\n\r\n").as_bytes()));
        replies.extend(raw(floe.ports.grpc, phrase.as_bytes()));
        let export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        let base = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", export),
            (":authority", "floe"),
            ("content-type", "application/grpc"),
        ];
        for changed in 0..base.len() {
            let mut fields = base;
            fields[changed].1 = &line;
            replies.extend(raw(floe.ports.grpc, &http2(&fields, line.as_bytes())));
        }
        for name in ["grpc-timeout", "grpc-encoding", "x-other", &line] {
            let fields = [&base[..], &[(name, &line)]].concat();
            replies.extend(raw(floe.ports.grpc, &http2(&fields, line.as_bytes())));
        }
    }
    let planted = planted.search();
    assert!(replies.windows(8).any(|window| window == b"expected"), "no reply says what was expected");
    planted.assert_none_in("the replies", &replies);
    assert_nothing_raw(&floe, &planted);
}
