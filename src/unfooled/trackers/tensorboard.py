"""Event files for TensorBoard, written with torch's own writer."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unfooled.drawing import raster
from unfooled.figures import all_figures
from unfooled.outcomes import WORST
from unfooled.report import Report
from unfooled.tracker import Tracked, tracked

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

NEEDS, WHERE = "tensorboard", ""
_EVENTS = "events.out.tfevents.*"
_WORDS = {
    "loss": "loss",
    "validation": "validation accuracy",
    "transformed": "validation accuracy, transformed",
    "single_step": "stands against one step",
    "several_steps": "stands against several steps",
}


def tensorboard(report: Report, folder: Path, where: str) -> str:
    """One folder of events for each network, and one with the figures and the answer.

    Of a network: loss and validation accuracy by epoch, robust accuracy by attack against eps, and
    what its recipe decides for the table of hyperparameters. The step of robust accuracy is eps,
    times what makes whole numbers of them, as its title says. What was written of this run before
    is replaced, so that no point stands twice.

    Args:
        where: a folder, in which the run gets one of its name; "" for `tensorboard` in the run's.
    """
    home = Path(where) / folder.resolve().name if where else folder / "tensorboard"
    for network in tracked(report):
        with _written(home / network.name) as writer:
            _network(writer, network, report)
    with _written(home / "report") as writer:
        _pages(writer, report)
    return f"tensorboard --logdir {where or home}"


@contextmanager
def _written(folder: Path) -> Iterator["SummaryWriter"]:
    """New events in the place of the old ones; they tell a TensorBoard at work to forget those."""
    from torch.utils.tensorboard.writer import SummaryWriter

    old = list(folder.glob(_EVENTS))
    with SummaryWriter(str(folder), purge_step=0) as writer:
        for path in old:
            path.unlink()
        yield writer


def _network(writer: "SummaryWriter", network: Tracked, report: Report) -> None:
    for epoch, numbers in enumerate(network.history, 1):
        for name, value in numbers.items():
            writer.add_scalar(f"training/{_WORDS.get(name, name)}", value, epoch)
    for (attack, norm), shares in network.robust.items():
        times = _scale(shares)
        title = (
            f"robust accuracy, {norm}, step {times:g} x eps"
            if times != 1
            else (f"robust accuracy, {norm}, step eps")
        )
        for eps, share in shares.items():
            writer.add_scalar(f"{title}/{attack}", share, round(times * eps))
    _hyperparameters(writer, network, report)


def _scale(shares: Mapping[float, float]) -> int:
    """The least power of ten, 1,000 at least, that keeps all eps apart as whole numbers."""
    if all(eps == round(eps) for eps in shares):
        return 1
    times = 1000
    while len({round(times * eps) for eps in shares}) < len(shares):
        times *= 10
    return times


def _hyperparameters(writer: "SummaryWriter", network: Tracked, report: Report) -> None:
    """The row of the network in TensorBoard's table, beside its numbers and not in a run apart."""
    from torch.utils.tensorboard.summary import hparams

    norm, eps = report.results.norm, report.study.answer_eps
    metrics = {
        "accuracy/no attack": network.clean,
        f"accuracy/{WORST}, {norm} eps {eps:g}": network.robust[WORST, norm][eps],
    }
    for summary in hparams({**network.settings, "seed": network.seed}, metrics):
        writer._get_file_writer().add_summary(summary)
    for name, value in metrics.items():
        writer.add_scalar(name, value, 0)


def _pages(writer: "SummaryWriter", report: Report) -> None:
    """The answer in words, and every figure as an image."""
    from PIL import Image

    doubts = [f"- {'Doubt' if d.serious else 'Note'}: {d.sentence}" for d in report.answer.doubts]
    answer = f"**{report.answer.short}** {report.answer.sentence}"
    writer.add_text("answer", "\n\n".join([f"### {report.study.question}", answer, *doubts]), 0)
    for figure in all_figures(report).values():
        with Image.open(io.BytesIO(raster(figure.svg))) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        writer.add_image(f"figures/{figure.name}", pixels, 0, dataformats="HWC")
