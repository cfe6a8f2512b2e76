//! A function in Rust that reports itself with the OpenTelemetry SDK: invocations, one of them failing.
//!
//! `cargo run --example functions -- http://127.0.0.1:4317`

use std::error::Error;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span, SpanKind, Status, Tracer, TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:4317".to_owned());
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let resource = Resource::builder()
        .with_service_name("resize")
        .with_attributes([KeyValue::new("faas.name", "resize"), KeyValue::new("faas.version", "0.3.0")])
        .build();
    let provider = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
    let tracer = provider.tracer("functions");
    for number in 0..10 {
        let mut span = tracer
            .span_builder("resize")
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("faas.invocation_id", format!("rust-{number}")),
                KeyValue::new("faas.trigger", "http"),
                KeyValue::new("faas.coldstart", number == 0),
            ])
            .start(&tracer);
        if number == 9 {
            let error = std::io::Error::other("the image is empty");
            span.record_error(&error);
            span.set_status(Status::error(error.to_string()));
        }
        span.end();
    }
    // Sends what is left, and says so if it was not acknowledged.
    tokio::task::spawn_blocking(move || provider.shutdown()).await??;
    Ok(())
}
