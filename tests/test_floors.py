"""The house stands on floors: a file imports from its own floor or a lower one, never upwards."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import unfooled

HOUSE = Path(unfooled.__file__).parent

# A plural folder lives on the floor of the singular file beside it.
FLOORS = {
    "words": ["errors", "shapes", "wording"],
    "mathematics of one batch": [
        *("norms", "losses", "gradients", "randomness", "catalog", "hyperplane", "nearest"),
        *("geometry", "kernels", "layers", "chain", "borders", "l1_box", "victim", "specimens"),
        *("affine", "blur", "drawn", "memory"),
    ],
    "nouns": [
        *("targets", "obfuscated", "tones", "warps", "boxes", "policies", "mixes"),
        *("corruption", "strokes", "corruptions", "preprocessor", "preprocessors"),
        *("traced", "interval", "lines", "maxima", "region", "windows", "backward", "crown"),
        *("condensed", "fitting", "programme", "witness", "branching", "bounds", "smoothing"),
        *("threat", "transform", "recipe", "dataset", "idx", "datasets", "model", "models"),
        *("archived", "checkpoint", "exported", "onnx", "graph", "derivatives", "graphed"),
    ],
    "acts": [
        "inner",
        "ascent",
        "starts",
        "attack",
        "attacks",
        "defence",
        "defences",
        "peer",
        "peers",
    ],
    "one training, one evaluation, one question": [
        *(
            "together",
            "training",
            "evaluation",
            "study",
            "trial",
            "promises",
            "corrupted",
            "certified",
        ),
        *("finding", "pulse", "normalisation", "doctor", "probed", "probing", "comparing"),
    ],
    "judgement": [
        *("statistics", "outcomes", "bracket", "targeted", "results", "standing", "answer"),
        *("check", "checks"),
    ],
    "runs": [
        "keys",
        "config",
        "hand",
        "pilot",
        "jobs",
        "packing",
        "parting",
        "pictures",
        "sweeping",
        "worker",
        "engine",
        "engines",
        "ledger",
        "store",
        "run",
        "in_process",
        "arguments",
        "loading",
        "crafting",
    ],
    "telling": [
        *("report", "drawing", "matrices", "board", "ranking", "figures", "tables", "page"),
        *("grid", "colophon", "formulas", "album", "assurance", "beside"),
        *("certainty", "reports", "publishing", "sheet", "exhibit", "guide"),
        *("provenance", "believed"),
        *("kept", "rejudging", "rereading", "verifying", "auditing", "radii"),
        *("evaluating", "asking", "conducting", "gate", "card"),
        *("columns", "document", "tracker", "trackers"),
    ],
    "the front door": [
        *(
            "cli",
            "command",
            "commands",
            "terminal",
            "lasting",
            "showing",
            "shipped",
            "completing",
            "testing",
        ),
        "demo",
        *("__main__", "__init__"),
    ],
}
HEIGHT = {file: height for height, files in enumerate(FLOORS.values()) for file in files}
FILES = sorted(HOUSE.rglob("*.py"))


def home(path: Path) -> str:
    """The file's name, or its folder's."""
    return path.relative_to(HOUSE).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[str]:
    """What a file imports from this package, each by the name of its file or folder."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            full = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively, line {node.lineno}"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in full:
            first, _, rest = name.partition(".")
            if first == "unfooled" and rest != "__version__":
                yield rest.split(".")[0]


def whole_names(path: Path) -> set[str]:
    return {
        node.module
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_file_imports_nothing_from_a_higher_floor(path: Path) -> None:
    own = home(path)
    assert own in HEIGHT, f"{own} stands on no floor yet; give it one in {__file__}"
    above = [name for name in imported(path) if HEIGHT.get(name, 99) > HEIGHT[own]]
    assert not above, f"{own} (floor {HEIGHT[own]}) imports from above: {above}"


def test_every_name_on_a_floor_is_a_file_or_a_folder() -> None:
    assert set(HEIGHT) == {home(path) for path in FILES}


def test_files_of_one_floor_do_not_import_each_other_in_a_circle() -> None:
    needs = {own: set[str]() for own in HEIGHT}
    for path in FILES:
        needs[home(path)] |= {name for name in imported(path) if name != home(path)}
    left = dict(needs)
    while left:
        free = [own for own, wanted in left.items() if not wanted & left.keys()]
        assert free, f"a circle among {sorted(left)}"
        for own in free:
            del left[own]


def test_a_singular_file_does_not_know_its_members() -> None:
    for plural in (
        "attacks",
        "checks",
        "datasets",
        "defences",
        "engines",
        "models",
        "reports",
        "trackers",
    ):
        for path in FILES:
            if home(path) in HEIGHT and HEIGHT[home(path)] <= HEIGHT[plural]:
                inside = home(path) == plural or plural not in set(imported(path))
                assert inside or home(path) == "run", f"{path} imports a member of {plural}"


def test_a_member_does_not_import_another() -> None:
    for path in FILES:
        folder = path.parent.name
        if folder not in ("unfooled", "demo"):  # one subject in several files, no open set
            others = {name for name in whole_names(path) if name.startswith(f"unfooled.{folder}.")}
            assert not others, f"{path} imports {others}"


def test_judgement_needs_no_network() -> None:
    for path in (path for path in FILES if home(path) in FLOORS["judgement"]):
        tree = ast.parse(path.read_text())
        names = {
            alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names
        }
        assert not {name for name in names | whole_names(path) if "torch" in name}
