import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from unfooled.errors import UnknownName
from unfooled.graph import Graph, Port, library, write, write_weights


def written(folder: Path) -> tuple[Path, Path]:
    """Two graphs of 600 weights: their sum with an image, and the same sum doubled."""
    graph = Graph()
    weight = graph.constant(np.linspace(0, 1, 600).reshape(1, 20, 30))
    once = graph.apply("Add", "images", weight)
    twice = graph.apply("Mul", once, graph.constant(2))
    weights, given = folder / "both.data", Port("images", (1, 20, 30))
    for name, result in (("once", once), ("twice", twice)):
        path = folder / f"{name}.onnx"
        write(graph, path, weights, [given], {result: Port("found", (1, 20, 30))})
    write_weights(graph, weights)
    return folder / "once.onnx", folder / "twice.onnx"


def test_two_graphs_share_the_file_of_their_large_weights(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((3, 1, 20, 30), dtype=np.float32)
    found = []
    for path in written(tmp_path):
        onnx.checker.check_model(str(path), full_check=True)
        assert path.stat().st_size < 600
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        found += session.run(None, {"images": images})
    right = images + np.linspace(0, 1, 600, dtype=np.float32).reshape(1, 20, 30)
    np.testing.assert_allclose(found[0], right, atol=1e-6)
    np.testing.assert_allclose(found[1], 2 * right, atol=1e-6)
    assert (tmp_path / "both.data").stat().st_size == 4 * 600


def test_a_graph_holds_only_what_its_outputs_need(tmp_path: Path) -> None:
    once, twice = (onnx.load(path, load_external_data=False) for path in written(tmp_path))
    assert [node.op_type for node in once.graph.node] == ["Add", "Identity"]
    assert [node.op_type for node in twice.graph.node] == ["Add", "Mul", "Identity"]
    assert len(once.graph.initializer) == 1


def test_without_onnx_one_line_says_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)  # importing it fails
    with pytest.raises(UnknownName, match=r'pip install "unfooled\[onnx\]"'):
        library()
