"""What a shell completes: names, from the files that hold them, without torch.

`unfooled --install-completion` installs it.
"""

from collections.abc import Iterable

from unfooled import catalog, shipped

NORMS = ("Linf", "L2", "L1", "L0", "spatial")
FOLDERS = (
    *("attacks", "corruptions", "datasets", "defences", "preprocessors", "models"),
    *("checks", "reports", "trackers", "engines", "peers"),
)
LISTED = (*FOLDERS, "studies", "transforms")
SCHEMAS = ("card.schema", "results.schema")


def attacks(begun: str) -> list[str]:
    """Of attacks."""
    return _beginning(begun, catalog.names("attacks"))


def datasets(begun: str) -> list[str]:
    """Of data sets."""
    return _beginning(begun, catalog.names("datasets"))


def studies(begun: str) -> list[str]:
    """Of our study files."""
    return _beginning(begun, shipped.studies())


def norms(begun: str) -> list[str]:
    """Of norms."""
    return _beginning(begun, NORMS)


def devices(begun: str) -> list[str]:
    """Of devices."""
    return _beginning(begun, ("auto", "cpu", "cuda"))


def engines(begun: str) -> list[str]:
    """Of what does the jobs."""
    from unfooled import catalog

    return _beginning(begun, catalog.names("engines"))


def listed(begun: str) -> list[str]:
    """Of what `unfooled list` takes."""
    return _beginning(begun, LISTED)


def members(begun: str) -> list[str]:
    """Of everything that `unfooled show` explains."""
    return _beginning(begun, known())


def known() -> list[str]:
    """All that has a name and can be shown."""
    inside = [name for folder in FOLDERS for name in catalog.names(folder)]
    return list(dict.fromkeys([*inside, *shipped.studies(), *SCHEMAS]))


def _beginning(begun: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(begun)]
