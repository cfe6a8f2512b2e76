//! Tells the story of tests/emitters/README.md with the OpenTelemetry SDK for Rust.
//!
//!     emit grpc COMPRESSION ENDPOINT FUNCTION START_MILLIS

use std::backtrace::Backtrace;
use std::error::Error;
use std::time::{Duration, SystemTime};

use opentelemetry::KeyValue;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{Span as _, SpanKind, Status, Tracer as _, TracerProvider as _};
use opentelemetry_otlp::{Compression, LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;

/// How long an exporter goes on after "later".
const PATIENCE: Duration = Duration::from_secs(30);

struct Story {
    name: String,
    start: SystemTime,
    traces: SdkTracerProvider,
    logs: SdkLoggerProvider,
    metrics: SdkMeterProvider,
}

macro_rules! exporter {
    ($kind:ident, $endpoint:expr, $compression:expr) => {{
        let builder = $kind::builder().with_tonic().with_endpoint($endpoint).with_timeout(PATIENCE);
        match $compression {
            Some(compression) => builder.with_compression(compression).build()?,
            None => builder.build()?,
        }
    }};
}

impl Story {
    fn new(arguments: &[String]) -> Result<Story, Box<dyn Error + Send + Sync>> {
        let [_, compression, endpoint, name, start] = arguments else { return Err("expected five arguments".into()) };
        let compression = match compression.as_str() {
            "gzip" => Some(Compression::Gzip),
            "zstd" => Some(Compression::Zstd),
            _ => None,
        };
        let resource = Resource::builder()
            .with_service_name(name.clone())
            .with_attributes([
                KeyValue::new("faas.name", name.clone()),
                KeyValue::new("faas.version", "1.2.3"),
                KeyValue::new("cloud.region", "eu-west-1"),
            ])
            .build();
        let spans = exporter!(SpanExporter, endpoint, compression);
        let logs = exporter!(LogExporter, endpoint, compression);
        let points = exporter!(MetricExporter, endpoint, compression);
        Ok(Story {
            name: name.clone(),
            start: SystemTime::UNIX_EPOCH + Duration::from_millis(start.parse()?),
            traces: SdkTracerProvider::builder().with_resource(resource.clone()).with_batch_exporter(spans).build(),
            logs: SdkLoggerProvider::builder().with_resource(resource.clone()).with_batch_exporter(logs).build(),
            metrics: SdkMeterProvider::builder().with_resource(resource).with_periodic_exporter(points).build(),
        })
    }

    fn at(&self, millis: u64) -> SystemTime {
        self.start + Duration::from_millis(millis)
    }

    fn invoked(&self, number: u32, at: SystemTime, micros: u64, attributes: &[KeyValue], error: Option<&std::io::Error>) {
        let tracer = self.traces.tracer("emit");
        let ids = [KeyValue::new("faas.invocation_id", format!("{}-{number}", self.name)), KeyValue::new("faas.trigger", "http")];
        let mut span = tracer
            .span_builder("handler")
            .with_kind(SpanKind::Server)
            .with_start_time(at)
            .with_attributes(ids.into_iter().chain(attributes.iter().cloned()))
            .start(&tracer);
        if let Some(error) = error {
            // `record_error` knows neither type nor stack.
            let exception = vec![
                KeyValue::new("exception.type", "std::io::Error"),
                KeyValue::new("exception.message", error.to_string()),
                KeyValue::new("exception.stacktrace", Backtrace::force_capture().to_string()),
            ];
            span.add_event_with_timestamp("exception", at + Duration::from_millis(1), exception);
            span.set_status(Status::error(error.to_string()));
        }
        span.end_with_timestamp(at + Duration::from_micros(micros));
    }

    fn event(&self, name: &'static str, at: SystemTime, attributes: Vec<(&'static str, AnyValue)>) {
        let logger = self.logs.logger("emit");
        let mut record = logger.create_log_record();
        record.set_event_name(name);
        record.set_timestamp(at);
        record.set_severity_number(Severity::Info);
        record.add_attributes(attributes);
        logger.emit(record);
    }

    fn tell(&self) {
        let first = [
            KeyValue::new("faas.coldstart", true),
            KeyValue::new("faas.mem_usage", 64 << 20),
            KeyValue::new("client.address", "203.0.113.7"),
        ];
        self.invoked(1, self.at(0), 250_000, &first, None);
        let error = std::io::Error::other("card declined");
        self.invoked(2, self.at(1_000), 125_500, &[KeyValue::new("faas.coldstart", false)], Some(&error));
        let limit = vec![
            ("rate_limit.type", "per_ip".into()),
            ("rate_limit.limit", 100.into()),
            ("client.address", "203.0.113.7".into()),
        ];
        self.event("faas.rate_limit", self.at(2_000), limit);
        let deployment = vec![
            ("deployment.id", format!("{}-d1", self.name).into()),
            ("deployment.previous_version", "1.2.2".into()),
            ("deployment.deployed_by", "ci".into()),
            ("deployment.code_size_bytes", 12_345.into()),
            ("deployment.source_map_size_bytes", 678.into()),
            ("deployment.status", "succeeded".into()),
        ];
        self.event("faas.deployment", self.at(3_000), deployment);
        let jobs = self.metrics.meter("emit").u64_counter("emitter.jobs").build();
        jobs.add(3, &[KeyValue::new("function", self.name.clone())]);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let story = Story::new(&arguments)?;
    story.tell();
    // Sends what is left, and says so if it was not acknowledged.
    tokio::task::spawn_blocking(move || {
        story.traces.shutdown_with_timeout(2 * PATIENCE)?;
        story.logs.shutdown_with_timeout(2 * PATIENCE)?;
        story.metrics.shutdown_with_timeout(2 * PATIENCE)
    })
    .await??;
    Ok(())
}
