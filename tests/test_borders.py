import math

import pytest
import torch

from unfooled.borders import check_classes, check_input
from unfooled.errors import InvalidInput

GOOD = torch.full((3, 1, 2, 2), 0.5)
ZEROS = torch.zeros(3, dtype=torch.int64)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("images", "labels", "targets", "said"),
    [
        (GOOD.mul(255).byte(), ZEROS, None, r"float \[n, c, h, w\] in \[0, 1\], not torch.uint8"),
        (GOOD[0], ZEROS, None, r"not torch.float32 \[1, 2, 2\]"),
        (GOOD.tolist(), ZEROS, None, "must be float"),
        (GOOD[:0], ZEROS[:0], None, "the batch is empty"),
        (GOOD * 255, ZEROS, None, "reach from 127.5 to 127.5. Divide bytes by 255"),
        (GOOD - 0.6, ZEROS, None, "reach from -0.1 to -0.1"),
        (GOOD * math.nan, ZEROS, None, "reach from nan"),
        (GOOD, ZEROS.int(), None, r"labels must be int64 \[3\], not torch.int32 \[3\]"),
        (GOOD, ZEROS.float(), None, "labels must be int64"),
        (GOOD, ZEROS[:2], None, r"labels must be int64 \[3\], not torch.int64 \[2\]"),
        (GOOD, ZEROS[:, None], None, r"not torch.int64 \[3, 1\]"),
        (GOOD, ZEROS, ZEROS[:2], r"targets must be int64 \[3\]"),
        (GOOD, ZEROS, ZEROS, "3 targets equal their labels"),
    ],
)
def test_input_that_is_not_as_promised_is_refused(images, labels, targets, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        check_input(images, labels, targets)


def test_one_pixel_that_is_no_number_is_found() -> None:
    images = GOOD.clone()
    images[1, 0, 1, 1] = math.nan
    with pytest.raises(InvalidInput):
        check_input(images, ZEROS)


def test_input_as_promised_is_taken() -> None:
    check_input(GOOD, ZEROS, ZEROS + 1)
    check_input(GOOD.double(), ZEROS)


def test_classes_that_the_model_does_not_know_are_refused() -> None:
    known, wrong = torch.tensor([0, 2]), torch.tensor([0, 3])
    check_classes(known, None, 3)
    check_classes(known, known, 3)
    with pytest.raises(InvalidInput, match="labels reach from 0 to 3, but the model has 3 classes"):
        check_classes(wrong, None, 3)
    with pytest.raises(InvalidInput, match="targets reach from 0 to 3, but the model has 3"):
        check_classes(known, wrong, 3)
    with pytest.raises(InvalidInput, match="labels reach from -1 to 0"):
        check_classes(known.clamp_max(0) - torch.tensor([0, 1]), None, 3)
