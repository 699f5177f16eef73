"""Layers as operations of ONNX, each there and back: what it gives, and the gradient by its input.

ONNX has no gradients, so the way back is written out in its forward operations, of which any
runtime knows every one: a convolution's is a transposed convolution, a ReLU's a mask, a max-pool's
a scattering to where the maxima were.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unfooled.errors import InvalidModel
from unfooled.graph import Graph
from unfooled.layers import Standardise
from unfooled.traced import Sum

Shapes = Sequence[torch.Size]  # of what a layer is given, without the number of images
# From the name of the gradient by a layer's output to the names of those by its inputs.
Back = Callable[[str], Sequence[str]]
Names = Sequence[str]


def _standardised(
    graph: Graph, layer: Standardise, given: Names, shapes: Shapes
) -> tuple[str, Back]:
    factor, shift = layer.line(torch.empty(1, *shapes[0]))
    return _scaled(graph, given, factor, shift)


def _normalised(graph: Graph, layer: nn.BatchNorm2d, given: Names, _: Shapes) -> tuple[str, Back]:
    mean, variance = layer.running_mean, layer.running_var
    if mean is None or variance is None:
        raise InvalidModel("a batch normalisation without statistics of its own")
    factor = (variance + layer.eps).rsqrt()
    factor = factor if layer.weight is None else factor * layer.weight
    shift = -mean * factor if layer.bias is None else layer.bias - mean * factor
    return _scaled(graph, given, factor.view(-1, 1, 1), shift.view(-1, 1, 1))


def _scaled(graph: Graph, given: Names, factor: Tensor, shift: Tensor) -> tuple[str, Back]:
    by = graph.constant(_numbers(factor))
    output = graph.apply("Mul", given[0], by)
    output = graph.apply("Add", output, graph.constant(_numbers(shift)))
    return output, lambda gradient: [graph.apply("Mul", gradient, by)]


def _convolved(graph: Graph, layer: nn.Conv2d, given: Names, shapes: Shapes) -> tuple[str, Back]:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise InvalidModel(f"a convolution padded by {layer.padding_mode}, {layer.padding}")
    how = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return _windows(graph, given, shapes[0], _numbers(layer.weight), layer.bias, how)


def _averaged(graph: Graph, layer: nn.AvgPool2d, given: Names, shapes: Shapes) -> tuple[str, Back]:
    side, stride, padding = map(_pair, (layer.kernel_size, layer.stride, layer.padding))
    if (
        layer.ceil_mode
        or layer.divisor_override
        or not (layer.count_include_pad or padding == (0, 0))
    ):
        raise InvalidModel("an average pool that counts its border in a way of its own")
    # It is a convolution of each channel by itself.
    weight = np.full((shapes[0][0], 1, *side), 1 / (side[0] * side[1]))
    return _windows(graph, given, shapes[0], weight, None, (stride, padding, (1, 1), shapes[0][0]))


def _averaged_whole(
    graph: Graph, layer: nn.AdaptiveAvgPool2d, given: Names, shapes: Shapes
) -> tuple[str, Back]:
    if layer.output_size not in (1, (1, 1)):
        raise InvalidModel(f"an adaptive average pool to {layer.output_size}; only 1 is known")
    return _averaged(graph, nn.AvgPool2d((shapes[0][1], shapes[0][2])), given, shapes)


def _windows(
    graph: Graph,
    given: Names,
    shape: torch.Size,
    weight: Any,
    bias: Tensor | None,
    how: tuple[Any, Any, Any, int],
) -> tuple[str, Back]:
    """A convolution with this stride, padding, dilation and number of groups."""
    stride, padding, dilation, groups = *map(_pair, how[:3]), how[3]
    attributes = {
        "strides": stride,
        "pads": (*padding, *padding),
        "dilations": dilation,
        "group": groups,
    }
    name = graph.constant(weight)
    biases = () if bias is None else (graph.constant(_numbers(bias)),)
    output = graph.apply("Conv", given[0], name, *biases, **attributes)
    # Rows and columns that no window began at are missing from the way back.
    reach = [d * (side - 1) + 1 for d, side in zip(dilation, weight.shape[2:], strict=True)]
    rest = [
        (size + 2 * p - r) % s
        for size, p, r, s in zip(shape[1:], padding, reach, stride, strict=True)
    ]

    def back(gradient: str) -> list[str]:
        found = graph.apply("ConvTranspose", gradient, name, output_padding=rest, **attributes)
        return [found]

    return output, back


def _multiplied(graph: Graph, layer: nn.Linear, given: Names, shapes: Shapes) -> tuple[str, Back]:
    if len(shapes[0]) != 1:
        raise InvalidModel("a linear layer on what has not been laid flat")
    weight = graph.constant(_numbers(layer.weight))
    biases = () if layer.bias is None else (graph.constant(_numbers(layer.bias)),)
    output = graph.apply("Gemm", given[0], weight, *biases, transB=1)
    return output, lambda gradient: [graph.apply("MatMul", gradient, weight)]


def _rectified(graph: Graph, _: nn.Module, given: Names, __: Shapes) -> tuple[str, Back]:
    output, zero = graph.apply("Relu", given[0]), graph.constant(0)

    def back(gradient: str) -> list[str]:
        return [graph.apply("Where", graph.apply("Greater", output, zero), gradient, zero)]

    return output, back


def _leaking(graph: Graph, layer: nn.LeakyReLU, given: Names, _: Shapes) -> tuple[str, Back]:
    slope = graph.constant(layer.negative_slope)
    above = graph.apply("Greater", given[0], graph.constant(0))
    factor = graph.apply("Where", above, graph.constant(1), slope)
    return graph.apply("Mul", given[0], factor), lambda gradient: [
        graph.apply("Mul", gradient, factor)
    ]


def _tanh(graph: Graph, _: nn.Module, given: Names, __: Shapes) -> tuple[str, Back]:
    output, one = graph.apply("Tanh", given[0]), graph.constant(1)

    def back(gradient: str) -> list[str]:
        slope = graph.apply("Sub", one, graph.apply("Mul", output, output))
        return [graph.apply("Mul", gradient, slope)]

    return output, back


def _pooled(graph: Graph, layer: nn.MaxPool2d, given: Names, shapes: Shapes) -> tuple[str, Back]:
    side, stride, padding, dilation = map(
        _pair, (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    )
    if layer.return_indices or layer.ceil_mode:
        raise InvalidModel("a max-pool that rounds up or returns its places")
    output, places = graph.several(
        2,
        "MaxPool",
        given[0],
        kernel_shape=side,
        strides=stride,
        pads=(*padding, *padding),
        dilations=dilation,
    )
    # Where windows overlap, one pixel may be the largest of several.
    apart = all(step >= reach for step, reach in zip(stride, side, strict=True))
    how = {} if apart and dilation == (1, 1) else {"reduction": "add"}

    def back(gradient: str) -> list[str]:
        row = graph.constant([-1], np.int64)
        flat = graph.apply("Shape", graph.apply("Reshape", given[0], row))
        nothing = graph.apply("ConstantOfShape", flat)
        at, values = (graph.apply("Reshape", one, row) for one in (places, gradient))
        found = graph.apply("ScatterElements", nothing, at, values, axis=0, **how)
        return [graph.apply("Reshape", found, graph.constant([-1, *shapes[0]], np.int64))]

    return output, back


def _flattened(graph: Graph, layer: nn.Flatten, given: Names, shapes: Shapes) -> tuple[str, Back]:
    if (layer.start_dim, layer.end_dim) != (1, -1):
        raise InvalidModel("a flattening of some dimensions alone")
    shape = graph.constant([-1, *shapes[0]], np.int64)
    return graph.apply("Flatten", given[0], axis=1), lambda gradient: [
        graph.apply("Reshape", gradient, shape)
    ]


def _added(graph: Graph, _: Sum, given: Names, shapes: Shapes) -> tuple[str, Back]:
    if shapes[0] != shapes[1]:
        raise InvalidModel("a sum of two shapes")
    return graph.apply("Add", *given), lambda gradient: [gradient, gradient]


def _passed(_: Graph, __: nn.Module, given: Names, ___: Shapes) -> tuple[str, Back]:
    return given[0], lambda gradient: [gradient]


_KNOWN: dict[type[nn.Module], Callable[[Graph, Any, Names, Shapes], tuple[str, Back]]] = {
    Standardise: _standardised,
    Sum: _added,
    nn.BatchNorm2d: _normalised,
    nn.Conv2d: _convolved,
    nn.AvgPool2d: _averaged,
    nn.AdaptiveAvgPool2d: _averaged_whole,
    nn.Linear: _multiplied,
    nn.ReLU: _rectified,
    nn.LeakyReLU: _leaking,
    nn.Tanh: _tanh,
    nn.MaxPool2d: _pooled,
    nn.Flatten: _flattened,
    **dict.fromkeys((nn.Dropout, nn.Dropout2d, nn.Identity), _passed),  # of an eval model
}


def there(graph: Graph, layer: nn.Module, given: Names, shapes: Shapes) -> tuple[str, Back]:
    """The name of a layer's output, and what writes the way back once its gradient has a name.

    Args:
        graph: to which its operations are added.
        layer: in eval mode.
        given: the names of what it is given.
        shapes: theirs.

    Raises:
        InvalidModel: it is no layer that is known here; the message is a noun.
    """
    write = _KNOWN.get(type(layer))
    if write is None:
        raise InvalidModel(f"a layer of the kind {type(layer).__name__}")
    return write(graph, layer, given, shapes)


def _numbers(tensor: Tensor) -> Any:
    return tensor.detach().cpu().float().numpy()


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
