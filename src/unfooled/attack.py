"""What an attack is: a function from images that are read correctly to images that may not be.

Every file in `attacks/` holds a function of its own name with this signature, and three constants:

    def name(model, images, labels, threat, *, draws, targets=None, **options) -> Images

    PROMISE: "bounded" (stays inside the threat) or "nearest" (as close as it can get)
    KNOWS:   "gradients" (white box: the whole model), "scores" (black box: the logits),
             "decisions" (black box: the class) or "nothing" (never asks the model)
    NORMS:   those that it can attack under

`labels` are the true labels. With `targets` the attack wants each image read as its target
(source/target misclassification); without, as anything but its label (misclassification). The
model arrives frozen and in eval mode; with `Batch.of(model, images, labels, targets, draws)`
(`victim.py`) every pass is counted for the image it was made for, and goes the quickest way.
Keyword-only parameters after `targets` are the options.

A bounded attack returns for each image the best that it found inside the threat. A nearest attack
returns the nearest image that it saw misread, and the image itself where it saw none; it looks
everywhere, whatever eps is (which may be infinite), and may take eps as a hint where to look first.

One of ours may also hold `sweep(model, images, labels, threats, *, draws, targets, **options)`, one
result for each threat, where that is cheaper than one call for each; `cost(**options)`, about how
many passes an image takes, where its options `steps` or `queries` do not say it; and `TITLE`, what
a report calls it.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from unfooled import catalog, memory
from unfooled.borders import check_classes, check_input
from unfooled.errors import InvalidThreat, JobFailed
from unfooled.gradients import Model, frozen, part_size, quickened
from unfooled.losses import fooled
from unfooled.memory import Room
from unfooled.norms import LP
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits, Mask
from unfooled.threat import Threat
from unfooled.victim import Batch, Passes, Rows, Victim

GIVEN = ("draws", "targets")  # keyword parameters of every attack that are no options


@dataclass(frozen=True)
class Attacked:
    """What an attack made of a batch under one threat.

    Attributes:
        images: the attacked images.
        passes: for each image, what it took under this threat and all smaller ones of the sweep;
            one that was fooled under a smaller one is a success, whatever `images` holds here.
    """

    images: Images
    passes: Passes


@dataclass(frozen=True)
class Attack:
    """An attack with its options set.

    Attributes:
        name: as users write it.
        function: see this file's docstring.
        promise: "bounded" or "nearest".
        knows: "gradients", "scores", "decisions" or "nothing".
        norms: those that it can attack under.
        options: what differs from the function's defaults.
        sweeper: the file's own `sweep`, or None.
    """

    name: str
    function: Callable[..., Images]
    promise: str
    knows: str
    norms: tuple[str, ...] = LP
    options: Mapping[str, Any] = field(default_factory=dict)
    sweeper: Callable[..., list[Images]] | None = None

    @property
    def all_options(self) -> dict[str, Any]:
        """Every option with its value, given or default."""
        return {**catalog.options(self.function, GIVEN), **self.options}

    @property
    def cost(self) -> int:
        """About how many passes an image that stands takes through the model."""
        options = self.all_options
        own = getattr(self._home, "cost", None)
        if own is not None:
            return int(own(**options))
        return int(options.get("steps", options.get("queries", 1)))

    @property
    def title(self) -> str:
        """As a report prints it, such as "PGD-40"."""
        if hasattr(self._home, "TITLE"):
            return str(self._home.TITLE)
        name = self.name.rpartition(":")[2]
        name = name.upper() if len(name) <= 4 else name
        steps = self.all_options.get("steps", 1)
        return f"{name}-{steps}" if steps > 1 else name

    @property
    def _home(self) -> Any:
        """The file that it stands in; nothing for one that was made by hand."""
        return sys.modules.get(self.function.__module__) if ":" not in self.name else None

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
        """The attacked images; those that are misread from the start come back unchanged.

        Raises:
            InvalidInput, InvalidThreat, InvalidModel, JobFailed: as `sweep`.
            OutOfMemory: memory has no room for one image; where it ends, fewer are in hand.
        """
        check_input(images, labels, targets)
        ids = torch.arange(len(images)) if draws.ids is None else draws.ids

        def one(part: slice) -> Images:
            aims, own = None if targets is None else targets[part], draws.at(ids[part])
            given = (model, images[part], labels[part], [threat])
            return self.sweep(*given, draws=own, targets=aims)[0].images

        size = memory.hand(images.shape[1:], images.device)
        return torch.cat(list(memory.each(len(images), size, one)))

    def sweep(
        self,
        model: nn.Module,
        images: Images,
        labels: Labels,
        threats: Sequence[Threat],
        *,
        draws: Draws,
        targets: Labels | None = None,
    ) -> list[Attacked]:
        """The attacked images for each of several threats of one norm, eps ascending.

        An image that is fooled at a small eps is kept as it is for the larger ones: it lies inside
        them too, and an image that has been fooled needs no further work. An attack with a `sweep`
        of its own may do otherwise; the judge counts the image as fooled either way. A nearest
        attack is run once, and an image that it could not fool within eps stays as it was.

        Raises:
            InvalidInput: images or labels that are not what `shapes.py` says, or a target that is
                the label.
            InvalidThreat: threats out of order, or of a norm that this attack does not know.
            InvalidModel: outputs or gradients that cannot be used.
            JobFailed: the attack returned NaN, or another shape than it was given.
            OutOfMemory: memory has no room for a pass of one image beside those in hand, which are
                the caller's to halve.
        """
        check_input(images, labels, targets)
        # Attacks may write into views of them.
        images = images.detach().contiguous()
        if list(threats) != sorted(threats, key=lambda threat: threat.eps):
            raise InvalidThreat("the threats of a sweep must be given with eps ascending")
        for threat in threats:
            self.takes(threat)
        every = torch.arange(len(images), device=images.device)
        ids = every if draws.ids is None else draws.ids.to(images.device)
        with frozen(model):
            room, quick = Room(part_size(model, images)), quickened(model, images)

            def one(part: slice) -> list[Attacked]:
                aims = None if targets is None else targets[part]
                own = draws.at(ids[part])
                run = _Run(self, quick, images[part], labels[part], aims, own, room)
                # A user's attack may draw from torch; that shall depend on the draws alone.
                with draws.step("torch").torch_state():
                    return run.results(threats)

            size = memory.hand(images.shape[1:], images.device)
            starts = range(0, len(images), size)
            parts = [one(slice(start, start + size)) for start in starts]
        return [_joined(results) for results in zip(*parts, strict=True)]

    def takes(self, threat: Threat) -> None:
        """Let only a threat pass that this attack can work under.

        Raises:
            InvalidThreat: of a norm that it does not know, or without a bound where it needs one.
        """
        if threat.norm not in self.norms:
            raise InvalidThreat(
                f"{self.name} does not attack under {threat.norm}; it does under "
                f"{', '.join(self.norms)}"
            )
        if self.promise == "bounded":
            threat.bounded()


@dataclass(frozen=True)
class _Run:
    """An attack on the images that it has in hand at once."""

    attack: Attack
    model: Model
    images: Images
    labels: Labels
    targets: Labels | None
    draws: Draws
    room: Room

    def results(self, threats: Sequence[Threat]) -> list[Attacked]:
        """One for each threat; the attack's function meets only images that still stand."""
        logits = self._read(self.images)
        check_classes(self.labels, self.targets, logits.shape[1])
        standing = ~fooled(logits, self.labels, self.targets)
        passes = Passes.none(self.labels)
        passes.until[~standing] = 0
        if not standing.any():
            return [Attacked(self.images, passes) for _ in threats]
        if self.attack.promise == "nearest":
            return self._nearest(threats, standing, passes)
        if self.attack.sweeper is not None:
            found, added = self._called(self.attack.sweeper, list(threats), standing)
            if len(found) != len(threats):
                raise JobFailed(
                    f"{self.attack.name} returned {len(found)} results for {len(threats)} eps"
                )
            return self._swept(found, standing, added)
        return self._ascending(threats, standing, passes)

    def _ascending(
        self, threats: Sequence[Threat], standing: Mask, passes: Passes
    ) -> list[Attacked]:
        """Each threat in turn, on what the smaller ones left standing."""
        results = []
        current = Attacked(self.images, passes)
        for threat in threats:
            if threat.eps > 0 and standing.any():
                found, added = self._called(self.attack.function, threat, standing, current.images)
                current = self._judged(found, standing, current.passes, added)
                standing = current.passes.until < 0
            results.append(current)
        return results

    def _nearest(self, threats: Sequence[Threat], standing: Mask, passes: Passes) -> list[Attacked]:
        # The hint is the smallest: an attack that stops once it is inside has stopped for all.
        widest = threats[-1]
        hint = next((threat for threat in threats if threat.eps > 0), widest)
        found, added = self._called(self.attack.function, hint, standing, widest=widest)
        results = []
        for threat in threats:
            near = threat.allows(self.images, found)[:, None, None, None]
            results.append(
                self._judged(torch.where(near, found, self.images), standing, passes, added)
            )
        return results

    def _called(
        self,
        function: Callable[..., Any],
        threat: Threat | list[Threat],
        standing: Mask,
        current: Images | None = None,
        widest: Threat | None = None,
    ) -> tuple[Any, Passes]:
        """What the function returns for the rows that stand, put back into the batch; its passes.

        Given one threat it returns images, given several a list of images. An attempt is a success
        within `widest`, the largest threat given.
        """
        base = self.images if current is None else current
        images, labels = self.images[standing], self.labels[standing]
        targets = None if self.targets is None else self.targets[standing]
        last = threat[-1] if isinstance(threat, list) else threat
        bound = last if widest is None else widest

        def succeeds(rows: Rows, attempts: Images, logits: Logits) -> Mask:
            aims = None if targets is None else targets[rows]
            done = fooled(logits, labels[rows], aims)
            if done.any():  # the distance is measured of those alone that need it
                done[done.clone()] = bound.allows(images[rows[done]], attempts[done])
            return done

        added = Passes.none(labels)
        victim = Victim(self.model, self.attack.knows, added, succeeds, self.room)
        found = function(
            victim,
            images,
            labels,
            threat,
            draws=self.draws.keep(standing),
            targets=targets,
            **self.attack.options,
        )
        if isinstance(threat, list):
            return [self._back(base, standing, one) for one in found], added
        return self._back(base, standing, found), added

    def _swept(self, found: list[Images], standing: Mask, added: Passes) -> list[Attacked]:
        """The images for each threat; one that is fooled at a small eps counts so for the larger.

        They stood at the start, so that nothing but what was added has been asked about them.
        """
        forward, backward, own = (torch.zeros_like(self.labels) for _ in range(3))
        forward[standing], backward[standing] = added.forward, added.backward
        own[standing] = _until(added)
        until = torch.where(standing, -1, 0)
        results = []
        for images in found:
            left = until < 0
            if left.any():
                until = until.clone()
                until[left] = torch.where(self._fooled(images, left), own[left], -1)
            results.append(Attacked(images, Passes(forward, backward, until)))
        return results

    def _judged(self, images: Images, standing: Mask, before: Passes, added: Passes) -> Attacked:
        """The images, with the passes of those that stood added to what went before."""
        done = self._fooled(images, standing)
        forward, backward, until = (
            tensor.clone() for tensor in (before.forward, before.backward, before.until)
        )
        until[standing] = torch.where(done, forward[standing] + _until(added), -1)
        forward[standing] += added.forward
        backward[standing] += added.backward
        return Attacked(images, Passes(forward, backward, until))

    def _fooled(self, images: Images, which: Mask) -> Bool[Tensor, " m"]:
        """Whether those images of the batch are read as the attack wants them."""
        aims = None if self.targets is None else self.targets[which]
        return fooled(self._read(images[which]), self.labels[which], aims)

    def _read(self, images: Images) -> Logits:
        """The logits, the quickest way; what counts in the end is what the judge reads."""
        with torch.no_grad():
            parts = self.room.each(len(images), self.room.most, lambda p: self.model(images[p]))
            return torch.cat(list(parts))

    def _back(self, images: Images, kept: Mask, found: object) -> Images:
        """The batch with the attacked images in their places."""
        expected = (int(kept.sum()), *images.shape[1:])
        if not isinstance(found, torch.Tensor) or found.shape != expected:
            came = list(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise JobFailed(f"{self.attack.name} returned {came} for images {list(expected)}")
        if bool(found.isnan().any()):
            raise JobFailed(f"{self.attack.name} returned {int(found.isnan().sum())} NaN pixels")
        whole = images.clone()
        whole[kept] = found.to(images.dtype)
        return whole


def _until(added: Passes) -> Labels:
    """Passes until success, where there was one at all.

    What an attack returned without having asked about it took all of its passes.
    """
    return torch.where(added.until < 0, added.forward, added.until)


def _joined(parts: Sequence[Attacked]) -> Attacked:
    passes = [part.passes for part in parts]
    return Attacked(
        torch.cat([part.images for part in parts]),
        Passes(
            torch.cat([one.forward for one in passes]),
            torch.cat([one.backward for one in passes]),
            torch.cat([one.until for one in passes]),
        ),
    )


def find(name: str, /, **options: Any) -> Attack:
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
        norms=tuple(getattr(home, "NORMS", LP)),
        options=options,
        sweeper=None if ":" in name else getattr(home, "sweep", None),
    )


def in_turn(
    attacks: Sequence[Attack],
    model: nn.Module,
    images: Images,
    labels: Labels,
    threat: Threat,
    *,
    draws: Draws,
    targets: Labels | None = None,
) -> Images:
    """One attack after the other, each on the images that still stand; one image for each.

    For attacks that are made of others. An image that none of them fools comes back as the first
    of them left it. After each, one pass tells which images it fooled.

    Raises:
        InvalidThreat: one of them cannot work under it.
    """
    for attack in attacks:
        attack.takes(threat)
    result = images.clone()
    left = Batch.of(model, images, labels, targets, draws)
    for number, attack in enumerate(attacks):
        found = attack.function(
            model.on(left.places) if isinstance(model, Victim) else model,
            left.images,
            left.labels,
            threat,
            draws=left.draws.step(number).step(attack.name),
            targets=left.targets,
            **attack.options,
        )
        inside = threat.allows(left.images, found)
        done = left.fooled(found) & inside
        counts = inside if number == 0 else done
        result[left.places[counts]] = found[counts]
        left = left.keep(~done)
        if not len(left):
            break
    return result
