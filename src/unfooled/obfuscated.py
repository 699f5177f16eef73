"""Ways around obfuscated gradients: models that are random, or in part not differentiable.

A defence that hides its gradient looks robust to an attack that follows the gradient, and is not.
Both functions wrap such a model into one that can be attacked like any other, and both may be
nested: `eot(bpda(layer, model))`.

Source: Athalye et al. 2018, https://arxiv.org/abs/1802.00420, section 4.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from unfooled.errors import InvalidModel, InvalidOption
from unfooled.shapes import Images, Logits


def eot(model: nn.Module, samples: int = 10) -> nn.Module:
    """The mean of a random model's logits over several passes: expectation over transformation.

    Answer and gradient are then estimates of their expectations, which one pass is not. Judge the
    wrapped model, too: a random model that is asked once is misread or not by luck. One pass that
    is counted is `samples` passes of the model inside, and takes their memory.

    Args:
        model: images in [0, 1] to logits, drawing anew at each call.
        samples: passes, at least 1. The error falls with their root.

    Raises:
        InvalidOption: samples is below 1.

    Source: Athalye et al. 2018, https://arxiv.org/abs/1802.00420, section 4.2.
    """
    if samples < 1:
        raise InvalidOption(f"eot needs samples >= 1; it got samples={samples}")
    return _Mean([model] * samples)


def mean(models: Sequence[nn.Module]) -> nn.Module:
    """The mean of the logits of at least one model; of one, that model itself."""
    return models[0] if len(models) == 1 else _Mean(models)


def identity(images: Images) -> Images:
    """The images themselves: what a layer that hardly changes them is like."""
    return images


def bpda(
    layer: Callable[[Images], Images],
    model: nn.Module,
    backward: Callable[[Images], Images] = identity,
) -> nn.Module:
    """The model behind a layer without a useful gradient, which another function stands in for.

    Known as backward pass differentiable approximation.

    The answer is exactly `model(layer(images))`; the gradient is that of `model(backward(images))`,
    taken at `layer(images)`.

    Args:
        layer: such as rounding the pixels to few bits; `Images` to `Images`.
        model: images to logits, differentiable.
        backward: a differentiable function close to the layer, with results of the same shape.

    Source: Athalye et al. 2018, https://arxiv.org/abs/1802.00420, section 4.1.
    """
    return _Approximated(layer, model, backward)


class _Mean(nn.Module):
    """What `eot` and `mean` return."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, images: Images) -> Logits:
        # One call a sample, not one large batch: some models draw once for the whole batch.
        first, *others = self.models
        logits: Logits = first(images)
        for model in others:
            logits = logits + model(images)
        return logits / len(self.models)


class _Approximated(nn.Module):
    """What `bpda` returns."""

    def __init__(
        self,
        layer: Callable[[Images], Images],
        model: nn.Module,
        backward: Callable[[Images], Images],
    ) -> None:
        super().__init__()
        self.layer, self.model, self.backward = layer, model, backward

    def forward(self, images: Images) -> Logits:
        with torch.no_grad():
            passed_on = self.layer(images)
        like = self.backward(images)
        if like.shape != passed_on.shape:
            raise InvalidModel(
                f"the layer returned {list(passed_on.shape)} for images {list(images.shape)}, and "
                f"the function that stands in for its gradient {list(like.shape)}; both must agree"
            )
        # The difference is exactly 0, so that the value is the layer's to the last bit.
        logits: Logits = self.model(passed_on + (like - like.detach()))
        return logits
