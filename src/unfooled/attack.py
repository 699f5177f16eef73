"""What an attack is: a function from images that are read correctly to images that may not be.

Every file in `attacks/` holds a function of its own name with this signature, and two constants:

    def name(model, images, labels, threat, *, draws, targets=None, **options) -> Images

    PROMISE: "bounded" (stays inside the threat) or "nearest" (as close as it can get)
    KNOWS:   "gradients" (white box: the whole model), "scores" (black box: the logits),
             "decisions" (black box: the class) or "nothing" (the images alone)

`labels` are the true labels. With `targets` the attack wants each image read as its target
(source/target misclassification); without, as anything but its label (misclassification). The
model arrives frozen and in eval mode. Keyword-only parameters after `targets` are the options.

One of ours may also hold `sweep(model, images, labels, threats, *, draws, targets, **options)`, one
result for each threat, where that is cheaper than one call for each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from unfooled import catalog
from unfooled.errors import InvalidInput, InvalidThreat, JobFailed
from unfooled.gradients import forward, frozen, predict
from unfooled.losses import fooled
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits, Mask
from unfooled.threat import Threat

GIVEN = ("draws", "targets")  # keyword parameters of every attack that are no options
_BATCH = 250  # images; their activations stay in a core's cache


@dataclass(frozen=True)
class Attack:
    """An attack with its options set.

    Attributes:
        name: as users write it.
        function: see this file's docstring.
        promise: "bounded" or "nearest".
        knows: "gradients", "scores", "decisions" or "nothing".
        options: what differs from the function's defaults.
        sweeper: the file's own `sweep`, or None.
    """

    name: str
    function: Callable[..., Images]
    promise: str
    knows: str
    options: Mapping[str, Any] = field(default_factory=dict)
    sweeper: Callable[..., list[Images]] | None = None

    @property
    def all_options(self) -> dict[str, Any]:
        """Every option with its value, given or default."""
        return {**catalog.options(self.function, GIVEN), **self.options}

    @property
    def steps(self) -> int:
        """Gradient evaluations or queries a start; 1 for an attack that has no such option."""
        return int(self.all_options.get("steps", 1))

    @property
    def title(self) -> str:
        """As a report prints it, such as "PGD-40"."""
        name = self.name.rpartition(":")[2]
        name = name.upper() if len(name) <= 4 else name
        return f"{name}-{self.steps}" if self.steps > 1 else name

    def run(
        self,
        model: nn.Module,
        images: Images,
        labels: Labels,
        threat: Threat,
        *,
        draws: Draws,
        targets: Labels | None = None,
    ) -> Images:
        """The attacked images; those that are misread from the start come back unchanged."""
        return self.sweep(model, images, labels, [threat], draws=draws, targets=targets)[0]

    def sweep(
        self,
        model: nn.Module,
        images: Images,
        labels: Labels,
        threats: Sequence[Threat],
        *,
        draws: Draws,
        targets: Labels | None = None,
    ) -> list[Images]:
        """The attacked images for each of several threats of one norm, eps ascending.

        An image that is fooled at a small eps is kept as it is for the larger ones: it lies inside
        them too, and an image that has been fooled needs no further work. An attack with a `sweep`
        of its own may do otherwise; the judge counts the image as fooled either way.

        Raises:
            InvalidInput: images or labels that are not what `shapes.py` says, or a target that is
                the label.
            InvalidThreat: threats out of order.
            InvalidModel: outputs or gradients that cannot be used.
            JobFailed: the attack returned NaN, or another shape than it was given.
        """
        check_input(images, labels, targets)
        if list(threats) != sorted(threats, key=lambda threat: threat.eps):
            raise InvalidThreat("the threats of a sweep must be given with eps ascending")
        seen = model if self.knows == "gradients" else Sealed(model)
        every = torch.arange(len(images), device=images.device)
        ids = every if draws.ids is None else draws.ids.to(images.device)
        parts: list[list[Images]] = []
        # A user's attack may draw from torch; what it draws shall depend on the draws alone.
        with frozen(model), draws.step("torch").torch_state():
            for part in every.split(_BATCH):
                aims = None if targets is None else targets[part]
                parts.append(
                    self._part(seen, images[part], labels[part], threats, draws.at(ids[part]), aims)
                )
        return [torch.cat(results) for results in zip(*parts, strict=True)]

    def _part(
        self,
        model: nn.Module,
        images: Images,
        labels: Labels,
        threats: Sequence[Threat],
        draws: Draws,
        targets: Labels | None,
    ) -> list[Images]:
        """One batch; the attack's function meets only images that still stand."""
        current, results = images, []
        standing = ~fooled(predict(model, images), labels, targets)
        if self.sweeper is not None and standing.any():
            keep = standing
            found = self.sweeper(
                model,
                images[keep],
                labels[keep],
                threats,
                draws=draws.keep(keep),
                targets=None if targets is None else targets[keep],
                **self.options,
            )
            if len(found) != len(threats):
                raise JobFailed(f"{self.name} returned {len(found)} results for {len(threats)} eps")
            return [self._back(images, keep, one) for one in found]
        for threat in threats:
            if threat.eps > 0 and standing.any():
                aims = None if targets is None else targets[standing]
                one = self.function(
                    model,
                    images[standing],
                    labels[standing],
                    threat,
                    draws=draws.keep(standing),
                    targets=aims,
                    **self.options,
                )
                current = self._back(current, standing, one)
                still = ~fooled(predict(model, current[standing]), labels[standing], aims)
                standing = standing.masked_scatter(standing, still)
            results.append(current)
        return results

    def _back(self, images: Images, kept: Mask, found: object) -> Images:
        """The batch with the attacked images in their places."""
        expected = (int(kept.sum()), *images.shape[1:])
        if not isinstance(found, torch.Tensor) or found.shape != expected:
            came = list(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise JobFailed(f"{self.name} returned {came} for images {list(expected)}")
        if bool(found.isnan().any()):
            raise JobFailed(f"{self.name} returned {int(found.isnan().sum())} NaN pixels")
        return images.masked_scatter(_spread(kept), found.to(images.dtype))


class Sealed(nn.Module):
    """A model that answers and gives nothing else away: no parameters, no gradients."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._answer: Callable[[Images], Logits] = lambda images: forward(
            model, images.detach()
        ).detach()

    def forward(self, images: Images) -> Logits:
        """The logits, cut off from the pixels."""
        return self._answer(images)


def find(name: str, **options: Any) -> Attack:
    """The attack of that name, or the user's own `file.py:function`.

    Raises:
        UnknownName: there is none.
        InvalidOption: it has no such option, or the value is of another kind.
    """
    function = catalog.function("attacks", name)
    catalog.check_options(name, function, options, GIVEN)
    home = catalog.module("attacks", name)
    return Attack(
        name=name,
        function=function,
        promise=getattr(home, "PROMISE", "bounded"),
        knows=getattr(home, "KNOWS", "gradients"),
        options=options,
        sweeper=None if ":" in name else getattr(home, "sweep", None),
    )


def check_input(images: Images, labels: Labels, targets: Labels | None = None) -> None:
    """Whether these are images in [0, 1] with a label each.

    Raises:
        InvalidInput: they are not; the message says what came and what would do.
    """
    if not isinstance(images, torch.Tensor) or not images.is_floating_point() or images.ndim != 4:
        came = (
            f"{images.dtype} {list(images.shape)}" if isinstance(images, torch.Tensor) else images
        )
        raise InvalidInput(f"images must be float [n, c, h, w] in [0, 1], not {came}")
    if not len(images):
        raise InvalidInput("there are no images: the batch is empty")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise InvalidInput(
            f"images must lie in [0, 1]; these reach from {low:g} to {high:g}. Divide bytes by "
            "255, and put any normalisation inside the model"
        )
    for name, classes in (("labels", labels), ("targets", targets)):
        if classes is not None and (
            classes.dtype != torch.int64 or classes.shape != images.shape[:1]
        ):
            raise InvalidInput(
                f"{name} must be int64 [{len(images)}], not {classes.dtype} {list(classes.shape)}"
            )
    if targets is not None and bool((targets == labels).any()):
        raise InvalidInput(
            f"{int((targets == labels).sum())} targets equal their labels; "
            "a target is a wrong class"
        )


def _spread(mask: torch.Tensor) -> torch.Tensor:
    return mask[:, None, None, None]
