"""A whole ablation on stripes: doses, a bundle, corruptions and certificates, up to the page."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys

from unfooled import board, publishing, ranking, run
from unfooled.answer import answer
from unfooled.evaluation import Evaluation
from unfooled.figures import all_figures
from unfooled.outcomes import CLEAN, CORRUPTED, CORRUPTION, WORST
from unfooled.packing import unpacked
from unfooled.page import page
from unfooled.recipe import Plan, Recipe
from unfooled.report import Report, gather
from unfooled.study import Bundle, Certificates, Corruptions, Dose, Study, Sweep

pytestmark = pytest.mark.usefixtures("quick_studies")

FACTS = "facts/plain-0-0-pgd-Linf.npz"
PLAN = Plan(epochs=1, batch_size=40, learning_rate=0.01)


def recipe(name: str, **changes: object) -> Recipe:
    return Recipe(name, name.capitalize(), plan=PLAN, **changes)  # type: ignore[arg-type]


INVERT, NOISE = ("RandomInvert", {}), ("GaussianNoise", {"sigma": 0.2})
ALONE = [recipe(f"alone{i}", transforms=(("GaussianNoise", {"sigma": i / 10}),)) for i in range(8)]


def study() -> Study:
    return toys.study(
        seeds=2,
        recipes=(
            recipe("plain"),
            *ALONE,
            recipe("bits", input=(("bit_depth", {"bits": 1}),)),
            recipe("sham", control="sham", defence=("label_smoothing", {})),
            recipe("noise-1", transforms=(("GaussianNoise", {"sigma": 0.1}),)),
            recipe("noise-2", transforms=(("GaussianNoise", {"sigma": 0.4}),)),
            recipe("both", transforms=(INVERT, NOISE)),
            recipe("both-no-invert", transforms=(NOISE,)),
            recipe("both-no-noise", transforms=(INVERT,)),
        ),
        sweeps=(
            Sweep("fgsm", {}, "Linf", (0.0, 0.1, 0.2)),
            Sweep("pgd", {"steps": 3}, "Linf", (0.0, 0.1), images=20),
            Sweep("pgd", {"steps": 3}, "L2", (0.5,), images=20),
        ),
        corruptions=Corruptions(("fog", "brightness"), (1, 3), 12),
        doses=(Dose("Noise", "sd", (0.1, 0.4), ("noise-1", "noise-2")),),
        bundles=(Bundle("both", ("Invert", "Noise"), ("both-no-invert", "both-no-noise")),),
    )


@pytest.fixture(scope="module")
def made(quick_studies: None, tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("ablation")
    assert run.run(study(), folder, device="cpu", workers=1) == []
    publishing.publish(gather(folder), folder)
    assert (folder / "report" / "results.pdf").read_bytes()[:5] == b"%PDF-"
    return gather(folder)


def test_the_ranking_has_the_recipes_alone_and_the_bundle_best_first(made: Report) -> None:
    assert ranking.many(made)
    ranks = ranking.ranks(made.results)
    names = {one.name for one, _ in ranks}
    assert names == {*(one.name for one in ALONE), "bits", "sham", "both"}
    values = [one.difference.value for _, one in ranks]
    assert values == sorted(values, reverse=True)


def test_comparisons_are_with_the_baseline_and_within_the_bundle(made: Report) -> None:
    pairs = {(one.first, one.second) for one in made.results.comparisons}
    assert pairs == {
        *(("plain", one.name) for one in made.study.recipes[1:]),
        ("both", "both-no-invert"),
        ("both", "both-no-noise"),
    }


def test_figures_hold_no_more_than_they_can(made: Report) -> None:
    featured = made.results.featured
    assert featured[0].name == "plain"
    assert "sham" in {one.name for one in featured}
    assert len(featured) == 6
    figures = all_figures(made)
    assert {"effects", "board", "dose-0", "bundle-0", "curves"} <= set(figures)
    assert "0.1, 0.4" in figures["dose-0"].alt
    assert figures["bundle-0"].alt.count("without") == 2


def test_the_board_says_what_the_results_say(made: Report) -> None:
    columns = board.harms(made.results)
    assert [(one.against, one.norm, one.eps) for one in columns] == [
        (CLEAN, "", 0.0),
        ("FGSM", "Linf", 0.1),
        ("PGD-3", "Linf", 0.1),
        ("PGD-3", "L2", 0.5),
        (WORST, "Linf", 0.1),
        (CORRUPTED, CORRUPTION, 0.0),
    ]
    rows = made.results.alone
    assert not {"noise-1", "both-no-noise"} & {one.name for one in rows}
    assert "both" in {one.name for one in rows}
    told = all_figures(made)["board"].alt
    share = made.results.recipe("bits").corrupted[CORRUPTED].value
    assert re.search(rf"Bits: .*common corruptions {100 * share:.1f}", told)


def test_common_corruptions_are_the_mean_over_all_of_them(made: Report) -> None:
    for one in made.results.recipes:
        parts = [one.corrupted[name].value for name in ("fog", "brightness")]
        assert one.corrupted[CORRUPTED].value == pytest.approx(sum(parts) / 2)
        assert one.corrupted[CORRUPTED].images == 12


def test_the_page_has_a_section_for_each(made: Report) -> None:
    titles = [section.title for section in page(made).sections]
    for title in ("How much of it", "Together, and without each", "What helps against what"):
        assert title in titles
    assert page(made).lead.name == "effects"


def test_an_answer_about_many_counts_them(made: Report) -> None:
    said = answer(made.results)
    assert "of 10 recipes for 10 it cannot be told" in said.sentence


def test_certificates_are_told(tmp_path: Path) -> None:
    asked = toys.study(certificates=Certificates((0.001, 0.2), 20))
    assert run.run(asked, tmp_path, device="cpu", workers=1) == []
    found = gather(tmp_path)
    curve = found.results.recipe("plain").certified
    assert curve is not None
    assert (curve.eps, curve.images) == ((0.001, 0.2), 20)
    assert curve.robust[0].value >= curve.robust[1].value
    ends = found.results.recipe("plain").bracket
    assert ends is not None
    pairs = zip(ends.certified, ends.attacked, strict=True)
    assert all(low.value <= high.value for low, high in pairs)
    tables = [table for section in page(found).sections for table in section.tables]
    (table,) = [table for table in tables if table.title.startswith("Certified")]
    assert table.rows[0][2].startswith(f"{100 * ends.certified[0].value:.1f}")
    assert table.rows[0][3].startswith(f"{100 * ends.attacked[0].value:.1f}")


def test_what_is_certified_is_spared_the_attack_and_nothing_else_changes(tmp_path: Path) -> None:
    sweep = Sweep("pgd", {"steps": 3}, "Linf", (0.0, 0.001))
    alone = toys.study(sweeps=(sweep,), answer_eps=0.001)
    spared = replace(alone, certificates=Certificates((0.001,), 20))
    facts = []
    for place, study in enumerate((alone, spared)):
        folder = tmp_path / str(place)
        assert run.run(study, folder, device="cpu", workers=1) == []
        facts.append(Evaluation.of_arrays(unpacked((folder / FACTS).read_bytes())))
    first, second = facts
    assert np.array_equal(first.ids, second.ids)
    assert np.array_equal(first.robust, second.robust)
    assert second.forward.sum() < first.forward.sum()


def test_a_study_on_the_validation_images_attacks_those(tmp_path: Path) -> None:
    run.run(toys.study(split="validation"), tmp_path, device="cpu", workers=1)
    found = gather(tmp_path)
    assert found.results.recipes[0].clean.images == found.environment["data"]["images"][1]
