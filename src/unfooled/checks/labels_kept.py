"""A transformation may turn an image into what its label does not say."""

from unfooled import transform
from unfooled.check import Evidence
from unfooled.finding import Finding


def labels_kept(evidence: Evidence) -> list[Finding]:
    """Whether a transformation is known to spoil images of these classes."""
    found = []
    for recipe in evidence.study.recipes:
        for name, _ in recipe.transforms:
            why = transform.doubt(name, evidence.classes)
            if why:
                advice = f"leave out {name}"
                found.append(
                    Finding("labels_kept", "doubt", why.rstrip("."), None, recipe.name, advice)
                )
    return found
