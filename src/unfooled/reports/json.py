"""results.json: every number of the report, for other programs."""

from unfooled.document import packed
from unfooled.report import Report

ENDING = "json"


def json(report: Report) -> bytes:
    """The results as JSON, keys in a fixed order, as `unfooled show results.schema` has them.

    Two runs of one study on one machine differ in the block `environment` alone.
    """
    return packed(report)
