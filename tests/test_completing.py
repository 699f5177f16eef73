"""What the shell completes, asked for as the shells ask, and without torch."""

import os
import subprocess
import sys

import pytest

from unfooled import catalog, shipped
from unfooled.completing import NORMS
from unfooled.norms import NORMS as ALL_NORMS

CODE = """
import sys
from unfooled.cli import main
try:
    main()
finally:
    assert not {'torch', 'numpy'} & set(sys.modules), 'it imported too much'
"""


def completed(words: str) -> str:
    """What bash gets for the last word."""
    asked = {
        "_UNFOOLED_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("unfooled attack --attack f", {"fgsm", "fmn", "fab"}),
        ("unfooled study d", {"defences", "digits"}),
        ("unfooled show results.", {"results.schema"}),
    ],
)
def test_names_are_completed(words: str, found: set[str]) -> None:
    assert set(completed(words).split()) == found


def test_there_is_a_script_for_bash_and_for_zsh() -> None:
    for shell, part in (("bash", "complete -o default"), ("zsh", "compdef _unfooled_completion")):
        code = "from unfooled.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, "--show-completion", shell],
            env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert part in done.stdout, done.stderr
        assert "_UNFOOLED_COMPLETE" in done.stdout


def test_what_is_offered_is_what_there_is() -> None:
    assert tuple(ALL_NORMS) == NORMS
    assert "fgsm" in catalog.names("attacks")
    assert "digits" in shipped.studies()
