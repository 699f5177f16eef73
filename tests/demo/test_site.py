import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from torch import nn

from unfooled import derivatives, preprocessor
from unfooled.demo import runtime, site
from unfooled.demo.playing import Game, Player
from unfooled.errors import InvalidModel, InvalidOption, UnknownName
from unfooled.graph import Graph

RUNTIME = {runtime.MODULE: b"module", runtime.MACHINE: b"machine"}


@pytest.fixture(scope="module")
def written(game: Game, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sites") / "a new one"
    found = site.write(game, folder, RUNTIME)
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert found.files == len(paths)
    assert found.size == sum(path.stat().st_size for path in paths)
    assert found.left_out == ()
    return folder


def told(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "site.json").read_text())


def test_the_page_is_told_what_it_can_ask(written: Path, game: Game) -> None:
    page = told(written)["page"]
    assert [one["title"] for one in page["recipes"]] == [one.title for one in game.players]
    assert [one["name"] for one in page["attacks"]] == ["fgsm", "pgd", "square"]
    assert page["samples"] == site.SAMPLES
    assert page["certificates"] is False


def test_all_files_that_are_named_are_there(written: Path) -> None:
    about = told(written)
    assert all((written / name).stat().st_size == size for name, size in about["files"].items())
    assert set(about["written"]) == {
        str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()
    }
    for one in about["networks"]:
        assert {one["graph"], one["gradient"], one["weights"]} <= set(about["files"])


def test_the_samples_are_test_images(written: Path, game: Game) -> None:
    test, about = game.data.test, told(written)
    which = test.sample(site.SAMPLES)
    pixels = np.frombuffer((written / "samples.bin").read_bytes(), dtype=np.uint8)
    np.testing.assert_array_equal(pixels, test.images[which].numpy().ravel())
    assert about["samples"]["labels"] == test.labels[which].tolist()


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    page = site.page()
    policy = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)[0]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == rules["worker-src"] == "'self'"
    assert re.fullmatch(r"'self' 'wasm-unsafe-eval'( 'sha256-\S{44}')+", rules["script-src"])
    assert "frame-ancestors" not in rules
    assert page.index("Content-Security-Policy") < page.index("<style")
    assert page.index('src="engine.js"') < page.index("unfooledEngine")


def test_the_folder_says_what_it_is_and_under_which_licence(written: Path) -> None:
    words = (written / "README.md").read_text()
    assert "python -m http.server" in words
    assert "- Means\n" in words
    assert "MIT License" in (written / "runtime" / "LICENSE").read_text()


def changed(game: Game, network: nn.Module) -> Game:
    """With another first player."""
    first = dataclasses.replace(game.players[0], network=network)
    return dataclasses.replace(game, players=(first, *game.players[1:]))


def test_a_network_that_cannot_be_written_is_left_out(game: Game, tmp_path: Path) -> None:
    behind = preprocessor.defended(game.players[0].network, [preprocessor.find("jpeg")])
    found = site.write(changed(game, behind), tmp_path, RUNTIME)
    assert found.recipes == (game.players[1].title,)
    assert re.match("Means is left out: .* cannot be written as ONNX", found.left_out[0])
    assert found.left_out[0] in told(tmp_path)["page"]["words"]
    assert found.left_out[0] in (tmp_path / "README.md").read_text()


def test_a_page_about_no_network_is_not_written(game: Game, tmp_path: Path) -> None:
    player = Player("plane", "Plane", "", "", toys.plane(28))
    with pytest.raises(InvalidModel, match=r"none of the networks can be exported. Plane is left"):
        site.write(dataclasses.replace(game, players=(player,)), tmp_path / "new", RUNTIME)
    assert not (tmp_path / "new").exists()


def test_an_earlier_export_is_written_over(game: Game, tmp_path: Path) -> None:
    site.write(game, tmp_path, RUNTIME)
    (tmp_path / "CNAME").write_text("mine")
    fewer = dataclasses.replace(game, players=game.players[1:])
    site.write(fewer, tmp_path, RUNTIME)
    names = {path.name for path in (tmp_path / "networks").iterdir()}
    assert names == {"0-blurred.onnx", "0-blurred.gradient.onnx", "0-blurred.onnx.data"}
    assert (tmp_path / "CNAME").read_text() == "mine"


def test_a_folder_with_something_else_is_refused(game: Game, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InvalidOption, match="is not empty and holds no earlier export"):
        site.write(game, tmp_path, RUNTIME)
    with pytest.raises(InvalidOption, match=r"thesis.tex is a file"):
        site.free(tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_cannot_be_removed_is_one_line(game: Game, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "site.json").write_text(json.dumps({"written": ["folder"]}))
    with pytest.raises(InvalidOption, match=r"cannot write .*folder: .*; name another"):
        site.write(game, tmp_path, RUNTIME)


def test_a_wrong_gradient_is_found_however_sure_the_network(
    game: Game, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = nn.Linear(10, 10)
    last.load_state_dict({"weight": 300 * torch.eye(10), "bias": torch.zeros(10)})
    sure = nn.Sequential(*game.players[0].network, last).eval()  # type: ignore[misc]
    right = derivatives._KNOWN[nn.Flatten]

    def backwards(graph: Graph, *given: Any) -> tuple[str, derivatives.Back]:
        output, back = right(graph, *given)
        return output, lambda gradient: back(graph.apply("Neg", gradient))

    monkeypatch.setitem(derivatives._KNOWN, nn.Flatten, backwards)
    alone = dataclasses.replace(game, players=changed(game, sure).players[:1])
    monkeypatch.setattr(site, "_TRIED", 1)
    with pytest.raises(InvalidModel, match="answers otherwise"):
        site.write(alone, tmp_path, RUNTIME)


@pytest.mark.parametrize(
    "name", ["../kept", "/{}/kept", "networks/../../kept", "a/b/../../../kept"]
)
def test_nothing_outside_is_removed(game: Game, tmp_path: Path, name: str) -> None:
    (tmp_path / "kept").write_text("still here")
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "site.json").write_text(json.dumps({"written": [name.format(tmp_path)]}))
    site.write(game, folder, RUNTIME)
    assert (tmp_path / "kept").read_text() == "still here"


def test_a_place_where_nothing_can_be_written_is_one_line(game: Game, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidOption, match=r"cannot write .*: Not a directory; name another"):
        site.write(game, tmp_path / "file" / "site", RUNTIME)


def test_without_onnxruntime_one_line_says_what_brings_it(
    game: Game, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # importing it fails
    with pytest.raises(UnknownName, match=r'pip install "unfooled\[onnx\]"'):
        site.write(game, tmp_path, RUNTIME)
