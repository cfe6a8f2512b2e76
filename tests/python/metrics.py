"""Sends instruments of every kind with the OpenTelemetry SDK, twice, once with each temporality.

    metrics.py GRPC_ENDPOINT HTTP_ENDPOINT

Deltas go over http/protobuf as service `python-delta`, totals over gRPC as `python-cumulative`. What it sends is small enough to count by hand;
tests/gateway/prometheus.rs does.
"""

import sys

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpExporter
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, ObservableCounter, ObservableUpDownCounter, UpDownCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

KINDS = (Counter, UpDownCounter, Histogram, ObservableCounter, ObservableUpDownCounter)


def story(name, exporter):
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    resource = Resource({"service.name": name, "service.instance.id": "1", "deployment.environment.name": "test"})
    exponential = View(instrument_name="sdk.size", aggregation=ExponentialBucketHistogramAggregation())
    provider = MeterProvider([reader], resource=resource, views=[exponential], shutdown_on_exit=False)
    meter = provider.get_meter("metrics.py", "1.0")
    requests = meter.create_counter("sdk.requests", unit="{request}", description="Requests by route")
    active = meter.create_up_down_counter("sdk.active")
    latency = meter.create_histogram("sdk.latency", unit="s", explicit_bucket_boundaries_advisory=[0.1, 0.5, 1.0])
    size = meter.create_histogram("sdk.size", unit="By")
    level = meter.create_gauge("sdk.level")

    requests.add(3, {"http.route": "/a"})
    requests.add(4, {"http.route": "/a"})
    requests.add(1, {"http.route": "/b"})
    active.add(5)
    latency.record(0.05)
    latency.record(0.3)
    for bytes_sent in range(1, 51):
        size.record(bytes_sent)
    level.set(1.0)
    assert provider.force_flush()

    requests.add(5, {"http.route": "/a"})
    active.add(-2)
    latency.record(0.3)
    latency.record(7)
    for bytes_sent in range(51, 101):
        size.record(bytes_sent)
    level.set(0.25)
    assert provider.force_flush()
    provider.shutdown()


def main():
    grpc, http = sys.argv[1:]
    delta = {kind: AggregationTemporality.DELTA for kind in KINDS}
    cumulative = {kind: AggregationTemporality.CUMULATIVE for kind in KINDS}
    story("python-delta", HttpExporter(endpoint=f"{http}/v1/metrics", preferred_temporality=delta))
    story("python-cumulative", GrpcExporter(endpoint=grpc, insecure=True, preferred_temporality=cumulative))


main()
