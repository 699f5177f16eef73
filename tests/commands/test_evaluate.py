"""`unfooled evaluate`, `gate` and `card` as a user meets them, on the embedded digits."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typed import Ended, run

from unfooled import dataset
from unfooled.packing import unpacked

pytestmark = pytest.mark.usefixtures("quick_studies")

NETWORK = """
from torch import nn

def net(*, channels, size, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))

def other(*, channels, size, classes):
    inner = nn.Linear(channels * size * size, 16)
    return nn.Sequential(nn.Flatten(), inner, nn.ReLU(), nn.Linear(16, classes))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network of the user's own and weights that read the digits well."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text(NETWORK)
    data = dataset.find("digits")
    pixels, labels = data.train.pixels().flatten(1), data.train.labels
    means = [pixels[labels == digit].mean(0) for digit in range(10)]
    weight = torch.stack(means)
    weights = {"1.weight": weight, "1.bias": -weight.pow(2).sum(1) / 2}
    save_file(weights, folder / "net.safetensors")
    return folder


@pytest.fixture(scope="module")
def evaluated(quick_studies: None, home: Path) -> Ended:
    return run(
        *("evaluate", "mine.py:net", "--weights", "net.safetensors", "--dataset", "digits"),
        *("--eps", "0.05,8/255", "--attack", "pgd", "--n", "60", "--out", "run"),
        cwd=home,
    )


def test_a_network_of_ones_own_gets_the_same_pages(home: Path, evaluated: Ended) -> None:
    assert evaluated.code == 0, evaluated.err
    assert "eps 0.05" in evaluated.out
    for ending in ("pdf", "html", "json", "md"):
        assert (home / "run" / "report" / f"results.{ending}").stat().st_size > 1000
    whole = json.loads((home / "run" / "report" / "results.json").read_text())
    assert whole["study"]["answer_eps"] == 0.05
    assert {one["check"] for one in whole["checks"]}
    # A linear network has exact certificates: the bracket closes.
    recipe = whole["recipes"][0]
    assert all(unknown["value"] <= 0.02 for unknown in recipe["bracket"]["unknown"])


def test_the_images_that_fool_are_kept(home: Path, evaluated: Ended) -> None:
    assert evaluated.code == 0
    (path,) = (home / "run" / "facts").glob("*-pgd-Linf.npz")
    arrays = unpacked(path.read_bytes())
    assert arrays["adversarial"].shape[:2] == arrays["read_as"].shape
    fooled = (arrays["read_as"] != arrays["labels"]) & arrays["inside"]
    assert np.array_equal(arrays["adversarial"].any(axis=(2, 3, 4)), fooled)


def test_a_card_is_written_from_the_run(home: Path, evaluated: Ended) -> None:
    assert evaluated.code == 0
    done = run("card", "run", cwd=home)
    assert done.code == 0, done.err
    assert (home / "run" / "cards" / "net.md").read_text().startswith("---\ntags:")
    card = json.loads((home / "run" / "cards" / "net.json").read_text())
    assert card["loaded_by"] == "mine.py:net"
    assert len(card["sha256"]) == 64


GATE = ("gate", "mine.py:net", "--weights", "net.safetensors", "--dataset", "digits")
QUICK = ("--eps", "0.03", "--attack", "fgsm", "--n", "60")


def test_a_gate_holds_falls_short_or_cannot_judge(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = run(*GATE, *QUICK, "--min-robust", "0.3", "--out", "first", cwd=home)
    assert held.code == 0, held.out + held.err
    assert len(held.out.splitlines()) == 1
    suite = ElementTree.fromstring((home / "first" / "gate.xml").read_bytes())
    assert suite.get("failures") == "0"
    assert (home / "first" / "report" / "results.pdf").is_file()
    monkeypatch.setattr("unfooled.gate.publish", lambda *_: [])  # once is enough
    short = run(*GATE, *QUICK, "--min-robust", "0.94", "--out", "first", cwd=home)
    assert short.code == 1
    assert "below the floor" in short.out
    few = run(*GATE, *QUICK[:-1], "20", "--min-robust", "0.85", "--out", "few", cwd=home)
    assert few.code == 2
    assert "it takes 23" in few.out
    same = run(*GATE, *QUICK, "--baseline", "first/gate.json", "--out", "second", cwd=home)
    assert same.code == 0
    assert "0 lost, 0 won" in same.out


def test_a_gate_that_breaks_is_not_judged(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("unfooled.asking.asked", broken)
    told = run(*GATE, "--min-robust", "0.3", cwd=home)
    assert told.code == 2
    assert "it could not be judged: RuntimeError: a bug" in told.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("evaluate", "mine.py:net", "--dataset", "digits", "--eps", "8/0"), "'8/0'"),
        (("evaluate", "mine.py:nett", "--dataset", "digits"), "mine.py:nett"),
        (("evaluate", "mine.py:net"), "--dataset"),
        (("evaluate", "mine.py:net", "--dataset", "digits", "--n", "0"), "at least 1"),
        (("evaluate", "mine.py:net", "--dataset", "digits", "--attack", "pgdd"), "'pgd'"),
        (("evaluate", "mine.py:net", "--dataset", "digits", "--option", "steps=3"), "--attack"),
        (
            (
                *("evaluate", "mine.py:net", "mine.py:other", "--dataset", "digits"),
                *("--weights", "net.safetensors"),
            ),
            "one for each",
        ),
        (
            ("evaluate", "mine.py:other", "--dataset", "digits", "--weights", "net.safetensors"),
            "1.weight",
        ),
        (("gate", "mine.py:net", "--dataset", "digits"), "--min-robust"),
        (("gate", "mine.py:net", "--dataset", "digits", "--min-robust", "85"), "between 0 and 1"),
        (("gate", "mine.py:net", "--dataset", "digits", "--min-robust", "much"), "0.85"),
        (("gate", "mine.py:net", "--dataset", "digits", "--baseline", "mine.py"), "no record"),
        (("card", "nowhere"), "nowhere"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(
    home: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = run(*arguments, cwd=home)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert "Traceback" not in done.err


def test_a_folder_of_images_is_a_data_set(home: Path, tmp_path: Path) -> None:
    data = dataset.find("digits")
    for place, label in enumerate(data.test.labels[:150].tolist()):
        path = tmp_path / "images" / str(label) / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.test.images[place, 0].numpy()).save(path)
    done = run(
        *("evaluate", "mine.py:net", "--weights", "net.safetensors", "--attack", "fgsm"),
        *("--dataset", str(tmp_path / "images"), "--eps", "0.03", "--out", str(tmp_path / "run")),
        cwd=home,
    )
    assert done.code == 0, done.err
