"""The student's notebook holds what its source says, and runs from top to bottom."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import jupytext
import nbformat
import pytest
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[1] / "notebooks"
QUICK = {"DATASET": "digits", "EPOCHS": {"mnist": 1, "digits": 1}, "SEEDS": 1, "ATTACKED": 8}


@pytest.fixture(scope="module")
def execute() -> ModuleType:
    """What `make notebook` runs."""
    spec = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def kept() -> NotebookNode:
    """The notebook as it is committed."""
    return nbformat.read(FOLDER / "ae_attack.ipynb", as_version=4)


@pytest.fixture(scope="module")
def quick(execute: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    """The notebook run with little of everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        home = tmp_path_factory.mktemp("notebook")
        return execute.executed(execute.converted(execute.SOURCE, QUICK), home)


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [one for cell in notebook.cells for one in cell.get("outputs", ())]


def test_the_notebook_holds_what_its_source_says(kept: NotebookNode) -> None:
    source = jupytext.read(FOLDER / "ae_attack.py")
    assert [(cell.cell_type, cell.source) for cell in kept.cells] == [
        (cell.cell_type, cell.source) for cell in source.cells
    ], "run `make notebook`"


def test_converting_gives_the_same_file_again(execute: ModuleType) -> None:
    first, second = (execute.converted(execute.SOURCE, {}) for _ in range(2))
    assert nbformat.writes(first) == nbformat.writes(second)


def test_it_was_run_from_top_to_bottom(kept: NotebookNode) -> None:
    counts = [cell.execution_count for cell in kept.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_it_tells_nothing_of_the_machine_that_ran_it(kept: NotebookNode) -> None:
    without = [re.sub(r"data:image[^\"]*", "", str(one)) for one in outputs(kept)]
    assert not [
        one for one in without if re.search(r"/(home|root|tmp|work|Users)/|0x[0-9a-f]{6}", one)
    ]
    assert set(kept.metadata) == {"kernelspec", "language_info"}


@pytest.mark.slow
def test_it_runs(quick: NotebookNode) -> None:
    said = [one.get("name") for one in outputs(quick) if one.output_type == "stream"]
    assert set(said) == {"stdout"}
    told = str([one.data for one in outputs(quick) if one.output_type == "execute_result"])
    assert "Cannot tell.** At eps 0.1, where" in told
    assert "MNIST cannot be had" not in told


@pytest.mark.slow
def test_every_picture_has_words(kept: NotebookNode, quick: NotebookNode) -> None:
    for notebook in (kept, quick):
        pictures = 0
        for one in outputs(notebook):
            for kind in {"image/png", "image/svg+xml"} & set(one.get("data", ())):
                assert len(one.metadata[kind]["alt"]) > 20
                pictures += 1
        assert pictures > 10
