"""Networks without a result, or without probes of it."""

from unfooled.check import Evidence
from unfooled.finding import Finding


def missing(evidence: Evidence) -> list[Finding]:
    """Whether every network of a recipe was trained, attacked by all attacks, and probed."""
    found = []
    for index, recipe in enumerate(evidence.study.recipes):
        own = [name for name in evidence.results.missing if name.rpartition("-")[0] == recipe.name]
        finished = [one.seeds for one in evidence.results.recipes if one.name == recipe.name]
        blind = [
            evidence.study.job_name("train", index, seed)
            for seeds in finished
            for seed in seeds
            if (index, seed) not in evidence.probes
        ]
        for names, what in ((own, "no result"), (blind, "a result and no probes of it")):
            if names:
                have = "network has" if len(names) == 1 else "networks have"
                sentence = f"{len(names)} {have} {what}: {', '.join(names)}"
                advice = "run the study again, and see what its failed jobs say"
                count = len(names)
                found.append(Finding("missing", "failed", sentence, count, recipe.name, advice))
    return found or [Finding("missing", "ok", "Every network was trained, attacked and probed")]
