"""A function that reports itself with the OpenTelemetry SDK: a hundred invocations, some cold, some failing.

    pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-grpc
    python functions.py [http://127.0.0.1:4317]
"""

import random
import sys
import time

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from uuid import uuid4

endpoint = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:4317"
provider = TracerProvider(resource=Resource.create({"faas.name": "thumbnails", "faas.version": "1.4.2", "cloud.region": "eu-west-1"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=True)))
tracer = provider.get_tracer("functions")


def handle(number):
    """What a platform would wrap around a handler: one SERVER span an invocation."""
    attributes = {
        "faas.invocation_id": str(uuid4()),
        "faas.trigger": "http",
        "faas.coldstart": number % 20 == 0,
        "client.address": f"203.0.113.{number % 7}",
    }
    with tracer.start_as_current_span("thumbnails", kind=SpanKind.SERVER, attributes=attributes) as span:
        time.sleep(random.uniform(0.001, 0.01))
        if number % 25 == 24:
            raise ValueError(f"cannot read image {number}")
        span.set_status(Status(StatusCode.OK))


for number in range(100):
    try:
        handle(number)
    except ValueError:
        pass  # recorded on the span, as an SDK does by itself

provider.shutdown()  # sends what is left
print("sent 100 invocations of thumbnails, 4 of them failed")
