#!/usr/bin/env python3
"""The Prometheus exporters of floe and of the OpenTelemetry Collector with the same points: CPU a point, seconds and bytes of a scrape, memory.

    cargo build --release --bin floe
    FLOE_TEST_PROMETHEUS=$(tests/parts/prometheus.sh) python3 bench/prometheus_collector.py [10000 100000 1000000]

Only the standard library is needed. Both run in turn, on loopback, each with its receiver of OTLP over HTTP and nothing else: what a request costs to
receive and to read is in the figures of both. Points are cumulative counters with four attributes, of a resource with three, 1,000 a request. CPU is user +
system time of the whole process. Compare the two of one run: machines differ, and so do hours.
"""

import argparse
import http.client
import os
import pathlib
import signal
import socket
import struct
import subprocess
import tempfile
import time

from run import TARGET, cpu_seconds, free_ports, peak_mib

POINTS = 1_000
ROUNDS = 3
FORMATS = {
    "text": "text/plain;version=0.0.4",
    "OpenMetrics": "application/openmetrics-text;version=1.0.0",
    "protobuf": "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
}

FLOE = """
receivers: {{ otlp: {{ protocols: {{ grpc: {{ endpoint: 127.0.0.1:{4} }}, http: {{ endpoint: 127.0.0.1:{0} }} }} }} }}
exporters: {{ prometheus: {{ endpoint: 127.0.0.1:{1}, max_series: {max}, max_series_per_metric: {max}, allow_raw: [labels] }} }}
extensions: {{ wal: {{ directory: wal }}, health_check: {{ endpoint: 127.0.0.1:{2} }}, admin: {{ endpoint: 127.0.0.1:{5} }} }}
service: {{ telemetry: {{ metrics: {{ address: 127.0.0.1:{3} }} }}, pipelines: {{ metrics: {{ receivers: [otlp], exporters: [prometheus] }} }} }}
"""
COLLECTOR = """
receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: 127.0.0.1:{0} }} }} }} }}
exporters: {{ prometheus: {{ endpoint: 127.0.0.1:{1}, enable_open_metrics: true, sending_queue: {{ enabled: false }} }} }}
service: {{ telemetry: {{ metrics: {{ level: none }} }}, pipelines: {{ metrics: {{ receivers: [otlp], exporters: [prometheus] }} }} }}
"""


def wait_open(port, process):
    for _ in range(600):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    raise SystemExit(f"{process.args[0]} did not start")


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def message(field, body):
    return varint(field << 3 | 2) + varint(len(body)) + body


def fixed(field, number):
    return varint(field << 3 | 1) + struct.pack("<Q", number)


def attributes(field, pairs):
    return b"".join(message(field, message(1, k.encode()) + message(2, message(1, v.encode()))) for k, v in pairs)


def request(first, start, now, value):
    """An ExportMetricsServiceRequest: its points are series `first` and the next ones."""
    common = [("http.request.method", "GET"), ("http.response.status_code", "200"), ("server.address", "api.internal.example")]
    points = b"".join(
        message(1, attributes(7, [*common, ("http.route", f"/api/v1/resource/{n}")]) + fixed(2, start) + fixed(3, now) + fixed(6, value))
        for n in range(first, first + POINTS)
    )
    sum_ = message(7, points + b"\x10\x02\x18\x01")
    metric = message(2, message(1, b"http.server.requests") + message(2, b"Requests") + message(3, b"{request}") + sum_)
    resource = message(1, attributes(1, [("service.name", "shop"), ("service.instance.id", "1"), ("host.name", "a")]))
    return message(1, resource + message(2, message(1, message(1, b"bench") + message(2, b"1")) + metric))


def send(port, series, start, round_):
    """Sends a point of each series."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for first in range(0, series, POINTS):
        body = request(first, start, start + round_ * 1_000_000_000, round_)
        connection.request("POST", "/v1/metrics", body, {"Content-Type": "application/x-protobuf"})
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 200, reply.status
    connection.close()


def scrape(port, accept, coding):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    began = time.monotonic()
    connection.request("GET", "/metrics", headers={"Accept": accept, "Accept-Encoding": coding})
    reply = connection.getresponse()
    size = 0
    while piece := reply.read(1 << 20):
        size += len(piece)
    assert reply.status == 200, reply.status
    return time.monotonic() - began, size


def measure(name, command, configuration, series):
    with tempfile.TemporaryDirectory() as directory:
        ports = free_ports(6)
        config = pathlib.Path(directory, "config.yaml")
        config.write_text(configuration.format(*ports, max=series + 100))
        with open(pathlib.Path(directory, "log"), "w") as log:
            process = subprocess.Popen([*command, "--config", config], cwd=directory, stdout=log, stderr=log)
        try:
            for port in ports[:2]:
                wait_open(port, process)
            start = time.time_ns()
            spent = [cpu_seconds(process.pid)]
            for round_ in range(1, ROUNDS + 2):
                send(ports[0], series, start, round_)
                spent.append(cpu_seconds(process.pid))
            new = (spent[1] - spent[0]) / series * 1e6
            known = (spent[-1] - spent[1]) / (series * ROUNDS) * 1e6
            print(f"{name:9} {series:8} series: {new:6.2f} us a new one, {known:6.2f} us a point of a known one, {peak_mib(process.pid):5.0f} MiB at most")
            for what, accept in FORMATS.items():
                for coding in ("identity", "gzip"):
                    before = cpu_seconds(process.pid)
                    seconds, size = scrape(ports[1], accept, coding)
                    cpu = cpu_seconds(process.pid) - before
                    print(f"{name:9}   {what:11} {coding:8} {seconds:7.3f} s, {cpu:6.2f} s of CPU, {size:>11,} bytes")
            print(f"{name:9}   {peak_mib(process.pid):5.0f} MiB at most after the scrapes", flush=True)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("series", type=int, nargs="*", default=[10_000, 100_000])
    sizes = parser.parse_args().series
    floe = os.environ.get("FLOE_BINARY", TARGET / "floe")
    collector = pathlib.Path(os.environ["FLOE_TEST_PROMETHEUS"], "collector")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    for series in sizes:
        measure("floe", [floe], FLOE, series)
        measure("Collector", [collector], COLLECTOR, series)


if __name__ == "__main__":
    main()
