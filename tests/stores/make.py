"""A tiny run as this version keeps it, for the tests of every later one: once a release.

    python tests/stores/make.py

makes `tests/stores/VERSION/`, a finished run without its report, and refuses to touch one that is
there.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

HOME = Path(__file__).parent
sys.path.insert(0, str(HOME.parent))

import toys  # noqa: E402 - found by the line above

from unfooled import __version__, run  # noqa: E402
from unfooled.in_process import in_process  # noqa: E402
from unfooled.study import Audit, Study  # noqa: E402


def small() -> Study:
    """Two recipes, one seed, two attacks on a dozen images."""
    sweeps = tuple(replace(sweep, images=12) for sweep in toys.study().sweeps)
    return toys.study(seeds=1, sweeps=sweeps, audit=Audit(images=4))


def main() -> None:
    folder = HOME / __version__
    if folder.exists():
        sys.exit(f"{folder} is there already; a kept run is never made again")
    toys.local.local = in_process
    failed = run.run(small(), folder, device="cpu", workers=1, source="# as it was written\n")
    if failed:
        sys.exit(failed[0].message)
    (folder / ".lock").unlink(missing_ok=True)
    shutil.rmtree(folder / "report")
    print(f"{folder}: {sum(path.stat().st_size for path in folder.rglob('*')):,} bytes")


if __name__ == "__main__":
    main()
