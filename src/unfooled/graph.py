"""A graph of ONNX that is being written, node by node, and the files that it ends in.

Large weights lie in a file beside the graphs, once for all graphs that share them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfooled.errors import UnknownName

OPSET = 18
_FORMAT = 8  # the version of the file format that goes with it; every runtime since 2022 reads it
_LARGE = 256  # numbers from which on weights lie beside the graph
_ALIGNED = 64  # bytes at which each of them begins

Numbers = NDArray[np.generic]


def library() -> Any:
    """The library onnx.

    Raises:
        UnknownName: it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise UnknownName(
            'writing networks as ONNX needs onnx; pip install "unfooled[onnx]" brings it'
        ) from error
    return onnx


@dataclass(frozen=True)
class Graph:
    """What has been written so far.

    Attributes:
        nodes: operations in the order in which they are done.
        constants: weights and other numbers, by their names.
    """

    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, Numbers] = field(default_factory=dict)

    def constant(self, numbers: Any, kind: type[np.generic] = np.float32) -> str:
        """The name of these numbers."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(numbers, dtype=kind)
        return name

    def apply(self, operation: str, *given: str, **attributes: Any) -> str:
        """The name of what an operation makes of what is named."""
        return self.several(1, operation, *given, **attributes)[0]

    def several(self, makes: int, operation: str, *given: str, **attributes: Any) -> list[str]:
        """Likewise, of an operation that makes several things."""
        place = len(self.nodes)
        names = [f"t{place}" if not k else f"t{place}_{k}" for k in range(makes)]
        helper = library().helper
        self.nodes.append(helper.make_node(operation, list(given), names, **attributes))
        return names


@dataclass(frozen=True)
class Port:
    """An input or an output of a graph: its name, and its shape without the number of images."""

    name: str
    shape: tuple[int, ...]
    kind: type[np.generic] = np.float32


def write(
    graph: Graph, path: Path, weights: Path, inputs: Sequence[Port], outputs: dict[str, Port]
) -> None:
    """One file of a graph, of which the nodes that the outputs do not need are left out.

    Args:
        graph: may have more nodes and constants.
        path: of the file.
        weights: of the file with the large ones, in the same folder; see `write_weights`.
        inputs: by the names that the graph uses.
        outputs: by the names that the graph uses; each gets the name of its port.
    """
    onnx = library()
    nodes, wanted = [], set(outputs)
    for node in reversed(graph.nodes):
        if wanted & set(node.output):
            nodes.append(node)
            wanted |= set(node.input)
    named = [
        onnx.helper.make_node("Identity", [inner], [port.name]) for inner, port in outputs.items()
    ]
    places = _places(graph)
    tensors = [
        _tensor(name, numbers, weights.name, places)
        for name, numbers in graph.constants.items()
        if name in wanted
    ]
    made = onnx.helper.make_graph(
        [*reversed(nodes), *named],
        "network",
        [_value(port) for port in inputs],
        [_value(port) for port in outputs.values()],
        tensors,
    )
    operators = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(made, opset_imports=operators, producer_name="unfooled")
    model.ir_version = _FORMAT
    path.write_bytes(model.SerializeToString())


def write_weights(graph: Graph, path: Path) -> None:
    """The large constants of a graph, one after the other."""
    places = _places(graph)
    with path.open("wb") as file:
        for name, place in places.items():
            file.write(b"\0" * (place - file.tell()))
            file.write(graph.constants[name].tobytes())


def _places(graph: Graph) -> dict[str, int]:
    """Where each large constant begins in the file of weights."""
    places, end = {}, 0
    for name, numbers in graph.constants.items():
        if numbers.size >= _LARGE:
            places[name] = -(-end // _ALIGNED) * _ALIGNED
            end = places[name] + numbers.nbytes
    return places


def _tensor(name: str, numbers: Numbers, file: str, places: dict[str, int]) -> Any:
    onnx = library()
    if name not in places:
        return onnx.numpy_helper.from_array(numbers, name)
    kind = onnx.helper.np_dtype_to_tensor_dtype(numbers.dtype)
    found = onnx.TensorProto(name=name, data_type=kind, dims=numbers.shape)
    found.data_location = onnx.TensorProto.EXTERNAL
    where = {"location": file, "offset": places[name], "length": numbers.nbytes}
    for key, value in where.items():
        found.external_data.add(key=key, value=str(value))
    return found


def _value(port: Port) -> Any:
    helper = library().helper
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(port.kind))
    return helper.make_tensor_value_info(port.name, kind, ["batch", *port.shape])
