"""Whether a network holds a floor, or is worse than it was: for whoever ships it.

All of it is a function of a report, and of the record that an earlier gate left.
"""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import numpy as np
from pydantic import ConfigDict, TypeAdapter
from pydantic_core import from_json
from scipy import stats

from unfooled import __version__, outcomes, store
from unfooled.errors import InvalidData, InvalidOption, brief
from unfooled.outcomes import WORST
from unfooled.publishing import publish
from unfooled.report import Report, gather
from unfooled.wording import percent

HELD, SHORT, UNJUDGED = 0, 1, 2  # exit codes
_WORDS = {HELD: "holds", SHORT: "falls short", UNJUDGED: "not judged"}
_FORMAT = 1
_FILES = ("gate.json", "gate.xml", "gate.md")  # see `ruled`


@dataclass(frozen=True)
class Record:
    """What a gate keeps of a network for the next one.

    Attributes:
        network: its title.
        data: SHA-256 of the images and labels.
        norm, eps: of the worst case.
        attacks: that it stood or fell under, with their options.
        ids: of the images.
        stands: which of them it reads correctly under the worst of these attacks.
        doubts: why its number cannot be believed; none where it can.
        unfooled: the version that attacked it.
    """

    # As it is read from a file that may be anybody's.
    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    network: str
    data: str
    norm: str
    eps: float
    attacks: tuple[str, ...]
    ids: tuple[int, ...]
    stands: tuple[bool, ...]
    doubts: tuple[str, ...]
    unfooled: str = __version__

    @property
    def share(self) -> float:
        """Of the images that it stands on."""
        return sum(self.stands) / len(self.stands)

    def file(self) -> bytes:
        """For `read`."""
        return (json.dumps({"format": _FORMAT, **asdict(self)}) + "\n").encode()


@dataclass(frozen=True)
class Ruling:
    """What a gate says.

    Attributes:
        code: 0 holds, 1 falls short, 2 could not be judged.
        line: why, with the numbers.
    """

    code: int
    line: str


def record(report: Report) -> Record:
    """How the first network of an evaluation stands at its eps, image by image."""
    study, norm, eps = report.study, report.results.norm, report.study.answer_eps
    seed = report.results.recipes[0].seeds[0]
    row = outcomes.tables(study, report.facts, 0, [seed])[WORST, norm, eps][0]
    attacks = [
        f"{sweep.title} {json.dumps(dict(sweep.options), sort_keys=True)}"
        for _, sweep in outcomes.untargeted(study, norm)
    ]
    return Record(
        network=report.results.recipes[0].title,
        data=report.environment["data"]["sha256"],
        norm=norm,
        eps=eps,
        attacks=tuple(attacks),
        ids=tuple(int(one) for one in outcomes.met(study, report.facts, 0, seed, norm)),
        stands=tuple(bool(one) for one in row),
        doubts=tuple(one.sentence for one in report.answer.doubts if one.serious),
    )


def read(content: bytes, name: str) -> Record:
    """The record of an earlier gate, from its file.

    Raises:
        InvalidData: it is none.
    """
    try:
        plain: dict[str, Any] = from_json(content)
        if plain.pop("format") != _FORMAT:
            raise InvalidData(f"{name} is of another version of unfooled; make it again")
        found = TypeAdapter(Record).validate_json(json.dumps(plain))
        if not len(found.ids) == len(found.stands) > 0:
            raise ValueError("its images and what became of them differ in number, or are none")
        return found
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidData(
            f"{name} is no record of a gate, such as the gate.json in a run's folder: "
            f"{type(error).__name__}, {brief(error)}"
        ) from error


def checked(least: float | None, confidence: float) -> None:
    """Whether a gate can ask this.

    Raises:
        InvalidOption: a share or a confidence that is none.
    """
    for name, value in (("the floor", least), ("the confidence", confidence)):
        if value is not None and not 0 < value < 1:
            raise InvalidOption(f"{name} must lie between 0 and 1, not {value:g}")


def cleared(folder: Path, kept: Path | None) -> None:
    """No earlier ruling in a folder, which would be taken for this one if nothing is judged.

    Args:
        folder: of the run.
        kept: the record that this gate holds the network against, which may be there.
    """
    for name in _FILES:
        if kept is None or (folder / name).resolve() != kept.resolve():
            (folder / name).unlink(missing_ok=True)


def ruled(
    folder: Path,
    least: float | None,
    old: Record | None,
    confidence: float,
    *,
    allow: Collection[str] = (),
) -> Ruling:
    """The ruling on a finished run, with its files beside the report's.

    `gate.json` is for the next comparison, `gate.xml` for a CI system, `gate.md` for a pull
    request.

    Args:
        folder: of the run.
        least: the floor; None for none.
        old: the record to be compared with; None for none.
        allow: as in `gather`.
    """
    made = gather(folder, allow=allow)
    publish(made, folder)
    found = record(made)
    rulings = {}
    if least is not None:
        asked = f"at least {percent(least)} at {found.norm} eps {found.eps:g}"
        rulings[asked] = floor(found, least, confidence)
    if old is not None:
        rulings[f"not worse than {old.network} was"] = compared(found, old, confidence)
    contents = (found.file(), junit(rulings), markdown(rulings, found))
    for name, content in zip(_FILES, contents, strict=True):
        store.write(folder / name, content)
    return both(list(rulings.values()))


def floor(found: Record, least: float, confidence: float) -> Ruling:
    """Whether the network is shown to stand on at least that share of all such images.

    The interval is Clopper and Pearson's, which is exact, two-sided and over the images.

    Raises:
        InvalidOption: a share or a confidence that is none.
    """
    checked(least, confidence)
    if found.doubts:
        return _doubted(found)
    n, k = len(found.stands), sum(found.stands)
    low = _low(k, n, confidence)
    told = (
        f"{found.network} stands on {k:,} of {n:,} images, {percent(found.share)}, at {found.norm} "
        f"eps {found.eps:g}; the {100 * confidence:g}\N{NO-BREAK SPACE}% interval begins at "
        f"{percent(low)}"
    )
    if low >= least:
        return Ruling(HELD, f"{told}, not below the floor of {percent(least)}")
    needed = _needed(found.share, least, confidence)
    more = f", and {needed:,} at this share" if needed else ""
    fewest = math.ceil(math.log((1 - confidence) / 2) / math.log(least))
    if n < fewest:
        return Ruling(
            UNJUDGED,
            f"{told}: {n:,} images cannot show {percent(least)} even if it stands on all; it takes "
            f"{fewest:,} if it does{more}",
        )
    ask = f"; at this share it would take {needed:,} images" if needed else ""
    return Ruling(SHORT, f"{told}, below the floor of {percent(least)}{ask}")


def compared(found: Record, old: Record, confidence: float) -> Ruling:
    """Whether the network is worse than the one of an earlier record, paired by image.

    One-sided exact test of McNemar: of the images on which the two differ, how many were lost.

    Raises:
        InvalidOption: the confidence is none.
    """
    checked(None, confidence)
    if found.doubts:
        return _doubted(found)
    other = [
        f"{name} {getattr(old, name)!r} there, {getattr(found, name)!r} now"
        for name in ("data", "norm", "eps", "attacks")
        if getattr(old, name) != getattr(found, name)
    ]
    if found.ids != old.ids:
        other.append(f"{len(old.ids):,} images there, {len(found.ids):,} now, or others")
    if other:
        return Ruling(UNJUDGED, f"the two cannot be paired: {'; '.join(other)}")
    if old.doubts:
        return Ruling(UNJUDGED, f"the earlier number cannot be believed: {old.doubts[0]}")
    now, then = np.array(found.stands), np.array(old.stands)
    lost, won = int((then & ~now).sum()), int((now & ~then).sum())
    p = float(stats.binomtest(lost, lost + won, alternative="greater").pvalue) if lost else 1.0
    told = (
        f"{found.network} stands on {percent(found.share)} of {len(now):,} images at {found.norm} "
        f"eps {found.eps:g}, {percent(old.share)} before: {lost:,} lost, {won:,} won (p {p:.3g}, "
        "one-sided exact McNemar test)"
    )
    if p <= 1 - confidence:
        return Ruling(SHORT, f"{told}; it is worse")
    return Ruling(HELD, f"{told}; it is not shown to be worse")


def both(rulings: list[Ruling]) -> Ruling:
    """One ruling: not judged if one is not, else the worst."""
    worst = max(rulings, key=lambda one: one.code)
    return Ruling(worst.code, "; ".join(one.line for one in rulings))


def junit(rulings: Mapping[str, Ruling]) -> bytes:
    """Rulings by what was asked, as JUnit XML: a case each."""
    count = {code: sum(one.code == code for one in rulings.values()) for code in _WORDS}
    suite = ElementTree.Element(
        "testsuite",
        name="unfooled",
        tests=str(len(rulings)),
        failures=str(count[SHORT]),
        errors=str(count[UNJUDGED]),
    )
    for name, one in rulings.items():
        case = ElementTree.SubElement(suite, "testcase", classname="unfooled.gate", name=name)
        if one.code:
            kind = "failure" if one.code == SHORT else "error"
            ElementTree.SubElement(case, kind, message=one.line).text = one.line
        ElementTree.SubElement(case, "system-out").text = one.line
    return bytes(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)) + b"\n"


def markdown(rulings: Mapping[str, Ruling], found: Record) -> bytes:
    """Rulings by what was asked, for a pull request."""
    lines = [f"### Robustness: {_WORDS[max(one.code for one in rulings.values())]}", ""]
    lines += [
        f"- **{name}: {_WORDS[one.code]}.** {one.line.rstrip('.')}."
        for name, one in rulings.items()
    ]
    lines += ["", f"Attacks: {', '.join(one.partition(' {')[0] for one in found.attacks)}. "]
    lines[-1] += "An attack gives an upper bound; the report tells what was looked for."
    return ("\n".join(lines) + "\n").encode()


def _doubted(found: Record) -> Ruling:
    return Ruling(UNJUDGED, f"its number cannot be believed: {' '.join(found.doubts)}")


def _low(k: int, n: int, confidence: float) -> float:
    interval = stats.binomtest(k, n).proportion_ci(confidence_level=confidence, method="exact")
    return float(interval.low)


def _needed(share: float, least: float, confidence: float) -> int | None:
    """The images that it would take if the share stayed; None if no number would do."""
    if share <= least:
        return None
    n = 1
    while _low(math.floor(share * n), n, confidence) < least:
        n = math.ceil(1.05 * n) if n > 20 else n + 1
        if n > 10**7:
            return None
    return n
