#!/usr/bin/env python3
"""Rows per CPU-second of the gateway, peak memory and bytes a row, at 1, 20 and 500 records a request.

    cargo build --release --bins --example load && python3 bench/run.py [--records-in-all 1000000]

Only the standard library is needed. Everything stays on loopback and in a temporary directory. CPU is user + system time of the whole
process, the last commit included. Run it on a quiet machine, and compare ratios of one run: machines differ, and so do hours.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
# The generator, where it is another build.
LOAD = pathlib.Path(os.environ.get("FLOE_LOAD", TARGET / "examples" / "load"))
TICKS = os.sysconf("SC_CLK_TCK")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def configuration(ports):
    text = (ROOT / "pipelines.yaml").read_text()
    for default, port in zip((4317, 4318, 9464, 13133, 13134, 8888), ports):
        text = text.replace(f"127.0.0.1:{default}", f"127.0.0.1:{port}")
    return text


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024


def wait_ready(port, process):
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
            return
        except OSError:
            if process.poll() is not None:
                raise SystemExit("the gateway did not start")
            time.sleep(0.05)
    raise SystemExit("the gateway is not ready")


def measure(kind, records, in_all, gzip):
    with tempfile.TemporaryDirectory() as directory:
        ports = free_ports(6)
        pathlib.Path(directory, "pipelines.yaml").write_text(configuration(ports))
        with open(pathlib.Path(directory, "log"), "w") as log:
            gateway = subprocess.Popen([TARGET / "floe"], cwd=directory, stdout=log, stderr=log)
        try:
            wait_ready(ports[3], gateway)
            idle = cpu_seconds(gateway.pid)
            command = [LOAD, "--endpoint", f"http://127.0.0.1:{ports[0]}", "--kind", kind]
            command += ["--records", str(records), "--requests", str(max(in_all // records, 1))] + (["--gzip"] if gzip else [])
            sent = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            subprocess.run([TARGET / "floe", "flush"], cwd=directory, check=True, capture_output=True)
            cpu, peak = cpu_seconds(gateway.pid) - idle, peak_mib(gateway.pid)
            gateway.send_signal(signal.SIGTERM)
            gateway.wait(60)
        finally:
            gateway.kill()
            gateway.wait()
        table = "invocations" if kind == "spans" else "errors"
        files = list(pathlib.Path(directory, "floe-data", "warehouse").glob(f"**/{table}/data/**/*.parquet"))
        size = sum(file.stat().st_size for file in files)
    return {
        "kind": kind, "records a request": records, "gzip": gzip, "records": sent["records"],
        "records per CPU-second": round(sent["records"] / cpu), "records per second": round(sent["records"] / sent["seconds"]),
        "peak MiB": round(peak), f"bytes a row of {table}": round(size / sent["records"], 1),
        "ack p50 ms": sent["ack_p50_ms"], "ack p99 ms": sent["ack_p99_ms"],
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--records-in-all", type=int, default=1_000_000)
    in_all = arguments.parse_args().records_in_all
    cases = [("spans", 500, in_all, False), ("spans", 500, in_all, True), ("spans", 20, in_all // 4, False)]
    cases += [("spans", 1, in_all // 40, False), ("logs", 20, in_all // 20, False)]
    for case in cases:
        print(json.dumps(measure(*case)), flush=True)


if __name__ == "__main__":
    main()
