"""What a model is: an `nn.Module` from images in [0, 1] to logits, normalising inside itself.

Every file in `models/` holds a function of its own name that builds one:

    def name(*, channels: int, size: int, classes: int) -> nn.Module
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from unfooled import catalog
from unfooled.errors import InvalidData, InvalidModel, UnfooledError
from unfooled.gradients import forward, frozen
from unfooled.randomness import Draws
from unfooled.shapes import Images


def build(name: str, *, channels: int, size: int, classes: int, seed: int) -> nn.Module:
    """A fresh network of that name; equal seeds give equal weights.

    Raises:
        UnknownName: there is no such model.
        InvalidModel: it cannot be built for these images, or does not return logits for them.
    """
    make = catalog.function("models", name)
    with Draws(seed, "initial weights").torch_state():
        try:
            model: nn.Module = make(channels=channels, size=size, classes=classes)
            if not isinstance(model, nn.Module):
                raise TypeError(f"it returned a {type(model).__name__}, not a torch.nn.Module")
            with frozen(model), torch.no_grad():
                logits = forward(model, torch.zeros(1, channels, size, size))
        except UnfooledError:
            raise
        except Exception as error:
            raise InvalidModel(
                f"{name} cannot be built for {channels} x {size} x {size} images of {classes} "
                f"classes: {error}"
            ) from error
    if logits.shape[1] != classes:
        raise InvalidModel(f"{name} returns {logits.shape[1]} logits for {classes} classes")
    return model


def save(model: nn.Module, about: Mapping[str, object]) -> bytes:
    """The weights as a safetensors file, with `about` in its head."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    return to_bytes(tensors, {"unfooled": json.dumps(about, sort_keys=True)})


def weights(content: bytes) -> dict[str, Tensor]:
    """The tensors of a file that `save` made; no code in it can run.

    Raises:
        InvalidData: the file is damaged or of another kind.
    """
    try:
        return from_bytes(content)
    except SafetensorError as error:
        raise InvalidData(f"these are no safetensors: {error}") from error


def about(content: bytes) -> dict[str, Any]:
    """What `save` put into the head of a file.

    Raises:
        InvalidData: the file is damaged or of another kind.
    """
    try:
        length = int.from_bytes(content[:8], "little")
        found = dict(json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["unfooled"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidData(f"this is no weights file of ours: {error!r}") from error
    return found


def restored(content: bytes, name: str, *, channels: int, size: int, classes: int) -> nn.Module:
    """The network of that name with the weights of a file that `save` made, in eval mode.

    Raises:
        InvalidData: the file is damaged or of another kind.
        InvalidModel: the weights are not those of such a network.
    """
    network = build(name, channels=channels, size=size, classes=classes, seed=0)
    try:
        network.load_state_dict(weights(content))
    except RuntimeError as error:
        raise InvalidModel(
            f"these weights do not fit {name} for {channels} x {size} x {size} images of "
            f"{classes} classes"
        ) from error
    return network.eval()


@dataclass(frozen=True)
class Layer:
    """One layer as a reader wants it explained.

    Attributes:
        kind: such as "Conv2d".
        output: shape of what it passes on, without the batch.
        kernel: "4x4, stride 2", or "" where there is none.
        field: side of the square of pixels that one output sees; 0 means all of them.
        parameters: numbers that training sets.
        multiplications: for one image.
    """

    kind: str
    output: tuple[int, ...]
    kernel: str
    field: int
    parameters: int
    multiplications: int


def layers(model: nn.Module, *, channels: int, size: int) -> list[Layer]:
    """The layers of a feed-forward model in the order in which an image passes them."""
    found: list[Layer] = []
    reach, jump = 1, 1  # the receptive field so far, and the pixels between two neighbours

    def note(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal reach, jump
        kernel, products = "", 0
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            side, stride = _first(module.kernel_size), _first(module.stride)
            kernel = f"{side}x{side}, stride {stride}"
            reach, jump = reach + (side - 1) * jump, jump * stride
        if isinstance(module, nn.Conv2d):
            products = output[0].numel() * module.weight[0].numel()
        if isinstance(module, nn.Linear):
            products, reach = module.weight.numel(), 0
        own = sum(p.numel() for p in module.parameters(recurse=False))
        seen = 0 if not reach or reach >= size else reach
        reach = 0 if not seen else reach
        shape = tuple(output.shape[1:])
        found.append(Layer(type(module).__name__, shape, kernel, seen, own, products))

    leaves = [module for module in model.modules() if not list(module.children())]
    handles = [leaf.register_forward_hook(note) for leaf in leaves]
    try:
        with frozen(model), torch.no_grad():
            model(torch.zeros(1, channels, size, size))
    finally:
        for handle in handles:
            handle.remove()
    return found


def _first(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]


def first_features(model: nn.Module, image: Images) -> tuple[Tensor, Tensor]:
    """The filters of the first convolution `[f, c, h, w]` and what they answer to one image.

    The answers have the shape `[f, h, w]`; both are empty for a model without convolutions.
    """
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None:
        return torch.empty(0, 0, 0, 0), torch.empty(0, 0, 0)
    answers: list[Tensor] = []
    handle = first.register_forward_hook(lambda _, __, output: answers.append(output))
    try:
        with frozen(model), torch.no_grad():
            model(image[:1])
    finally:
        handle.remove()
    return first.weight.detach(), answers[0][0]
