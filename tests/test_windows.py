import pytest
import torch
from torch import nn

from unfooled import crown
from unfooled.backward import chain
from unfooled.gradients import frozen
from unfooled.randomness import Draws
from unfooled.threat import Threat
from unfooled.windows import windows


def net() -> nn.Module:
    with Draws(0, "windows").torch_state():
        return nn.Sequential(
            nn.Conv2d(1, 3, 3, stride=1, padding=1),
            nn.ReLU(),
            nn.Conv2d(3, 4, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(100, 3),
        ).double()


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.05), ("L2", 0.5)])
def test_bounds_window_by_window_are_those_of_whole_rows(norm: str, eps: float) -> None:
    model, threat = net(), Threat(norm, eps)
    images = Draws(0, "images").uniform(torch.empty(3, 1, 10, 10)).double()
    with frozen(model), torch.no_grad():
        network = chain(model, images)
        assert list(network.windows) == [3]
        found = crown.known(network, images, threat)
        before, size = found.lines[1], network.shapes[3].numel()
        every = torch.arange(size)
        for image in range(3):
            own = found.at(torch.tensor([image]))
            which, least, most = network.windows[3].bounds(
                own.lines[1], own.region, torch.ones(size, dtype=torch.bool)
            )
            assert which.sort().values.equal(every)
            rows, added = network.units(3, every)
            high = own.upper(rows, network.linear(3)) + added
            low = added - own.upper(-rows, network.linear(3))
            if norm == "Linf":
                torch.testing.assert_close(most, high[which])
                torch.testing.assert_close(least, low[which])
            else:  # by a search that sees other pixels, and so ends elsewhere
                assert (most - high[which]).abs().max() < 0.05 * (high - low).max()
                assert (least - low[which]).abs().max() < 0.05 * (high - low).max()
        assert before is not None


def test_only_what_is_open_is_looked_at_and_what_shares_its_place() -> None:
    model = net()
    images = Draws(0, "images").uniform(torch.empty(1, 1, 10, 10)).double()
    with frozen(model), torch.no_grad():
        network = chain(model, images)
        found = crown.known(network, images, Threat("Linf", 0.05))
        open_ = torch.zeros(100, dtype=torch.bool)
        open_[[7, 57]] = True  # channels 0 and 2 of one place
        which, least, most = network.windows[3].bounds(found.lines[1], found.region, open_)
    assert {7, 57} <= set(which.tolist())
    assert len(which) == 2 * 25
    assert (least <= most).all()


def test_what_is_no_image_and_what_sees_almost_everything_has_no_windows() -> None:
    rows, through = torch.ones(8, 6), torch.ones(6, 5)
    assert windows(torch.Size([8]), rows, rows[:, 0], through, through[:, 0]) is None
    assert windows(torch.Size([2, 2, 2]), rows, rows[:, 0], through, through[:, 0]) is None
