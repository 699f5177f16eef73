import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import toys
from torch import Tensor, nn

from unfooled import attack, memory
from unfooled.attack import Attack
from unfooled.errors import (
    InvalidInput,
    InvalidModel,
    InvalidOption,
    InvalidThreat,
    JobFailed,
    UnknownName,
)
from unfooled.losses import margin
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat
from unfooled.victim import Batch

LINF = Threat("Linf", 0.1)


def test_an_unknown_attack_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'fgsm'"):
        attack.find("fgms")


@pytest.mark.parametrize(
    "options", [{"stepps": 3}, {"targets": None}, {"draws": 1}, {"steps": "many"}, {"steps": 2.5}]
)
def test_an_option_that_does_not_exist_or_fit_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(InvalidOption, match="pgd"):
        attack.find("pgd", **options)


@pytest.mark.parametrize(
    ("name", "options", "cost", "title"),
    [
        ("fgsm", {}, 1, "FGSM"),
        ("pgd", {}, 40, "PGD-40"),
        ("pgd", {"steps": 7}, 7, "PGD-7"),
        ("noise", {}, 1, "noise"),
        ("square", {"queries": 300}, 300, "square"),
    ],
)
def test_a_title_says_the_number_of_steps_and_the_cost_that_of_passes(
    name: str, options: dict[str, int], cost: int, title: str
) -> None:
    found = attack.find(name, **options)
    assert (found.cost, found.title) == (cost, title)


def test_a_users_own_attack_is_found_with_what_its_file_says(
    tmp_path: Path, plane: toys.Plane, images: Images, labels: Labels
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "KNOWS = 'decisions'\n"
        "def grey(model, images, labels, threat, *, draws, targets=None, level: float = 0.5):\n"
        "    return threat.project(images, 0 * images + level)\n"
    )
    found = attack.find(f"{path}:grey", level=0.9)
    assert (found.knows, found.promise, found.title) == ("decisions", "bounded", "GREY")
    changed = found.run(plane, images, labels, LINF, draws=Draws(0))
    torch.testing.assert_close(changed, images + 0.1)


def by_hand(function, **changes: object) -> Attack:
    return replace(Attack("own", function, "bounded", "gradients"), **changes)


def test_the_function_meets_only_images_that_still_stand(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    met = []

    def count(model, images, labels, threat, *, draws, targets):
        met.append(len(images))
        assert len(labels) == len(draws.ids) == len(images)
        changed = images.clone()
        changed[: len(images) // 2] = 1 - changed[: len(images) // 2]  # the plane's other side
        return changed

    misread = labels.clone()
    misread[:4] = 1 - misread[:4]
    threats = [Threat("Linf", eps) for eps in (0.0, 0.4, 0.5, 0.6)]
    results = by_hand(count).sweep(plane, images, misread, threats, draws=Draws(0))
    assert met == [20, 10, 5]
    assert torch.equal(results[0].images, images)
    for result in results:
        assert torch.equal(result.images[:4], images[:4])
    # Fooled at a small eps, an image is kept as it is for the larger ones.
    assert torch.equal(results[1].images[4:14], results[3].images[4:14])
    assert torch.equal(results[3].images[4:14], 1 - images[4:14])


def test_the_model_arrives_frozen_in_eval_mode_and_without_weights_to_reach(
    images: Images,
) -> None:
    seen = []

    class Looking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = toys.net()

        def forward(self, images: Images) -> Tensor:
            seen.append((self.training, any(p.requires_grad for p in self.parameters())))
            logits: Tensor = self.net(images)
            return logits

    def look(model, images, labels, threat, *, draws, targets):
        assert not list(model.parameters())
        model(images)
        return images

    net = Looking()
    labels = toys.read_by(net, images)
    net.train()
    seen.clear()
    by_hand(look).run(net, images, labels, LINF, draws=Draws(0))
    assert set(seen) == {(False, False)}
    assert net.training
    assert all(p.requires_grad for p in net.parameters())


def test_many_images_come_in_batches_with_their_own_ids(
    plane: toys.Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_MOST", 100)
    images = toys.pictures(260)
    labels = toys.read_by(plane, images)
    seen = []

    def note(model, images, labels, threat, *, draws, targets):
        seen.append(draws.ids)
        return images + 0.01 * (draws.ids % 2)[:, None, None, None] * (1 - images)

    draws = Draws(0, ids=torch.arange(1000, 1260))
    found = by_hand(note).sweep(plane, images, labels, [LINF], draws=draws)[0]
    assert [len(ids) for ids in seen] == [100, 100, 60]
    assert torch.equal(torch.cat(seen), draws.ids)
    assert ((found.images != images).flatten(1).any(1) == (draws.ids % 2 == 1)).all()
    assert len(found.passes.forward) == 260


@pytest.mark.parametrize("knows", ["scores", "decisions", "nothing"])
def test_an_attack_that_knows_less_gets_a_model_without_gradients(
    net: nn.Module, images: Images, knows: str
) -> None:
    labels = toys.read_by(net, images)
    pgd = attack.find("pgd", steps=2)
    pgd.run(net, images, labels, LINF, draws=Draws(0))
    with pytest.raises(InvalidModel, match="gives no gradient"):
        replace(pgd, knows=knows).run(net, images, labels, LINF, draws=Draws(0))


def test_a_sweep_needs_its_threats_in_order(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    threats = [Threat("Linf", 0.2), Threat("Linf", 0.1)]
    with pytest.raises(InvalidThreat, match="ascending"):
        attack.find("fgsm").sweep(plane, images, labels, threats, draws=Draws(0))


def test_a_sweep_gives_what_single_runs_give(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    threats = [Threat("Linf", eps) for eps in (0.01, 0.02, 0.3)]
    fgsm = attack.find("fgsm")
    swept = fgsm.sweep(plane, images, labels, threats, draws=Draws(0))
    for threat, one in zip(threats, swept, strict=True):
        assert torch.equal(one.images, fgsm.run(plane, images, labels, threat, draws=Draws(0)))


def test_a_sweep_of_its_own_must_give_a_result_for_each_threat(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    short = replace(attack.find("fgsm"), sweeper=lambda *given, **options: [given[1]])
    threats = [Threat("Linf", eps) for eps in (0.01, 0.02)]
    with pytest.raises(JobFailed, match="fgsm returned 1 results for 2 eps"):
        short.sweep(plane, images, labels, threats, draws=Draws(0))


def test_in_a_sweep_of_its_own_who_was_fooled_stays_so(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    def sweep(model, images, labels, threats, *, draws, targets):
        Batch.of(model, images, labels, targets, draws).logits(images)
        return [1 - images, images]  # the plane's other side, then nothing

    tried = replace(attack.find("fgsm"), sweeper=sweep)
    threats = [Threat("Linf", eps) for eps in (0.5, 1.0)]
    first, second = tried.sweep(plane, images, labels, threats, draws=Draws(0))
    assert first.passes.until.tolist() == second.passes.until.tolist() == [1] * 24
    assert second.passes.forward.tolist() == [1] * 24
    assert torch.equal(second.images, images)


def test_passes_add_up_over_a_sweep_and_stop_where_an_image_is_fooled(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    """Asked twice at every eps; the second time the first half of what stands is across."""

    def asks(model, images, labels, threat, *, draws, targets):
        batch = Batch.of(model, images, labels, targets, draws)
        batch.logits(images)
        changed = images.clone()
        changed[: len(images) // 2] = 1 - changed[: len(images) // 2]
        batch.gradient(changed, margin)
        return changed

    misread = labels.clone()
    misread[:4] = 1 - misread[:4]
    threats = [Threat("Linf", eps) for eps in (0.0, 0.5, 0.6)]
    passes = [
        one.passes for one in by_hand(asks).sweep(plane, images, misread, threats, draws=Draws(0))
    ]
    assert passes[0].forward.tolist() == [0] * 24
    assert passes[0].until.tolist() == [0] * 4 + [-1] * 20
    assert passes[1].forward.tolist() == [0] * 4 + [2] * 20
    assert passes[1].until.tolist() == [0] * 4 + [2] * 10 + [-1] * 10
    assert passes[2].forward.tolist() == [0] * 4 + [2] * 10 + [4] * 10
    assert passes[2].backward.tolist() == [0] * 4 + [1] * 10 + [2] * 10
    assert passes[2].until.tolist() == [0] * 4 + [2] * 10 + [4] * 5 + [-1] * 5


def test_a_success_outside_the_threat_is_none(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    def far(model, images, labels, threat, *, draws, targets):
        Batch.of(model, images, labels, targets, draws).logits(1 - images)
        return images.clone()

    found = by_hand(far).sweep(plane, images, labels, [LINF], draws=Draws(0))[0]
    assert found.passes.forward.tolist() == [1] * 24
    assert found.passes.until.tolist() == [-1] * 24


def test_what_an_attack_returned_without_a_look_counts_all_its_passes(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    def blind(model, images, labels, threat, *, draws, targets):
        batch = Batch.of(model, images, labels, targets, draws)
        for _ in range(3):
            batch.logits(images)
        return 1 - images

    wide = Threat("Linf", 0.5)
    found = by_hand(blind).sweep(plane, images, labels, [wide], draws=Draws(0))[0]
    assert found.passes.until.tolist() == [3] * 24


def crossing(model, images, labels, threat, *, draws, targets):
    """A nearest attack: halves the way to the mirrored image while it is misread."""
    batch = Batch.of(model, images, labels, targets, draws)
    near, far = torch.zeros(len(images)), torch.ones(len(images))
    for _ in range(20):
        share = (near + far) / 2
        current = images + share[:, None, None, None] * (1 - 2 * images)
        misread = batch.fooled(current)
        near, far = torch.where(misread, near, share), torch.where(misread, share, far)
    return images + far[:, None, None, None] * (1 - 2 * images)


def test_a_nearest_attack_runs_once_and_what_lies_beyond_eps_goes_back(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    calls = []

    def counted(model, images, labels, threat, **given):
        calls.append(threat)
        return crossing(model, images, labels, threat, **given)

    nearest = by_hand(counted, promise="nearest")
    free = nearest.run(plane, images, labels, Threat("L2", math.inf), draws=Draws(0))
    far = Threat("L2", 0.0).distance(images, free)
    calls.clear()
    middle, wide = float(far.median()), float(far.max())
    threats = [Threat("L2", eps) for eps in (0.0, middle, wide)]
    results = nearest.sweep(plane, images, labels, threats, draws=Draws(0))
    assert len(calls) == 1
    for threat, result in zip(threats, results, strict=True):
        inside = far <= threat.eps + 1e-6
        assert torch.equal(result.images[inside], free[inside])
        assert torch.equal(result.images[~inside], images[~inside])
        assert threat.allows(images, result.images).all()
        assert torch.equal(result.passes.until >= 0, inside)
        assert result.passes.forward.tolist() == [20] * 24


def test_an_attack_is_used_under_its_own_norms_alone(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    spatial = attack.find("spatial")
    with pytest.raises(InvalidThreat, match="spatial does not attack under Linf; it does under sp"):
        spatial.run(plane, images, labels, LINF, draws=Draws(0))
    fgsm = attack.find("fgsm")
    with pytest.raises(InvalidThreat, match=r"fgsm does not attack under L0; .* Linf, L2, L1"):
        fgsm.takes(Threat("L0", 3))
    fgsm.takes(Threat("L1", 3))


def test_only_a_bounded_attack_needs_a_bound(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    free = Threat("L2", math.inf)
    by_hand(crossing, promise="nearest").takes(free)
    with pytest.raises(InvalidThreat, match="finite"):
        attack.find("pgd").run(plane, images, labels, free, draws=Draws(0))


def test_torchs_own_chance_depends_on_the_draws_alone_and_is_put_back(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    def careless(model, images, labels, threat, *, draws, targets):
        return threat.project(images, images + 0.1 * torch.rand_like(images))

    before = torch.get_rng_state()
    one, two = (by_hand(careless).run(plane, images, labels, LINF, draws=Draws(0)) for _ in "ab")
    other = by_hand(careless).run(plane, images, labels, LINF, draws=Draws(1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


# What a user may get wrong, or hand over in an unusual but good form, tried with a white box, a
# black box and one that looks for the nearest.
TRIED = [
    pytest.param(attack.find("pgd", steps=3), id="pgd"),
    pytest.param(attack.find("square", queries=5), id="square"),
    pytest.param(by_hand(crossing, promise="nearest"), id="nearest"),
]
ANY = pytest.mark.parametrize("tried", TRIED)


@ANY
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda images: images * 255, "reach from .* Divide bytes by 255"),
        (lambda images: images - 0.5, "must lie in .0, 1."),
        (lambda images: torch.where(images > 0.69, math.nan, images), "reach from nan to nan"),
        (lambda images: (images * 255).byte(), "not torch.uint8"),
        (lambda images: images.numpy(), "must be float"),
        (lambda images: images.half(), r"not torch.float16, .* use .float\(\)"),
        (lambda images: images.bfloat16(), r"not torch.bfloat16, .* use .float\(\)"),
        (lambda images: images[:, 0], r"not torch.float32 \[24, 8, 8\]"),
        (lambda images: images[:0], "the batch is empty"),
        (lambda images: images[:5], r"labels must be int64 \[5\], not torch.int64 \[24\]"),
    ],
)
def test_images_that_are_no_good_are_refused(
    tried: Attack, plane: toys.Plane, images: Images, labels: Labels, change, said: str
) -> None:
    given = change(images)
    own = labels[:0] if len(given) == 0 else labels
    with pytest.raises(InvalidInput, match=said):
        tried.run(plane, given, own, LINF, draws=Draws(0))


@ANY
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "targets", "said"),
    [
        (lambda labels: labels.int(), None, "labels must be int64"),
        (lambda labels: labels[:, None], None, "labels must be int64"),
        (lambda labels: torch.eye(2)[labels], None, "labels must be int64"),
        (lambda labels: labels + 1, None, "labels reach from 1 to 2, but the model has 2 classes"),
        (lambda labels: labels - 1, None, "labels reach from -1 to 0, but the model has 2 classes"),
        (lambda labels: labels, lambda labels: labels, "24 targets equal their labels"),
        (lambda labels: labels, lambda labels: labels + 2, "targets reach from 2 to 3, but"),
        (lambda labels: labels, lambda labels: 1 - labels[:3], "targets must be int64"),
    ],
)
def test_labels_and_targets_that_are_no_good_are_refused(
    tried: Attack, plane: toys.Plane, images: Images, labels: Labels, change, targets, said: str
) -> None:
    aims = None if targets is None else targets(labels)
    with pytest.raises(InvalidInput, match=said):
        tried.run(plane, images, change(labels), LINF, draws=Draws(0), targets=aims)


@ANY
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda logits: (logits, logits), "returned a tuple; it must return one tensor of logits"),
        (lambda logits: {"logits": logits}, "returned a dict"),
        (lambda logits: logits[:, 0], r"the shape \[\d+\] for \d+ images"),
        (lambda logits: logits[:3], r"the shape \[3, 2\] for 24 images"),
        (lambda logits: logits[:, :1], r"the shape \[\d+, 1\] for \d+ images"),
    ],
)
def test_a_model_that_returns_no_logits_is_refused(
    tried: Attack, plane: toys.Plane, images: Images, labels: Labels, change, said: str
) -> None:
    class Changed(nn.Module):
        def forward(self, images: Images) -> object:
            return change(plane(images))

    with pytest.raises(InvalidModel, match=said):
        tried.run(Changed(), images, labels, LINF, draws=Draws(0))


@ANY
def test_images_laid_out_otherwise_in_memory_are_attacked_alike(
    tried: Attack, plane: toys.Plane, images: Images, labels: Labels
) -> None:
    wide = torch.zeros(24, 1, 8, 16)
    wide[..., ::2] = images
    strided = wide[..., ::2]
    turned = images.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    usual = tried.run(plane, images, labels, LINF, draws=Draws(0))
    for given in (strided, turned):
        assert not given.is_contiguous()
        found = tried.run(plane, given, labels, LINF, draws=Draws(0))
        torch.testing.assert_close(found, usual)


@ANY
def test_float64_stays_float64(
    tried: Attack, plane: toys.Plane, images: Images, labels: Labels
) -> None:
    found = tried.run(plane.double(), images.double(), labels, LINF, draws=Draws(0))
    assert found.dtype == torch.float64


@ANY
def test_one_image_and_one_channel_more_are_a_batch_too(tried: Attack) -> None:
    colour = nn.Sequential(nn.Conv2d(3, 1, 1), toys.net())
    images = toys.pictures(3).view(1, 3, 8, 8)
    labels = toys.read_by(colour, images)
    found = tried.run(colour, images, labels, LINF, draws=Draws(0))
    assert found.shape == (1, 3, 8, 8)


@ANY
def test_images_that_want_a_gradient_get_none(
    tried: Attack, plane: toys.Plane, images: Images, labels: Labels
) -> None:
    wanting = images.clone().requires_grad_()
    found = tried.run(plane, wanting, labels, LINF, draws=Draws(0))
    assert not found.requires_grad
    assert wanting.grad is None


@ANY
def test_a_model_in_train_mode_is_attacked_in_eval_mode_and_left_as_it_was(
    tried: Attack, images: Images
) -> None:
    model = nn.Sequential(nn.BatchNorm2d(1), toys.net())  # which has dropout too
    labels = toys.read_by(model, images)
    usual = tried.run(model.eval(), images, labels, LINF, draws=Draws(0))
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    chance = torch.get_rng_state()
    assert torch.equal(tried.run(model, images, labels, LINF, draws=Draws(0)), usual)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), chance)


@ANY
def test_at_eps_0_nothing_moves(
    tried: Attack, plane: toys.Plane, images: Images, labels: Labels
) -> None:
    found = tried.sweep(plane, images, labels, [Threat("Linf", 0.0)], draws=Draws(0))[0]
    assert torch.equal(found.images, images)
    assert found.passes.until.tolist() == [-1] * 24


def test_a_model_whose_logits_are_no_numbers_is_fooled_from_the_start(
    images: Images, labels: Labels, plane: toys.Plane
) -> None:
    class Broken(nn.Module):
        def forward(self, images: Images) -> Tensor:
            return plane(images) * math.nan

    for tried in (attack.find("pgd", steps=3), attack.find("square", queries=5)):
        found = tried.sweep(Broken(), images, labels, [LINF], draws=Draws(0))[0]
        assert torch.equal(found.images, images)
        assert found.passes.until.tolist() == [0] * 24
