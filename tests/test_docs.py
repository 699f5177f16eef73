"""What the documentation shows works as it stands there, and what it points to is there."""

import itertools
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pages
import pytest
import torch
import toys
import typer
import yaml

from unfooled import catalog, cli, config, in_process, shipped

IDS = {"ids": pages.short}
WITH_TOML = [page for page in pages.PAGES if any(b.language == "toml" for b in pages.blocks(page))]
RUN = [
    page
    for page in pages.PAGES
    if any(block.language in ("python", "console") for block in pages.blocks(page))
]
# Before a fragment of a study file, to make it a whole one.
WHOLE = 'question = "?"\ndataset = "digits"\nanswer_eps = 0.1\n'
RECIPES = "\n[recipes.first]\n[recipes.second]\n"
ATTACKS = '\n[[attacks]]\nname = "fgsm"\neps = [0.1]\n'


@pytest.mark.parametrize("page", pages.PAGES, **IDS)
def test_every_place_that_a_page_points_to_is_there(page: Path) -> None:
    for address in re.findall(r"\]\((?!\w+://)([^)\s]+)\)", pages.prose(page)):
        file, _, anchor = address.partition("#")
        path = page.parent / file if file else page
        assert path.exists(), address
        assert not anchor or anchor in pages.anchors(path), address


@pytest.mark.parametrize("page", pages.PAGES, **IDS)
def test_every_command_that_a_page_shows_is_one(page: Path) -> None:
    for line in pages.commands(page):
        parsed(line)


def parsed(line: str) -> None:
    """A call of the command line as far as its options and the names in it; nothing is done."""
    group: Any = typer.main.get_command(cli.app)
    _, *words = shlex.split(line)
    if words[0].startswith("--"):
        assert words[0] in ("--help", "--version", "--install-completion", "--show-completion"), (
            line
        )
        return
    assert words[0] in group.commands, line
    known = {name for param in group.commands[words[0]].params for name in param.opts}
    options = {word.split("=")[0] for word in words if word.startswith("--")}
    assert options <= {*known, "--help"}, f"{line}: known are {sorted(known)}"
    given = dict(itertools.pairwise(words))
    name = given.get("--attack", "pgd")
    assert ":" in name or name in catalog.names("attacks"), line
    if words[0] == "show" and words[1].islower() and ":" not in words[1]:  # else a placeholder
        members = {one for folder in cli.FOLDERS for one in catalog.names(folder)}
        assert words[1] in {*members, *shipped.studies(), "results.schema", "card.schema"}, line
    if words[0] == "list" and words[1:]:
        assert words[1] in cli.LISTED, line


@pytest.mark.parametrize("page", pages.PAGES, **IDS)
def test_every_workflow_calls_commands_that_are_there(page: Path) -> None:
    for block in pages.blocks(page):
        if block.language == "yaml":
            for run in found_under("run", yaml.safe_load(block.text)):
                for line in run.splitlines():
                    if line.startswith("unfooled "):
                        parsed(line)


def found_under(key: str, tree: object) -> Iterator[str]:
    """Every text under a key, however deep."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for name, child in children:
        if name == key and isinstance(child, str):
            yield child
        elif isinstance(child, dict | list):
            yield from found_under(key, child)


@pytest.mark.parametrize("page", WITH_TOML, **IDS)
def test_every_study_file_is_one(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    forget_files()
    for block in pages.blocks(page):
        if block.title:
            Path(block.title).write_text(block.text)
        if block.language != "toml":
            continue
        text = block.text
        if "question" not in text:
            text = WHOLE + ("" if "[[attacks]]" in text else ATTACKS) + text
            text += "" if "[recipes.second]" in text else RECIPES
        Path("shown.toml").write_text(text)
        study = config.read(Path("shown.toml"))
        assert len(study.recipes) > 1
        assert study.sweeps


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, **IDS)
def test_a_page_can_be_followed(
    page: Path,
    small_run: Path,
    unchecked: None,
    short_probes: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("unfooled.engines.local.local", in_process.in_process)
    forget_files()
    Path("runs").mkdir()
    Path("runs/digits").symlink_to(small_run)
    if page.name == "report.md":
        Path("runs/first").symlink_to(small_run)
    names = GIVEN.get(page.name, dict)()
    for block in pages.blocks(page):
        if block.title:
            Path(block.title).write_text(quick(block.text))
        elif block.language == "python":
            exec(compile(block.text, pages.short(page), "exec"), names)
        elif block.language == "console":
            for line in block.commands():
                code = commanded(monkeypatch, line)
                # A gate may rule either way about a network that has hardly learned.
                assert code in ((0, 1, 2) if " gate " in line else (0,)), capsys.readouterr().err
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    assert SAYS.get(page.name, "") in shown.out


def quick(text: str) -> str:
    """A study file as it is tried out here: on stripes instead of digits, for one epoch."""
    if "\n[plan]" not in text:
        return text
    text = text.replace('"digits"', '"toys:striped"')
    text = re.sub(r"^epochs = \d+", "epochs = 1", text, flags=re.M)
    return 'model = "toys:pyramid"\n' + text + "\n[audit]\nimages = 4\n"


def forget_files() -> None:
    """What was loaded from another page's mine.py."""
    catalog._executed.cache_clear()
    sys.modules.pop("mine", None)


def commanded(monkeypatch: pytest.MonkeyPatch, line: str) -> int:
    """A command in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", shlex.split(line))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def hiding() -> dict[str, Any]:
    """What docs/attacks.md takes for granted."""

    def to_3_bits(images: torch.Tensor) -> torch.Tensor:
        return (images * 7).round() / 7

    commanded_attack = "unfooled attack --model runs/digits/models/plain-0.safetensors --eps 0.1"
    with pytest.MonkeyPatch.context() as patch:
        assert commanded(patch, f"{commanded_attack} --n 12") == 0
    return {
        "model": toys.net(),
        "to_3_bits": to_3_bits,
        "smooth": torch.nn.Identity(),
        "noisy_3_bits": to_3_bits,
    }


def proven() -> dict[str, Any]:
    """What docs/bounds.md takes for granted."""
    images = toys.pictures(4)
    model = toys.rectified()
    return {"model": model, "images": images, "labels": toys.read_by(model, images)}


def coded() -> dict[str, Any]:
    """What CONVENTIONS.md takes for granted: the names in the signature of an attack."""
    return dict(vars(catalog.module("attacks", "pgd")))


# What the last thing on a page prints.
SAYS = {
    "README.md": "At Linf eps 0.1, over 100 images",
    "networks.md": "At Linf eps 0.02, over 64 images",
    "model.md": "At Linf eps 0.05, over 40 images",
}
GIVEN = {"attacks.md": hiding, "bounds.md": proven, "CONVENTIONS.md": coded}


def test_the_readme_shows_what_its_words_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    by_language = {block.language: block.text for block in pages.blocks(pages.ROOT / "README.md")}
    Path("shown.toml").write_text(by_language["toml"])
    study = config.read(Path("shown.toml"))
    assert [recipe.name for recipe in study.recipes] == ["plain", "noise", "adversarial"]
    assert [sweep.title for sweep in study.sweeps] == ["FGSM", "PGD-40"]
