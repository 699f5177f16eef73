"""The images that a report shows: the same few of every network, under a growing eps."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from unfooled import evaluation, model
from unfooled.attack import Attack
from unfooled.dataset import Split
from unfooled.gradients import home, predict
from unfooled.packing import Arrays
from unfooled.randomness import Draws
from unfooled.shapes import Labels
from unfooled.study import Sweep
from unfooled.threat import Threat

COUNT = 12  # images
STEPS = 12  # of eps, evenly up to the largest, beside the study's own
_QUICK = 50  # passes an image, up to which an attack is tried at all of these


def pictures(network: nn.Module, split: Split, sweep: Sweep) -> Arrays:
    """Some images of all classes before and after an attack, and a look inside the network.

    Returns:
        eps `[1 + t]`, the first 0, where nothing is attacked; ids and labels `[k]`; images as bytes
        `[1 + t, k, c, h, w]`; read_as `[1 + t, k]`; filters of the first convolution `[f, c, h, w]`
        and its activations on the last image of the first round `[f, h, w]`, empty for a network
        without convolutions.
    """
    device, attack = home(network), sweep.armed([network])
    ids = chosen(split.labels)
    images, labels = split.pixels(ids).to(device), split.labels[ids].to(device)
    threats = [Threat(sweep.norm, eps) for eps in _sizes(sweep, attack)]
    draws = Draws(0, "pictures", ids)
    found = attack.sweep(network, images, labels, threats, draws=draws) if threats else []
    rows = torch.stack([images, *(one.images for one in found)])
    last = min(len(split.labels.unique()), len(ids)) - 1
    filters, maps = model.first_features(network, images[last : last + 1])
    return {
        "eps": np.array([0.0, *(threat.eps for threat in threats)]),
        "ids": ids.numpy(),
        "labels": labels.cpu().numpy(),
        "images": rows.mul(255).round().to(torch.uint8).cpu().numpy(),
        "read_as": np.stack([evaluation.read(predict(network, row)) for row in rows]),
        "filters": filters.cpu().numpy(),
        "maps": maps.cpu().numpy(),
    }


def chosen(labels: Labels) -> Int64[Tensor, " k"]:
    """Places of `COUNT` images: the first of each class, then the second of each, and so on."""
    rounds: list[tuple[int, int, int]] = []
    for label in labels.unique().tolist():
        places = torch.nonzero(labels == label)[:COUNT, 0].tolist()
        rounds += [(turn, label, place) for turn, place in enumerate(places)]
    return torch.tensor([place for _, _, place in sorted(rounds)[:COUNT]])


def _sizes(sweep: Sweep, attack: Attack) -> list[float]:
    """The eps at which it is attacked, ascending, without 0; none stands twice but for rounding."""
    own, digits = {eps for eps in sweep.eps if eps}, 0 if sweep.norm == "L0" else 6
    if own and attack.cost <= _QUICK:
        finer = {round(max(own) * step / STEPS, digits) for step in range(1, STEPS)}
        own |= finer - {round(eps, digits) for eps in own} - {0}
    return sorted(own)
