"""Each formula can be set and read aloud."""

import xml.etree.ElementTree as ET

import pytest
import typst

from unfooled.formulas import CROSS_ENTROPY, FGSM, PGD, Formula


@pytest.mark.parametrize("one", [CROSS_ENTROPY, FGSM, PGD], ids=lambda one: one.title)
def test_a_formula_is_the_same_in_three_languages(one: Formula) -> None:
    assert ET.fromstring(one.mathml).tag.endswith("math")
    assert "error" not in one.mathml
    assert typst.compile(f"$ {one.typst} $".encode(), format="svg")
    assert len(one.words) > 40
