#!/usr/bin/env python3
"""What durability costs: acknowledgements beside a raw fdatasync, `fsync: group` beside `never`, bytes of the log a row, and the replay of a full log.

    cargo build --release --bins --example load && python3 bench/durability.py [--rows 1000000] [--directory /on/the/disk/to/measure]

Only the standard library is needed. Everything stays on loopback and below the directory, which has to be on the disk in question: many a /tmp is memory.
Run it on a quiet machine, and compare within one run: machines differ, and so do hours.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import urllib.request

from run import LOAD, TARGET, configuration, free_ports, wait_ready


class Gateway:
    """A gateway with the shipped configuration that commits only when it is told to, unless the settings say otherwise."""

    def __init__(self, directory, *settings):
        self.directory = directory
        self.ports = free_ports(6)
        pathlib.Path(directory, "pipelines.yaml").write_text(configuration(self.ports))
        self.settings = ["--set", "exporters.iceberg.commit.max_age=1h", "--set", "exporters.iceberg.commit.max_bytes=8GiB"]
        for setting in settings:
            self.settings += ["--set", setting]
        self.process = None

    def start(self):
        """Seconds until it was ready."""
        began = time.monotonic()
        with open(pathlib.Path(self.directory, "log"), "a") as log:
            self.process = subprocess.Popen([TARGET / "floe", *self.settings], cwd=self.directory, stdout=log, stderr=log)
        wait_ready(self.ports[3], self.process)
        return time.monotonic() - began

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def load(self, records, requests, concurrency):
        command = [LOAD, "--endpoint", f"http://127.0.0.1:{self.ports[0]}", "--records", str(records)]
        command += ["--requests", str(requests), "--concurrency", str(concurrency)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def metric(self, name):
        page = urllib.request.urlopen(f"http://127.0.0.1:{self.ports[5]}/metrics").read().decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", page, re.M))

    def flush(self):
        began = time.monotonic()
        subprocess.run([TARGET / "floe", *self.settings, "flush"], cwd=self.directory, check=True, capture_output=True)
        return time.monotonic() - began

    def peak_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024


def show(**fields):
    print(json.dumps(fields), flush=True)


def raw_syncs(directory, size, count=500):
    """Milliseconds of a write of so many bytes with its fdatasync, at the end of a growing file: p50 and p99."""
    path = pathlib.Path(directory, "raw")
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    times = []
    for n in range(count):
        began = time.perf_counter()
        os.pwrite(file, b"x" * size, n * size)
        os.fdatasync(file)
        times.append((time.perf_counter() - began) * 1000)
    os.close(file)
    path.unlink()
    times.sort()
    return round(times[count // 2], 2), round(times[count * 99 // 100], 2)


def acknowledgements(place):
    for senders, records, requests in [(1, 1, 2000), (64, 1, 20_000), (1, 500, 300)]:
        with tempfile.TemporaryDirectory(dir=place) as directory, Gateway(directory) as gateway:
            p50, p99 = raw_syncs(directory, 400 if records == 1 else 60_000)
            before = gateway.metric("floe_wal_syncs_total")
            sent = gateway.load(records, requests, senders)
            syncs = gateway.metric("floe_wal_syncs_total") - before
            show(figure="ack", senders=senders, spans_a_request=records, ack_p50_ms=sent["ack_p50_ms"], ack_p99_ms=sent["ack_p99_ms"],
                 raw_p50_ms=p50, raw_p99_ms=p99, requests_a_sync=round(requests / max(syncs, 1), 1))


def syncs(place, rows):
    for records, senders in [(500, 16), (20, 16), (1, 64)]:
        for fsync in ("group", "never", "group", "never"):
            with tempfile.TemporaryDirectory(dir=place) as directory, Gateway(directory, f"extensions.wal.fsync={fsync}") as gateway:
                sent = gateway.load(records, max(rows // (4 if records == 500 else 10 if records == 20 else 40) // records, 1), senders)
                show(figure="fsync", fsync=fsync, spans_a_request=records, senders=senders,
                     spans_a_second=round(sent["records"] / sent["seconds"]), ack_p50_ms=sent["ack_p50_ms"], ack_p99_ms=sent["ack_p99_ms"])


def log_bytes(place):
    for records, requests in [(1, 2000), (20, 500), (500, 40)]:
        with tempfile.TemporaryDirectory(dir=place) as directory, Gateway(directory) as gateway:
            before = gateway.metric("floe_wal_size_bytes")
            sent = gateway.load(records, requests, 1)
            size = gateway.metric("floe_wal_size_bytes") - before
            held = gateway.metric("otelcol_exporter_queue_size")
            show(figure="log", spans_a_request=records, bytes_a_row=round(size / held, 1), rows=held, spans=sent["records"])


def replay(place, rows):
    with tempfile.TemporaryDirectory(dir=place) as directory, Gateway(directory) as gateway:
        gateway.load(500, rows // 500, 16)
        held, size = gateway.metric("otelcol_exporter_queue_size"), gateway.metric("floe_wal_size_bytes")
        gateway.kill()
        opened = gateway.start()
        committed = gateway.flush()
        show(figure="replay", rows=held, log_mib=round(size / 2**20), seconds_until_ready=round(opened, 2), rows_a_second_read=round(held / opened),
             seconds_until_committed=round(committed, 2), rows_a_second_written=round(held / committed), peak_mib=round(gateway.peak_mib()))
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.wait(60)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--directory", default=".")
    given = arguments.parse_args()
    place = pathlib.Path(given.directory).resolve()
    acknowledgements(place)
    syncs(place, given.rows)
    log_bytes(place)
    replay(place, given.rows)


main()
