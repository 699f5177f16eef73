import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import toys

from unfooled import gate, outcomes
from unfooled.errors import InvalidData, InvalidOption
from unfooled.evaluating import evaluate
from unfooled.gate import HELD, SHORT, UNJUDGED, Record, Ruling
from unfooled.shapes import Images, Labels
from unfooled.testing import assert_robust


def standing(k: int, n: int, **changes: object) -> Record:
    """A record of n images of which the first k stand."""
    made = Record(
        network="net",
        data="of the data",
        norm="Linf",
        eps=0.3,
        attacks=("FGSM {}",),
        ids=tuple(range(n)),
        stands=tuple(place < k for place in range(n)),
        doubts=(),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_lower_end_decides_and_is_clopper_and_pearsons() -> None:
    # Of n images that all stand it is the root of half of what confidence leaves.
    low = 0.025 ** (1 / 100)
    assert gate.floor(standing(100, 100), low - 1e-6, 0.95).code == HELD
    assert gate.floor(standing(100, 100), low + 1e-6, 0.95).code == UNJUDGED  # n is too small
    assert gate.floor(standing(880, 1000), 0.85, 0.95).code == HELD
    found = gate.floor(standing(860, 1000), 0.85, 0.95)
    assert found.code == SHORT
    assert "86.0" in found.line
    assert "83.7" in found.line
    assert gate.floor(standing(860, 1000), 0.85, 0.5).code == HELD


def test_too_few_images_are_no_judgement_and_it_says_how_many_it_takes() -> None:
    found = gate.floor(standing(20, 20), 0.85, 0.95)
    assert found.code == UNJUDGED
    assert "it takes 23" in found.line
    assert gate.floor(standing(22, 22), 0.85, 0.95).code == UNJUDGED
    assert gate.floor(standing(23, 23), 0.85, 0.95).code == HELD


def test_the_number_that_it_would_take_is_enough() -> None:
    line = gate.floor(standing(90, 100), 0.85, 0.95).line
    needed = int(line.rpartition("would take ")[2].split()[0].replace(",", ""))
    assert gate.floor(standing(int(0.9 * needed), needed), 0.85, 0.95).code == HELD
    assert gate.floor(standing(80, 100), 0.85, 0.95).line.endswith("85.0\N{NO-BREAK SPACE}%")


def test_a_doubted_number_is_not_judged() -> None:
    doubted = standing(100, 100, doubts=("It returned images outside.",))
    assert gate.floor(doubted, 0.1, 0.95) == Ruling(
        UNJUDGED, "its number cannot be believed: It returned images outside."
    )
    assert gate.compared(doubted, standing(1, 100), 0.95).code == UNJUDGED
    assert gate.compared(standing(1, 100), doubted, 0.95).code == UNJUDGED


def test_worse_is_worse_image_by_image() -> None:
    old = standing(90, 100)
    assert gate.compared(standing(90, 100), old, 0.95).code == HELD
    assert gate.compared(standing(95, 100), old, 0.95).code == HELD
    # Five lost and none won: p is 1/32; four lost: 1/16.
    assert gate.compared(standing(86, 100), old, 0.95).code == HELD
    found = gate.compared(standing(85, 100), old, 0.95)
    assert found.code == SHORT
    assert "5 lost, 0 won" in found.line
    assert f"{1 / 32:.3g}" in found.line


@pytest.mark.parametrize(
    "change",
    [
        {"data": "other"},
        {"norm": "L2"},
        {"eps": 0.1},
        {"attacks": ("PGD {}",)},
        {"ids": tuple(range(1, 101))},
    ],
)
def test_what_cannot_be_paired_is_not_judged(change: dict[str, object]) -> None:
    found = gate.compared(standing(50, 100), standing(50, 100, **change), 0.95)
    assert found.code == UNJUDGED
    assert "cannot be paired" in found.line


@pytest.mark.parametrize(
    ("least", "confidence"), [(0.0, 0.95), (1.0, 0.95), (1.2, 0.95), (0.5, 1.0), (0.5, 95.0)]
)
def test_shares_lie_between_0_and_1(least: float, confidence: float) -> None:
    with pytest.raises(InvalidOption, match="between 0 and 1"):
        gate.floor(standing(9, 10), least, confidence)


def test_a_record_survives_its_file_and_nothing_else_does() -> None:
    whole = standing(3, 5)
    assert gate.read(whole.file(), "gate.json") == whole
    for content in (b"", b"[]", b"{}", b'{"format": 1}', b"\xff"):
        with pytest.raises(InvalidData, match="no record of a gate"):
            gate.read(content, "x.json")
    with pytest.raises(InvalidData) as raised:
        gate.read(b"\xff" * 10_000, "x.json")
    assert len(str(raised.value)) < 300
    other = json.dumps({**json.loads(whole.file()), "format": 99}).encode()
    with pytest.raises(InvalidData, match="another version"):
        gate.read(other, "x.json")


def test_a_record_of_fewer_images_than_it_has_numbers_for_is_refused() -> None:
    whole = standing(3, 5)
    for broken in (replace(whole, stands=whole.stands[:-1]), replace(whole, ids=(), stands=())):
        with pytest.raises(InvalidData, match="differ in number, or are none"):
            gate.read(broken.file(), "gate.json")


def test_the_files_say_what_the_ruling_says() -> None:
    rulings = {"floor": Ruling(SHORT, "a < b & c"), "old": Ruling(HELD, "as good")}
    suite = ElementTree.fromstring(gate.junit(rulings))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    first, second = suite
    assert first.find("failure").get("message") == "a < b & c"  # type: ignore[union-attr]
    assert second.find("failure") is None
    text = gate.markdown(rulings, standing(3, 5)).decode()
    assert text.startswith("### Robustness: falls short")
    assert "**old: holds.** as good." in text
    assert gate.both(list(rulings.values())).code == SHORT


@pytest.mark.usefixtures("unchecked", "short_probes")
def test_a_finished_run_is_ruled_on(
    plane: toys.Plane, images: Images, labels: Labels, tmp_path: Path
) -> None:
    images = images.mul(255).round() / 255
    made = evaluate(plane, images, labels, eps=0.01, attacks=["pgd"], folder=tmp_path)
    found = gate.record(made)
    far = plane.margin(images).abs() / plane.weight.abs().sum()
    assert np.array(found.stands).tolist() == (far > 0.01)[list(found.ids)].tolist()
    assert found.ids == tuple(outcomes.met(made.study, made.facts, 0, 0, "Linf").tolist())
    ruling = gate.ruled(tmp_path, 0.01, found, 0.95)
    assert ruling.code == HELD
    assert gate.read((tmp_path / "gate.json").read_bytes(), "") == found
    assert (tmp_path / "gate.md").read_text().startswith("### Robustness: holds")
    assert ElementTree.fromstring((tmp_path / "gate.xml").read_bytes()).get("tests") == "2"


@pytest.mark.usefixtures("unchecked", "short_probes")
def test_assert_robust_is_silent_where_it_holds_and_else_fails_the_test(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    assert_robust(plane, images, labels, eps=1e-6, min_robust=0.5, attacks=["fgsm"])
    with pytest.raises(AssertionError, match="below the floor"):
        assert_robust(plane, images, labels, eps=0.9, min_robust=0.5, attacks=["fgsm"])
    with pytest.raises(InvalidOption, match="between 0 and 1"):
        assert_robust(plane, images, labels, eps=0.1, min_robust=85, attacks=["fgsm"])
    assert torch.is_grad_enabled()


def test_a_sentence_for_a_pull_request_ends_once() -> None:
    doubted = gate.Ruling(gate.UNJUDGED, "its number cannot be believed: it is too high.")
    told = gate.markdown({"at least 50 %": doubted}, standing(3, 5)).decode()
    assert "it is too high.\n" in told


def test_an_earlier_ruling_is_gone_before_another_run_is_judged(tmp_path: Path) -> None:
    names = ("gate.json", "gate.xml", "gate.md")
    for name in (*names, "results.pdf"):
        (tmp_path / name).touch()
    gate.cleared(tmp_path, tmp_path / "x" / ".." / "gate.json")
    assert {path.name for path in tmp_path.iterdir()} == {"gate.json", "results.pdf"}
    gate.cleared(tmp_path, None)
    gate.cleared(tmp_path, None)
    assert {path.name for path in tmp_path.iterdir()} == {"results.pdf"}
