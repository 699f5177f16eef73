"""A model that hides its gradient looks robust; wrapped, it is fooled."""

import pytest
import torch
import toys
from torch import nn

from unfooled import attack, evaluation
from unfooled.errors import InvalidModel, InvalidOption
from unfooled.gradients import frozen, gradient
from unfooled.losses import cross_entropy
from unfooled.obfuscated import bpda, eot, identity
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits
from unfooled.threat import Threat


def to_bits(images: Images) -> Images:
    """Pixels of 3 bits."""
    return (images * 7).round() / 7


def halved(images: Images) -> Images:
    return images / 2


class Behind(nn.Module):
    """A model behind a layer, as a defence is written."""

    def __init__(self, layer: object, model: nn.Module) -> None:
        super().__init__()
        self.layer, self.model = layer, model

    def forward(self, images: Images) -> Logits:
        return self.model(self.layer(images))  # type: ignore[operator]


class Turning(nn.Module):
    """A plane whose margin is multiplied by 3 or by -1, each half of the time: by 1 on average."""

    def __init__(self, plane: toys.Plane) -> None:
        super().__init__()
        self.plane = plane

    def forward(self, images: Images) -> Logits:
        factors = torch.where(torch.rand(len(images), 1) < 0.5, 3.0, -1.0)
        return factors * self.plane(images)


def by_pixel(model: nn.Module, images: Images, labels: Labels) -> Images:
    with frozen(model):
        return gradient(model, images, labels, None, cross_entropy)[2]


def test_a_rounding_layer_has_no_gradient_and_bpda_gives_it_the_models(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    assert (by_pixel(Behind(to_bits, plane), images, labels) == 0).all()
    behind = by_pixel(bpda(to_bits, plane), images, labels)
    assert torch.equal(behind, by_pixel(plane, to_bits(images), labels))


def test_pgd_stands_still_at_a_rounding_layer_and_fools_it_with_bpda(
    plane: toys.Plane, images: Images
) -> None:
    hidden, threat = Behind(to_bits, plane), Threat("Linf", 0.25)
    labels = toys.read_by(hidden, images)

    def attacked(model: nn.Module, steps: int) -> Images:
        pgd = attack.find("pgd", steps=steps, step_size=0.1)
        return pgd.run(model, images, labels, threat, draws=Draws(0))

    assert torch.equal(attacked(hidden, 1), attacked(hidden, 10))
    assert (toys.read_by(hidden, attacked(hidden, 10)) == labels).float().mean() > 0.5
    assert (toys.read_by(hidden, attacked(bpda(to_bits, plane), 10)) != labels).all()


def test_bpda_answers_exactly_as_the_model_behind_the_layer(net: nn.Module, images: Images) -> None:
    with frozen(net):
        assert torch.equal(bpda(to_bits, net)(images), net(to_bits(images)))


def test_bpda_takes_the_gradient_of_the_function_that_stands_in(
    plane: toys.Plane, images: Images
) -> None:
    def sum_by_pixel(backward: object) -> Images:
        leaf = images.clone().requires_grad_()
        bpda(to_bits, plane, backward)(leaf)[:, 1].sum().backward()  # type: ignore[arg-type]
        assert leaf.grad is not None
        return leaf.grad

    assert torch.allclose(sum_by_pixel(halved), sum_by_pixel(identity) / 2)


def test_a_stand_in_of_another_shape_is_refused(plane: toys.Plane, images: Images) -> None:
    wrapped = bpda(to_bits, plane, lambda given: given[:, :, 1:])
    with pytest.raises(InvalidModel, match="both must agree"):
        wrapped(images)


def test_the_mean_of_several_passes_comes_close_to_the_expectation(
    plane: toys.Plane, images: Images
) -> None:
    def error(samples: int) -> float:
        with Draws(0, "turning").torch_state():
            mean = eot(Turning(plane), samples)(images)
        return float((mean - plane(images)).detach().abs().mean())

    assert error(400) < error(10) / 3 < error(1) / 6


def test_the_gradient_of_the_mean_points_where_one_pass_is_wrong_half_of_the_time(
    plane: toys.Plane, images: Images
) -> None:
    labels = toys.read_by(plane, images)
    away = plane.weight.sign().view(1, 1, toys.SIZE, toys.SIZE) * (1 - 2 * labels).view(-1, 1, 1, 1)

    def right(samples: int) -> float:
        with Draws(0, "turning").torch_state():
            found = by_pixel(eot(Turning(plane), samples), images, labels)
        return float(((found * away).flatten(1).sum(1) > 0).float().mean())

    assert right(100) == 1
    assert right(1) < 0.8


def test_pgd_with_eot_fools_a_random_model_and_the_judge_agrees(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    wrapped = eot(Turning(plane), 100)
    with Draws(0, "judge").torch_state():
        facts = evaluation.evaluate(
            wrapped,
            images,
            labels,
            attack.find("pgd", steps=5),
            [Threat("Linf", 0.3)],
            draws=Draws(0),
        )
    assert facts.correct.all()
    assert facts.fooled.all()


@pytest.mark.parametrize("wrap", [eot, lambda model: bpda(to_bits, model)])
def test_a_wrapped_model_is_left_as_it_was(wrap: object, net: nn.Module, images: Images) -> None:
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    wrapped = wrap(net)  # type: ignore[operator]
    labels = toys.read_by(wrapped, images)
    wrapped.train()
    attack.find("pgd", steps=2).run(wrapped, images, labels, Threat("Linf", 0.1), draws=Draws(0))
    assert all(module.training for module in wrapped.modules())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_both_may_be_nested_with_layers_that_are_modules(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    wrapped = eot(bpda(nn.Hardtanh(0.45, 0.55), plane), 2)
    with frozen(wrapped):
        assert torch.allclose(wrapped(images), plane(images.clamp(0.45, 0.55)))
    assert by_pixel(wrapped, images, labels).abs().min() > 0


@pytest.mark.parametrize("samples", [0, -3])
def test_no_samples_are_refused(samples: int, plane: toys.Plane) -> None:
    with pytest.raises(InvalidOption, match="samples >= 1"):
        eot(plane, samples)
