"""What the pages of a report say, in words and finished tables; PDF and HTML only lay it out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from unfooled import colophon, tables
from unfooled.assurance import assurance
from unfooled.drawing import Figure
from unfooled.evaluation import UNREAD
from unfooled.figures import all_figures
from unfooled.formulas import CROSS_ENTROPY, FGSM, PGD, Formula
from unfooled.grid import Table, lined_up
from unfooled.outcomes import WORST
from unfooled.ranking import many
from unfooled.report import Report
from unfooled.statistics import CANNOT_TELL, FEWEST_SEEDS
from unfooled.wording import points


@dataclass(frozen=True)
class Section:
    """A part of the report: paragraphs and formulas, then figures, then tables.

    Attributes:
        title: its heading.
        paragraphs: plain text.
        tables, figures, formulas: in the order in which they are shown.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    formulas: tuple[Formula, ...] = ()


@dataclass(frozen=True)
class Page:
    """The whole report.

    Attributes:
        title: the question.
        subtitle: data, model, seeds; and why these data, if they are not those that were asked for.
        short: the answer in a word or two.
        sentence: the answer with its numbers.
        sure: how sure it is.
        doubts: reasons why a verdict is withheld; lesser ones stand with the checks.
        steps: the four steps.
        lead: the figure of the first page.
        limits: what the study does not show.
        sections: the rest.
    """

    title: str
    subtitle: str
    short: str
    sentence: str
    sure: tuple[str, ...]
    doubts: tuple[str, ...]
    steps: Table
    lead: Figure
    limits: str
    sections: tuple[Section, ...]


def page(report: Report) -> Page:
    """The pages of a report."""
    figures = all_figures(report)
    return Page(
        title=report.study.question,
        subtitle=subtitle(report),
        short=report.answer.short,
        sentence=report.answer.sentence,
        sure=assurance(report),
        doubts=doubts(report),
        steps=steps(report),
        lead=figures["effects" if many(report) else "curves"],
        limits=limits(report),
        sections=tuple(
            one for part in (_compared, _measured, _made) for one in part(report, figures)
        ),
    )


def printed(whole: Page) -> Page:
    """The same with the numbers of its tables lined up, for whoever lays it out."""
    return replace(
        whole,
        steps=lined_up(whole.steps),
        sections=tuple(
            replace(part, tables=tuple(map(lined_up, part.tables))) for part in whole.sections
        ),
    )


def subtitle(report: Report) -> str:
    """Data, model, seeds; and why these data, if they are not those that were asked for."""
    data, note = report.environment["data"], report.environment.get("note", "")
    trained = f"network {report.study.model!r}, {_seeds(report.study.seeds)} a recipe"
    count = len(report.results.recipes)
    given = f"{count} {'network' if count == 1 else 'networks'}"
    return (
        f"{data['name']}, {given if report.study.given else trained}"
        f"{', validation images' if report.study.split == 'validation' else ''}"
        f"{f'. {note}' if note else ''}"
    )


def doubts(report: Report) -> tuple[str, ...]:
    """Why a verdict is withheld."""
    return tuple(one.sentence for one in report.answer.doubts if one.serious)


def steps(report: Report) -> Table:
    """The four steps; of networks that were there already, what each of them reads."""
    if report.study.given:
        return tables.standing(report)
    return tables.steps(report, report.results.recipes[0])


def _seeds(count: int) -> str:
    return f"{count} {'seed' if count == 1 else 'seeds'}"


def _measured(report: Report, figures: Mapping[str, Figure]) -> list[Section]:
    """What came of the attacks, what is certain, and whether it can be believed."""
    shown = [figures[name] for name in figures if name.startswith("digits-")]
    found = [
        Section("Can the numbers be trusted?", (*_AUDIT, *_notes(report)), (tables.audit(report),)),
        *_certain(report, figures),
        Section("Robust accuracy in numbers", (), tuple(tables.robust(report))),
        Section("What the network sees", _pictures_words(report), (), tuple(shown)),
        Section("Which class is read as which", (), (), (figures["confusion"],)),
    ]
    if report.results.targeted:
        matrices = tuple(figures[name] for name in figures if name.startswith("targeted-"))
        aimed = Section("Turned into a chosen class", (_AIMED,), (tables.aimed(report),), matrices)
        found.append(aimed)
    return found


def _notes(report: Report) -> list[str]:
    found = [one.sentence for one in report.answer.doubts if not one.serious]
    return [f"To keep in mind. {' '.join(found)}"] if found else []


def _certain(report: Report, figures: Mapping[str, Figure]) -> list[Section]:
    if "certainty" not in figures:
        return []
    table, figure = tables.bracket(report), figures["certainty"]
    return [Section("What is certain", (), (table,), (figure,))]


def _made(report: Report, figures: Mapping[str, Figure]) -> list[Section]:
    """How the networks came about, how to read it all, and how to repeat it."""
    look = tuple(figures[name] for name in ("inside",) if name in figures)
    layers = (colophon.layers(report.layers),) if report.layers else ()
    machine = (colophon.attacks(report), colophon.machine(report))
    if report.study.given:
        found = [Section("How to read this report", _reading(report), formulas=_FORMULAS)]
        if layers:
            found.append(
                Section("The network, layer by layer", _network_words(report), layers, look)
            )
        repeat = (colophon.networks(report), *machine)
        return [*found, Section("Everything needed to repeat it", (), repeat)]
    return [
        Section("How the networks learned", (), (tables.learned(report),), (figures["learning"],)),
        Section("How to read this report", _reading(report), formulas=_FORMULAS),
        Section("The network, layer by layer", _network_words(report), layers, look),
        Section("Everything needed to repeat it", (), (colophon.recipes(report), *machine)),
    ]


def _compared(report: Report, figures: Mapping[str, Figure]) -> list[Section]:
    """What the recipes change, by and by: all, in doses, in bundles, against other harms."""
    if not report.results.comparisons:
        return []
    lead = figures["curves"] if many(report) else figures["effects"]
    title = "How they differ" if report.study.given else "What each recipe changes"
    words = () if report.study.given else _effects_words(report)
    sections = [Section(title, words, (tables.pairs(report),), (lead,))]
    parts = {
        "How much of it": [figures[name] for name in figures if name.startswith("dose-")],
        "Together, and without each": [
            figures[name] for name in figures if name.startswith("bundle-")
        ],
    }
    sections += [Section(title, (), (), tuple(own)) for title, own in parts.items() if own]
    more = []
    if report.results.recipes[0].corrupted:
        more.append(tables.corrupted(report))
    sections.append(Section("What helps against what", (), tuple(more), (figures["board"],)))
    return sections


def limits(report: Report) -> str:
    """What a reader must not take from it."""
    norms = dict.fromkeys(sweep.norm for sweep in report.study.sweeps)
    pixels = ", ".join(norm for norm in norms if norm != "spatial")
    kinds = [f"small ones measured by {pixels}"] if pixels else []
    kinds += ["rotations and shifts"] if "spatial" in norms else []
    other = "" if report.study.given else "other sizes of these transformations, "
    return (
        f"It says nothing about other data, other networks, {other}"
        f"or changes other than {' and '.join(kinds)}. An attack finds an upper bound of "
        "the robust accuracy, never the robust accuracy itself."
    )


def _effects_words(report: Report) -> tuple[str, ...]:
    """What the first attack alone would have said, and what the study could have missed."""
    results, eps = report.results, report.study.answer_eps
    first = results.first.attack
    found = []
    for recipe in results.featured[1:]:
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


def _pictures_words(report: Report) -> tuple[str, ...]:
    title = report.study.sweeps[0].title
    return (
        f"{title} moves each image by at most eps in {report.study.sweeps[0].norm}, where pixels "
        "lie between 0 and 1; the change is chosen to mislead the network, not a person. High "
        "values are drawn dark.",
    )


_FORMULAS = (CROSS_ENTROPY, FGSM, PGD)
_AUDIT = (
    "An attack that fails looks like a network that stands. These checks look for known causes of "
    "numbers that are too high: on some images each network is also attacked in ways that fail for "
    "other reasons than the study's attacks do, and the facts are searched for what should not be. "
    "What failed withholds its verdict.",
    "The list is neither necessary nor sufficient: a number may be wrong where all is ok, and "
    "right where something is in doubt. It replaces no attack that is made for the defence in "
    "question.",
)
_AIMED = (
    "Source/target misclassification: the attacker wants each image read as one chosen class, "
    "which is harder than as any wrong one. These shares are not part of the worst case."
)


def _reading(report: Report) -> tuple[str, ...]:
    norm = report.study.sweeps[0].norm
    size = "the largest change of any pixel" if norm == "Linf" else "the length of the change"
    controls = (
        "Controls stand beside the recipes for that reason: a positive control must help, "
        "a sham control must not."
    )
    chance = (
        f"Intervals cover two sources of chance, the seeds and the {report.study.split} images "
        "(crossed random effects; each part with its own quantile of t); with one seed, the images "
        "only."
    )
    if report.study.given:
        controls = "What else was looked for, the audit says."
        chance = f"Intervals cover chance in the {report.study.split} images alone."
    return (
        f"eps is the size of the change that the attacker may make, measured by {norm}: {size}. "
        f"Robust accuracy is the share of the {report.study.split} images that the network reads "
        "correctly without attack and that no attack within eps could turn.",
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
        f"{controls}",
        f"{chance} They do not cover other networks, other data or other attacks.",
        "The judge asks the network itself about the very image that the attack returned, measures "
        "its distance again in double precision, and counts an answer that is not a finite number "
        f"as misread ({UNREAD} in the facts).",
    )


def _network_words(report: Report) -> tuple[str, ...]:
    parameters = sum(layer.parameters for layer in report.layers)
    products = sum(layer.multiplications for layer in report.layers)
    name = report.results.recipes[0].title if report.study.given else report.study.model
    return (
        f"{name}: {parameters:,} parameters, {products:,} multiplications an image. "
        "A convolution slides one small kernel over the whole image, so that a pattern is known "
        "wherever it lies and few numbers have to be learned. The last layer gives one number "
        "(logit) for each class; the largest is the class that is read.",
    )
