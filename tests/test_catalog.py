import sys
from pathlib import Path
from typing import Any

import pytest

from unfooled import catalog
from unfooled.errors import InvalidOption, UnknownName


def member(model, *, draws, steps: int = 4, size: float | None = None, on: bool = False) -> None:
    """Takes a number, a number or nothing, and a truth."""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text("ANSWER = 42\ndef attack():\n    return ANSWER\n")
    return path


@pytest.mark.parametrize("folder", ["attacks", "datasets", "defences", "engines", "models"])
def test_every_file_of_a_folder_holds_a_function_of_its_own_name(folder: str) -> None:
    names = catalog.names(folder)
    assert names == sorted(names)
    for name in names:
        function = catalog.function(folder, name)
        assert function.__name__ == name
        assert function.__doc__


def test_an_unknown_name_is_met_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"'pdg'; did you mean 'pgd'.*attacks"):
        catalog.function("attacks", "pdg")


def test_a_name_far_from_all_is_met_with_all() -> None:
    said = catalog.unknown("zzz", ["pgd", "fgsm"])
    assert "'zzz'" in said
    assert "did you mean" not in said
    assert "pgd, fgsm" in said


def test_a_users_own_function_is_found_by_file_and_by_module(own: Path) -> None:
    assert catalog.function("attacks", f"{own}:attack")() == 42
    assert catalog.function("attacks", "json:dumps")([1]) == "[1]"


def test_a_users_file_is_loaded_once_and_leaves_no_module_behind(own: Path) -> None:
    before = set(sys.modules)
    one = catalog.function("attacks", f"{own}:attack")
    assert catalog.function("attacks", f"{own}:attack") is one
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (None, "mine.py:f", "there is no file"),
        ("x = 1", "mine.py:f", "is not a function"),
        ("x = 1", "mine.py:x", "is not a function"),
        ("1 / 0", "mine.py:f", "raised on import: ZeroDivisionError"),
        ("def (", "mine.py:f", "raised on import: SyntaxError"),
    ],
)
def test_what_is_wrong_with_a_users_own_is_said(
    tmp_path: Path, content: str | None, name: str, said: str
) -> None:
    if content is not None:
        (tmp_path / "mine.py").write_text(content)
    with pytest.raises(UnknownName, match=said):
        catalog.function("attacks", f"{tmp_path}/{name}")


def test_a_module_that_does_not_exist_is_an_unknown_name() -> None:
    with pytest.raises(UnknownName, match=r"cannot import 'no\.such\.place'"):
        catalog.function("attacks", "no.such.place:f")


@pytest.mark.parametrize("line", ["1 / 0", "raise SystemExit(3)", "1 +", "import nothing_there"])
def test_a_module_that_raises_on_import_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    (tmp_path / "sick_module.py").write_text(f"{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownName, match="cannot import 'sick_module': ") as raised:
        catalog.function("models", "sick_module:net")
    assert "\n" not in str(raised.value)


def test_the_options_are_the_keyword_only_parameters_with_a_default() -> None:
    assert catalog.options(member, ("draws",)) == {"steps": 4, "size": None, "on": False}
    assert catalog.options(member, ("draws", "on")) == {"steps": 4, "size": None}


@pytest.mark.parametrize(
    "given", [{}, {"steps": 3}, {"size": 0.5}, {"size": 1}, {"size": None}, {"on": True}]
)
def test_an_option_of_the_right_kind_is_taken(given: dict[str, object]) -> None:
    catalog.check_options("member", member, given, ("draws",))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stepps": 3}, "member has no option 'stepps'; it has: steps, size, on"),
        ({"draws": 3}, "member has no option 'draws'"),
        ({"model": 3}, "member has no option 'model'"),
        ({"steps": 0.5}, "member: steps must be int, not 0.5"),
        ({"steps": "3"}, "member: steps must be int, not '3'"),
        ({"steps": True}, "member: steps must be int, not True"),
        ({"steps": None}, "member: steps must be int, not None"),
        ({"size": "x"}, "member: size must be float or int, not 'x'"),
        ({"on": 1}, "member: on must be bool, not 1"),
    ],
)
def test_a_wrong_option_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        catalog.check_options("member", member, given, ("draws",))
    assert said in str(raised.value)


def test_a_member_without_options_says_so() -> None:
    with pytest.raises(InvalidOption, match="it has none"):
        catalog.check_options("f", lambda: None, {"steps": 1})


def test_a_fingerprint_changes_with_the_file_of_a_users_own(tmp_path: Path) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("def f(): return 1")
    two.write_text("def f(): return 2")
    first, second = (catalog.fingerprint(f"{path}:f") for path in (one, two))
    assert first.split()[1] != second.split()[1]
    assert catalog.fingerprint("pgd") == "pgd"


def test_an_option_without_annotation_takes_any_value() -> None:
    def mine(*, steps=3, free: Any = None) -> None: ...

    catalog.check_options("mine", mine, {"steps": "many", "free": [1]})


def test_what_resembles_nothing_gets_the_names_that_there_are() -> None:
    with pytest.raises(UnknownName, match=r"Known: apgd, autoattack, .*transfer"):
        catalog.module("attacks", "zzzz")


def test_files_of_one_name_in_two_folders_are_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(f"def said():\n    return {name!r}\n")
        monkeypatch.chdir(tmp_path / name)
        assert catalog.function("attacks", "mine.py:said")() == name
