"""The commands `unfooled verify`, `compare-tools` and `smooth`: tools around an evaluation."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from unfooled.commands import Mean, Std, Weights
from unfooled.terminal import busy, out

if TYPE_CHECKING:
    from unfooled.comparing import Compared
    from unfooled.crafting import Saved
    from unfooled.rejudging import Verified
    from unfooled.threat import Threat

Data = Annotated[Path | None, typer.Option(help="Folder of the data files.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Of unfooled attack, or of a study's run.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Where the attacked network lies, if not where the facts say."),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Code that the files name and that may run: mine.py:net; repeatable."),
    ] = None,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    data: Data = None,
    device: Device = "auto",
) -> None:
    """Judge saved adversarial images again from the files alone; exits with 1 if some fall."""
    with busy("reading the files"):
        import torch

        from unfooled import arguments, auditing, kept, run, verifying
        from unfooled.errors import InvalidOption

        chosen = run.chosen(device)
        of_study = (folder / "ledger.sqlite").exists()
        given = {"weights": weights, "mean": mean, "std": std}
        extra = [name for name, value in given.items() if value is not None]
        if extra and model is None:
            raise InvalidOption(f"--{extra[0]} belongs to a network that --model names")
        if of_study and model is not None:
            raise InvalidOption(f"{folder} is a study's, which knows its networks; drop --model")
    with busy("judging again"):
        if of_study:
            _allowed(auditing.code(folder), allow or [])
            found = auditing.audit(folder, data=data, device=chosen)
        else:
            left = kept.read(folder)
            _allowed(kept.code(left, model), allow or [])
            saved = kept.network(
                left,
                model,
                folder=data,
                device=torch.device(chosen),
                weights=weights,
                mean=arguments.numbers(mean),
                std=arguments.numbers(std),
            )
            found = verifying.verify(left, saved)
    _told_verified(found)
    if found.failures:
        raise typer.Exit(1)


def _allowed(code: list[str], allow: list[str]) -> None:
    """Files from elsewhere shall not choose what runs here."""
    from unfooled.errors import InvalidOption

    if others := [one for one in code if one not in allow]:
        options = " ".join(f"--allow {one}" for one in others)
        raise InvalidOption(
            f"the files name code that would be run: {', '.join(others)}; where you trust it, add "
            f"{options}"
        )


def _told_verified(found: "Verified") -> None:
    out.print(Text(found.title, "bold"), soft_wrap=True)
    out.print(
        f"  {found.standing:,} of {found.images:,} images are what their facts say, "
        f"{found.whole:,} of {found.files:,} files have their hash",
        soft_wrap=True,
    )
    for failure in found.failures:
        out.print(Text(f"  {failure}", "red"), soft_wrap=True)
    for note in found.notes:
        out.print(f"  note: {note}", markup=False, soft_wrap=True)


def compare_tools(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A network of a run, mine.py:FUNCTION, timm:NAME, FILE.pt2."
        ),
    ],
    attack: Annotated[
        str, typer.Option(help="fgsm, pgd, apgd, ddn, fmn, square, autoattack or hopskipjump.")
    ] = "pgd",
    eps: Annotated[str | None, typer.Option(help="Such as 0.1 or 8/255; else a usual one.")] = None,
    norm: Annotated[str | None, typer.Option(help="Such as L2; else the attack's first.")] = None,
    steps: Annotated[int, typer.Option(help="Steps of each image, or queries.")] = 40,
    n: Annotated[int, typer.Option("--n", help="Test images.")] = 100,
    tool: Annotated[
        list[str] | None, typer.Option(help="One of unfooled list peers; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the attacks' chance.")] = 0,
    dataset: Annotated[
        str | None, typer.Option(help="Whose test images it shall read; a run knows its own.")
    ] = None,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    data: Data = None,
    device: Device = "auto",
) -> None:
    """The same attack through other libraries, what they say, and what our judge finds."""
    with busy("reading the network"):
        import torch

        from unfooled import arguments, comparing, crafting, guide, peer, run
        from unfooled.attack import find
        from unfooled.errors import InvalidInput

        if n < 1:
            raise InvalidInput(f"the number of images must be at least 1; it is {n}")
        chosen = find(attack)
        norm = chosen.norms[0] if norm is None else norm
        threat = arguments.threat(norm, guide.eps(norm) if eps is None else eps)
        chosen.takes(threat)
        peers = [peer.find(name) for name in dict.fromkeys(("unfooled", *(tool or peer.names())))]
        saved = crafting.load(
            model,
            named=dataset,
            folder=data,
            device=torch.device(run.chosen(device)),
            weights=weights,
            mean=arguments.numbers(mean),
            std=arguments.numbers(std),
        )
        saved.loaded.takes(chosen)
    with busy("attacking"):
        images, labels = saved.sampled(n)
        found = comparing.compare(
            saved.network,
            images,
            labels,
            threat,
            attack=attack,
            budget=steps,
            peers=peers,
            seed=seed,
        )
    _told_compared(saved, found, threat)


def _told_compared(saved: "Saved", found: "list[Compared]", threat: "Threat") -> None:
    from rich.table import Table

    from unfooled.comparing import reasons

    task = found[0].task
    steps = "" if task.attack == "fgsm" else f", {task.budget} steps"
    words = f"{task.attack}{steps}, {threat}, on {saved.path} ({saved.data.title})"
    out.print(Text(words, "bold"), soft_wrap=True)
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for place, column in enumerate(
        ("tool", "version", "says", "judged", "distance", "outside", "seconds")
    ):
        table.add_column(column, justify="right" if place > 1 else "left", no_wrap=True)
    for one in found:
        table.add_row(*_cells(one))
    out.print(table)
    for one in found:
        for sentence in [one.missing] if one.missing else reasons(one, found[0], threat):
            out.print(f"  {one.peer.name}: {sentence}", markup=False, soft_wrap=True)


def _cells(one: "Compared") -> list[str]:
    import numpy as np

    from unfooled.wording import percent

    head = [one.peer.name, one.peer.version or "absent"]
    if one.facts is None:
        return [*head, "-", "-", "-", "-", "-"]
    facts = one.facts
    won = facts.correct & facts.fooled[0]
    distance = f"{np.median(facts.distance[0][won]):.4g}" if won.any() else "-"
    outside = int((facts.correct & ~facts.inside[0]).sum())
    judged = percent(float(facts.robust[0].mean()))
    return [*head, percent(one.says), judged, distance, str(outside), f"{one.seconds:.2f}"]


def smooth(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A network of a run, mine.py:FUNCTION, timm:NAME, FILE.pt2 or FILE.onnx.",
        ),
    ],
    sigma: Annotated[
        float, typer.Option(help="Standard deviation of the noise, in pixel units.")
    ] = 0.25,
    n: Annotated[int, typer.Option("--n", help="Test images.")] = 100,
    votes: Annotated[int, typer.Option(help="Noisy copies that count the class.")] = 1000,
    first: Annotated[int, typer.Option(help="Noisy copies that choose the class.")] = 100,
    alpha: Annotated[float, typer.Option(help="How often a certificate may be wrong.")] = 0.001,
    radii: Annotated[str | None, typer.Option(help="Such as 0,0.25,0.5; else some.")] = None,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    dataset: Annotated[
        str | None, typer.Option(help="Whose test images it shall read; a run knows its own.")
    ] = None,
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
        import torch

        from unfooled import arguments, crafting, run, smoothing, store
        from unfooled import radii as telling
        from unfooled.errors import InvalidInput, RunRefused
        from unfooled.randomness import Draws

        if n < 1:
            raise InvalidInput(f"the number of images must be at least 1; it is {n}")
        asked = arguments.numbers(radii)
        saved = crafting.load(
            model,
            named=dataset,
            folder=data,
            device=torch.device(run.chosen(device)),
            weights=weights,
            mean=arguments.numbers(mean),
            std=arguments.numbers(std),
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
