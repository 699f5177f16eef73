"""The study files that come with unfooled."""

from pathlib import Path

from unfooled.errors import UnknownName

_HERE = Path(__file__).parent
# Inside an installed package; beside src in a checkout.
STUDIES = _HERE / "studies" if (_HERE / "studies").is_dir() else _HERE.parents[1] / "studies"


def studies() -> list[str]:
    """Their names."""
    return sorted(path.stem for path in STUDIES.glob("*.toml"))


def file(which: str) -> Path:
    """The file behind a study's name or path."""
    path = Path(which)
    if path.suffix == ".toml":
        return path
    if which in studies():
        return STUDIES / f"{which}.toml"
    from unfooled import catalog

    raise UnknownName(f"{catalog.unknown(which, studies())} (studies; a file must end in .toml)")
