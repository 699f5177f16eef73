"""The command `unfooled smooth`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from unfooled.command import Data, Dataset, Device, Mean, Model, N, Std, Weights, loaded
from unfooled.terminal import busy, out


def smooth(
    model: Model,
    sigma: Annotated[
        float, typer.Option(help="Standard deviation of the noise, in pixel units.")
    ] = 0.25,
    n: N = 100,
    votes: Annotated[int, typer.Option(help="Noisy copies that count the class.")] = 1000,
    first: Annotated[int, typer.Option(help="Noisy copies that choose the class.")] = 100,
    alpha: Annotated[float, typer.Option(help="How often a certificate may be wrong.")] = 0.001,
    radii: Annotated[str | None, typer.Option(help="Such as 0,0.25,0.5; else some.")] = None,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    dataset: Dataset = None,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    data: Data = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="JSON file; runs/smooth/... if not given.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Certify the smoothed classifier of a network under L2, by a vote over noisy copies."""
    with busy("reading the network"):
        from unfooled import arguments, smoothing, store
        from unfooled import radii as telling
        from unfooled.errors import RunRefused
        from unfooled.randomness import Draws

        asked = arguments.numbers(radii)
        saved = loaded(
            model,
            n,
            dataset=dataset,
            data=data,
            device=device,
            weights=weights,
            mean=mean,
            std=std,
        )
        path = out_file or Path("runs") / "smooth" / f"{saved.short}-{sigma:g}.json"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunRefused(
                f"cannot write to {path.parent}: {error.strerror}; choose another by --out"
            ) from error
    with busy("reading noisy copies"):
        ids = saved.data.test.sample(n)
        images, labels = saved.sampled(n)
        draws = Draws(seed, "smooth", ids)
        found = smoothing.certify(
            saved.network, images, labels, sigma, draws, n0=first, n=votes, alpha=alpha
        )
    shown = telling.chosen(found, asked)
    store.write(path, telling.packed(saved, found, ids.tolist(), shown))
    title = f"the smoothed classifier of {model}, sigma {sigma:g}, on {saved.data.title}"
    out.print(Text(title, "bold"), soft_wrap=True)
    out.print(f"  {len(labels):,} images, {int(found.abstained.sum()):,} without an answer")
    for radius, words in telling.summary(found, shown):
        out.print(f"  L2 {radius:<8} certified accuracy {words}", soft_wrap=True)
    out.print(f"  {telling.caution(found)}", soft_wrap=True, markup=False)
    out.print(f"  {path}", soft_wrap=True, markup=False)
