"""The facts of a run as a table that anything reads."""

import re
import shutil
from pathlib import Path

import pandas
import pytest

import unfooled
from unfooled.errors import InvalidData, RunRefused
from unfooled.outcomes import WORST
from unfooled.report import Report


@pytest.fixture(scope="module")
def table(small_run: Path) -> pandas.DataFrame:
    return pandas.DataFrame(unfooled.facts(small_run))


def test_a_row_is_an_image_a_threat_an_attack_a_recipe_and_a_seed(table: pandas.DataFrame) -> None:
    # Three recipes and two seeds: 40 images at two eps above 0, then 30 at two.
    assert len(table) == 3 * 2 * (40 * 2 + 30 * 2)
    key = ["recipe", "seed", "attack", "norm", "eps", "image"]
    assert list(table.columns[:6]) == key
    assert not table.duplicated(key).any()
    assert set(table["recipe"]) == {"plain", "noise", "adversarial"}
    assert set(table["attack"]) == {"FGSM", "PGD-3"}
    assert set(table["target"]) == {-1}


def test_the_mean_over_the_rows_is_the_reports_number(
    table: pandas.DataFrame, small_report: Report
) -> None:
    shares = table.groupby(["recipe", "attack", "norm", "eps"])["robust"].mean()
    for recipe in small_report.results.recipes:
        for curve in (curve for curve in recipe.curves if curve.attack != WORST):
            for eps, estimate in zip(curve.eps, curve.robust, strict=True):
                if eps > 0:
                    found = shares[recipe.name, curve.attack, curve.norm, eps]
                    assert found == pytest.approx(estimate.value)


def test_the_page_takes_the_worst_case_as_the_report_does(
    table: pandas.DataFrame, small_report: Report
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "data.md").read_text()
    code = re.findall(r"```python\n(under = .*?)\n```", page, re.DOTALL)[0]
    *lines, last = code.splitlines()
    names = {"table": table}
    exec("\n".join(lines), names)
    found = eval(last, names)
    for recipe in small_report.results.recipes:
        worst = recipe.curve(WORST, "Linf").at(0.1)
        assert found[recipe.name] == pytest.approx(worst.value)


def test_what_is_fooled_was_read_correctly_and_is_not_robust(table: pandas.DataFrame) -> None:
    correct = table["clean"] == table["label"]
    assert (table["robust"] == (correct & ~table["fooled"])).all()
    assert (
        table.loc[table["inside"], "distance"] <= table.loc[table["inside"], "eps"] + 1e-6
    ).all()


def test_a_damaged_or_missing_file_is_told_and_not_left_out(
    small_run: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(small_run, tmp_path / "copy")
    path = folder / "facts" / "noise-1-1-pgd-Linf.npz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InvalidData, match="noise-1-1-pgd-Linf"):
        unfooled.facts(folder)
    path.unlink()
    with pytest.raises(InvalidData, match="cannot read"):
        unfooled.facts(folder)


def test_a_folder_without_facts_is_refused(tmp_path: Path, small_run: Path) -> None:
    with pytest.raises(RunRefused, match="holds no run"):
        unfooled.facts(tmp_path)
    for name in ("study.json", "environment.json"):
        shutil.copy(small_run / name, tmp_path)
    with pytest.raises(RunRefused, match=r"ledger\.sqlite"):
        unfooled.facts(tmp_path)
