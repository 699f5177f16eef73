"""What a command is: a function whose parameters are what a user types.

Every file in `commands/` holds a function of its own name, without what typer makes of its
annotations it could be called from Python. `_` in the name is `-` on the command line. Torch is
imported inside, so that --help is quick. What several commands ask alike stands here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unfooled import completing, shipped
from unfooled.errors import InvalidOption

if TYPE_CHECKING:
    from unfooled.crafting import Saved
    from unfooled.tracker import Tracker

# Of a network of the user's own.
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A network of a run, mine.py:FUNCTION, timm:NAME, FILE.pt2 or FILE.onnx.",
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        help="Data set, or folder with one folder of images a class; a run knows its own.",
        autocompletion=completing.datasets,
    ),
]
Size = Annotated[
    int | None, typer.Option(help="Side in pixels that a folder's images are brought to.")
]
Weights = Annotated[
    Path | None, typer.Option(help="Of a network with a name: .safetensors, .pt or .pth.")
]
Mean = Annotated[
    str | None, typer.Option(help="Of the pixels, to normalise by: 0.5, or 0.49,0.48,0.45.")
]
Std = Annotated[str | None, typer.Option(help="Likewise.")]
# Of an evaluation.
Norm = Annotated[
    str,
    typer.Option(help="Linf, L2, L1, L0 or spatial.", autocompletion=completing.norms),
]
Eps = Annotated[
    str | None,
    typer.Option(help="0.3 or 8/255; several as 0.1,0.3. The answer is at the largest."),
]
Attacks = Annotated[
    list[str] | None,
    typer.Option(
        "--attack",
        help="See: unfooled list attacks. May be repeated; else autoattack.",
        autocompletion=completing.attacks,
    ),
]
Option = Annotated[
    list[str] | None, typer.Option(help="Of the one attack, such as steps=10; may be repeated.")
]
N = Annotated[int, typer.Option("--n", help="Test images.")]
# Of files that may be anybody's.
Allow = Annotated[
    list[str] | None,
    typer.Option(help="Code that the files name and that may run: mine.py:net; repeatable."),
]
# Of the work.
Data = Annotated[Path | None, typer.Option(help="Folder of the data files.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.", autocompletion=completing.devices)]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder of the run; runs/NAME-NORM-EPS if none.")
]
Workers = Annotated[
    int | None, typer.Option(help="Jobs at once; one a core, or a GPU, if not given.")
]
TimeLimit = Annotated[
    float | None, typer.Option(help="Seconds that a job may take before it counts as failed.")
]
Engine = Annotated[
    str,
    typer.Option(
        help="What does the jobs; see: unfooled list engines.", autocompletion=completing.engines
    ),
]
Address = Annotated[
    str | None, typer.Option(help="Of the engine's cluster; for ray, auto or ray://HOST:PORT.")
]


def means(
    device: str,
    workers: int | None,
    time_limit: float | None,
    engine: str,
    address: str | None,
) -> dict[str, Any]:
    """How the work is done, as `run.run` takes it.

    Raises:
        InvalidOption: an address that is empty, or an engine that goes to none.
    """
    if address is not None and not address.strip():
        raise InvalidOption("--address is empty; leave it out to begin Ray on this machine")
    if address is not None and engine == "local":
        raise InvalidOption(f"--address {address} is of a cluster; add --engine ray")
    return {
        "device": device,
        "workers": workers,
        "limit": time_limit,
        "by": engine,
        "options": {} if address is None else {"address": address},
    }


# Where else a run is kept. The value may be left out: see `whole`.
Tensorboard = Annotated[
    str | None,
    typer.Option(metavar="[DIR]", help="Write event files too; in the run's folder if no DIR."),
]
Mlflow = Annotated[
    str | None,
    typer.Option(
        metavar="[URI]", help="Log the run to an MLflow server too; MLFLOW_TRACKING_URI if no URI."
    ),
]
_BARE = ("--tensorboard", "--mlflow")


def readable(words: Sequence[str]) -> Sequence[str]:
    """What was typed.

    Raises:
        InvalidOption: a file's name among it is no text, which no file of a run could hold.
    """
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            told = word.encode(errors="surrogateescape").decode(errors="replace")
            raise InvalidOption(f"{told} is no UTF-8; rename the file, or link to it") from None
    return words


def whole(words: Sequence[str]) -> list[str]:
    """What was typed, with an empty value for each option whose value was left out."""
    after = [*words, "-"][1:]
    return [
        f"{word}=" if word in _BARE and following.startswith("-") else word
        for word, following in zip(words, after, strict=True)
    ]


def trackers(tensorboard: str | None, mlflow: str | None) -> "list[Tracker]":
    """The trackers that were asked for, before there is anything to write.

    Raises:
        InvalidOption: one cannot be used here; see `tracker.find`.
    """
    asked = {"tensorboard": tensorboard, "mlflow": mlflow}
    if asked == dict.fromkeys(asked):
        return []
    from unfooled import tracker

    for name, where in asked.items():
        if where in shipped.studies() or (where or "").endswith(".toml"):
            raise InvalidOption(
                f"--{name} takes {where} for its own value; name the study before it"
            )
    return [tracker.find(name, where) for name, where in asked.items() if where is not None]


def loaded(
    model: str,
    n: int,
    *,
    dataset: str | None,
    data: Path | None,
    device: str,
    weights: Path | None,
    mean: str | None,
    std: str | None,
) -> "Saved":
    """The network that these words name, of which n test images will be asked.

    Raises:
        InvalidInput: n is below 1.
        UnfooledError: as `crafting.load`.
    """
    import torch

    from unfooled import arguments, crafting, run
    from unfooled.errors import InvalidInput

    if n < 1:
        raise InvalidInput(f"the number of images must be at least 1; it is {n}")
    return crafting.load(
        model,
        named=dataset,
        folder=data,
        device=torch.device(run.chosen(device)),
        weights=weights,
        mean=arguments.numbers(mean),
        std=arguments.numbers(std),
    )
