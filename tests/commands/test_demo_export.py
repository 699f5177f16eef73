"""The option --export of `unfooled demo`."""

from collections.abc import Callable
from pathlib import Path

import played
import pytest

from unfooled.commands.demo import demo
from unfooled.demo import homemade, runtime
from unfooled.demo.playing import Game
from unfooled.errors import DataMissing, InvalidOption


@pytest.fixture(autouse=True)
def without_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(report: Callable[[float, str], None], *, device: str) -> Game:
        report(1.0, "ready")
        return played.game()

    monkeypatch.setattr(homemade, "homemade", made)


def test_it_says_what_there_is_and_how_to_look_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runtime, "files", lambda given: {runtime.MACHINE: bytes(2_000_000)})
    folder = tmp_path / "my [/b] site"  # which is no markup
    demo(export=folder)
    said = capsys.readouterr().out
    assert f"{folder} holds the page about 2 networks: 15 files, 2.2 MB" in said
    assert "of which 2.0 MB are ONNX Runtime Web" in said
    assert f"python -m http.server -d '{folder}' 8000, then open" in said
    assert (folder / "index.html").exists()


def test_what_is_in_the_way_is_said_before_anything_is_fetched_or_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").write_text("")
    monkeypatch.setattr(homemade, "homemade", lambda *_, **__: pytest.fail("it was trained"))
    monkeypatch.setattr(runtime, "_fetched", lambda: pytest.fail("it was fetched"))
    with pytest.raises(InvalidOption, match="is not empty"):
        demo(export=tmp_path)
    with pytest.raises(DataMissing, match="does not hold"):
        demo(export=tmp_path / "new", runtime=tmp_path)


def test_a_runtime_without_an_export_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="--runtime is for --export"):
        demo(runtime=tmp_path)
