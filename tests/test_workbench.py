import importlib.metadata
import json
import signal
import sys
from pathlib import Path

import pytest
import toys

from unfooled import catalog, cli


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A network of a run, in the folder where the command runs."""
    monkeypatch.chdir(tmp_path)
    return toys.saved(tmp_path / "plain-0.safetensors").name


def commanded(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """A command in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["unfooled", *arguments])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_images_are_verified_and_fall_by_the_exit_code(
    weights: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commanded(monkeypatch, "attack", "--model", weights, "--n", "9", "--out", "here") == 0
    capsys.readouterr()
    allow = ["--allow", "toys:pyramid", "--allow", "toys:striped"]
    assert commanded(monkeypatch, "verify", "here", *allow) == 0
    shown = capsys.readouterr()
    assert "9 of 9 images are what their facts say, 11 of 11 files have their hash" in shown.out
    assert shown.err == ""
    next(Path("here/png").iterdir()).unlink()
    assert commanded(monkeypatch, "verify", "here", "--model", weights, *allow[2:]) == 1
    shown = capsys.readouterr()
    assert "8 of 9 images" in shown.out
    assert "hash: they are missing: png/" in shown.out


def test_code_that_the_files_name_is_not_run_unasked(
    weights: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = "import toys\ndef net():\n    return toys.pyramid(channels=1, size=8, classes=3)\n"
    Path("trusted.py").write_text(own)
    given = ["--model", "trusted.py:net", "--dataset", "toys:striped", "--n", "3", "--out", "here"]
    assert commanded(monkeypatch, "attack", *given) == 0
    Path("trusted.py").write_text("from pathlib import Path\nPath('ran').touch()\n" + own)
    catalog._executed.cache_clear()
    capsys.readouterr()
    assert commanded(monkeypatch, "verify", "here") == 2
    said = capsys.readouterr().err
    assert "--allow trusted.py:net" in said
    assert len(said.splitlines()) == 1
    assert not Path("ran").exists()
    trusted = ["--allow", "toys:striped", "--allow", "trusted.py:net"]
    assert commanded(monkeypatch, "verify", "here", *trusted) == 0
    assert Path("ran").exists()


def test_a_run_is_verified(
    small_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commanded(monkeypatch, "verify", str(small_run)) == 0
    assert "27 of 27 files" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "no folder of unfooled attack"),
        (["."], "no folder of unfooled attack"),
        ([".", "--weights", "w.pt"], "--weights belongs to a network that --model names"),
        ([".", "--device", "tpu"], "device must be"),
    ],
)
def test_a_mistake_in_verify_gets_one_line(
    weights: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    assert commanded(monkeypatch, "verify", *arguments) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert len(errors.splitlines()) == 1


LIBRARY = """
PACKAGE = "numpy"
def still(model, task, batch, seed):
    return lambda images, labels: [images]
def broken(model, task, batch, seed):
    raise ArithmeticError("no [red]luck[/red] today")
"""


def test_tools_are_compared_in_a_table(
    weights: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("library.py").write_text(LIBRARY)
    given = [
        "--n",
        "9",
        "--tool",
        "library.py:still",
        "--tool",
        "library.py:broken",
        "--steps",
        "3",
    ]
    assert commanded(monkeypatch, "compare-tools", weights, *given) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for part in ("says", "judged", "unfooled", "library.py:still", "no [red]luck[/red] today"):
        assert part in shown.out


def test_tools_that_are_not_installed_are_named(
    weights: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.metadata.version", missing)
    assert commanded(monkeypatch, "compare-tools", weights, "--n", "3", "--attack", "fgsm") == 0
    assert "pip install torchattacks brings it" in capsys.readouterr().out


def missing(name: str) -> str:
    raise importlib.metadata.PackageNotFoundError(name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tool", "fullbox"], "did you mean 'foolbox'"),
        (["--attack", "pgdd"], "did you mean 'pgd'"),
        (["--steps", "0"], "at least 1 step"),
        (["--eps", "8/0"], "eps must be"),
        (["--eps", "0"], "eps above 0"),
        (["--norm", "L0"], "pgd does not attack under L0"),
        (["--n", "0"], "at least 1"),
    ],
)
def test_a_mistake_in_a_comparison_gets_one_line(
    weights: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    assert commanded(monkeypatch, "compare-tools", weights, *arguments) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert len(errors.splitlines()) == 1


def test_a_network_is_smoothed_and_the_radii_are_written(
    weights: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--sigma", "0.1", "--n", "6", "--votes", "50", "--first", "5", "--radii", "0,0.05"]
    assert commanded(monkeypatch, "smooth", weights, *given) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for part in ("6 images", "L2 0.05", "certified accuracy", "nothing about the network"):
        assert part in shown.out
    found = json.loads(Path("runs/smooth/plain-0-0.1.json").read_bytes())
    assert [one["radius"] for one in found["certified_accuracy"]] == [0, 0.05]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sigma", "0"], "sigma must be above 0"),
        (["--votes", "0"], "at least 1"),
        (["--alpha", "2"], "alpha must be"),
        (["--radii", "-1", "--votes", "5", "--first", "1"], "radii must be 0 or more"),
        (["--radii", "much"], "numbers are written like"),
        (["--n", "0"], "at least 1"),
        (["--out", "plain-0.safetensors/x.json"], "choose another by --out"),
    ],
)
def test_a_mistake_in_smoothing_gets_one_line(
    weights: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    assert commanded(monkeypatch, "smooth", weights, *arguments) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert len(errors.splitlines()) == 1
