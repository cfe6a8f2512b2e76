"""Validates configurations against floe's JSON Schema, with a validator that shares no code with floe.

    check_schema.py    standard input: {"schema": …, "instances": [[name, configuration], …]}
                       output: one JSON object an instance, {"name": …, "errors": [path and message, …]}
"""

import json
import sys

from jsonschema import Draft7Validator


def main():
    given = json.load(sys.stdin)
    Draft7Validator.check_schema(given["schema"])
    validator = Draft7Validator(given["schema"])
    for name, instance in given["instances"]:
        errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(instance)]
        print(json.dumps({"name": name, "errors": errors}))


main()
