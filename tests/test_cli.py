"""The command line, as a user meets it."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toys
import typed

from unfooled import catalog, cli
from unfooled.commands.study import study
from unfooled.terminal import Interrupted

COMMAND = [sys.executable, "-m", "unfooled"]


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k != "UNFOOLED_DATA"}
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom unfooled.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "study" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["study", "mnst"], "did you mean 'mnist'"),
        (["study", "nowhere.toml"], "cannot read nowhere.toml"),
        (["study", "digits", "--seeds", "0"], "seeds"),
        (["study", "digits", "--dataset", "digitz"], "did you mean 'digits'"),
        (["study", "digits", "--device", "tpu"], "device must be auto, cpu or cuda"),
        (["study", "digits", "--workers", "0"], "workers"),
        (["report", "nowhere"], "nowhere holds no run"),
        (["list", "atacks"], "did you mean 'attacks'"),
        (["show", "pgdd"], "did you mean 'pgd'"),
        (["stdy"], "study"),
        (["study", "--tensorboard", "digits"], "name the study before it"),
        (["study", "digits", "--mlflow"], "MLFLOW_TRACKING_URI"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    unchecked: None,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("UNFOOLED_DATA", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    assert commanded(monkeypatch, *arguments) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.glob("runs/*/models/*"))


def test_a_mistake_is_told_likewise_in_a_process_of_its_own(tmp_path: Path) -> None:
    done = run("study", "digits", "--seeds", "0", cwd=tmp_path)
    assert done.returncode == 2
    assert "seeds" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_that_is_no_text_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commanded(monkeypatch, "evaluate", os.fsdecode(b"caf\xe9.onnx")) == 2
    errors = capsys.readouterr().err
    assert "is no UTF-8; rename the file, or link to it" in errors
    assert len(errors.splitlines()) == 1


def test_code_that_ends_the_program_does_not_end_it_well(
    small_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    signature = "model, images, labels, threat, *, draws, targets=None"
    (tmp_path / "mine.py").write_text(f"def leaves({signature}):\n    raise SystemExit(0)\n")
    monkeypatch.chdir(tmp_path)
    network = str(small_run / "models" / "plain-0.safetensors")
    words = (
        "attack",
        "--model",
        network,
        "--attack",
        "mine.py:leaves",
        "--eps",
        "0.1",
        "--n",
        "12",
    )
    assert commanded(monkeypatch, *words) == 2
    assert "ended the program by sys.exit(0), so nothing came of it" in capsys.readouterr().err


@pytest.mark.slow
def test_who_asks_for_seeds_at_once_is_told_which_were_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    no_processes: None,
    short_probes: None,
    unchecked: None,
) -> None:
    (tmp_path / "mine.toml").write_text(
        'question = "Does it?"\ndataset = "toys:striped"\nmodel = "toys:pyramid"\nseeds = 2\n'
        "answer_eps = 0.1\nmargin = 0.02\n[plan]\nepochs = 1\nbatch_size = 40\n"
        '[recipes.plain]\ntitle = "Plain"\n[recipes.hard]\ntitle = "Hard"\n'
        'defence = { name = "adversarial", eps = 0.1 }\n'
        '[[attacks]]\nname = "fgsm"\neps = [0.1]\nimages = 20\n[audit]\nimages = 4\n'
    )
    monkeypatch.chdir(tmp_path)
    assert commanded(monkeypatch, "study", "mine.toml", "--together", "--out", "run") == 0
    assert "unfooled: seeds trained one by one all the same: Hard" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("limit", "words", "code"),
    [(3 * 2**30, "list", 2), (3 * 2**30, "--version", 0), (2**40, "list", 0)],
)
def test_too_few_addresses_are_told_before_anything_is_imported(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    limit: int,
    words: str,
    code: int,
) -> None:
    monkeypatch.setattr("unfooled.cli.resource.getrlimit", lambda _: (limit, limit))
    assert commanded(monkeypatch, words) == code
    said = capsys.readouterr().err
    assert ("3.0 GiB of addresses (ulimit -v)" in said) == (code == 2)


def test_missing_data_name_the_files_and_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert commanded(monkeypatch, "study", "mnist", "--data", "empty") == 2
    errors = capsys.readouterr().err
    assert len(errors.splitlines()) == 1
    for part in ("empty", "train-images-idx3-ubyte.gz", "440fcabf73cc", "--dataset digits"):
        assert part in errors


def test_every_error_of_a_study_file_is_told_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    unchecked: None,
) -> None:
    (tmp_path / "bad.toml").write_text(
        'dataset = "mnst"\nsedes = 3\nanswer_eps = -0.1\n[recipes.plain]\nepohcs = 3\n'
        'defence = { name = "adversarial", epss = 1 }\n[[attacks]]\nname = "fgms"\neps = [nan]\n'
    )
    monkeypatch.chdir(tmp_path)
    assert commanded(monkeypatch, "study", "bad.toml") == 2
    lines = capsys.readouterr().err.splitlines()
    for key in ("dataset", "sedes", "answer_eps", "recipes.plain.epohcs", "epss", "fgms", "eps[0]"):
        assert any(key in line and "bad.toml" in line for line in lines), key


def test_list_names_every_member_and_show_explains_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for folder in cli.FOLDERS:
        for name in catalog.names(folder):
            cli.list_(folder)
            assert name in capsys.readouterr().out
            cli.show(name)
            assert name in capsys.readouterr().out
    for name in ("results.schema", "card.schema"):
        cli.show(name)
        assert json.loads(capsys.readouterr().out)["type"] == "object"
    cli.show("pgd")
    shown = capsys.readouterr().out
    for part in ("step_size = None", "white box", "unfooled attack --model", "[[attacks]]"):
        assert part in shown
    cli.show("strided")
    assert "166,406 parameters" in capsys.readouterr().out


def test_a_study_prints_a_table_the_answer_and_the_files(small_run: Path) -> None:
    screen = (small_run.parent / "screen.txt").read_text()
    assert "Noise, #strong" in screen
    assert "At eps 0.1" in screen
    for ending in ("pdf", "html", "json"):
        assert f"results.{ending}" in screen


def test_no_progress_where_there_is_no_terminal(small_run: Path) -> None:
    assert (small_run.parent / "errors.txt").read_text() == ""


def test_a_finished_study_is_not_done_again(small_run: Path, unchecked: None) -> None:
    def seen() -> tuple[list[tuple[object, ...]], dict[str, object]]:
        rows = sqlite3.connect(small_run / "ledger.sqlite").execute("SELECT * FROM jobs").fetchall()
        results = json.loads((small_run / "report" / "results.json").read_bytes())
        return rows, {k: v for k, v in results.items() if k != "environment"}

    before = seen()
    done = typed.run("study", "small.toml", "--out", "run", cwd=small_run.parent)
    assert done.code == 0, done.err
    assert seen() == before


def test_another_study_in_an_old_folder_is_refused_with_the_keys(
    small_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(small_run.parent)
    assert commanded(monkeypatch, "study", "small.toml", "--out", "run", "--seeds", "3") == 2
    assert "seeds: 2 there, 3 now" in capsys.readouterr().err


def test_exit_codes_are_told_where_help_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.app(["--help"])
    assert ended.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    page = (Path(__file__).parents[1] / "docs" / "commands.md").read_text()
    for code in (0, 1, 2, 130, 129, 143, 141):
        assert re.search(rf"\b{code}\b", told.partition("Exit codes:")[2])
        assert re.search(rf"^\| .*\b{code}\b.* \|", page, re.MULTILINE)


def test_a_card_that_lacks_facts_says_so_and_exits_with_1(
    small_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = Path(shutil.copytree(small_run, tmp_path / "copy"))
    (folder / "facts" / "noise-0-0-fgsm-Linf.npz").write_bytes(b"damaged")
    (folder / "facts" / "noise-1-0-fgsm-Linf.npz").unlink()
    assert commanded(monkeypatch, "card", str(folder)) == 1
    screen = capsys.readouterr()
    assert "no card for Noise, #strong" in screen.err
    assert len(screen.err.splitlines()) == 1
    assert "plain.md" in screen.out


@pytest.mark.usefixtures("unchecked")
def test_report_makes_the_files_again(small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small_run / "report" / "results.json"
    before = path.read_bytes()
    path.unlink()
    assert commanded(monkeypatch, "report", str(small_run)) == 0
    assert path.read_bytes() == before


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path: Path, small_run: Path) -> None:
    (tmp_path / "small.toml").write_bytes((small_run.parent / "small.toml").read_bytes())
    process = subprocess.Popen(
        [*COMMAND, "study", "small.toml", "--out", "run"], cwd=tmp_path, stderr=subprocess.PIPE
    )
    while not (tmp_path / "run" / "ledger.sqlite").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"the same command goes on from there" in errors
    assert b"Traceback" not in errors


@pytest.mark.usefixtures("unchecked", "no_processes", "short_probes")
def test_a_fallback_is_told_on_the_screen_and_in_the_title(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNFOOLED_DATA", raising=False)
    (tmp_path / "fallback.toml").write_text(
        'dataset = "digits"\nseeds = 1\nanswer_eps = 0.1\nplan = { epochs = 1 }\n'
        '[recipes.plain]\n[[attacks]]\nname = "fgsm"\neps = [0.1]\nimages = 20\n'
    )
    study("mnist", fallback="fallback.toml", workers=1)
    screen = capsys.readouterr()
    assert "running the study 'fallback.toml' instead" in screen.err
    pages = (tmp_path / "runs" / "fallback" / "report" / "results.html").read_text()
    assert "MNIST could not be had" in pages


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A network of a run, in the folder where the command runs."""
    monkeypatch.chdir(tmp_path)
    return toys.saved(tmp_path / "plain-0.safetensors").name


def attacked(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """`unfooled attack` in this process, which has imported torch already; its exit code."""
    return commanded(monkeypatch, "attack", *arguments)


def commanded(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """A command in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["unfooled", *arguments])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_an_attack_prints_a_table_and_leaves_its_files(
    weights: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--attack", "pgd", "--eps", "8/255", "--n", "12", "--option", "steps=3"]
    assert attacked(monkeypatch, "--model", weights, *given, "--out", "here") == 0
    screen = capsys.readouterr()
    assert screen.err == ""
    for part in ("clean accuracy", "12 images", "fooled", "robust accuracy", "8 bits"):
        assert part in screen.out
    assert Path("here/adversarial.safetensors").is_file()
    assert Path("here/sheet.png").is_file()
    assert len(list(Path("here/png").iterdir())) == 12
    assert not list(Path("here").rglob(".*"))


def test_an_attack_needs_no_more_than_a_model(
    weights: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert attacked(monkeypatch, "--model", weights, "--n", "3") == 0
    folder = Path("runs/attacks/plain-0-pgd-Linf-0.1")
    assert str(folder / "adversarial.safetensors") in capsys.readouterr().out.replace("\n", "")


def test_a_transfer_attack_takes_the_files_of_its_surrogates(
    weights: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--model", weights, "--attack", "transfer", "--surrogate", weights, "--n", "5"]
    assert attacked(monkeypatch, *given) == 0
    assert "transfer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--attack", "pgdd"], "did you mean 'pgd'"),
        (["--option", "stepz=3"], "pgd has no option 'stepz'; it has: steps"),
        (["--option", "steps=many"], "steps must be int"),
        (["--option", "steps"], "steps=10"),
        (["--option", "steps=0"], "steps >= 1"),
        (["--norm", "L0"], "pgd does not attack under L0; it does under Linf, L2, L1"),
        (["--norm", "L3"], "unknown norm 'L3'"),
        (["--eps", "8/0"], "eps must be"),
        (["--eps", "-0.1"], "eps must be 0 or more"),
        (["--eps", "nan"], "eps must be 0 or more"),
        (["--eps", "much"], "eps must be"),
        (["--eps", ""], "eps must be"),
        (["--eps", "inf"], "finite eps"),
        (["--n", "0"], "at least 1"),
        (["--targets", "7"], "numbered from 0 to 2"),
        (["--targets", "runerup"], "did you mean 'runner_up'"),
        (["--surrogate", "nowhere"], "cannot read nowhere"),
        (["--attack", "transfer"], "--surrogate"),
        (["--model", "nowhere"], "cannot read nowhere"),
        (["--model", "."], "Is a directory"),
        (["--dataset", "digitz"], "did you mean 'digits'"),
        (["--dataset", "digits"], "do not fit"),
        (["--device", "tpu"], "device must be auto, cpu or cuda"),
        (["--out", "plain-0.safetensors"], "choose another by --out"),
    ],
)
def test_a_mistake_in_an_attack_gets_one_line_and_leaves_nothing(
    weights: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    unchecked: None,
    arguments: list[str],
    said: str,
) -> None:
    assert attacked(monkeypatch, "--model", weights, *arguments) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert len(errors.splitlines()) == 1
    assert not list(Path.cwd().rglob("*.png"))


def test_an_interrupted_attack_leaves_nothing(
    weights: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise Interrupted

    monkeypatch.setattr("unfooled.crafting.craft", interrupted)
    assert attacked(monkeypatch, "--model", weights, "--out", "here") == 130
    assert "interrupted" in capsys.readouterr().err
    assert not [path for path in Path("here").rglob("*") if path.is_file()]


OWN = """
import torch
from torch import nn
def broken():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Threshold(9, float("nan")))
def raising():
    raise ValueError("no\\nluck")
"""


def test_the_doctor_prints_a_table_and_refuses_by_its_exit_code(
    weights: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commanded(monkeypatch, "doctor", weights, "--n", "40") == 0
    screen = capsys.readouterr()
    assert screen.err == ""
    for part in ("check", "verdict", "eval mode", "stripes", "gradient", "differences"):
        assert part in screen.out
    Path("mine.py").write_text(OWN)
    given = ["mine.py:broken", "--dataset", "toys:striped"]
    assert commanded(monkeypatch, "doctor", *given) == 1
    assert "refused" in capsys.readouterr().out


def test_a_network_of_the_users_own_is_attacked_with_weights_from_a_file(
    weights: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--model", "toys:pyramid", "--weights", weights, "--dataset", "toys:striped"]
    assert attacked(monkeypatch, *given, "--mean", "0.5", "--std", "0.5", "--n", "4") == 0
    assert Path("runs/attacks/toys-pyramid-pgd-Linf-0.1/sheet.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "cannot read nowhere"),
        (["toys:pyramid"], "name them by --dataset"),
        (["mine.py:raising", "--dataset", "toys:striped"], "cannot be built"),
        (["mine.py:missing", "--dataset", "toys:striped"], "not a function"),
        (["mine.py", "--dataset", "toys:striped"], "mine.py:FUNCTION"),
        (["toys:pyramid", "--dataset", "digitz"], "did you mean 'digits'"),
        (["toys:pyramid", "--dataset", "toys:striped", "--mean", "x"], "numbers are written like"),
        (["toys:pyramid", "--dataset", "toys:striped", "--mean", "0.5"], "belong together"),
        (["toys:pyramid", "--dataset", "toys:striped", "--n", "0"], "at least 1"),
        (["toys:pyramid", "--dataset", "toys:striped", "--device", "tpu"], "device must be"),
        (["toys:dropping", "--dataset", "toys:striped", "--weights", "plain-0.safetensors"], "fit"),
    ],
)
def test_a_mistake_with_the_doctor_gets_one_line(
    weights: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    unchecked: None,
    arguments: list[str],
    said: str,
) -> None:
    Path("mine.py").write_text(OWN)
    assert commanded(monkeypatch, "doctor", *arguments) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert len(errors.splitlines()) == 1
