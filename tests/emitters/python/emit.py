"""Tells the story of tests/emitters/README.md with the OpenTelemetry SDK for Python.

    emit.py PROTOCOL COMPRESSION ENDPOINT FUNCTION START_MILLIS
"""

import sys

import grpc
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

protocol, compression, endpoint, name, start_millis = sys.argv[1:]
START = int(start_millis) * 1_000_000
SECOND = 1_000_000_000
failed = []


def exporter(of_grpc, of_http, path):
    """The exporter of one signal; it says aloud when something was not taken."""
    if protocol == "grpc":
        squeezed = {"none": grpc.Compression.NoCompression, "gzip": grpc.Compression.Gzip}[compression]
        # Over a Unix socket gRPC would send the socket's path as the authority, which is none.
        options = (("grpc.default_authority", "localhost"),) if endpoint.startswith("unix:") else None
        made = of_grpc(endpoint=endpoint, insecure=True, timeout=30, compression=squeezed, channel_options=options)
    else:
        squeezed = {"none": Compression.NoCompression, "gzip": Compression.Gzip, "deflate": Compression.Deflate}[compression]
        made = of_http(endpoint=f"{endpoint}/v1/{path}", timeout=30, compression=squeezed)
    export = made.export

    def told(*arguments, **named):
        result = export(*arguments, **named)
        if result.name != "SUCCESS":
            failed.append(path)
        return result

    made.export = told
    return made


resource = Resource.create({"service.name": name, "faas.name": name, "faas.version": "1.2.3", "cloud.region": "eu-west-1"})
traces = TracerProvider(resource=resource)
traces.add_span_processor(BatchSpanProcessor(exporter(GrpcSpans, HttpSpans, "traces"), export_timeout_millis=60_000))
logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(BatchLogRecordProcessor(exporter(GrpcLogs, HttpLogs, "logs"), export_timeout_millis=60_000))
reader = PeriodicExportingMetricReader(exporter(GrpcMetrics, HttpMetrics, "metrics"), export_interval_millis=3_600_000)
metrics = MeterProvider(resource=resource, metric_readers=[reader])


def invoked(number, at, nanos, attributes, error=None):
    attributes = {"faas.invocation_id": f"{name}-{number}", "faas.trigger": "http", **attributes}
    span = traces.get_tracer("emit").start_span("handler", kind=SpanKind.SERVER, start_time=at, attributes=attributes)
    if error is not None:
        try:
            raise error
        except ValueError as raised:
            span.record_exception(raised, timestamp=at + 1_000_000)
            span.set_status(Status(StatusCode.ERROR, str(raised)))
    span.end(end_time=at + nanos)


def event(event_name, at, attributes):
    logs.get_logger("emit").emit(
        LogRecord(timestamp=at, event_name=event_name, severity_number=SeverityNumber.INFO, attributes=attributes)
    )


invoked(1, START, SECOND // 4, {"faas.coldstart": True, "faas.mem_usage": 64 * 1024 * 1024, "client.address": "203.0.113.7"})
invoked(2, START + SECOND, 125_500_000, {"faas.coldstart": False}, ValueError("card declined"))
event("faas.rate_limit", START + 2 * SECOND, {"rate_limit.type": "per_ip", "rate_limit.limit": 100, "client.address": "203.0.113.7"})
event("faas.deployment", START + 3 * SECOND, {
    "deployment.id": f"{name}-d1", "deployment.previous_version": "1.2.2", "deployment.deployed_by": "ci",
    "deployment.code_size_bytes": 12345, "deployment.source_map_size_bytes": 678, "deployment.status": "succeeded",
})
metrics.get_meter("emit").create_counter("emitter.jobs").add(3, {"function": name})

traces.shutdown()
logs.shutdown()
metrics.shutdown()
sys.exit(1 if failed else 0)
