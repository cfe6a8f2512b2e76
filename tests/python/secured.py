"""Sends one invocation over gRPC and one over http/protobuf, both with TLS and a token, with the SDK's own settings for them.

    secured.py GRPC HTTP CA TOKEN NAME     prints SUCCESS or FAILURE for each; ids are NAME-grpc and NAME-http
"""

import logging
import os
import sys

grpc_endpoint, http_endpoint, ca, token, name = sys.argv[1:]
os.environ |= {
    "OTEL_EXPORTER_OTLP_CERTIFICATE": ca,
    "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{token}",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
}
# The library below would take these instead.
for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
    os.environ.pop(variable, None)
logging.disable()

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc  # noqa: E402
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http  # noqa: E402
from opentelemetry.sdk.resources import Resource  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.trace import SpanKind  # noqa: E402

for kind, exporter in (("grpc", Grpc(endpoint=grpc_endpoint)), ("http", Http(endpoint=f"{http_endpoint}/v1/traces"))):
    tracer = TracerProvider(resource=Resource.create({"faas.name": "checkout"})).get_tracer("secured")
    span = tracer.start_span("handler", kind=SpanKind.SERVER, attributes={"faas.invocation_id": f"{name}-{kind}"})
    span.end()
    print(exporter.export([span]).name)
