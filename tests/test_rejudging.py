import numpy as np
import pytest
import torch
import toys
from torch import nn

from unfooled import evaluation
from unfooled.gradients import predict
from unfooled.rejudging import Failure, Wrong, failures, gathered, rejudged
from unfooled.shapes import Images
from unfooled.threat import Threat

THREAT = Threat("Linf", 0.1)


@pytest.fixture
def adversarial(images: Images) -> Images:
    return images + 0.05


def claims(net: nn.Module, images: Images, adversarial: Images) -> dict[str, np.ndarray]:
    return {
        "read_as": evaluation.read(predict(net, adversarial)),
        "distance": THREAT.distance(images, adversarial).numpy(),
        "inside": THREAT.allows(images, adversarial).numpy(),
    }


def kinds(
    net: nn.Module, images: Images, adversarial: Images, claimed: dict[str, np.ndarray]
) -> dict[str, list[int]]:
    wrong = rejudged(net, images, adversarial, THREAT, claimed)
    return {one.kind: np.flatnonzero(one.rows).tolist() for one in wrong if one.rows.any()}


def test_images_that_are_as_they_were_stand(
    net: nn.Module, images: Images, adversarial: Images
) -> None:
    assert kinds(net, images, adversarial, claims(net, images, adversarial)) == {}


def test_each_kind_of_lie_is_found_in_its_row(
    net: nn.Module, images: Images, adversarial: Images
) -> None:
    claimed = claims(net, images, adversarial)
    claimed["read_as"][3] += 1
    assert kinds(net, images, adversarial, claimed) == {"reading": [3]}
    claimed = claims(net, images, adversarial)
    claimed["distance"][5] -= 1e-6
    assert kinds(net, images, adversarial, claimed) == {"distance": [5]}
    claimed = claims(net, images, adversarial)
    claimed["inside"][7] = False
    assert kinds(net, images, adversarial, claimed) == {"threat": [7]}


@pytest.mark.parametrize(
    ("value", "found"), [(1.01, "range"), (0.95, "threat"), (float("nan"), "range")]
)
def test_a_changed_pixel_is_found(
    net: nn.Module, images: Images, adversarial: Images, value: float, found: str
) -> None:
    claimed = claims(net, images, adversarial)
    adversarial[2, 0, 0, 0] = value
    wrong = kinds(net, images, adversarial, claimed)
    assert wrong[found] == [2]
    assert wrong["distance"] == [2]


def test_not_a_number_is_read_as_nothing(
    net: nn.Module, images: Images, adversarial: Images
) -> None:
    adversarial[2, 0, 0, 0] = torch.nan
    claimed = claims(net, images, adversarial)
    assert claimed["read_as"][2] == evaluation.UNREAD
    # It has no distance either, which no fact can say.
    assert kinds(net, images, adversarial, claimed) == {"distance": [2]}


def test_failures_name_the_first_few() -> None:
    rows = np.array([True] * 7 + [False])
    standing, (failure,) = failures([Wrong("range", "so", rows)], [f"image {n}" for n in range(8)])
    assert standing.sum() == 1
    assert str(failure) == "range: so: image 0, image 1, image 2, image 3, image 4 and 2 more"


def test_failures_of_one_kind_are_one() -> None:
    found = gathered(
        [Failure("a", "s", ("1",)), Failure("b", "s", ("2",)), Failure("a", "s", ("3",))]
    )
    assert found == (Failure("a", "s", ("1", "3")), Failure("b", "s", ("2",)))


def test_a_distance_of_l2_is_measured_in_float64() -> None:
    images = toys.pictures(2)
    far = (images + 0.01).clamp(0, 1)
    found = Threat("L2", 1).distance(images, far)
    assert found.dtype == torch.float64
