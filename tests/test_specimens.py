import math

import pytest
import torch

from unfooled import specimens
from unfooled.gradients import gradient, predict
from unfooled.losses import fooled, margin

DUALS = {"Linf": 1.0, "L2": 2.0, "L1": math.inf}


@pytest.mark.parametrize("norm", sorted(DUALS))
def test_a_plane_lies_as_far_as_the_specimen_says(norm: str) -> None:
    made = specimens.plane(norm)
    weight = made.model.weight.detach()
    logits = predict(made.model, made.images)
    found = -margin(logits, made.labels) / weight.norm(p=DUALS[norm])
    torch.testing.assert_close(found, made.needed, rtol=1e-3, atol=1e-6)
    assert not fooled(logits, made.labels).any()
    assert 0 < int(made.labels.sum()) < len(made.labels)


def test_so_many_pixels_and_no_fewer_lead_across_a_plane() -> None:
    made = specimens.plane("L0")
    weight = made.model.weight.detach()
    towards = torch.where(made.labels[:, None] == 1, -weight, weight)
    ends = (towards > 0).float()  # black or white, whichever leads across
    pixels = made.images.flatten(1)
    gains = towards * (ends - pixels)
    assert made.needed.tolist() != [1] * 12
    for missing, falls in ((0, True), (1, False)):
        changed = pixels.clone()
        for row, count in enumerate(made.needed.long() - missing):
            best = gains[row].topk(int(count)).indices
            changed[row, best] = ends[row, best]
        read = predict(made.model, changed.view_as(made.images))
        assert (fooled(read, made.labels) == falls).all()


def test_the_smooth_specimen_is_as_untidy_as_a_users_own() -> None:
    made = specimens.smooth()
    assert made.model.training
    assert int((made.images == 0).sum()) > 0
    assert int((made.images == 1).sum()) > 0
    misread = predict(made.model, made.images).argmax(1) != made.labels
    assert misread.nonzero()[:, 0].tolist() == [1, 6, 11]
    read_as_target = predict(made.model, made.images).argmax(1) == made.targets
    assert torch.equal(read_as_target, misread)
    assert (made.targets != made.labels).all()
    assert sum(p.grad is not None for p in made.model.parameters()) == 1
    assert sum(not p.requires_grad for p in made.model.parameters()) == 1


def test_a_specimen_is_the_same_every_time_and_leaves_torchs_chance_alone() -> None:
    before = torch.get_rng_state()
    one, two = specimens.smooth(), specimens.smooth()
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one.images, two.images)
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(two.model.state_dict()[name], tensor)


def test_a_part_of_a_specimen_holds_what_belongs_to_its_images() -> None:
    made = specimens.smooth()
    rows = torch.tensor([7, 2])
    part = made.keep(rows)
    for name in ("images", "labels", "targets", "ids", "needed"):
        assert torch.equal(getattr(part, name), getattr(made, name)[rows])
    assert part.model is made.model


@pytest.mark.parametrize("made", [specimens.flat(), specimens.stairs()], ids=["flat", "stairs"])
def test_a_gradient_of_zero_is_there_and_is_zero(made: specimens.Specimen) -> None:
    _, _, by_pixel = gradient(made.model, made.images, made.labels, None, margin)
    assert not by_pixel.any()


def test_a_sealed_model_gives_no_gradient_and_a_mute_one_the_class_alone() -> None:
    made = specimens.smooth()
    logits = predict(made.model, made.images)
    sealed, mute = specimens.sealed(made), specimens.mute(made)
    assert torch.equal(predict(sealed.model, made.images), logits)
    assert not sealed.model(made.images.clone().requires_grad_()).requires_grad
    assert torch.equal(predict(mute.model, made.images), torch.eye(4)[logits.argmax(1)])
