import pytest
import torch

from unfooled.errors import InvalidThreat
from unfooled.randomness import Draws
from unfooled.region import region
from unfooled.shapes import Images
from unfooled.threat import Threat

THREATS = [Threat("Linf", 0.1), Threat("Linf", 0.7), Threat("L2", 0.3), Threat("L2", 3.0)]


def drawn(n: int, purpose: str) -> Images:
    numbers = Draws(0, purpose).uniform(torch.empty(n, 1, 4, 4)).double()
    return (1.4 * numbers - 0.2).clamp(0, 1) if purpose == "images" else 2 * numbers - 1


@pytest.mark.parametrize("threat", THREATS, ids=str)
def test_no_image_reaches_higher_and_the_farthest_reaches_nearly_as_high(threat: Threat) -> None:
    images, rows = drawn(6, "images"), drawn(6, "rows")
    around = region(images, threat)
    reach = around.reach(rows)
    end = around.farthest(rows)
    assert threat.allows(images, end).all()
    assert ((rows * end).flatten(1).sum(1) <= reach + 1e-12).all()
    assert ((rows * end).flatten(1).sum(1) >= reach - 0.05 * (1 + reach.abs())).all()
    many = images.repeat(2000, 1, 1, 1)
    for moved in (threat.random_start(many, Draws(0)), threat.random_edge(many, Draws(1))):
        products = (rows.repeat(2000, 1, 1, 1) * moved).flatten(1).sum(1)
        assert (products.view(2000, 6) <= reach + 1e-9).all()
    assert (reach <= around.reach_all(rows).diagonal() + 1e-12).all()


def test_of_linf_it_is_what_paper_says() -> None:
    image = torch.tensor([[[[0.05, 0.5]]]], dtype=torch.float64)
    around = region(image, Threat("Linf", 0.1))
    # Pixels of 0 to 0.15 and 0.4 to 0.6.
    row = torch.tensor([[[[-2.0, 1.0]]]], dtype=torch.float64)
    assert float(around.reach(row)) == pytest.approx(0.6)
    assert float(around.reach(-row)) == pytest.approx(2 * 0.15 - 0.4)


@pytest.mark.parametrize("threat", THREATS, ids=str)
def test_parts_of_an_image_reach_as_high_as_it_does_by_them(threat: Threat) -> None:
    images, rows = drawn(1, "images"), torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    rows.view(-1)[3], rows.view(-1)[9] = 1.5, -2.0
    around = region(images, threat)
    parts = around.parts(torch.tensor([[3, 9, 0]])).reach(
        torch.tensor([1.5, -2.0, 0.0]).double().view(1, 1, 1, 3)
    )
    assert float(parts) == pytest.approx(float(around.reach(rows)), rel=0.02)


@pytest.mark.parametrize(
    ("threat", "said"),
    [(Threat("L1", 1.0), "Linf and L2; L1 came"), (Threat("L2", float("inf")), "finite")],
)
def test_what_has_no_region_is_an_error(threat: Threat, said: str) -> None:
    with pytest.raises(InvalidThreat, match=said):
        region(drawn(1, "images"), threat)
