"""Study files, and the JSON files that one run leaves for another."""

import json
import tomllib
from pathlib import Path

import pytest
from fuzzed import STRANGE, damaged, forged, survives, tries
from hypothesis import given
from hypothesis import strategies as st

from unfooled import config, gate, shipped
from unfooled.demo import site

FILES = [shipped.file(name).read_bytes() for name in ("digits", "targets", "ablation")]
PARSED = [tomllib.loads(content.decode()) for content in FILES]
DEEP = [b"a = " + b"[" * 5000 + b"]" * 5000, b"a = " + b"{a=" * 3000 + b"1" + b"}" * 3000]
DEEP += [b".".join([b"a"] * 3000) + b" = 1", b"seeds = " + b"9" * 5000, b"margin = 1e99999"]
DEEP += [b'question = "\\uD800"', b"\xff\xfe", b"\0", b"a = 9999-99-99", b"[a]\n[a]\n"]
RECORD = {
    "format": 1,
    "network": "net",
    "data": "ab",
    "norm": "Linf",
    "eps": 0.1,
    "attacks": ["PGD-40 {}"],
    "ids": [0, 1, 2],
    "stands": [True, False, True],
    "doubts": [],
    "unfooled": "0.1.0",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies")


def toml(value: object) -> str:
    """As TOML; what it cannot say is said as a text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(str(value)).replace("\\u0000", "\\u0001")


def read_as_study(place: Path, content: bytes) -> None:
    (place / "a.toml").write_bytes(content)
    survives(config.read, place / "a.toml")


@given(content=damaged(FILES))
@tries(15)
def test_study_files(place: Path, content: bytes) -> None:
    read_as_study(place, content)


@pytest.mark.parametrize("content", DEEP, ids=lambda content: content[:12].hex())
def test_study_files_that_are_deep_or_large(place: Path, content: bytes) -> None:
    read_as_study(place, content)
    read_as_study(place, content + b"\n" + FILES[0])


@given(given_=st.sampled_from(PARSED).flatmap(forged))
@tries(60)
def test_study_files_with_strange_values(place: Path, given_: dict[str, object]) -> None:
    lines = [f"{json.dumps(key)} = {toml(value)}" for key, value in given_.items()]
    read_as_study(place, "\n".join(lines).encode())


@given(
    content=damaged([json.dumps(RECORD).encode()])
    | forged(RECORD).map(lambda one: json.dumps(one).encode())
)
@tries(80)
def test_records_of_a_gate(content: bytes) -> None:
    def read() -> None:
        found = gate.read(content, "gate.json")
        assert 0 <= found.share <= 1
        gate.compared(found, gate.read(json.dumps(RECORD).encode(), "old"), 0.95)

    survives(read)


@given(told=forged({"written": ["a.html", "networks/0.onnx"]}) | st.sampled_from(STRANGE))
@tries(60)
def test_lists_of_an_earlier_export(place: Path, told: object) -> None:
    (place / site._ABOUT).write_text(json.dumps(told))
    for name in site._earlier(place) or ():
        assert (place / name).resolve().is_relative_to(place.resolve())
