"""The facts of one job of a study, and the images that it kept, judged again by its network."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from unfooled import attack, evaluation
from unfooled.certified import Certified
from unfooled.corrupted import Corrupted
from unfooled.dataset import Split
from unfooled.evaluation import Evaluation
from unfooled.gradients import home, predict
from unfooled.packing import Arrays
from unfooled.randomness import Draws
from unfooled.rejudging import Failure, Wrong, failures, rejudged
from unfooled.shapes import Images
from unfooled.threat import TOLERANCE, Threat

_STEPS = 20  # of the search among what rounds to a picture


@dataclass(frozen=True)
class Facts:
    """What the file of a job holds, and what it is about.

    Attributes:
        name: of the job.
        arrays: that the file holds.
        network: in eval mode, on its device.
        split: whose images it read.
        threats: of the job's attack.
    """

    name: str
    arrays: Arrays
    network: nn.Module
    split: Split
    threats: list[Threat]

    def shown(self, pixels: Images) -> Images:
        """Images on the network's device."""
        return pixels.to(home(self.network))


@dataclass(frozen=True)
class Told:
    """Images that were judged again, how many of them stand, and what was found."""

    images: int = 0
    standing: int = 0
    failures: tuple[Failure, ...] = ()


def bad(name: str, sentence: str) -> Told:
    """A file of facts with something wrong in it."""
    return Told(failures=(Failure("facts", sentence, (name,)),))


def corrupted(facts: Facts) -> Told:
    """Whether they can be read."""
    Corrupted.of_arrays(facts.arrays)
    return Told()


def certified(facts: Facts) -> Told:
    """Whether they can be read."""
    Certified.of_arrays(facts.arrays)
    return Told()


def attacked(facts: Facts) -> Told:
    """The facts of an attack; where the run kept its images, those too."""
    arrays = dict(facts.arrays)
    adversarial = arrays.pop("adversarial", None)
    found = Evaluation.of_arrays(arrays)
    sentence = _contradiction(found, facts)
    if sentence is not None:
        return bad(facts.name, sentence)
    if adversarial is None:
        return Told()
    images = facts.split.pixels(torch.from_numpy(found.ids))
    shape = (len(facts.threats), *images.shape)
    if adversarial.dtype != np.float32 or adversarial.shape != shape:
        return bad(facts.name, f"their images have the shape {list(adversarial.shape)}")
    told = list(_kept(facts, images, adversarial, found))
    return Told(
        sum(one.images for one in told),
        sum(one.standing for one in told),
        tuple(failure for one in told for failure in one.failures),
    )


def _contradiction(found: Evaluation, facts: Facts) -> str | None:
    """What in the facts of an attack cannot be, if anything."""
    if list(found.threats) != facts.threats:
        return "they are about other eps than the study's"
    shape = (len(found.threats), len(found.ids))
    if any(getattr(found, one).shape != shape for one in ("read_as", "distance", "inside")):
        return "images and facts differ in number"
    if not ((found.ids >= 0) & (found.ids < len(facts.split))).all():
        return "they are about images that the data set has not"
    if not np.array_equal(facts.split.labels[torch.from_numpy(found.ids)].numpy(), found.labels):
        return "their labels are not the data set's"
    reach = np.array([threat.eps for threat in found.threats])[:, None] + TOLERANCE
    if (found.inside & ~(found.distance <= reach)).any():
        return "they call images inside that lie farther than eps"
    return None


def _kept(facts: Facts, images: Images, adversarial: Any, found: Evaluation) -> Iterator[Told]:
    """The images that a run kept of one attack, threat by threat: those that fool."""
    for row, threat in enumerate(found.threats):
        own = np.flatnonzero(found.won[row])
        if not len(own):
            continue
        told = ("read_as", "distance", "inside")
        claimed = {one: getattr(found, one)[row][own] for one in told}
        before = facts.shown(images[torch.from_numpy(own)])
        after = facts.shown(torch.from_numpy(adversarial[row, own]))
        wrong = rejudged(facts.network, before, after, threat, claimed)
        rounded = evaluation.read(predict(facts.network, threat.as_8bit(before, after)))
        sentence = "rounded to 8 bits the network reads something else than the facts say"
        wrong.append(Wrong("8 bits", sentence, rounded != found.read_at_8bit[row][own]))
        names = [f"{facts.name} eps {threat.eps:g} image {one}" for one in found.ids[own]]
        standing, failed = failures(wrong, names)
        yield Told(len(names), int(standing.sum()), tuple(failed))


def pictures(facts: Facts) -> Told:
    """The report's pictures, read again; they were rounded to bytes after they had been read."""
    images, reads, ids = (facts.arrays[name] for name in ("images", "read_as", "ids"))
    if images.shape[:2] != reads.shape or len(ids) != images.shape[1]:
        return bad(facts.name, "pictures and readings differ in number")
    if not np.array_equal(facts.split.images[torch.from_numpy(ids)].numpy(), images[0]):
        return bad(facts.name, "their originals are not the data set's images")
    names = [f"{facts.name} image {int(one)}" for one in ids]
    standing, found = 0, list[Failure]()
    for row, (shown, read_as) in enumerate(zip(images, reads, strict=True)):
        pixels = facts.shown(torch.from_numpy(shown).float().div(255))
        rows = evaluation.read(predict(facts.network, pixels)) != read_as
        if row and rows.any():
            rows[rows] = ~_rounded(facts.network, pixels[torch.from_numpy(rows)], read_as[rows])
        sentence = "the network reads a picture otherwise than the facts say"
        stands, failed = failures([Wrong("reading", sentence, rows)], names)
        standing, found = standing + int(stands.sum()), [*found, *failed]
    return Told(reads.size, standing, tuple(found))


def _rounded(network: nn.Module, pixels: Images, read_as: Any) -> Any:
    """Whether something that is read as the facts say rounds to each of these pictures."""
    now = torch.from_numpy(evaluation.read(predict(network, pixels))).to(pixels.device)
    wanted = torch.from_numpy(read_as).to(pixels.device)
    found = np.zeros(len(pixels), dtype=np.bool_)
    known = (wanted >= 0) & (now >= 0)
    if known.any():
        near = attack.find("pgd", steps=_STEPS).run(
            network,
            pixels[known],
            now[known],
            Threat("Linf", 0.5 / 255),
            draws=Draws(0, "verify"),
            targets=wanted[known],
        )
        some = known.cpu().numpy()
        found[some] = evaluation.read(predict(network, near)) == read_as[some]
    return found
