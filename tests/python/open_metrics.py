"""Reads OpenMetrics from standard input with the parser of prometheus_client, and prints each sample as a line of JSON."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        exemplar = sample.exemplar and {"labels": sample.exemplar.labels, "value": sample.exemplar.value}
        print(json.dumps({
            "family": family.name, "type": family.type, "unit": family.unit, "name": sample.name,
            "labels": sample.labels, "value": str(sample.value), "exemplar": exemplar,
        }))
