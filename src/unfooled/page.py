"""What the pages of a report say, in words and finished tables; PDF and HTML only lay it out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from unfooled import attack, defence
from unfooled.answer import percent, points, points_interval, quoted
from unfooled.evaluation import UNREAD
from unfooled.figures import Figure, all_figures
from unfooled.model import Layer
from unfooled.outcomes import CLEAN, WORST
from unfooled.recipe import Recipe
from unfooled.report import Report
from unfooled.results import Comparison, RecipeResult
from unfooled.statistics import CANNOT_TELL, FEWEST_SEEDS, Estimate


@dataclass(frozen=True)
class Table:
    """A table of finished text.

    Attributes:
        title: one line above it.
        head: of each column.
        rows: of cells, as many as there are columns.
        note: below it.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the report: paragraphs, then tables, then figures.

    Attributes:
        title: its heading.
        paragraphs: plain text.
        tables, figures: in the order in which they are shown.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Page:
    """The whole report.

    Attributes:
        title: the question.
        subtitle: data, model, seeds; and why these data, if they are not those that were asked for.
        short: the answer in a word or two.
        sentence: the answer with its numbers.
        doubts: pairs of a mark ("Doubt" or "Note") and a sentence.
        steps: the four steps.
        lead: the figure of the first page.
        limits: what the study does not show.
        sections: the rest.
    """

    title: str
    subtitle: str
    short: str
    sentence: str
    doubts: tuple[tuple[str, str], ...]
    steps: Table
    lead: Figure
    limits: str
    sections: tuple[Section, ...]


def page(report: Report) -> Page:
    """The pages of a report."""
    figures = all_figures(report)
    baseline = report.results.recipes[0]
    shown = [figures[name] for name in figures if name.startswith("digits-")]
    data, note = report.environment["data"], report.environment.get("note", "")
    sections = [
        Section("Robust accuracy in numbers", (), tuple(_robust(report))),
        Section("What the network sees", _pictures_words(report), (), tuple(shown)),
        Section("Which class is read as which", (), (), (figures["confusion"],)),
        Section("How the networks learned", (), (_learned(report),), (figures["learning"],)),
        Section("How to read this report", _reading(report)),
        Section(
            "The network, layer by layer",
            _network_words(report),
            (_layers(report.layers),),
            tuple(figures[name] for name in ("inside",) if name in figures),
        ),
        Section(
            "Everything needed to repeat it",
            (),
            (_recipes(report), _attacks(report), _machine(report)),
        ),
    ]
    if report.results.targeted:
        matrices = tuple(figures[name] for name in figures if name.startswith("targeted-"))
        aimed = Section("Turned into a chosen class", (_AIMED,), (_aimed(report),), matrices)
        sections.insert(3, aimed)
    if "effects" in figures:
        words, pairs = _effects_words(report), _pairs(report)
        sections.insert(
            0, Section("What each recipe changes", words, (pairs,), (figures["effects"],))
        )
    seeds = report.study.seeds
    return Page(
        title=report.study.question,
        subtitle=f"{data['name']}, network {report.study.model!r}, "
        f"{seeds} {'seed' if seeds == 1 else 'seeds'} a recipe{f'. {note}' if note else ''}",
        short=report.answer.short,
        sentence=report.answer.sentence,
        doubts=tuple(("Doubt" if d.serious else "Note", d.sentence) for d in report.answer.doubts),
        steps=_steps(report, baseline),
        lead=figures["curves"],
        limits=_limits(report),
        sections=tuple(sections),
    )


def _limits(report: Report) -> str:
    """What a reader must not take from it."""
    norms = " and ".join(dict.fromkeys(sweep.norm for sweep in report.study.sweeps))
    return (
        "It says nothing about other data, other networks, other sizes of these transformations, "
        f"or changes other than small ones measured by {norms}. An attack finds an upper bound of "
        "the robust accuracy, never the robust accuracy itself."
    )


def _steps(report: Report, baseline: RecipeResult) -> Table:
    """The four steps: train, attack, train with transformations, attack."""
    results, eps = report.results, report.study.answer_eps
    asked = [recipe for recipe in results.recipes[1:] if not recipe.control]
    rows: list[tuple[str, ...]] = []
    first, norm = results.first, results.norm
    for recipe in [baseline, *asked]:
        train, strike = ("1", "2") if recipe is baseline else ("3", "4")
        rows.append(
            (
                f"{train}. Train: {recipe.title}",
                "no attack",
                percent(recipe.clean.value, 2),
                _interval(recipe.clean, 2),
                _change(results.compared(recipe.name, CLEAN, 0.0)),
            )
        )
        for place, (kind, at) in enumerate(
            ((first.attack, eps), (WORST, eps), (WORST, first.eps[-1]))
        ):
            estimate = recipe.curve(kind, norm).at(at)
            rows.append(
                (
                    f"{strike}. Attack it" if place == 0 else "",
                    f"{kind}, eps {at:g}",
                    percent(estimate.value),
                    _interval(estimate),
                    _change(results.compared(recipe.name, kind, at)),
                )
            )
    return Table(
        "The four steps",
        (
            "step",
            "measured under",
            "read correctly",
            "95 % interval",
            "change in points, with interval",
        ),
        tuple(rows),
        f"Test images: {baseline.clean.images:,} for clean accuracy, {first.images:,} for "
        f"{first.attack}, {baseline.curve(WORST, norm).images:,} for the worst case of all "
        f"attacks, image by image. Changes are paired with {quoted(baseline)}.",
    )


def _interval(estimate: Estimate, digits: int = 1) -> str:
    return f"{100 * estimate.low:.{digits}f} to {100 * estimate.high:.{digits}f}"


def _change(one: Comparison | None) -> str:
    if one is None:
        return ""
    return f"{points(one.difference.value)} ({points_interval(one.difference)}) {one.verdict}"


def _effects_words(report: Report) -> tuple[str, ...]:
    """What the first attack alone would have said, and what the study could have missed."""
    results, eps = report.results, report.study.answer_eps
    first = results.first.attack
    found = []
    for recipe in results.recipes[1:]:
        alone = results.compared(recipe.name, first, eps)
        worst = results.compared(recipe.name, WORST, eps)
        if alone is None or worst is None or alone.verdict == worst.verdict:
            continue
        found.append(
            f"{recipe.title}: {first} alone would have said {alone.verdict!r} "
            f"({points(alone.difference.value)} points); the worst case says {worst.verdict!r} "
            f"({points(worst.difference.value)} points)."
        )
    if not found:
        found = [
            f"{first} alone would have led to the same verdicts as the worst case of all attacks."
        ]
    margin = 100 * report.study.margin
    words = (
        f"A verdict is {CANNOT_TELL!r} when neither the whole interval lies within {margin:g} "
        f"points nor the corrected p is below 0.05, and always with fewer than {FEWEST_SEEDS} "
        "seeds. The smallest detectable difference is the true one that such a study finds in 80 "
        "of 100 cases, before the correction."
    )
    return (" ".join(found), words)


def _pairs(report: Report) -> Table:
    """Every pair of recipes, under the worst case at the study's eps."""
    results, eps = report.results, report.study.answer_eps
    titles = {recipe.name: recipe.title for recipe in results.recipes}
    rows = []
    for first, second in combinations(titles, 2):
        for one in results.comparisons:
            if (one.first, one.second, one.against, one.norm, one.eps) == (
                *(first, second, WORST, results.norm, eps),
            ):
                rows.append(
                    (
                        f"{titles[second]} less: {titles[first]}",
                        points(one.difference.value),
                        points_interval(one.difference),
                        "< 0.001" if one.p < 0.001 else f"{one.p:.3f}",
                        f"{100 * one.detectable:.1f}",
                        one.verdict,
                    )
                )
    return Table(
        f"Paired differences under the worst case, eps {eps:g}",
        ("pair", "points", "95 % interval", "p (Holm)", "detectable", "verdict"),
        tuple(rows),
        "Holm's correction runs over the comparisons with the baseline, and apart from them over "
        "the other pairs.",
    )


def _robust(report: Report) -> list[Table]:
    """A table for each attack: recipes against eps."""
    tables = []
    for curve in report.results.recipes[0].curves:
        rows = []
        for recipe in report.results.recipes:
            own = recipe.curve(curve.attack, curve.norm)
            rows.append((recipe.title, *(f"{100 * e.value:.1f}" for e in own.robust)))
            rows.append(
                ("", *(f"{100 * e.low:.1f}\N{EN DASH}{100 * e.high:.1f}" for e in own.robust))
            )
        name = (
            "Worst case of all attacks, image by image" if curve.attack == WORST else curve.attack
        )
        tables.append(
            Table(
                f"{name}: read correctly, in per cent",
                ("recipe", *(f"eps {eps:g}" for eps in curve.eps)),
                tuple(rows),
                f"{curve.norm}, {curve.images:,} test images; below each number its 95 % interval. "
                "An image that was fooled at a small eps counts as fooled at every larger one.",
            )
        )
    return tables


def _pictures_words(report: Report) -> tuple[str, ...]:
    title = report.study.sweeps[0].title
    return (
        f"{title} moves each image by at most eps in {report.study.sweeps[0].norm}, where pixels "
        "lie between 0 and 1; the change is chosen to mislead the network, not a person. High "
        "values are drawn dark.",
    )


def _learned(report: Report) -> Table:
    rows = []
    for recipe in report.results.recipes:
        own = [f"{_mean(values)}" for values in (recipe.validation, recipe.transformed)]
        count = f"{len(recipe.overfitted)} of {len(recipe.seeds)}"
        watched = recipe.history[0][-1]["several_steps"] is not None
        rows.append((recipe.title, *own, percent(recipe.clean.value, 2), count if watched else "-"))
    return Table(
        "Without attack",
        ("recipe", "validation", "validation, transformed", "test", "overfitted to one step"),
        tuple(rows),
        "Means over the seeds. Validation images are held-out training images; they were measured "
        "after every epoch, as they are and with the recipe's transformations. The test images "
        "were used once, at the end.",
    )


_AIMED = (
    "Source/target misclassification: the attacker wants each image read as one chosen class, "
    "which is harder than as any wrong one. These shares are not part of the worst case."
)


def _aimed(report: Report) -> Table:
    classes = report.environment["data"]["classes"]
    rows = []
    for one in report.results.targeted:
        extremes = one.extremes()
        told = ["", ""]
        for place, (row, column) in enumerate(extremes or ()):
            cell = one.cells[row][column]
            if cell is not None:
                told[place] = (
                    f"{classes[row]} to {classes[column]}: {100 * cell.value:.0f} "
                    f"({_interval(cell, 0)})"
                )
        rows.append(
            (
                report.results.recipe(one.recipe).title,
                f"{one.attack}, {one.norm} {one.eps:g}",
                percent(one.turned.value),
                _interval(one.turned),
                *told,
            )
        )
    return Table(
        "Images that can be turned into a chosen class",
        ("recipe", "attack", "turned", "95 % interval", "most often, in %", "least often, in %"),
        tuple(rows),
        "Turned: the share of the test images that the attack turned into the class chosen for "
        "them (into at least one, where every other class was a target).",
    )


def _mean(values: Sequence[float]) -> str:
    return percent(sum(values) / len(values), 2)


def _reading(report: Report) -> tuple[str, ...]:
    norm = report.study.sweeps[0].norm
    size = "the largest change of any pixel" if norm == "Linf" else "the length of the change"
    return (
        f"eps is the size of the change that the attacker may make, measured by {norm}: {size}. "
        "Robust accuracy is the share of the test images that the network reads correctly without "
        "attack and that no attack within eps could turn.",
        "Cross-entropy is the loss that training lowers and the attack raises: minus the logarithm "
        "of the probability that the network gives to the true class.",
        "White box means that the attacker knows all of the model and follows its gradient, as "
        "FGSM (one step of size eps along the sign of the gradient) and PGD (many small steps) do. "
        "Black box means inputs and outputs only. The table of attacks at the end says what each "
        "one knows.",
        "Misclassification means any wrong class, which is what all attacks of this report want; "
        "source/target misclassification means a chosen wrong class.",
        "An attack shows that an image can be fooled, never that it cannot. Robust accuracy under "
        "attack is therefore an upper bound of the truth, and a stronger attack may lower it. "
        "Controls stand beside the recipes for that reason: a positive control must help, "
        "a sham control must not.",
        "Intervals cover two sources of chance, the seeds and the test images (crossed random "
        "effects; each part with its own quantile of t); with one seed, the test images only. They "
        "do not cover other networks, other data or other attacks.",
        "The judge asks the network itself about the very image that the attack returned, measures "
        "its distance again in double precision, and counts an answer that is not a finite number "
        f"as misread ({UNREAD} in the facts).",
    )


def _network_words(report: Report) -> tuple[str, ...]:
    parameters = sum(layer.parameters for layer in report.layers)
    products = sum(layer.multiplications for layer in report.layers)
    return (
        f"{report.study.model}: {parameters:,} parameters, {products:,} multiplications an image. "
        "A convolution slides one small kernel over the whole image, so that a pattern is known "
        "wherever it lies and few numbers have to be learned. The last layer gives one number "
        "(logit) for each class; the largest is the class that is read.",
    )


def _layers(layers: Sequence[Layer]) -> Table:
    return Table("Layers", *layer_cells(layers))


def layer_cells(layers: Sequence[Layer]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Head and rows of a table that explains a network layer by layer."""
    rows = [
        (
            layer.kind,
            " x ".join(map(str, layer.output)),
            layer.kernel or "-",
            f"{layer.field} x {layer.field}" if layer.field else "whole image",
            f"{layer.parameters:,}",
            f"{layer.multiplications:,}",
        )
        for layer in layers
    ]
    return ("layer", "output", "kernel", "sees", "parameters", "multiplications"), tuple(rows)


def summary(report: Report) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Head and rows of the short table that a terminal shows."""
    results, eps = report.results, report.study.answer_eps
    first, norm = results.first, results.norm
    head = (f"eps {eps:g}", "no attack", first.attack, WORST, "change in points", "verdict")
    rows = []
    for recipe in results.recipes:
        worst = recipe.curve(WORST, norm).at(eps)
        one = results.compared(recipe.name, WORST, eps)
        change = (
            f"{points(one.difference.value)} ({points_interval(one.difference)})" if one else ""
        )
        alone = recipe.curve(first.attack, norm).at(eps)
        cells = (percent(recipe.clean.value), percent(alone.value), percent(worst.value))
        rows.append((recipe.title, *cells, change, one.verdict if one else "baseline"))
    return head, tuple(rows)


def _recipes(report: Report) -> Table:
    rows = [(recipe.title, *_told(recipe)) for recipe in report.study.recipes]
    return Table(
        "Recipes", ("recipe", "transformations", "training loss", "plan", "role"), tuple(rows)
    )


def _told(recipe: Recipe) -> tuple[str, ...]:
    transforms = "; ".join(f"{name}({_options(options)})" for name, options in recipe.transforms)
    loss = defence.find(recipe.defence[0], **recipe.defence[1])
    plan = recipe.plan
    return (
        transforms or "none",
        f"{loss.name}({_options(loss.all_options)})" if loss.all_options else loss.name,
        f"{plan.epochs} epochs of {plan.batch_size} images a step, Adam, one cycle to "
        f"{plan.learning_rate:g}",
        {"": "studied", "positive": "positive control", "sham": "sham control"}[recipe.control],
    )


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in options.items())


def _attacks(report: Report) -> Table:
    rows = []
    for sweep in report.study.sweeps:
        found = attack.find(sweep.attack, **sweep.options)
        images = "all" if sweep.images is None else f"{sweep.images:,}"
        eps = ", ".join(f"{eps:g}" for eps in sweep.eps)
        rows.append(
            (
                found.title,
                f"{sweep.norm}: {eps}",
                images,
                _options(found.all_options) or "-",
                found.knows,
            )
        )
    return Table(
        "Attacks", ("attack", "norm and eps", "test images", "options", "knows"), tuple(rows)
    )


def _machine(report: Report) -> Table:
    environment = report.environment
    data = environment["data"]
    packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    train, validation, test = data["images"]
    rows = (
        (
            "command",
            f"unfooled study study.toml --dataset {report.study.dataset} --seeds "
            f"{report.study.seeds} (study.toml lies in the run's folder)",
        ),
        ("seeds", ", ".join(map(str, range(report.study.seeds)))),
        (
            "data",
            f"{data['name']}: {train:,} training, {validation:,} validation, {test:,} test images",
        ),
        ("SHA-256 of the data", data["sha256"]),
        ("unfooled", environment["unfooled"]),
        ("Python", f"{environment['python']} on {environment['machine']}"),
        ("packages", packages),
        ("device", f"{environment['device']}, {environment['workers']} workers"),
        ("work", f"{report.seconds:,.0f} seconds, summed over the workers"),
    )
    return Table("Versions and data", ("what", "value"), rows)
