"""Sends OTLP requests, each a file of protobuf, in three forms: as it is and as JSON over HTTP, and over gRPC.

    forms.py GRPC_ADDRESS HTTP_ADDRESS FILE...      FILE ends in traces, logs or metrics

Prints every reply, as bytes: status, headers, body. The JSON is made by Google's own library, so that it shares no code with floe. The
gRPC request has one unknown field more: it is another request.
"""

import base64
import json
import sys
import urllib.error
import urllib.request

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

SIGNALS = {
    "traces": (trace_service_pb2.ExportTraceServiceRequest, "trace.v1.TraceService"),
    "logs": (logs_service_pb2.ExportLogsServiceRequest, "logs.v1.LogsService"),
    "metrics": (metrics_service_pb2.ExportMetricsServiceRequest, "metrics.v1.MetricsService"),
}
IDS = ("traceId", "spanId", "parentSpanId")


def otlp(node):
    """The JSON of protobuf as OTLP has it: ids in hexadecimal digits."""
    if isinstance(node, list):
        return [otlp(item) for item in node]
    if not isinstance(node, dict):
        return node
    hex_of = {key: base64.b64decode(value).hex() for key, value in node.items() if key in IDS}
    return {key: hex_of.get(key) or otlp(value) for key, value in node.items()}


def show(*parts):
    for part in parts:
        sys.stdout.buffer.write(part if isinstance(part, bytes) else str(part).encode())
        sys.stdout.buffer.write(b"\n")


def post(address, signal, kind, body):
    request = urllib.request.Request(f"http://{address}/v1/{signal}", body, {"Content-Type": kind})
    try:
        reply = urllib.request.urlopen(request, timeout=120)
    except urllib.error.HTTPError as error:
        reply = error
    show(reply.status, reply.headers, reply.read())


def call(channel, service, body):
    export = channel.unary_unary(f"/opentelemetry.proto.collector.{service}/Export", lambda b: b, lambda b: b)
    try:
        reply, call = export.with_call(body, timeout=120)
        show("grpc", reply, call.initial_metadata(), call.trailing_metadata())
    except grpc.RpcError as error:
        show(error.code(), error.details(), error.trailing_metadata())


def main():
    grpc_address, http_address, *files = sys.argv[1:]
    channel = grpc.insecure_channel(grpc_address)
    for path in files:
        signal = path.rsplit("/", 1)[-1].rsplit("-", 1)[-1]
        request_type, service = SIGNALS[signal]
        with open(path, "rb") as file:
            body = file.read()
        message = json.dumps(otlp(json_format.MessageToDict(request_type.FromString(body)))).encode()
        post(http_address, signal, "application/x-protobuf", body)
        post(http_address, signal, "application/json", message)
        call(channel, service, body + b"\xf8\x7f\x01")


main()
