"""Which precision the gradient is compared in; `test_doctor.py` has the sick models."""

import torch
import toys
from torch import Tensor, nn

from unfooled import pulse
from unfooled.gradients import frozen
from unfooled.shapes import Images


class Waves(nn.Module):
    """Logits that bend within a step of float32, and hardly within one of float64."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.seen: list[torch.dtype] = []

    def forward(self, images: Images) -> Tensor:
        self.seen.append(images.dtype)
        waves = torch.sin(self.rate * images.flatten(1))
        return torch.stack([waves[:, :32].sum(1), waves[:, 32:].sum(1)], 1)


def test_what_agrees_in_float32_is_not_asked_again() -> None:
    model = Waves(1.0)
    with frozen(model):
        found = pulse.differences(model, toys.pictures(16))
    assert found.verdict == "ok"
    assert "float32" in found.sentence
    assert set(model.seen) == {torch.float32}


def test_what_bends_too_fast_for_float32_is_compared_in_float64() -> None:
    model = Waves(600.0)
    with frozen(model):
        found = pulse.differences(model, toys.pictures(16))
    assert found.verdict == "ok", found
    assert "float64" in found.sentence


def test_the_loss_is_lost_only_where_the_logits_still_have_a_gradient() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with torch.no_grad():
        flat[1].weight.zero_()
    images, labels = toys.pictures(8), torch.zeros(8, dtype=torch.int64)
    with frozen(flat):
        found = pulse.saturation(flat, images, labels)
    assert (found.verdict, found.value) == ("ok", 0.0)
