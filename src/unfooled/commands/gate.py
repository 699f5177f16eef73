"""The command `unfooled gate`."""

from pathlib import Path
from typing import Annotated

import typer

from unfooled.command import (
    Address,
    Attacks,
    Data,
    Dataset,
    Device,
    Engine,
    Eps,
    Mean,
    Model,
    N,
    Norm,
    Option,
    Out,
    Size,
    Std,
    TimeLimit,
    Weights,
    Workers,
    means,
)
from unfooled.showing import performed
from unfooled.terminal import busy, out, typed


def gate(
    model: Model,
    min_robust: Annotated[
        str | None, typer.Option(help="The share that must be shown to stand, such as 0.85.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="The gate.json of an earlier run: is it worse than that?")
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the interval, or the comparison.")] = 0.95,
    dataset: Dataset = None,
    norm: Norm = "Linf",
    eps: Eps = None,
    attack: Attacks = None,
    option: Option = None,
    n: N = 1000,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    size: Size = None,
    data: Data = None,
    out_folder: Out = None,
    device: Device = "auto",
    workers: Workers = None,
    time_limit: TimeLimit = None,
    engine: Engine = "local",
    address: Address = None,
) -> None:
    """Hold a network to a floor, or to an earlier one: exit code 0 holds, 1 short, 2 not judged."""
    from unfooled.errors import JobFailed, UnfooledError

    try:
        with busy("reading the network"):
            from unfooled import arguments, checkpoint, provenance
            from unfooled import gate as gates
            from unfooled.asking import Words, asked
            from unfooled.errors import InvalidOption

            least = None if min_robust is None else arguments.number(min_robust)
            if min_robust is not None and least is None:
                raise InvalidOption(f"--min-robust is a share such as 0.85, not {min_robust!r}")
            if min_robust is None and baseline is None:
                raise InvalidOption("a gate needs --min-robust, or --baseline, or both")
            old = (
                None
                if baseline is None
                else gates.read(checkpoint.content(baseline), str(baseline))
            )
            found = asked(
                Words(
                    models=[model],
                    dataset=dataset,
                    norm=norm,
                    eps=eps,
                    attacks=attack or (),
                    options=option or (),
                    n=n,
                    weights=[] if weights is None else [weights],
                    mean=mean,
                    std=std,
                    size=size,
                    folder=data,
                )
            )
            # What cannot be asked is refused before the work, not after it.
            gates.checked(least, confidence)
        folder = out_folder or Path("runs") / found.name
        how = {
            "data_folder": found.folder,
            **means(device, workers, time_limit, engine, address),
            "note": found.note,
        }
        well = performed(found.study, folder, command=typed(), **how)
        gates.cleared(folder, baseline)
        if not well:
            raise typer.Exit(gates.UNJUDGED)
        with busy("writing the report"):
            ruling = gates.ruled(folder, least, old, confidence, allow=provenance.code(found.study))
    except (UnfooledError, typer.Exit):
        raise
    except Exception as error:  # a bug of ours must not read as a network that falls short
        raise JobFailed(f"it could not be judged: {type(error).__name__}: {error}") from error
    out.print(ruling.line, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(ruling.code)
