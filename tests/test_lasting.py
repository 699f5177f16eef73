"""What becomes of a command whose terminal is gone; `python -c` here, without torch."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CODE = """
import sys

from unfooled.lasting import lasting
from unfooled.terminal import err, out

with lasting():
    with open("fact", "wb") as fact:
        for line in range(10):
            out.print(line)
            err.print(line)
        fact.write(b"%d" % fact.fileno())
    sys.exit({code})
"""


@pytest.fixture
def gone() -> Iterator[int]:
    """The writing end of a pipe whose reader has left."""
    ours, theirs = os.pipe()
    os.close(ours)
    yield theirs
    os.close(theirs)


@pytest.mark.parametrize(
    ("out", "err", "code", "becomes"),
    [
        ("gone", "file", 0, 141),
        ("gone", "file", 1, 1),
        ("gone", "gone", 0, 141),
        ("file", "gone", 0, 0),
        ("full", "file", 0, 1),
        ("full", "file", 2, 2),
        ("full", "full", 0, 1),
        ("file", "full", 0, 0),
        ("closed", "file", 0, 0),
        ("closed", "closed", 0, 0),
    ],
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_work_is_finished_whatever_happens_to_the_streams(
    tmp_path: Path, gone: int, out: str, err: str, code: int, becomes: int
) -> None:
    (tmp_path / "command.py").write_text(CODE.format(code=code))
    ways = {"gone": f"&{gone}", "full": "/dev/full", "closed": "&-"}
    line = f"{sys.executable} command.py >{ways.get(out, 'out')} 2>{ways.get(err, 'err')} <&-"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, pass_fds=[gone], check=False)
    assert done.returncode == becomes
    assert int((tmp_path / "fact").read_bytes()) > 2, "a file took a standard stream's place"
    if out == "file":
        assert (tmp_path / "out").read_text() == "".join(f"{line}\n" for line in range(10))
    if err == "file":
        last = (tmp_path / "err").read_text().splitlines()[-1]
        lost = "unfooled: the output could not be written: No space left on device"
        assert last == (lost if (out, becomes) == ("full", 1) else "9")


def test_what_is_written_arrives_as_before(tmp_path: Path) -> None:
    script = "from unfooled.lasting import lasting\nwith lasting():\n print('ü', end='')"
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=True,
    )
    assert (found.stdout, found.stderr) == ("ü".encode(), b"")


def test_a_list_whose_reader_has_left_ends_like_any_other_tool(gone: int) -> None:
    words = [sys.executable, "-m", "unfooled", "list", "studies"]
    done = subprocess.run(words, stdout=gone, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (141, b"")
