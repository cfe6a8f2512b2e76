#!/usr/bin/env python3
"""What public scanners find of the corpus of docs/privacy.md, class by class, beside what floe finds.

    python3 bench/scanners.py [--gitleaks PATH] [--detect-secrets PATH]

The corpus is made by the seeded generator of the tests and lies in a temporary directory only. A secret counts as found if it no longer stands
whole in its text once the findings are taken out (gitleaks), or if its line was reported (detect-secrets, which tells no more). A scanner that
is not there is left out: `go install github.com/zricethezav/gitleaks/v8@v8.30.0`, `pip install detect-secrets==1.5.0`.
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def corpus(directory):
    path = pathlib.Path(directory, "corpus.jsonl")
    command = ["cargo", "test", "--lib", "--quiet", "what_is_planted_is_found_and_what_is_ordinary_stays"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=os.environ | {"FLOE_WRITE_CORPUS": str(path)})
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(cases, directory):
    for number, case in enumerate(cases):
        pathlib.Path(directory, f"{number:06}.txt").write_text(case["text"])


def gitleaks(program, cases, directory):
    """Per case: whether it is found."""
    report = pathlib.Path(directory).with_suffix(".json")
    command = [program, "dir", directory, "--no-banner", "--exit-code", "0", "--report-format", "json", "--report-path", report]
    subprocess.run(command, check=True, capture_output=True)
    texts = [case["text"] for case in cases]
    found = [False] * len(cases)
    for finding in json.loads(report.read_text()):
        number = int(pathlib.Path(finding["File"]).stem)
        texts[number] = texts[number].replace(finding["Secret"], "")
        found[number] = True
    return [hit and case["secret"] not in text for hit, case, text in zip(found, cases, texts)], found


def detect_secrets(program, cases, directory):
    command = [program, "scan", "--all-files", "--no-verify", "."]
    results = json.loads(subprocess.run(command, cwd=directory, check=True, capture_output=True).stdout)["results"]
    found = [False] * len(cases)
    reported = [False] * len(cases)
    for name, findings in results.items():
        number = int(pathlib.Path(name).stem)
        case = cases[number]
        reported[number] = True
        first = case["text"][: case["text"].find(case["secret"])].count("\n") + 1
        last = first + case["secret"].count("\n")
        found[number] = any(first <= finding["line_number"] <= last for finding in findings)
    return found, reported


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--corpus", help="a corpus that was written before")
    arguments.add_argument("--gitleaks", default=shutil.which("gitleaks"))
    arguments.add_argument("--detect-secrets", default=shutil.which("detect-secrets"))
    arguments = arguments.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        if arguments.corpus:
            cases = [json.loads(line) for line in pathlib.Path(arguments.corpus).read_text().splitlines()]
        else:
            cases = corpus(directory)
        texts = pathlib.Path(directory, "texts")
        texts.mkdir()
        write(cases, texts)
        scores = {"floe": ([case["found"] for case in cases], [case["found"] for case in cases])}
        if arguments.gitleaks:
            scores["gitleaks"] = gitleaks(arguments.gitleaks, cases, str(texts))
        if arguments.detect_secrets:
            scores["detect-secrets"] = detect_secrets(arguments.detect_secrets, cases, str(texts))
    planted = collections.Counter(case["class"] for case in cases)
    print("| class | planted | " + " | ".join(scores) + " |\n|---|---|" + "---|" * len(scores))
    for name in sorted(planted):
        row = []
        for found, reported in scores.values():
            # Of an ordinary text any finding is a false one.
            hits = reported if name == "ordinary" else found
            count = sum(hit for hit, case in zip(hits, cases) if case["class"] == name)
            row.append(f"{100 * count / planted[name]:.1f} %")
        print(f"| `{name}` | {planted[name]} | " + " | ".join(row) + " |")


main()
