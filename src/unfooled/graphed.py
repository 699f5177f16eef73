"""A network as two graphs of ONNX: its logits, and its logits with the input gradient.

For whoever attacks it where there is no torch, such as in a browser.
"""

import operator
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unfooled.derivatives import Back, there
from unfooled.errors import InvalidModel, UnknownName, brief
from unfooled.gradients import frozen, home
from unfooled.graph import Graph, Port, library, write, write_weights
from unfooled.layers import Standardise
from unfooled.shapes import Images, Labels
from unfooled.traced import Sum

_SUMS = (operator.add, operator.iadd, torch.add)
_RECTIFIERS = (F.relu, torch.relu, "relu", "relu_")
_FLATTENERS = (torch.flatten, "flatten")
NEAR = 1e-4
_IMAGES, _LABELS, _LOGITS, _GRADIENT = "images", "labels", "logits", "gradient"


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Standardise) or super().is_leaf_module(m, module_qualified_name)


def graphs(network: nn.Module, images: Images, folder: Path, name: str) -> list[Path]:
    """The files of a network: `NAME.onnx`, `NAME.gradient.onnx`, and their `NAME.onnx.data`.

    Both graphs take `images`, float32 `[batch, c, h, w]` in [0, 1], any number of them, and return
    `logits`. The second also takes `labels`, int32 `[batch]`, and returns `gradient`, that of the
    cross-entropy by the images.

    Args:
        network: in any mode; it is written as in eval mode.
        images: one of which shows the shapes.
        folder: that exists.
        name: without an ending.

    Raises:
        UnknownName: onnx is not installed.
        InvalidModel: the network has a layer that is not known here, or a forward that cannot be
            followed.
    """
    library()
    graph = Graph()
    network = deepcopy(network).cpu().float()
    with frozen(network), torch.no_grad():
        nodes, layers = _laid_out(network)
        logits, backs, classes = _there(graph, nodes, layers, images[:1].detach().cpu().float())
    gradient = _back(graph, nodes, backs, _slope(graph, logits, classes))
    weights = folder / f"{name}.onnx.data"
    shape = tuple(images.shape[1:])
    given, asked = Port(_IMAGES, shape), Port(_LABELS, (), np.int32)
    read, found = Port(_LOGITS, (classes,)), Port(_GRADIENT, shape)
    plain, both = folder / f"{name}.onnx", folder / f"{name}.gradient.onnx"
    write(graph, plain, weights, [given], {logits: read})
    write(graph, both, weights, [given, asked], {logits: read, gradient: found})
    write_weights(graph, weights)
    return [plain, both, weights]


def alike(network: nn.Module, images: Images, labels: Labels, files: Sequence[Path]) -> None:
    """Let only files of `graphs` pass that answer as the network itself does.

    Raises:
        UnknownName: onnxruntime is not installed.
        InvalidModel: logits or gradients differ by more than `NEAR` of the largest, or of 1.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UnknownName(
            'what is written as ONNX is tried out by onnxruntime; pip install "unfooled[onnx]" '
            "brings it"
        ) from error
    given = images.detach().to(home(network), copy=True).requires_grad_()
    with frozen(network), torch.enable_grad():
        logits = network(given)
        loss = F.cross_entropy(logits, labels.to(logits.device), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, given)
    asked = {_IMAGES: images.numpy(), _LABELS: labels.to(torch.int32).numpy()}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    for path, wanted in zip(files, ((logits,), (logits, gradient)), strict=False):
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        names = [one.name for one in session.get_inputs()]
        found = session.run(None, {name: asked[name] for name in names})
        for one, other in zip(found, wanted, strict=True):
            right = other.detach().cpu().float().numpy()
            apart, most = np.abs(one - right).max(), max(1, np.abs(right).max())
            if not apart <= NEAR * most:
                raise _refused(network, f"what was written answers otherwise, by {apart:.1e}")


def _laid_out(network: nn.Module) -> tuple[list[fx.Node], dict[fx.Node, nn.Module]]:
    """The steps of a forward in their order, and the layer of each.

    A batch normalisation behind a convolution becomes a part of it.
    """
    if any(one._forward_hooks or one._forward_pre_hooks for one in network.modules()):
        raise _refused(network, "a hook may change what its layers give; remove it")
    try:
        traced = _Tracer().trace(network)
    except Exception as error:  # whatever a forward does that cannot be followed
        raise _refused(network, f"its forward cannot be followed: {brief(error)}") from error
    nodes = [node for node in traced.nodes if node.users or node.op == "output"]
    layers = {
        node: _layer(network, node) for node in nodes if node.op not in ("placeholder", "output")
    }
    for node, layer in layers.items():
        before = node.args[0] if node.args else None
        if type(layer) is not nn.BatchNorm2d or not isinstance(before, fx.Node):
            continue
        conv = layers.get(before)
        if type(conv) is nn.Conv2d and len(before.users) == 1 and layer.running_mean is not None:
            layers[before], layers[node] = fuse_conv_bn_eval(conv, layer), nn.Identity()
    return nodes, layers


def _layer(network: nn.Module, node: fx.Node) -> nn.Module:
    if node.op == "call_module":
        return network.get_submodule(str(node.target))
    if node.target in _SUMS and len(_inputs(node)) == 2 and not node.kwargs:
        return Sum()
    if node.target in _RECTIFIERS:
        return nn.ReLU()
    if node.target in _FLATTENERS and node.args[1:] == (1,) and not node.kwargs:
        return nn.Flatten()
    raise _refused(network, f"it contains {node.name} ({node.op} {node.target})")


def _there(
    graph: Graph, nodes: Sequence[fx.Node], layers: dict[fx.Node, nn.Module], images: Images
) -> tuple[str, dict[fx.Node, Back], int]:
    """The name of the logits, the way back of each layer, and the number of classes."""
    names: dict[fx.Node, str] = {}
    values: dict[fx.Node, Tensor] = {}
    backs: dict[fx.Node, Back] = {}
    for node in nodes:
        if node.op == "placeholder":
            names[node], values[node] = _IMAGES, images
            continue
        if node.op == "output":
            break
        several = _inputs(node)
        given = [values[one] for one in several]
        values[node] = layers[node](*(one.clone() for one in given))  # it may write into it
        try:
            names[node], backs[node] = there(
                graph,
                layers[node],
                [names[one] for one in several],
                [one.shape[1:] for one in given],
            )
        except InvalidModel as error:
            raise _refused(None, f"{node.name} is {error}") from error
    last = _result(nodes)
    return names[last], backs, values[last].shape[1]


def _back(graph: Graph, nodes: Sequence[fx.Node], backs: dict[fx.Node, Back], slope: str) -> str:
    """The name of the gradient by the images, from that by the logits."""
    gradients = {_result(nodes): slope}
    for node in reversed(nodes):
        if node not in backs or node not in gradients:
            continue
        for one, gradient in zip(_inputs(node), backs[node](gradients[node]), strict=True):
            sum_so_far = gradients.get(one)
            gradients[one] = (
                gradient if sum_so_far is None else graph.apply("Add", sum_so_far, gradient)
            )
    return gradients[next(node for node in nodes if node.op == "placeholder")]


def _slope(graph: Graph, logits: str, classes: int) -> str:
    """The gradient of the cross-entropy by the logits: what is read less what should be."""
    columns = graph.constant(np.arange(classes), np.int32)
    column = graph.apply("Unsqueeze", _LABELS, graph.constant([1], np.int64))
    wanted = graph.apply(
        "Cast", graph.apply("Equal", column, columns), to=library().TensorProto.FLOAT
    )
    return graph.apply("Sub", graph.apply("Softmax", logits, axis=1), wanted)


def _inputs(node: fx.Node) -> list[fx.Node]:
    """What a layer is given: one image, or two for a sum; the same one twice, if need be."""
    return [one for one in node.args if isinstance(one, fx.Node)]


def _result(nodes: Sequence[fx.Node]) -> fx.Node:
    found: Any = nodes[-1].args[0]
    if not isinstance(found, fx.Node):
        raise _refused(None, "its forward returns more than logits")
    return found


def _refused(network: nn.Module | None, why: str) -> InvalidModel:
    who = "this network" if network is None else type(network).__name__
    return InvalidModel(f"{who} cannot be written as ONNX with its gradient: {why}")
