//! Requests as SDKs send them, through the decoder, to rows.

mod added;
mod columns;
mod contract;
mod deployments;
mod errors;
mod fixtures;
mod goldens;
mod invocations;
mod laws;
mod logs;
mod metrics;
mod rate_limits;
mod reference;
mod sources;
mod times;

use std::collections::BTreeMap;
use std::fmt::Display;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array as _, ArrayRef};
use arrow_schema::DataType;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Sent;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message as _;

use super::{MapConfig, Mapping};
use crate::processors::{Note, Tally};
use crate::signals::attributes::Keys;
use crate::signals::{Encoding, Rejected, Signal, Timestamp, decode};
use crate::tables::{Table, TableBatch};

/// 2026-10-01T00:00:00Z.
const NOW: u64 = 1_790_812_800_000_000_000;
const SECOND: u64 = 1_000_000_000;
const KEY: &[u8] = b"a key of ids, for tests only";
const SERVER: i32 = span::SpanKind::Server as i32;
const CLIENT: i32 = span::SpanKind::Client as i32;
const CONSUMER: i32 = span::SpanKind::Consumer as i32;
const INTERNAL: i32 = span::SpanKind::Internal as i32;

type Row = BTreeMap<String, String>;

/// What `map` made of one request.
#[derive(Debug, PartialEq)]
struct Mapped {
    rows: BTreeMap<&'static str, Vec<Row>>,
    tally: Tally,
    rejected: Option<Rejected>,
}

impl Mapped {
    fn of(&self, table: Table) -> &[Row] {
        self.rows.get(table.name()).map_or(&[], Vec::as_slice)
    }

    #[track_caller]
    fn only(&self, table: Table) -> &Row {
        let rows = self.of(table);
        assert_eq!(rows.len(), 1, "{}: {rows:#?}", table.name());
        &rows[0]
    }

    fn invocation(&self, column: &str) -> &str {
        &self.only(Table::Invocations)[column]
    }

    fn error(&self, column: &str) -> &str {
        &self.only(Table::Errors)[column]
    }
}

fn config(yaml: &str) -> MapConfig {
    serde_saphyr::from_str(yaml).unwrap()
}

fn map_body(config: &MapConfig, signal: Signal, encoding: Encoding, body: &[u8]) -> Mapped {
    map_body_at(NOW, config, signal, encoding, body)
}

/// As a chain has them.
fn keys_for(signal: Signal) -> Keys {
    let mut keys = Keys::default();
    if signal != Signal::Traces {
        keys.keep_all();
    }
    keys
}

fn map_body_at(now: u64, config: &MapConfig, signal: Signal, encoding: Encoding, body: &[u8]) -> Mapped {
    let mut keys = keys_for(signal);
    let mapping = Mapping::new(config, KEY, &mut keys).unwrap();
    let records = decode(signal, encoding, body, &keys).unwrap();
    let mut tally = Tally { received: records.len() as u64, ..Tally::default() };
    let mut rejected = None;
    let batches = mapping.apply(&records, Timestamp(now), &mut tally, &mut rejected);
    assert!(tally.balances(), "{tally:?}");
    assert_eq!(tally.rejected, rejected.as_ref().map_or(0, |rejected: &Rejected| rejected.count));
    Mapped { rows: batches.iter().map(|batch| (batch.table.name(), rows_of(batch))).collect(), tally, rejected }
}

fn map_spans_with(config: &MapConfig, resource: &[KeyValue], spans: Vec<Span>) -> Mapped {
    let scope_spans = vec![ScopeSpans { scope: Some(InstrumentationScope::default()), spans, ..Default::default() }];
    let resource = Some(Resource { attributes: resource.to_vec(), ..Default::default() });
    let request =
        ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource, scope_spans, ..Default::default() }] };
    map_body(config, Signal::Traces, Encoding::Protobuf, &request.encode_to_vec())
}

fn map_spans(resource: &[KeyValue], spans: Vec<Span>) -> Mapped {
    map_spans_with(&MapConfig::default(), resource, spans)
}

fn map_logs_with(config: &MapConfig, resource: &[KeyValue], log_records: Vec<LogRecord>) -> Mapped {
    let scope_logs = vec![ScopeLogs { scope: Some(InstrumentationScope::default()), log_records, ..Default::default() }];
    let resource = Some(Resource { attributes: resource.to_vec(), ..Default::default() });
    let request = ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { resource, scope_logs, ..Default::default() }] };
    map_body(config, Signal::Logs, Encoding::Protobuf, &request.encode_to_vec())
}

fn map_logs(resource: &[KeyValue], logs: Vec<LogRecord>) -> Mapped {
    map_logs_with(&MapConfig::default(), resource, logs)
}

/// Every row of a batch as text; NULL is `NULL`.
fn rows_of(batch: &TableBatch) -> Vec<Row> {
    let schema = batch.batch.schema();
    let columns = || schema.fields().iter().zip(batch.batch.columns());
    (0..batch.batch.num_rows())
        .map(|row| columns().map(|(field, values)| (field.name().clone(), cell(values, row))).collect())
        .collect()
}

fn cell(values: &ArrayRef, row: usize) -> String {
    if values.is_null(row) {
        return "NULL".to_owned();
    }
    match values.data_type() {
        DataType::Utf8 => values.as_string::<i32>().value(row).to_owned(),
        DataType::Float64 => values.as_primitive::<Float64Type>().value(row).to_string(),
        DataType::Boolean => values.as_boolean().value(row).to_string(),
        DataType::Int64 => values.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Int32 => values.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Date32 => values.as_primitive::<Date32Type>().value(row).to_string(),
        DataType::Timestamp(..) => values.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        other => panic!("no column is {other}"),
    }
}

/// Values of attributes, by their Rust types.
trait IntoSent {
    fn sent(self) -> Sent;
}

impl IntoSent for &str {
    fn sent(self) -> Sent {
        Sent::StringValue(self.to_owned())
    }
}

impl IntoSent for i64 {
    fn sent(self) -> Sent {
        Sent::IntValue(self)
    }
}

impl IntoSent for f64 {
    fn sent(self) -> Sent {
        Sent::DoubleValue(self)
    }
}

impl IntoSent for bool {
    fn sent(self) -> Sent {
        Sent::BoolValue(self)
    }
}

impl IntoSent for &[&str] {
    fn sent(self) -> Sent {
        Sent::ArrayValue(ArrayValue { values: self.iter().map(|text| AnyValue { value: Some(text.sent()) }).collect() })
    }
}

impl IntoSent for &[KeyValue] {
    fn sent(self) -> Sent {
        Sent::KvlistValue(KeyValueList { values: self.to_vec() })
    }
}

fn attr(key: &str, value: impl IntoSent) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value.sent()) }), ..Default::default() }
}

/// A span of 20 ms that ended a minute ago; its number is its id.
fn span(number: u8, kind: i32, attributes: &[KeyValue]) -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: vec![number; 8],
        name: format!("span {number}"),
        kind,
        start_time_unix_nano: NOW - 60 * SECOND,
        end_time_unix_nano: NOW - 60 * SECOND + 20_000_000,
        attributes: attributes.to_vec(),
        ..Default::default()
    }
}

/// An invocation by rule A.
fn invocation(attributes: &[KeyValue]) -> Span {
    let mut span = span(1, SERVER, &[attr("faas.invocation_id", "inv-1")]);
    span.attributes.extend_from_slice(attributes);
    span
}

fn below(parent: u8, mut span: Span) -> Span {
    span.parent_span_id = vec![parent; 8];
    span
}

fn failed(mut span: Span, message: &str) -> Span {
    span.status = Some(Status { code: 2, message: message.to_owned() });
    span
}

fn with_exception(mut span: Span, attributes: &[KeyValue]) -> Span {
    let time_unix_nano = span.end_time_unix_nano.saturating_sub(1_000_000);
    let attributes = attributes.to_vec();
    span.events.push(span::Event { time_unix_nano, name: "exception".to_owned(), attributes, ..Default::default() });
    span
}

fn exception(kind: &str, message: &str) -> Vec<KeyValue> {
    vec![attr("exception.type", kind), attr("exception.message", message)]
}

fn log(severity: i32, body: impl IntoSent, attributes: &[KeyValue]) -> LogRecord {
    LogRecord {
        time_unix_nano: NOW - 30 * SECOND,
        severity_number: severity,
        body: Some(AnyValue { value: Some(body.sent()) }),
        attributes: attributes.to_vec(),
        ..Default::default()
    }
}

fn named(mut log: LogRecord, event_name: &str) -> LogRecord {
    event_name.clone_into(&mut log.event_name);
    log
}

/// The log as written within a span of [`span`].
fn in_span(number: u8, mut log: LogRecord) -> LogRecord {
    log.trace_id = vec![7; 16];
    log.span_id = vec![number; 8];
    log
}

#[track_caller]
fn check(found: impl Display, expected: impl Display) {
    assert_eq!(found.to_string(), expected.to_string());
}
