import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import toys
from torch import nn

from unfooled import attack
from unfooled.attack import Attack, Sealed, check_input
from unfooled.errors import InvalidInput, InvalidModel, InvalidOption, InvalidThreat, UnknownName
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels
from unfooled.threat import Threat

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
    ("name", "options", "steps", "title"),
    [
        ("fgsm", {}, 1, "FGSM"),
        ("pgd", {}, 40, "PGD-40"),
        ("pgd", {"steps": 7}, 7, "PGD-7"),
        ("noise", {}, 1, "noise"),
    ],
)
def test_a_title_says_the_number_of_steps(
    name: str, options: dict[str, int], steps: int, title: str
) -> None:
    found = attack.find(name, **options)
    assert (found.steps, found.title) == (steps, title)


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
    assert torch.equal(results[0], images)
    for result in results:
        assert torch.equal(result[:4], images[:4])
    # Fooled at a small eps, an image is kept as it is for the larger ones.
    assert torch.equal(results[1][4:14], results[3][4:14])
    assert torch.equal(results[3][4:14], 1 - images[4:14])


def test_the_model_arrives_frozen_and_in_eval_mode(net: nn.Module, images: Images) -> None:
    def look(model, images, labels, threat, *, draws, targets):
        assert not model.training
        assert not any(p.requires_grad for p in model.parameters())
        return images

    labels = toys.read_by(net, images)
    net.train()
    by_hand(look).run(net, images, labels, LINF, draws=Draws(0))
    assert net.training


def test_many_images_come_in_batches_with_their_own_ids(plane: toys.Plane) -> None:
    images = toys.pictures(260)
    seen = []

    def note(model, images, labels, threat, *, draws, targets):
        seen.append(draws.ids)
        return images

    draws = Draws(0, ids=torch.arange(1000, 1260))
    by_hand(note).run(plane, images, toys.read_by(plane, images), LINF, draws=draws)
    assert len(seen) > 1
    assert torch.equal(torch.cat(seen), draws.ids)


@pytest.mark.parametrize("knows", ["scores", "decisions", "nothing"])
def test_an_attack_that_knows_less_gets_a_model_without_gradients(
    net: nn.Module, images: Images, knows: str
) -> None:
    labels = toys.read_by(net, images)
    pgd = attack.find("pgd", steps=2)
    pgd.run(net, images, labels, LINF, draws=Draws(0))
    with pytest.raises(InvalidModel, match="gives no gradient"):
        replace(pgd, knows=knows).run(net, images, labels, LINF, draws=Draws(0))


def test_a_sealed_model_answers_alike_and_gives_nothing_else_away(
    net: nn.Module, images: Images
) -> None:
    net.eval()
    sealed = Sealed(net)
    assert torch.equal(sealed(images), net(images))
    assert not list(sealed.parameters())
    assert not list(sealed.children())
    assert not sealed(images.requires_grad_()).requires_grad


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
        assert torch.equal(one, fgsm.run(plane, images, labels, threat, draws=Draws(0)))


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
