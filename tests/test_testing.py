import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import toys
from torch import Tensor, nn

from unfooled.attack import Attack, find
from unfooled.errors import ContractBroken, InvalidInput, UnfooledError
from unfooled.losses import cross_entropy, margin
from unfooled.norms import NORMS
from unfooled.shapes import Images, Labels
from unfooled.testing import check_attack, check_model
from unfooled.victim import Batch, Victim

pytestmark = pytest.mark.usefixtures("unchecked")


def good(model, images, labels, threat, *, draws, targets=None, steps: int = 5):
    """Projected steps that keep every promise; those below have one mistake each."""
    batch = Batch.of(model, images, labels, targets, draws)
    result = images.clone()
    left, current = batch, images
    for _ in range(steps):
        logits, _, by_pixel = left.gradient(current, cross_entropy)
        misread = left.misread(logits)
        result[left.places[misread]] = current[misread]
        left, current, by_pixel = left.keep(~misread), current[~misread], by_pixel[~misread]
        if not len(left):
            return result
        current = threat.project(
            left.images, current + 0.5 * threat.eps * threat.steepest(by_pixel)
        )
    result[left.places] = current
    return result


def too_far(model, images, labels, threat, *, draws, targets=None):
    changed = good(model, images, labels, threat, draws=draws, targets=targets)
    return (images + 1.001 * (changed - images)).clamp(0, 1)


def out_of_range(model, images, labels, threat, *, draws, targets=None):
    return images + threat.eps


def global_chance(model, images, labels, threat, *, draws, targets=None):
    return threat.project(images, images + threat.eps * (2 * torch.rand_like(images) - 1))


def normalised_by_the_batch(model, images, labels, threat, *, draws, targets=None):
    _, _, by_pixel = Batch.of(model, images, labels, targets, draws).gradient(images, margin)
    size = by_pixel.abs().mean().clamp_min(1e-9)
    return threat.project(images, images + threat.eps * by_pixel / size / 3)


def shared_draw(model, images, labels, threat, *, draws, targets=None):
    """Every image gets the numbers of the first of its batch."""
    return threat.random_edge(images[:1], draws.keep(torch.tensor([0]))) - images[:1] + images


def forever_new(model, images, labels, threat, *, draws, targets=None, calls=[0]):  # noqa: B006
    calls[0] += 1
    return threat.random_edge(images, draws.step(calls[0]))


def secret(model) -> nn.Module:
    """The network behind a victim, which an honest attack does not look for among its callers."""
    frame = sys._getframe()
    while frame is not None:
        found = frame.f_locals.get("model")
        if isinstance(found, nn.Module) and not isinstance(found, Victim):
            return found
        frame = frame.f_back
    raise LookupError("no caller has it")


def changes_weights(model, images, labels, threat, *, draws, targets=None):
    with torch.no_grad():
        next(secret(model).parameters()).mul_(1.001)
    return images.clone()


def trains(model, images, labels, threat, *, draws, targets=None):
    secret(model).train()(images)
    return images.clone()


def leaves_gradients(model, images, labels, threat, *, draws, targets=None):
    for parameter in secret(model).parameters():
        parameter.grad = torch.ones_like(parameter)
    return images.clone()


def works_in_place(model, images, labels, threat, *, draws, targets=None):
    return images.mul_(0.999)


def switches_gradients_off(model, images, labels, threat, *, draws, targets=None):
    torch.set_grad_enabled(True)
    return images.clone()


def ignores_targets(model, images, labels, threat, *, draws, targets=None):
    return good(model, images, labels, threat, draws=draws)


def exceeds_its_queries(model, images, labels, threat, *, draws, targets=None, queries: int = 10):
    batch = Batch.of(model, images, labels, targets, draws)
    for _ in range(queries + 1):
        batch.logits(images)
    return images.clone()


def exceeds_its_steps(model, images, labels, threat, *, draws, targets=None, steps: int = 3):
    return good(model, images, labels, threat, draws=draws, targets=targets, steps=steps + 1)


def returns_nan(model, images, labels, threat, *, draws, targets=None):
    return images * math.nan


def loses_float64(model, images, labels, threat, *, draws, targets=None):
    return good(model, images, labels, threat, draws=draws, targets=targets).float()


def keeps_the_graph(model, images, labels, threat, *, draws, targets=None):
    return images.clone().requires_grad_()


def drops_one(model, images, labels, threat, *, draws, targets=None):
    return images[:-1]


def crashes_on_one(model, images, labels, threat, *, draws, targets=None):
    if len(images) == 1:
        raise IndexError("one image is no batch")
    return images.clone()


def moves_at_eps_0(model, images, labels, threat, *, draws, targets=None):
    return images.clone() if threat.eps else images * 0.999


def moves_away(model, images, labels, threat, *, draws, targets=None):
    """The sign of the loss turned round."""
    _, _, by_pixel = Batch.of(model, images, labels, targets, draws).gradient(images, margin)
    return threat.project(images, images - threat.eps * threat.steepest(by_pixel))


def forgets_its_success(model, images, labels, threat, *, draws, targets=None):
    batch = Batch.of(model, images, labels, targets, draws)
    batch.logits(good(model, images, labels, threat, draws=draws, targets=targets))
    return images.clone()


def swallows_nan(model, images, labels, threat, *, draws, targets=None):
    try:
        return good(model, images, labels, threat, draws=draws, targets=targets)
    except UnfooledError:
        return images.clone()


def half_way(model, images, labels, threat, *, draws, targets=None):
    """A nearest attack that returns images it never saw misread."""
    return (images + 0.001).clamp(0, 1)


def far_away(model, images, labels, threat, *, draws, targets=None):
    """A nearest attack that doubles the step until an image is misread, and goes no way back."""
    batch = Batch.of(model, images, labels, targets, draws)
    _, _, by_pixel = batch.gradient(images, margin)
    step, result, left = 0.001 * threat.steepest(by_pixel), images.clone(), batch
    for double in range(14):
        current = (left.images + 2**double * step[left.places]).clamp(0, 1)
        done = left.fooled(current)
        result[left.places[done]] = current[done]
        left = left.keep(~done)
        if not len(left):
            break
    return result


def peeks(model, images, labels, threat, *, draws, targets=None):
    """Calls itself a black box and measures more than the class."""
    logits = Batch.of(model, images, labels, targets, draws).logits(images)
    return threat.project(images, images + threat.eps * logits[:, :1, None, None])


def by_hand(function: Callable[..., Images], promise: str, knows: str) -> Attack:
    return Attack(function.__name__, function, promise, knows, ("Linf", "L2"))


BOUNDED = [
    (too_far, "gradients", "no image lies farther than eps = 0.05"),
    (out_of_range, "nothing", "every pixel lies in .0, 1."),
    (global_chance, "nothing", "does not depend on the images beside it"),
    (normalised_by_the_batch, "gradients", "does not depend on the images beside it"),
    (shared_draw, "nothing", r"every pixel lies in|does not depend on the images beside it"),
    (forever_new, "nothing", "the same draws give the same images"),
    (changes_weights, "nothing", "it changed the model's 1.weight"),
    (trains, "nothing", "it changed the model's 2.running_mean"),
    (leaves_gradients, "nothing", "it changed .grad of the model's 1.weight"),
    (works_in_place, "nothing", "it changed the images that it was given"),
    (switches_gradients_off, "nothing", "gradients stay switched on or off"),
    (exceeds_its_queries, "scores", "asked for: 10 forward passes; here an image took 11"),
    (exceeds_its_steps, "gradients", "asked for: 3 gradients; here an image took 4"),
    (returns_nan, "nothing", "it raised JobFailed: returns_nan returned .* NaN pixels"),
    (loses_float64, "gradients", r"torch.float64 \[.*\] became torch.float32"),
    (keeps_the_graph, "nothing", "with a gradient"),
    (drops_one, "nothing", r"it raised JobFailed: drops_one returned \[8, 1, 8, 8\] for images"),
    (crashes_on_one, "nothing", "it raised IndexError: one image is no batch"),
    (moves_at_eps_0, "nothing", "at eps = 0 the images stay as they are"),
    (moves_away, "gradients", "two classes divided by a plane"),
    (forgets_its_success, "gradients", "seen fooled comes back fooled"),
    (swallows_nan, "gradients", "a gradient that is NaN is refused with InvalidModel"),
]
NEAREST = [
    (half_way, "nothing", "a nearest attack returns a misread image"),
    (far_away, "gradients", "a plane is crossed at no more than 1.1 times its distance"),
]


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_an_attack_that_keeps_its_promises_passes(norm: str) -> None:
    check_attack(by_hand(good, "bounded", "gradients"), norm=norm)


@pytest.mark.parametrize(("function", "knows", "said"), BOUNDED)
def test_a_broken_promise_of_a_bounded_attack_is_found(function, knows: str, said: str) -> None:
    broken = by_hand(function, "bounded", knows)
    with pytest.raises(ContractBroken, match=said) as raised:
        check_attack(broken, norm="Linf", targeted=False)
    assert str(raised.value).startswith(f"{function.__name__} under Linf, untargeted, breaks")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("function", "knows", "said"), NEAREST)
def test_a_broken_promise_of_a_nearest_attack_is_found(function, knows: str, said: str) -> None:
    with pytest.raises(ContractBroken, match=said):
        check_attack(by_hand(function, "nearest", knows), norm="L2", targeted=False)


def test_an_attack_that_ignores_its_targets_is_found() -> None:
    broken = by_hand(ignores_targets, "bounded", "gradients")
    check_attack(broken, targeted=False)
    with pytest.raises(ContractBroken, match=r"targeted, breaks .* moved towards being read"):
        check_attack(broken, norm="Linf", targeted=True)


def test_an_attack_that_measures_more_than_it_says_is_given_no_more() -> None:
    # A victim of one that knows "scores" answers by logits, so the claim "decisions" changes it.
    check_attack(by_hand(peeks, "bounded", "scores"), norm="Linf", targeted=False)
    with pytest.raises(ContractBroken, match="gradient"):
        check_attack(by_hand(good, "bounded", "scores"), norm="Linf", targeted=False)


def test_a_broken_contract_is_an_error_of_ours_and_a_failed_assertion() -> None:
    assert issubclass(ContractBroken, UnfooledError)
    assert issubclass(ContractBroken, AssertionError)


def test_an_attack_is_found_by_its_name_and_in_a_file(tmp_path: Path) -> None:
    check_attack("fgsm", norm="L2")
    path = tmp_path / "mine.py"
    path.write_text(
        "KNOWS = 'nothing'\n"
        "NORMS = ('Linf',)\n"
        "def darker(model, images, labels, threat, *, draws, targets=None):\n"
        "    return (images - threat.eps).clamp(min=0)\n"
        "def brighter(model, images, labels, threat, *, draws, targets=None):\n"
        "    return images + threat.eps\n"
    )
    check_attack(f"{path}:darker")
    with pytest.raises(ContractBroken, match="brighter under Linf"):
        check_attack(f"{path}:brighter")


def test_all_norms_and_both_goals_are_tried_unless_one_is_named() -> None:
    seen = set()

    def noted(model, images, labels, threat, *, draws, targets=None):
        seen.add((threat.norm, targets is not None))
        return images.clone()

    mine = Attack("mine", noted, "bounded", "nothing", ("Linf", "L1"))
    check_attack(mine)
    assert seen == {("Linf", False), ("Linf", True), ("L1", False), ("L1", True)}
    seen.clear()
    check_attack(mine, norm="L1", targeted=True)
    assert seen == {("L1", True)}


def test_an_attack_without_norms_of_its_own_must_keep_its_promises_under_all_norms(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "KNOWS = 'nothing'\n"
        "def still(model, images, labels, threat, *, draws, targets=None):\n"
        "    return images.clone()\n"
    )
    assert set(find(f"{path}:still").norms) == set(NORMS) - {"spatial"}
    check_attack(f"{path}:still")


class Says(nn.Module):
    """A network whose answers a function changes."""

    def __init__(self, change: Callable[[Tensor, Tensor], object]) -> None:
        super().__init__()
        self.net = toys.net()
        self.change = change

    def forward(self, images: Images) -> object:
        return self.change(images, self.net(images))


def chance(images: Tensor, logits: Tensor) -> Tensor:
    return logits + torch.rand_like(logits)


def darkened(images: Tensor, logits: Tensor) -> Tensor:
    images.mul_(0.5)
    return logits


class Counting(nn.Module):
    """Counts in eval mode, too."""

    def __init__(self) -> None:
        super().__init__()
        self.net = toys.net()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, images: Images) -> Tensor:
        self.seen += len(images)
        found: Tensor = self.net(images)
        return found


MODELS = [
    (lambda x, z: z.softmax(1), "returns probabilities"),
    (lambda x, z: z * math.nan, "NaN or infinite for 24 of 24 images"),
    (lambda x, z: torch.where(z == z.max(), math.inf, z), "NaN or infinite for 1 of 24 images"),
    (lambda x, z: z[:-1], r"the shape \[23, 3\] for 24 images"),
    (lambda x, z: z[:, :1], r"the shape \[24, 1\]"),
    (lambda x, z: (z, x), "returned a tuple"),
    (lambda x, z: {"logits": z}, "returned a dict"),
    (lambda x, z: z - z.mean(0), "depends on the images beside it"),
    (lambda x, z: z + torch.arange(len(z))[:, None], "depends on the images beside it"),
    (chance, "differently the second time"),
    (darkened, "changed its input"),
    (lambda x, z: z.detach(), "does not depend on the pixels"),
    (lambda x, z: (8 * z).round() * 1.0, "the gradient by the pixels is zero for every image"),
    (lambda x, z: z + (0 * x).flatten(1).sum(1, keepdim=True).abs().sqrt(), "NaN or infinite"),
    (lambda x, z: z.roll(1, 1), "reads none of 24 images as its label"),
]


@pytest.mark.parametrize(("change", "said"), MODELS)
def test_a_model_that_cannot_be_attacked_is_found(images: Images, change, said: str) -> None:
    model = Says(change)
    labels = toys.read_by(model.net, images)
    with pytest.raises(ContractBroken, match=said):
        check_model(model, images.clone(), labels)


def test_a_model_that_changes_itself_in_eval_mode_is_found(images: Images) -> None:
    model = Counting()
    with pytest.raises(ContractBroken, match="changed its own seen"):
        check_model(model, images, toys.read_by(model.net, images))


def test_batch_normalisation_that_keeps_normalising_by_the_batch_is_found(images: Images) -> None:
    usual = nn.Sequential(nn.BatchNorm2d(1), toys.net())
    check_model(usual.train(), images, toys.read_by(usual, images))
    always = nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), toys.net())
    with pytest.raises(ContractBroken, match="beside it"):
        check_model(always, images, toys.read_by(always, images))


def test_a_good_model_passes_and_stays_as_it_was(images: Images, plane: toys.Plane) -> None:
    net = toys.net()
    labels = toys.read_by(net, images)
    net.train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert check_model(net, images, labels) is None
    assert net.training
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())
    check_model(plane, images, toys.read_by(plane, images))
    check_model(net, images[:1], labels[:1])
    check_model(net.double(), images.double(), labels)


def test_log_probabilities_will_do_as_logits(images: Images) -> None:
    model = Says(lambda x, z: z.log_softmax(1))
    check_model(model, images, toys.read_by(model.net, images))


def test_images_and_labels_that_are_no_good_are_not_blamed_on_the_model(
    images: Images, labels: Labels
) -> None:
    with pytest.raises(InvalidInput, match="reach from"):
        check_model(toys.net(), images * 255, labels)
    with pytest.raises(InvalidInput, match="but the model has 3 classes"):
        check_model(toys.net(), images, labels + 2)
