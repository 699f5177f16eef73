"""A network whose forward branches, as one line of layers.

What is alive at a moment, such as the input of a residual branch and what has become of it, is
laid side by side in one row of numbers. A layer then takes some of that and leaves the rest as it
is, and bounds need to know nothing of branches.
"""

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from unfooled.errors import InvalidModel
from unfooled.layers import Standardise
from unfooled.shapes import Images

_SUMS = (operator.add, operator.iadd, torch.add)
_RECTIFIERS = (F.relu, torch.relu, "relu", "relu_")
_FLATTENERS = (torch.flatten, "flatten")
_ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.Softplus)


class Sum(nn.Module):
    """Two branches, added up."""

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        """Their sum."""
        return one + two


class Beside(nn.Module):
    """A linear layer on some of what is alive; what is still wanted of the rest stands before it.

    Attributes:
        shapes: of all that is alive.
        takes: the places of what the layer is given.
        keeps: the places of what stays.
        makes: the shape of what the layer gives.
    """

    def __init__(
        self,
        step: nn.Module,
        shapes: Sequence[torch.Size],
        takes: Sequence[int],
        keeps: Sequence[int],
        makes: torch.Size,
    ) -> None:
        super().__init__()
        self.step, self.shapes, self.makes = step, tuple(shapes), makes
        self.takes, self.keeps = tuple(takes), tuple(keeps)

    def forward(self, alive: Tensor) -> Tensor:
        """What is alive afterwards."""
        parts = apart(alive, self.shapes)
        return joined([*(parts[k] for k in self.keeps), self.step(*(parts[t] for t in self.takes))])


class Within(nn.Module):
    """A layer that bends number by number, on one part of what is alive."""

    def __init__(self, step: nn.Module, shapes: Sequence[torch.Size], place: int) -> None:
        super().__init__()
        self.step, self.shapes, self.place = step, tuple(shapes), place

    def forward(self, alive: Tensor) -> Tensor:
        """What is alive afterwards."""
        parts = apart(alive, self.shapes)
        parts[self.place] = self.step(parts[self.place].clone())  # it may write into it
        return joined(parts)


def apart(alive: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """What is alive, each in its own shape."""
    if len(shapes) == 1:
        return [alive]
    parts = alive.split([shape.numel() for shape in shapes], dim=1)
    return [part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Side by side, in one row of numbers for each image; a single one as it is."""
    return parts[0] if len(parts) == 1 else torch.cat([part.flatten(1) for part in parts], dim=1)


def steps(model: nn.Module, images: Images) -> list[nn.Module]:
    """The layers of a model, one after the other.

    Raises:
        InvalidModel: its forward cannot be followed, or does what is no layer.
    """
    if any(one._forward_hooks or one._forward_pre_hooks for one in model.modules()):
        raise InvalidModel(
            f"there are no bounds for {type(model).__name__}: a hook may change what its layers "
            "give; remove it"
        )
    plain = list(_leaves(model))
    if not any(True for one in plain for _ in one.children()):
        return plain
    return _laid_out(model, images)


def _leaves(model: nn.Module) -> Iterator[nn.Module]:
    if type(model) is nn.Sequential:
        for child in model:
            yield from _leaves(child)
    else:
        yield model


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Standardise) or super().is_leaf_module(m, module_qualified_name)


@dataclass
class _Line:
    """The layers so far, and what is alive after them: the node that made each part, its value."""

    layers: list[nn.Module]
    nodes: list[fx.Node]
    values: list[Tensor]

    def place(self, node: Any, of: fx.Node) -> int:
        if node not in self.nodes:
            raise InvalidModel(f"there are no bounds for {of.name}: it takes what is no image")
        return self.nodes.index(node)


def _laid_out(model: nn.Module, images: Images) -> list[nn.Module]:
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # whatever a forward does that cannot be followed
        raise InvalidModel(
            f"there are no bounds for {type(model).__name__}, whose forward cannot be followed: "
            f"{str(error).splitlines()[0]}"
        ) from error
    nodes = list(graph.nodes)
    last = {given: place for place, node in enumerate(nodes) for given in node.all_input_nodes}
    line = _Line([], [], [])
    for place, node in enumerate(nodes):
        if node.op == "placeholder" and not line.nodes:
            line.nodes, line.values = [node], [images[:1].detach().clone()]
        elif node.op == "output":
            break
        elif node.users:
            _lay(line, node, _layer(model, node), [last[one] > place for one in line.nodes])
    return line.layers


def _layer(model: nn.Module, node: fx.Node) -> nn.Module:
    if node.op == "call_module":
        found: nn.Module = model.get_submodule(str(node.target))
        return found
    if node.target in _SUMS and len(node.args) == 2 and not node.kwargs:
        return Sum()
    if node.target in _RECTIFIERS:
        return nn.ReLU()
    if node.target in _FLATTENERS and node.args[1:] == (1,) and not node.kwargs:
        return nn.Flatten()
    raise InvalidModel(f"there are no bounds for {node.name} ({node.op} {node.target})")


def _lay(line: _Line, node: fx.Node, layer: nn.Module, wanted: list[bool]) -> None:
    """One more layer at the end of the line."""
    several = node.args[:2] if isinstance(layer, Sum) else node.args[:1]
    takes = [line.place(one, node) for one in several]
    shapes = [value.shape[1:] for value in line.values]
    value = layer(*(line.values[take] for take in takes))
    if isinstance(layer, nn.AdaptiveAvgPool2d) and value.shape[2:] == (1, 1):
        high, wide = line.values[takes[0]].shape[2:]
        layer = nn.AvgPool2d((high, wide))
    keeps = [place for place, still in enumerate(wanted) if still]
    if isinstance(layer, _ACTIVATIONS) and len(shapes) > 1 and not wanted[takes[0]]:
        line.layers.append(Within(layer, shapes, takes[0]))
        line.nodes[takes[0]], line.values[takes[0]] = node, value
        return
    if isinstance(layer, _ACTIVATIONS) and keeps:
        # What goes on besides is copied first, so that the layer bends number by number.
        line.layers.append(Beside(nn.Identity(), shapes, takes, keeps, value.shape[1:]))
        layer = Within(layer, [shapes[k] for k in keeps] + [shapes[takes[0]]], len(keeps))
        line.layers.append(layer)
    elif keeps or len(shapes) > 1:
        if isinstance(layer, nn.MaxPool2d):
            raise InvalidModel(f"there are no bounds for {node.name}, a max-pool beside a branch")
        line.layers.append(Beside(layer, shapes, takes, keeps, value.shape[1:]))
    else:
        line.layers.append(layer)
    line.nodes = [*(line.nodes[k] for k in keeps), node]
    line.values = [*(line.values[k] for k in keeps), value]
