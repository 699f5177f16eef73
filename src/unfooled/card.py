"""Robustness cards: what was measured of a network, on one page that travels with its weights.

The JSON has a published schema (docs/card.schema.json is `schema()`); the Markdown begins with the
same facts in the form of a model card's YAML head, which is JSON, as all JSON is YAML.
"""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from unfooled import attack, outcomes
from unfooled.outcomes import WORST
from unfooled.report import Report
from unfooled.results import Curve, RecipeResult
from unfooled.statistics import Estimate
from unfooled.wording import interval, percent

VERSION = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Share(_Strict):
    """A share of images with its interval."""

    value: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1, description="lower end of the 95 % interval")
    high: float = Field(ge=0, le=1, description="upper end of it")
    images: int = Field(ge=1)
    seeds: int = Field(ge=1, description="networks trained alike; 1 for a network by itself")


class Measured(_Strict):
    """What is read correctly under one attack within one threat."""

    attack: str = Field(description='its title, or "worst case": all of the norm, image by image')
    norm: str
    eps: float = Field(ge=0, description="in pixel units, pixels lying between 0 and 1")
    correct: Share


class Weapon(_Strict):
    """An attack, and what it knew."""

    attack: str
    norm: str
    knows: str = Field(description="gradients, scores, decisions or nothing")
    options: dict[str, Any]


class Doubted(_Strict):
    """A reason to doubt a number."""

    sentence: str
    serious: bool = Field(description="whether the verdict is withheld because of it")


class Checked(_Strict):
    """What a check of the audit came to."""

    check: str
    verdict: str = Field(description="ok, doubt, failed or not tried")
    sentence: str


class Card(_Strict):
    """A robustness card."""

    version: int = Field(description="of this schema")
    network: str
    loaded_by: str | None = Field(description="words or file; null for a recipe of a study")
    sha256: str | None = Field(description="of the file of its weights")
    dataset: str
    dataset_sha256: str
    split: str
    clean: Share
    measured: list[Measured]
    certified: list[Measured] = Field(description="shown to hold for every change within eps")
    attacks: list[Weapon]
    audit: list[Checked] = Field(description="of this network, or of the whole study")
    doubts: list[Doubted]
    unfooled: str = Field(description="the version that measured it")
    packages: dict[str, str]
    device: str


def schema() -> bytes:
    """The JSON schema of a card."""
    return (json.dumps(Card.model_json_schema(), indent=2) + "\n").encode()


def cards(report: Report) -> dict[str, Card]:
    """The card of every recipe or network of a report, by its name."""
    return {recipe.name: _card(report, recipe) for recipe in report.results.recipes}


def left_out(report: Report) -> list[str]:
    """What no card tells of, in a sentence each: its facts are damaged, or not there yet."""
    found = []
    for recipe in report.study.recipes:
        names = {f"{recipe.name}-{seed}" for seed in range(report.study.seeds)}
        missing = [name for name in report.results.missing if name in names]
        if len(missing) == len(names):
            found.append(f"no card for {recipe.title}: its facts are damaged or missing")
        elif missing:
            told = ", ".join(missing)
            found.append(
                f"the card of {recipe.title} is without {told}: facts are damaged or missing"
            )
    return found


def _card(report: Report, recipe: RecipeResult) -> Card:
    data, about = report.environment["data"], report.networks.get(recipe.name, {})
    weapons = []
    for sweep in report.study.sweeps:
        found = attack.find(sweep.attack, **sweep.options)
        plain = {name: value for name, value in found.all_options.items() if _plain(value)}
        weapons.append(
            Weapon(attack=sweep.title, norm=sweep.norm, knows=found.knows, options=plain)
        )
    return Card(
        version=VERSION,
        network=recipe.title,
        loaded_by=about.get("which"),
        sha256=about.get("sha256"),
        dataset=data["name"],
        dataset_sha256=data["sha256"],
        split=report.study.split,
        clean=_share(recipe.clean),
        measured=[
            one
            for curve in recipe.curves
            for one in _measured(curve)
            if curve.attack != WORST or one.eps in _everywhere(report, curve.norm)
        ],
        certified=_measured(recipe.certified) if recipe.certified is not None else [],
        attacks=weapons,
        audit=[
            Checked(check=one.check, verdict=one.verdict, sentence=one.sentence)
            for one in report.findings
            if one.recipe in ("", recipe.name)
        ],
        doubts=[Doubted(sentence=d.sentence, serious=d.serious) for d in report.answer.doubts],
        unfooled=report.environment["unfooled"],
        packages=dict(report.environment["packages"]),
        device=report.environment["device"],
    )


def _everywhere(report: Report, norm: str) -> set[float]:
    """The eps that every attack of the norm tried; the worst case at others is of some alone."""
    found = [set(sweep.eps) for _, sweep in outcomes.untargeted(report.study, norm)]
    return set.intersection(*found)


def _plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _measured(curve: Curve) -> list[Measured]:
    return [
        Measured(attack=curve.attack, norm=curve.norm, eps=eps, correct=_share(estimate))
        for eps, estimate in zip(curve.eps, curve.robust, strict=True)
        if eps > 0
    ]


def _share(one: Estimate) -> Share:
    return Share(value=one.value, low=one.low, high=one.high, images=one.images, seeds=one.seeds)


def as_json(card: Card) -> bytes:
    """The card for programs."""
    return (card.model_dump_json(indent=2) + "\n").encode()


def as_markdown(card: Card) -> bytes:
    """The card for people, with the head that sites of models read."""
    worst = [one for one in card.measured if one.attack == WORST]
    attacked = min((one.correct.images for one in worst or card.measured), default=0)
    verdicts = [one.verdict for one in card.audit]
    counts = ", ".join(f"{verdicts.count(one)} {one}" for one in dict.fromkeys(verdicts))
    rows = [("no attack", "-", percent(card.clean.value, 2), interval(card.clean, 2))]
    for kind, found in (("worst of all attacks", worst), ("certified", card.certified)):
        rows += [
            (kind, f"{m.norm} {m.eps:g}", percent(m.correct.value), interval(m.correct))
            for m in found
        ]
    table = [
        "| measured under | eps | read correctly | 95 % interval |",
        "| --- | --- | --- | --- |",
    ]
    table += [f"| {' | '.join(row)} |" for row in rows]
    names = dict.fromkeys(f"{one.attack} ({one.norm}, {one.knows})" for one in card.attacks)
    lines = [
        "---",
        *(f"{key}: {json.dumps(value)}" for key, value in _head(card).items()),
        "---",
        "",
        f"# Robustness of {card.network}",
        "",
        f"{card.clean.images:,} {card.split} images of {card.dataset}; attacks on "
        f"{attacked:,}. An attack shows that an image can be fooled, never that it "
        "cannot: the worst case is an upper bound of the truth, a certificate a lower one.",
        "",
        *table,
        "",
        f"Attacks: {', '.join(names)}.",
        "",
        f"Audit: {counts or 'none'}.",
        "",
        *[f"- {'Doubt' if one.serious else 'Note'}: {one.sentence}" for one in card.doubts],
        *([""] if card.doubts else []),
        f"Weights: SHA-256 {card.sha256 or 'not of one file'}. Data: SHA-256 "
        f"{card.dataset_sha256}. Measured by unfooled {card.unfooled} on {card.device}.",
    ]
    return ("\n".join(lines) + "\n").encode()


def _head(card: Card) -> dict[str, Any]:
    """What a site of models reads."""
    metrics = [{"type": "accuracy", "name": "Accuracy", "value": card.clean.value}]
    for kind, found in (("Robust", card.measured), ("Certified", card.certified)):
        metrics += [
            {
                "type": "accuracy",
                "name": f"{kind} accuracy, {one.norm} eps {one.eps:g}",
                "value": one.correct.value,
                "args": {"norm": one.norm, "eps": one.eps, "attack": one.attack},
            }
            for one in found
            if one.attack in (WORST, "certified")
        ]
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": card.dataset, "type": card.dataset.lower(), "split": card.split},
        "metrics": metrics,
    }
    return {
        "tags": ["image-classification", "adversarial-robustness"],
        "datasets": [card.dataset.lower()],
        "metrics": ["accuracy"],
        "model-index": [{"name": card.network, "results": [result]}],
    }
