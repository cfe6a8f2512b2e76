"""Sends a small day of functions traffic with the OpenTelemetry SDK: one function over gRPC, one over http/protobuf.

    emit.py GRPC_ENDPOINT HTTP_ENDPOINT     prints the day that most of it lies on, as YYYY-MM-DD

What it sends is small enough to count by hand; tests/gateway/first_light.rs does.
"""

import sys
from datetime import datetime, timedelta, timezone

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

DAY = (datetime.now(timezone.utc) - timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


def nanos(clock, microseconds=0):
    """A time of DAY, `HH:MM:SS`; hour 24 is the next day."""
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    micros = int(DAY.timestamp()) * 1_000_000 + ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + microseconds
    return micros * 1000


class Function:
    """One function: its resource, and the SDK's providers with their exporter."""

    def __init__(self, name, language, version, span_exporter, log_exporter):
        resource = Resource.create({
            "service.name": name,
            "faas.name": name,
            "faas.version": version,
            "telemetry.sdk.language": language,
            "cloud.region": "eu-west-1",
        })
        self.traces = TracerProvider(resource=resource)
        self.traces.add_span_processor(BatchSpanProcessor(span_exporter))
        self.tracer = self.traces.get_tracer("emit")
        self.logs = LoggerProvider(resource=resource)
        self.logs.add_log_record_processor(BatchLogRecordProcessor(log_exporter))
        self.logger = self.logs.get_logger("emit")

    def invoked(self, invocation_id, start, millis, cold=None, error=None, address=None):
        attributes = {"faas.invocation_id": invocation_id, "faas.trigger": "http", "faas.mem_usage": 64 * 1024 * 1024}
        if cold is not None:
            attributes["faas.coldstart"] = cold
        if address is not None:
            attributes["client.address"] = address
        span = self.tracer.start_span("handler", kind=SpanKind.SERVER, start_time=start, attributes=attributes)
        if error is not None:
            try:
                raise error
            except type(error) as raised:
                span.record_exception(raised, timestamp=start + 1_000_000)
                span.set_status(Status(StatusCode.ERROR, str(raised)))
        span.end(end_time=start + millis * 1_000_000)

    def event(self, name, time, attributes):
        record = LogRecord(timestamp=time, event_name=name, severity_number=SeverityNumber.INFO, attributes=attributes)
        self.logger.emit(record)

    def limited(self, time, kind, limit, address):
        self.event("faas.rate_limit", time, {"rate_limit.type": kind, "rate_limit.limit": limit, "client.address": address})

    def close(self):
        self.traces.shutdown()
        self.logs.shutdown()


def main():
    grpc, http = sys.argv[1:]
    checkout = Function(
        "checkout", "python", "2026.11.1",
        GrpcSpanExporter(endpoint=grpc, insecure=True), GrpcLogExporter(endpoint=grpc, insecure=True),
    )
    checkout.invoked("c1", nanos("10:00:00"), 100, cold=True, address="203.0.113.7")
    checkout.invoked("c2", nanos("10:05:00"), 200, cold=False, address="203.0.113.8:51234")
    checkout.invoked("c3", nanos("10:10:00"), 300, cold=False, error=ValueError("card declined, token=hunter2hunter2 given"))
    checkout.invoked("c4", nanos("23:59:59", 999_999), 400)
    checkout.limited(nanos("10:15:00"), "per_ip", 100, "203.0.113.7")
    checkout.limited(nanos("10:20:00"), "per_ip", 100, "203.0.113.8")
    checkout.limited(nanos("10:45:00"), "per_ip", 100, "203.0.113.7")
    checkout.event("faas.deployment", nanos("09:00:00"), {
        "deployment.id": "d-1",
        "deployment.previous_version": "2026.10.9",
        "deployment.deployed_by": "ci",
        "deployment.code_size_bytes": 12345,
        "deployment.source_map_size_bytes": 678,
        "deployment.status": "succeeded",
    })
    checkout.close()

    resize = Function(
        "resize", "nodejs", "7",
        HttpSpanExporter(endpoint=f"{http}/v1/traces"), HttpLogExporter(endpoint=f"{http}/v1/logs"),
    )
    resize.invoked("r1", nanos("11:00:00"), 50, cold=True)
    resize.invoked("r2", nanos("24:00:00"), 150, cold=False)
    resize.invoked("r3", nanos("11:30:00"), 1000, cold=False, error=TypeError("no such image"))
    resize.limited(nanos("12:00:00"), "per_function", 1000, "198.51.100.1")
    resize.close()
    print(DAY.date().isoformat())


main()
