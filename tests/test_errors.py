import pytest

from unfooled.errors import brief


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("no such file", "no such file"),
        ("\n  first \nsecond\n", "first"),
        (
            "it failed on the server:\nTraceback:\n  a line\nRuntimeError: no room\n",
            "it failed on the server: RuntimeError: no room",
        ),
        ("nothing follows:\n", "nothing follows:"),
        ("", "ValueError('')"),
    ],
)
def test_of_somebody_elses_error_one_line_is_told(said: str, told: str) -> None:
    assert brief(ValueError(said)) == told
