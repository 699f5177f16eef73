"""What a model is: an `nn.Module` from images in [0, 1] to logits, normalising inside itself.

Every file in `models/` holds a function of its own name that builds one:

    def name(*, channels: int, size: int, classes: int) -> nn.Module

A function of the user's own may leave out those of the three that it does not need. `timm:NAME` is
a network of the library timm, with fresh weights.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from pydantic_core import from_json
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from unfooled import catalog, checkpoint
from unfooled.errors import InvalidData, InvalidModel, UnfooledError, UnknownName, brief
from unfooled.gradients import forward, frozen, home
from unfooled.layers import Standardise
from unfooled.randomness import Draws
from unfooled.shapes import Images

_TIMM = "timm:"


def build(name: str, *, channels: int, size: int, classes: int, seed: int) -> nn.Module:
    """A fresh network of that name; equal seeds give equal weights.

    Raises:
        UnknownName: there is no such model, or it is one of timm's, which is not installed.
        InvalidModel: it cannot be built for these images, or does not return logits for them.
    """
    make = _maker(name)
    with Draws(seed, "initial weights").torch_state():
        try:
            model: nn.Module = _called(make, channels=channels, size=size, classes=classes)
            if not isinstance(model, nn.Module):
                raise TypeError(f"it returned a {type(model).__name__}, not a torch.nn.Module")
            with frozen(model), torch.no_grad():
                logits = forward(model, torch.zeros(1, channels, size, size))
        except UnfooledError:
            raise
        except Exception as error:
            raise InvalidModel(
                f"{name} cannot be built for {channels} x {size} x {size} images of {classes} "
                f"classes: {brief(error)}"
            ) from error
    if logits.shape[1] != classes:
        raise InvalidModel(f"{name} returns {logits.shape[1]} logits for {classes} classes")
    return model


def fingerprint(name: str) -> str:
    """What decides which network a name stands for: as `catalog.fingerprint`, or timm's version."""
    return f"{name} {version('timm')}" if name.startswith(_TIMM) else catalog.fingerprint(name)


def runs_code(name: str) -> bool:
    """Whether `build` would run code of somebody else's; timm's is known by its names alone."""
    return catalog.runs_code(name) and not name.startswith(_TIMM)


def _maker(name: str) -> Callable[..., nn.Module]:
    if name.startswith(_TIMM):
        return partial(_of_timm, name.removeprefix(_TIMM))
    return catalog.function("models", name)


def _called(make: Callable[..., Any], **shape: int) -> Any:
    """What the function makes, told as much of the shape as it asks for by name."""
    asked = inspect.signature(make).parameters
    return make(**{name: value for name, value in shape.items() if name in asked})


def _of_timm(name: str, *, channels: int, size: int, classes: int) -> nn.Module:
    """A network of timm's; nothing is downloaded."""
    try:
        import timm
    except ImportError as error:
        raise UnknownName(
            f"{_TIMM}{name} is a network of the library timm, which is not installed; "
            "pip install timm brings it"
        ) from error
    # Asked first: some other names, such as those of a hub, would be looked up on the network.
    if not timm.is_model(name):
        raise UnknownName(f"{catalog.unknown(name, timm.list_models())} (in timm)")
    usual = timm.get_pretrained_cfg(name)
    fixed = {"img_size": size} if usual is not None and usual.fixed_input_size else {}
    network = timm.create_model(
        name, pretrained=False, in_chans=channels, num_classes=classes, **fixed
    )
    return nn.Sequential(Standardise(), network)


def save(model: nn.Module, about: Mapping[str, object]) -> bytes:
    """The weights as a safetensors file, with `about` in its head."""
    # Copies: a tensor under two names, as of layers that share their weights, is kept under both.
    tensors = {name: one.contiguous().cpu().clone() for name, one in model.state_dict().items()}
    return to_bytes(tensors, {"unfooled": json.dumps(about, sort_keys=True)})


def weights(content: bytes) -> dict[str, Tensor]:
    """The tensors of a file that `save` made; no code in it can run.

    Raises:
        InvalidData: the file is damaged or of another kind.
    """
    return checkpoint.tensors(content)


def about(content: bytes) -> dict[str, Any]:
    """What `save` put into the head of a file.

    Raises:
        InvalidData: the file is damaged or of another kind.
    """
    try:
        length = int.from_bytes(content[:8], "little")
        found = dict(from_json(from_json(content[8 : 8 + length])["__metadata__"]["unfooled"]))
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
    who = f"{name} for {channels} x {size} x {size} images of {classes} classes"
    checkpoint.fill(network, weights(content), who)
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
    """The layers of a feed-forward model in the order in which an image passes them.

    Where it branches, what comes out of an operation between layers, such as a sum, sees as much as
    any layer before it.
    """
    found: list[Layer] = []
    # By the tensor's id: the receptive field, and the pixels between two neighbours. The tensors
    # are kept, so that no id is given to another.
    fields, kept = {0: (1, 1)}, list[Tensor]()

    def note(module: nn.Module, given: tuple[Any, ...], outputs: Any) -> None:
        output = outputs
        while isinstance(output, tuple | list) and output:  # such as what a recurrent layer gives
            output = output[0]
        if not isinstance(output, Tensor):
            return
        reach, jump = (given and fields.get(id(given[0]))) or max(fields.values())
        kernel, products = "", 0
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            side, stride = _first(module.kernel_size), _first(module.stride)
            kernel = f"{side}x{side}, stride {stride}"
            reach, jump = reach + (side - 1) * jump, jump * stride
        if isinstance(module, nn.Conv2d):
            products = output[0].numel() * module.weight[0].numel()
        if isinstance(module, nn.Linear):
            products = module.weight.numel()
        if isinstance(module, nn.Linear | nn.AdaptiveAvgPool2d):
            reach = size
        fields[id(output)] = reach, jump
        kept.append(output)
        own = sum(p.numel() for p in module.parameters(recurse=False))
        seen = 0 if reach >= size else reach
        shape = tuple(output.shape[1:])
        found.append(Layer(type(module).__name__, shape, kernel, seen, own, products))

    leaves = [module for module in model.modules() if not list(module.children())]
    handles = [leaf.register_forward_hook(note) for leaf in leaves]
    try:
        with frozen(model), torch.no_grad():
            model(torch.zeros(1, channels, size, size, device=home(model)))
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
            model(image[:1].to(home(model)))
    finally:
        handle.remove()
    return first.weight.detach(), answers[0][0]
