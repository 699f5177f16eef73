"""What an attack meets: a model that counts what it is asked, and the images that still stand.

An attack is told nothing that its `KNOWS` does not cover, and every pass is counted for the image
that it was made for. `Batch` holds images with all that belongs to them, row by row, so that an
attack drops those that have been fooled in one line and goes on with the others.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from unfooled import gradients, memory
from unfooled.gradients import Loss, Model
from unfooled.losses import clearly, fooled
from unfooled.memory import Room
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits, Mask, PerImage

Rows = Int64[Tensor, " m"]  # places in a batch; one may stand there several times
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Passes:
    """How often each image of a batch went through the model, `[n]` each.

    Attributes:
        forward: forward passes; of a black box these are the queries.
        backward: gradients.
        until: forward passes after which the attack first saw itself succeed; -1 where it did not.
            Attempts at one image that go through the model together are counted together. Of an
            attack that is run once for several eps, success is that within the largest.
    """

    forward: Labels
    backward: Labels
    until: Labels

    @classmethod
    def none(cls, like: Labels) -> "Passes":
        """No passes yet, for a batch with these labels."""
        return cls(torch.zeros_like(like), torch.zeros_like(like), torch.full_like(like, -1))


class Victim(nn.Module):
    """A model that answers as much as an attack may know, and counts.

    With "gradients" it answers as the model does; with "scores" by logits without a gradient; with
    less by the class alone: 1 at the class that is read, 0 elsewhere. Its parameters cannot be
    reached.
    """

    def __init__(
        self,
        model: Model,
        knows: str,
        passes: Passes,
        succeeds: Callable[[Rows, Images, Logits], Mask],
        room: Room,
    ) -> None:
        super().__init__()
        # Held by a function, not as a submodule, so that there are no parameters to show.
        self.answer = partial(_ANSWERS.get(knows, _class_alone), model)
        self.passes = passes
        self.room = room
        self._succeeds = succeeds
        self._rows: Rows | None = None  # of the whole batch, where an attack was given but these

    def forward(self, images: Images) -> Logits:
        """An answer for each image; they are taken to be the whole batch, in its order."""
        every = torch.arange(len(self.passes.forward), device=images.device)
        own = every if self._rows is None else self._rows
        if len(images) == len(own):
            return self.ask(images, every[: len(own)])
        # Nobody said which rows these are: count for each as many as it may have been.
        self.passes.forward.index_add_(0, own, torch.full_like(own, -(-len(images) // len(own))))
        return self.answer(images)

    def on(self, rows: Rows) -> "Victim":
        """The same model, for an attack that is given these rows alone; the counts are shared."""
        narrow = copy(self)
        narrow._rows = rows if self._rows is None else self._rows[rows]
        return narrow

    def ask(self, images: Images, rows: Rows) -> Logits:
        """An answer for each of these images, which are attempts at these rows of the batch."""
        answer = self.answer(images)
        self.count(images, answer, rows)
        return answer

    def count(self, images: Images, logits: Logits, rows: Rows) -> None:
        """Count a pass for each of these attempts, which got these answers."""
        rows = rows if self._rows is None else self._rows[rows]
        with torch.no_grad():
            self.passes.forward.index_add_(0, rows, torch.ones_like(rows))
            fresh = self.passes.until[rows] < 0
            if not fresh.any():
                return
            if not fresh.all():  # who has succeeded before is not judged again
                rows, images, logits = rows[fresh], images[fresh], logits[fresh]
            done = rows[self._succeeds(rows, images, logits)]
            self.passes.until[done] = self.passes.forward[done]

    def followed(self, rows: Rows, times: int) -> None:
        """Count gradients for these rows."""
        rows = rows if self._rows is None else self._rows[rows]
        self.passes.backward.index_add_(0, rows, torch.full_like(rows, times))


def _scores(model: Model, images: Images) -> Logits:
    return model(images.detach()).detach()


def _class_alone(model: Model, images: Images) -> Logits:
    logits = _scores(model, images)
    chosen = torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1.0)
    return chosen.masked_fill_(~logits.isfinite().all(1, keepdim=True), torch.nan)


def _whole(model: Model, images: Images) -> Logits:
    return model(images)


_ANSWERS: Mapping[str, Callable[[Model, Images], Logits]] = {
    "gradients": _whole,
    "scores": _scores,
}


@dataclass(frozen=True)
class Batch:
    """Images under attack, with all that belongs to them, row by row.

    Attributes:
        model: a `Victim`, or any other on its quickest way, whose passes are then not counted.
        images: as they are without attack.
        labels, targets: the true classes, and the wanted ones or None.
        draws: their chance.
        places: of these rows in the batch that the attack was given.
        room: how many images a pass takes.
    """

    model: Model
    images: Images
    labels: Labels
    targets: Labels | None
    draws: Draws
    places: Rows
    room: Room

    @classmethod
    def of(
        cls, model: nn.Module, images: Images, labels: Labels, targets: Labels | None, draws: Draws
    ) -> "Batch":
        """All that an attack is given."""
        places = torch.arange(len(images), device=images.device)
        own = draws if draws.ids is not None else draws.at(places)
        if isinstance(model, Victim):
            return cls(model, images, labels, targets, own, places, model.room)
        room = Room(gradients.part_size(model, images))
        quick = gradients.quickened(model, images)
        return cls(quick, images, labels, targets, own, places, room)

    def __len__(self) -> int:
        return len(self.places)

    def keep(self, which: Mask | Rows) -> "Batch":
        """The rows that a mask keeps, or those at these places of this batch."""
        return Batch(
            self.model,
            self.images[which],
            self.labels[which],
            None if self.targets is None else self.targets[which],
            self.draws.keep(which),
            self.places[which],
            self.room,
        )

    def aimed(self, targets: Labels | None) -> "Batch":
        """The same rows, wanted to be read as these classes (None: as anything but their label)."""
        return replace(self, targets=targets)

    def logits(self, current: Images, rows: Rows | None = None) -> Logits:
        """What the model says to one attempt at each row, or to attempts at `rows` in their order.

        Any number may be asked at once: they go through the model in small parts. One pass each.
        """
        places = self.places if rows is None else self.places[rows]

        def one(p: slice) -> Logits:
            logits = self._asked(current[p])
            self._count(places[p], current[p], logits, 0)
            return logits

        with torch.no_grad():
            return torch.cat(self._passes(current, one))

    def fooled(self, current: Images, rows: Rows | None = None) -> Mask:
        """Whether attempts are misread, or read as their targets; one pass each."""
        logits = self.logits(current, rows)
        if rows is None:
            return self.misread(logits)
        targets = None if self.targets is None else self.targets[rows]
        return fooled(logits, self.labels[rows], targets)

    def misread(self, logits: Logits) -> Mask:
        """Whether these answers, one for each row, are what the attack wants; no pass."""
        return fooled(logits, self.labels, self.targets)

    def clearly_misread(self, logits: Logits) -> Mask:
        """As `misread`, and by more than rounding may change: another batch reads it alike."""
        return self.misread(logits) & clearly(logits)

    def gradient(self, current: Images, loss: Loss) -> tuple[Logits, PerImage, Images]:
        """Logits, loss and its gradient by the pixels, for one attempt at each row.

        One forward and one backward pass each. The loss is given the rows' labels and targets.

        Raises:
            InvalidModel: there is no gradient, or it is NaN or infinite.
        """

        def one(p: slice) -> tuple[Logits, PerImage, Images]:
            targets = None if self.targets is None else self.targets[p]
            found = gradients.gradient(self._asked, current[p], self.labels[p], targets, loss)
            self._count(self.places[p], current[p], found[0], 1)
            return found

        logits, losses, by_pixel = zip(*self._passes(current, one), strict=True)
        return torch.cat(logits), torch.cat(losses), torch.cat(by_pixel)

    def jacobian(self, current: Images) -> tuple[Logits, Float[Tensor, "n k c h w"]]:
        """Logits and the gradient of each of them: one forward and k backward passes a row.

        Raises:
            InvalidModel: there is no gradient, or it is NaN or infinite.
        """

        def one(p: slice) -> tuple[Logits, Float[Tensor, "n k c h w"]]:
            logits, by_pixel = gradients.jacobian(self._asked, current[p])
            self._count(self.places[p], current[p], logits, logits.shape[1])
            return logits, by_pixel

        logits, by_pixel = zip(*self._passes(current, one), strict=True)
        return torch.cat(logits), torch.cat(by_pixel)

    @property
    def _asked(self) -> Model:
        """The model, before anything is counted: a pass that memory ended in is made again."""
        return self.model.answer if isinstance(self.model, Victim) else self.model

    def _count(self, places: Rows, attempts: Images, logits: Logits, back: int) -> None:
        if isinstance(self.model, Victim):
            self.model.count(attempts, logits, places)
            self.model.followed(places, back)

    def _passes(self, images: Images, one: Callable[[slice], _Found]) -> list[_Found]:
        """What passes find, all of about `room` images, in round numbers, but the last."""
        size = gradients.rounded(memory.evened(len(images), self.room.most))
        return list(self.room.each(len(images), size, one))
