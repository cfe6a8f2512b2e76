//! `platform.report` of AWS Lambda: what the platform says of an invocation when it has ended.
//!
//! It comes as the text that CloudWatch shows (with tabs, or with spaces from the Collector's receiver of the Telemetry API), and as
//! the JSON of the Telemetry API, with or without its envelope:
//!
//! ```text
//! REPORT RequestId: 8f50…  Duration: 120.50 ms  Billed Duration: 121 ms  Memory Size: 128 MB  Max Memory Used: 70 MB  Init Duration: 200.1 ms
//! {"time":"…","type":"platform.report","record":{"requestId":"8f50…","metrics":{"durationMs":120.5,"maxMemoryUsedMB":70},"status":"success"}}
//! ```

use serde_json::Value as Json;

/// What `type` is, on the log or in its body.
pub const PLATFORM_REPORT: &str = "platform.report";

const BYTES_A_MEGABYTE: f64 = 1_048_576.0;

/// A report, as far as a row needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub request_id: Option<String>,
    /// Never negative.
    pub duration_ms: Option<f64>,
    pub max_memory_used_bytes: Option<i64>,
    /// The invocation started an instance.
    pub has_init: bool,
    /// `success`, `timeout`, `error`, `failure`; absent from the text of a success.
    pub status: Option<String>,
    pub error_type: Option<String>,
}

impl Report {
    /// `None` for a body that is no report. `is_typed`: the log itself says that it is one; a body of JSON may say so instead.
    pub fn read(body: &str, is_typed: bool) -> Option<Report> {
        let body = body.trim();
        if body.starts_with('{') { Report::from_json(body, is_typed) } else { Report::from_line(body).filter(|_| is_typed) }
    }

    fn from_json(body: &str, is_typed: bool) -> Option<Report> {
        let event: Json = serde_json::from_str(body).ok()?;
        match event.get("type") {
            Some(named) if named != PLATFORM_REPORT => return None,
            None if !is_typed => return None,
            _ => {}
        }
        let record = event.get("record").unwrap_or(&event);
        if let Json::String(line) = record {
            return Report::from_line(line);
        }
        let text = |name: &str| record.get(name).and_then(Json::as_str).and_then(word);
        let metric = |name: &str| {
            let value = record.get("metrics")?.get(name)?;
            value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
        };
        Some(Report {
            request_id: text("requestId"),
            duration_ms: metric("durationMs").and_then(not_negative),
            max_memory_used_bytes: metric("maxMemoryUsedMB").and_then(bytes),
            has_init: metric("initDurationMs").is_some(),
            status: text("status"),
            error_type: text("errorType"),
        })
    }

    /// The fields are `Name: value unit`; a name has up to three words, and only the last of them ends in a colon.
    fn from_line(line: &str) -> Option<Report> {
        let words: Vec<&str> = line.trim().strip_prefix("REPORT")?.split_whitespace().collect();
        let mut report = Report::default();
        for (at, name) in words.iter().enumerate() {
            let Some(name) = name.strip_suffix(':') else { continue };
            let value = words.get(at + 1).copied().unwrap_or_default();
            let number = || value.parse::<f64>().ok().and_then(not_negative);
            let before = |back: usize| at.checked_sub(back).and_then(|at| words.get(at)).copied().unwrap_or_default();
            match (before(2), before(1), name) {
                (_, _, "RequestId") => report.request_id = word(value),
                (_, "Init", "Duration") => report.has_init = true,
                (_, "Billed" | "Restore", "Duration") => {}
                (_, _, "Duration") => report.duration_ms = number(),
                ("Max", "Memory", "Used") => {
                    report.max_memory_used_bytes = value.strip_suffix("MB").unwrap_or(value).parse().ok().and_then(bytes);
                }
                (_, _, "Status") => report.status = word(value),
                (_, "Error", "Type") => report.error_type = word(value),
                _ => {}
            }
        }
        Some(report)
    }
}

fn word(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && !text.ends_with(':')).then(|| text.to_owned())
}

fn not_negative(number: f64) -> Option<f64> {
    (number.is_finite() && number >= 0.0).then_some(number)
}

/// `None` where the column cannot hold so many.
fn bytes(megabytes: f64) -> Option<i64> {
    #[allow(clippy::cast_precision_loss, reason = "the bound need not be exact")]
    const MOST: f64 = (i64::MAX / 2) as f64;
    let bytes = not_negative(megabytes)? * BYTES_A_MEGABYTE;
    #[allow(clippy::cast_possible_truncation, reason = "a whole number within the bound")]
    (bytes < MOST).then_some(bytes as i64)
}
