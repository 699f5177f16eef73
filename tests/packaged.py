"""What is in a wheel and a source distribution, and what is not: `python packaged.py FOLDER`."""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).parents[1]
JUNK = (
    "__pycache__",
    ".pyc",
    "/runs/",
    ".venv",
    ".pytest_cache",
    "/dist/",
    ".DS_Store",
    ".egg-info/",
)


def tracked() -> list[str]:
    """The files of the source tree that belong to it: all that git would not ignore."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(asked, cwd=HERE, capture_output=True, text=True, check=True)
    return [path for path in done.stdout.splitlines() if (HERE / path).is_file()]


def faults(folder: Path) -> Iterator[str]:
    """What is wrong with the one wheel and the one source distribution in a folder."""
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    ours = tracked()
    inside = zipfile.ZipFile(wheel).namelist()
    package = [path.removeprefix("src/") for path in ours if path.startswith("src/unfooled/")]
    studies = [f"unfooled/{path}" for path in ours if path.startswith("studies/")]
    licences = [path for path in inside if path.endswith("licenses/LICENSE")]
    yield from _differ(wheel.name, {*package, *studies, "unfooled/py.typed"}, inside)
    if not licences:
        yield f"{wheel.name} has no licence"
    with tarfile.open(source) as archive:
        files = [one.name.partition("/")[2] for one in archive if one.isfile()]
    wanted = ("src/", "studies/", "tests/", "docs/", "benchmarks/")
    named = {
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "pyproject.toml",
        "constraints.txt",
        "Makefile",
    }
    yield from _differ(source.name, {*named, *(p for p in ours if p.startswith(wanted))}, files)


def _differ(name: str, wanted: set[str], inside: Iterable[str]) -> Iterator[str]:
    inside = set(inside)
    yield from (f"{name} lacks {path}" for path in sorted(wanted - inside))
    yield from (f"{name} holds {p}" for p in sorted(inside) if any(j in f"/{p}" for j in JUNK))
    strangers = {p for p in inside - wanted if p.startswith(("unfooled/", "src/", "tests/"))}
    yield from (f"{name} holds {path}, which is no file of ours" for path in sorted(strangers))


if __name__ == "__main__":
    found = list(faults(Path(sys.argv[1])))
    sys.exit("\n".join(found) or 0)
