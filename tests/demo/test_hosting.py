import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from unfooled.demo import hosting
from unfooled.errors import InvalidOption


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def test_a_port_in_use_gives_way_to_the_next(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting, "_PORT", taken)
    with hosting.door("127.0.0.1", None) as door:
        assert not door.address.endswith(f":{taken}")
        assert f"port {taken} is in use" in door.note


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("127.0.0.1", -1, "0 .any. to 65535"),
        ("127.0.0.1", 70000, "not 70000"),
        ("256.1.1.1", 0, "no address"),
        ("192.0.2.1", 0, "cannot listen at 192.0.2.1"),
        ("no such\x00host", 0, "no address"),
        ("a" * 300, 0, "no address"),
    ],
)
def test_what_is_no_place_to_listen_is_refused(host: str, port: int, said: str) -> None:
    with pytest.raises(InvalidOption, match=said), hosting.door(host, port):
        pass


def test_a_port_that_was_named_and_is_in_use_is_refused(taken: int) -> None:
    said = f"port {taken} is in use; choose another by --port"
    with pytest.raises(InvalidOption, match=said), hosting.door("127.0.0.1", taken):
        pass


def test_it_listens_on_this_machine_alone_unless_told_otherwise() -> None:
    with hosting.door("127.0.0.1", 0) as door:
        assert door.listening.getsockname()[0] == "127.0.0.1"
        assert door.address.startswith("http://127.0.0.1:")
        assert door.names == {"127.0.0.1"}
    with hosting.door("0.0.0.0", 0) as wide:
        assert wide.address.startswith("http://127.0.0.1:")
        assert socket.gethostname().lower() in wide.names


def test_the_newest_run_is_shown_or_the_small_study(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = {"data": None, "device": "cpu", "names": frozenset[str]()}
    monkeypatch.chdir(tmp_path)
    hall, said = hosting.hall(None, **how)  # type: ignore[arg-type]
    assert hall.game is None
    assert "no run" in said
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(small_run)
    found, said = hosting.hall(None, **how)  # type: ignore[arg-type]
    assert found.game is not None
    assert "runs/mine" in said
    (tmp_path / "runs" / "mine").unlink()
    broken = tmp_path / "runs" / "broken"
    (broken / "models").mkdir(parents=True)
    (broken / "models" / "plain-0.safetensors").touch()
    (broken / "study.json").write_text("{}")
    other, said = hosting.hall(None, **how)  # type: ignore[arg-type]
    assert other.game is None
    assert "not runs/broken" in said
    for one in (hall, found, other):
        one.close()


def test_a_browser_is_opened_only_where_there_is_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(hosting.webbrowser, "open", opened.append)
    monkeypatch.setattr(hosting.threading.Thread, "start", lambda self: self.run())
    monkeypatch.setattr(hosting.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with hosting.door("127.0.0.1", 0) as door:
        door.open()
        assert opened == []
        monkeypatch.setenv("DISPLAY", ":0")
        door.open()
        assert opened == [door.address]
