import io
import pickle
import zipfile
from collections import Counter, OrderedDict
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from unfooled import archived
from unfooled.errors import InvalidData

PATH = Path("w.pt")


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


@pytest.mark.parametrize(
    "value",
    [
        {"w": torch.ones(3), "epoch": 4, "best": 0.5, "name": "a", "done": None},
        OrderedDict(w=torch.nn.Parameter(torch.ones(2, 2)), step=torch.tensor(1)),
        {"optimizer": {"state": {0: {"step": 1}}, "groups": [{"betas": (0.9, 0.999)}] * 3}},
        {"milestones": Counter({5: 1}), "kinds": {1, 2}, "dtype": torch.float16},
        {
            "size": torch.Size((2, 3)),
            "half": torch.ones(2).half(),
            "small": torch.ones(2).bfloat16(),
        },
        [((1, 2), (3, 4))] * 5,
    ],
)
def test_what_training_scripts_save_passes_and_comes_back(value: object) -> None:
    parts = archived.parts(PATH, saved(value))
    for name, part in parts.items():
        if name.endswith("data.pkl"):
            archived.pickled(PATH, part, count=1)
    again = torch.load(archived.packed(parts), weights_only=True)
    assert str(again) == str(value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [print, Path("x"), object(), Fraction(1, 2)])
def test_no_pickle_passes_that_names_anything_else(value: object, protocol: int) -> None:
    with pytest.raises(InvalidData):
        archived.pickled(PATH, pickle.dumps(value, protocol), count=1)


def test_two_parts_of_one_name_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("w/a", b"1")
        archive.writestr("w/A", b"2")
    with pytest.raises(InvalidData, match="two parts of one name"):
        archived.parts(PATH, file.getvalue())
