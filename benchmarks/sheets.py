"""Picture sheets for the documentation: every transformation, and every corruption.

`python benchmarks/sheets.py` writes docs/figures/transforms.svg and docs/figures/corruptions.svg.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from unfooled import catalog, corruption, dataset, transform
from unfooled.dataset import Dataset
from unfooled.drawing import drawn_on, finished
from unfooled.randomness import Draws

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
# As in studies/ablation.toml, but always applied.
SHOWN = {
    "RandomRotation": {"degrees": 30, "interpolation": "bilinear"},
    "RandomAffine": {"degrees": 15, "translate": [0.1, 0.1], "scale": [0.9, 1.1]},
    "RandomCrop": {"size": 28, "padding": 4},
    "RandomResizedCrop": {"size": 28, "scale": [0.5, 1.0]},
    "RandomPerspective": {"distortion_scale": 0.5, "p": 1.0},
    "ElasticTransform": {"alpha": 30.0, "sigma": 4.0},
    "RandomHorizontalFlip": {"p": 0.5},
    "RandomErasing": {"p": 1.0, "scale": [0.05, 0.25]},
    "GaussianBlur": {"kernel_size": 5, "sigma": [0.1, 2.0]},
    "GaussianNoise": {"sigma": 0.3},
    "ColorJitter": {"brightness": 0.5, "contrast": 0.5},
    "RandomInvert": {"p": 0.5},
    "RandomPosterize": {"bits": 1, "p": 1.0},
    "RandomSolarize": {"threshold": 0.5, "p": 1.0},
    "RandomAdjustSharpness": {"sharpness_factor": 3.0, "p": 1.0},
    "TrivialAugmentWide": {},
    "RandAugment": {},
    "AugMix": {},
    "MixUp": {"alpha": 1.0},
    "CutMix": {"alpha": 1.0},
}


def transforms(data: Dataset, columns: int) -> str:
    """A row for each transformation, with other draws in each column."""
    images = data.test.pixels(torch.arange(columns))
    shape = {"channels": data.channels, "size": data.size}
    rows = [("none", images)]
    for name, options in SHOWN.items():
        one = transform.find(name, options, **shape)
        draws = Draws(1, name, torch.arange(columns))
        changed = one.apply(images, draws) if one.mix is None else one.mix(images, draws)[0]
        rows.append((name, changed))
    return _sheet(rows)


def corruptions(data: Dataset) -> str:
    """A row for each corruption, two digits at each severity."""
    images = data.test.pixels(torch.tensor([0, 4]))
    rows = []
    for name in catalog.names("corruptions"):
        one, draws = corruption.find(name), Draws(0, name, torch.arange(2))
        worse = [one.apply(images, severity, draws=draws) for severity in corruption.SEVERITIES]
        rows.append((name.replace("_", " "), torch.cat([images, *worse])))
    heads = ["none", "", *(f"severity {s}" if i else "" for s in (1, 2, 3, 4, 5) for i in (1, 0))]
    return _sheet(rows, heads)


def _sheet(rows: Sequence[tuple[str, Tensor]], heads: Sequence[str] = ()) -> str:
    columns = len(rows[0][1])
    with drawn_on(7.1, 0.5 * len(rows) + 0.2, rows=len(rows), columns=columns) as (canvas, axes):
        for row, (name, images) in enumerate(rows):
            for column, image in enumerate(images):
                axis = axes[row * columns + column]
                axis.imshow(image[0], cmap="gray_r", vmin=0, vmax=1)
                axis.set_axis_off()
                if row == 0 and heads:
                    axis.set_title(heads[column], fontsize=7)
            first = axes[row * columns]
            where = first.transAxes
            first.text(-0.15, 0.5, name, transform=where, ha="right", va="center", fontsize=7.5)
        canvas.subplots_adjust(0.24, 0.01, 0.995, 0.97, wspace=0.06, hspace=0.06)
        return finished(canvas, tight=False)


def main() -> None:
    """Write both sheets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the MNIST files")
    data = dataset.find("mnist", folder=parser.parse_args().data)
    (FIGURES / "transforms.svg").write_text(transforms(data, 12))
    (FIGURES / "corruptions.svg").write_text(corruptions(data))


if __name__ == "__main__":
    main()
