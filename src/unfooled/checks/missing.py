"""Networks without a result."""

from unfooled.check import Evidence
from unfooled.finding import Finding


def missing(evidence: Evidence) -> list[Finding]:
    """Whether every network of a recipe was trained and attacked by all attacks."""
    found = []
    for recipe in evidence.study.recipes:
        own = [name for name in evidence.results.missing if name.rpartition("-")[0] == recipe.name]
        if own:
            have = "network has" if len(own) == 1 else "networks have"
            sentence = f"{len(own)} {have} no result: {', '.join(own)}"
            advice = "run the study again, and see what its failed jobs say"
            found.append(Finding("missing", "failed", sentence, len(own), recipe.name, advice))
    return found or [Finding("missing", "ok", "Every network was trained and attacked")]
