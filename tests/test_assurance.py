"""What the first page says of how sure its answer is."""

from dataclasses import replace

from unfooled.assurance import assurance
from unfooled.report import Report


def test_seeds_images_controls_and_checks_are_told(small_report: Report) -> None:
    basis, controls, audit = assurance(small_report)
    assert "trained with 2 seeds" in basis
    assert "over 2 attacks on 30 test images" in basis
    assert "no verdict" in basis
    one = small_report.results.compared("adversarial", "worst case", 0.1)
    assert one is not None
    assert "The positive control" in controls
    assert one.verdict in controls
    assert audit.startswith(f"{len({f.check for f in small_report.findings})} checks")
    first = audit.partition(". In doubt")[0].replace(",", "")
    count = sum(int(word) for word in first.split() if word.isdigit())
    assert count == 2 * len({f.check for f in small_report.findings})


def test_without_controls_or_checks_nothing_is_said_of_them(small_report: Report) -> None:
    recipes = tuple(replace(one, control="") for one in small_report.results.recipes)
    bare = replace(
        small_report, results=replace(small_report.results, recipes=recipes), findings=()
    )
    assert len(assurance(bare)) == 1
