"""An attack returned images outside the threat."""

from unfooled.check import Evidence
from unfooled.finding import Finding


def outside_threat(evidence: Evidence) -> list[Finding]:
    """Whether every attacked image lies within eps and [0, 1]; others count as not fooled."""
    if not evidence.results.outside:
        return [Finding("outside_threat", "ok", "Every attacked image lies within eps and [0, 1]")]
    return [
        Finding(
            "outside_threat",
            "failed",
            f"{title} returned {count:,} images outside eps or [0, 1]; they count as not fooled",
            count,
            advice="mend the attack: testing.check_attack says what it breaks",
        )
        for title, count in evidence.results.outside.items()
    ]
