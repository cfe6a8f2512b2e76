"""Sends recorded OTLP/HTTP JSON requests in three forms: as they are, as protobuf over HTTP, and over gRPC.

    replay.py GRPC_ADDRESS HTTP_ADDRESS FILE...

Prints a JSON line for each reply: the signal, the form, how many records were sent and how many of them rejected. The protobuf is
made by Google's own library, so that it shares no code with floe. The gRPC request carries a schema URL: it is another request.
"""

import base64
import json
import sys
import urllib.request

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

SIGNALS = {
    "traces": (trace_service_pb2.ExportTraceServiceRequest, trace_service_pb2.ExportTraceServiceResponse,
               trace_service_pb2_grpc.TraceServiceStub, "resource_spans", "rejected_spans"),
    "logs": (logs_service_pb2.ExportLogsServiceRequest, logs_service_pb2.ExportLogsServiceResponse,
             logs_service_pb2_grpc.LogsServiceStub, "resource_logs", "rejected_log_records"),
}
IDS = ("traceId", "spanId", "parentSpanId")


def canonical(node):
    """OTLP's JSON as the JSON of protobuf: ids in base64, enums by their full names."""
    if isinstance(node, list):
        return [canonical(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {}
    for key, value in node.items():
        if key in IDS and isinstance(value, str):
            value = base64.b64encode(bytes.fromhex(value)).decode()
        elif key == "kind" and isinstance(value, str) and not value.startswith("SPAN_KIND_"):
            value = "SPAN_KIND_" + value.upper()
        made[key] = canonical(value)
    return made


def count(message, field):
    scopes = "scope_spans" if field == "resource_spans" else "scope_logs"
    records = "spans" if field == "resource_spans" else "log_records"
    return sum(len(getattr(scope, records)) for owner in getattr(message, field) for scope in getattr(owner, scopes))


def post(address, signal, kind, body):
    request = urllib.request.Request(f"http://{address}/v1/{signal}", body, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return reply.read()


def main():
    grpc_address, http_address, *files = sys.argv[1:]
    channel = grpc.insecure_channel(grpc_address)
    for path in files:
        signal = path.rsplit("/", 1)[-1].removesuffix(".json").rsplit("-", 1)[-1]
        request_type, response_type, stub, field, rejected = SIGNALS[signal]
        with open(path, "rb") as file:
            body = file.read()
        message = json_format.ParseDict(canonical(json.loads(body)), request_type(), ignore_unknown_fields=True)
        named = request_type.FromString(message.SerializeToString())
        for owner in getattr(named, field):
            owner.schema_url = "https://opentelemetry.io/schemas/1.44.0"
        replies = {
            "json": json_format.Parse(post(http_address, signal, "application/json", body), response_type()),
            "protobuf": response_type.FromString(
                post(http_address, signal, "application/x-protobuf", message.SerializeToString())),
            "grpc": stub(channel).Export(named, timeout=60),
        }
        for form, reply in replies.items():
            refused = getattr(reply.partial_success, rejected)
            print(json.dumps({"signal": signal, "form": form, "sent": count(message, field), "rejected": refused}))


main()
