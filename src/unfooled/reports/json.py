"""results.json: every number of the report, for other programs."""

import json as text
from dataclasses import asdict

from unfooled.report import Report

ENDING = "json"
_SCHEMA = 3


def json(report: Report) -> bytes:
    """The results as JSON, keys in a fixed order.

    Two runs of one study on one machine differ in the block `environment` alone.
    """
    whole = {
        "schema": _SCHEMA,
        "answer": asdict(report.answer),
        "checks": [asdict(one) for one in report.findings],
        **asdict(report.results),
        "environment": {**report.environment, "seconds": report.seconds},
    }
    return (text.dumps(whole, indent=1, allow_nan=False) + "\n").encode()
