from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from torch import nn

import unfooled
from unfooled import evaluating, packing, run
from unfooled.dataset import Dataset
from unfooled.errors import InvalidInput, InvalidModel, InvalidOption, InvalidThreat, JobFailed
from unfooled.evaluating import Entry, Order, evaluate, study, titled
from unfooled.evaluation import Evaluation
from unfooled.outcomes import WORST
from unfooled.recipe import Given
from unfooled.shapes import Images, Labels, Logits
from unfooled.threat import Threat


def test_a_torch_model_becomes_a_report_whose_numbers_are_the_planes(
    plane: toys.Plane, images: Images, labels: Labels, tmp_path: Path
) -> None:
    images = images.mul(255).round() / 255
    made = evaluate(plane, images, labels, eps=(0.01, 0.05), attacks=["pgd"], folder=tmp_path)
    far = plane.margin(images).abs() / plane.weight.abs().sum()
    for eps in (0.01, 0.05):
        assert made.results.recipes[0].curve(WORST, "Linf").at(eps).value == pytest.approx(
            float((far > eps).float().mean())
        )
    assert made.results.recipes[0].clean.value == 1
    assert "eps 0.05" in made.answer.sentence
    assert unfooled.publish(made, tmp_path)
    kept = (tmp_path / "facts" / "the-network-0-1-pgd-Linf.npz").read_bytes()
    assert kept


@pytest.mark.usefixtures("unchecked", "short_probes")
def test_the_same_call_goes_on_where_it_was(
    plane: toys.Plane, images: Images, labels: Labels, tmp_path: Path
) -> None:
    first = evaluate(plane, images, labels, eps=0.05, attacks=["pgd"], folder=tmp_path)
    facts = {path: path.stat().st_mtime_ns for path in (tmp_path / "facts").iterdir()}
    second = evaluate(plane, images, labels, eps=0.05, attacks=["pgd"], folder=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "facts").iterdir()} == facts
    assert second.results == first.results
    with torch.no_grad():
        plane.offset += 1
    with pytest.raises(unfooled.errors.RunRefused, match="another study"):
        evaluate(plane, images, labels, eps=0.05, attacks=["pgd"], folder=tmp_path)


@pytest.mark.usefixtures("unchecked", "short_probes")
def test_several_are_compared_over_the_images(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    squints = toys.plane()
    with torch.no_grad():
        squints.offset += squints.margin(images).abs().median()
    pair = {"sees": plane, "squints": squints}
    made = evaluate(pair, images, labels, eps=0.001, attacks=["pgd"])
    one = made.results.compared("squints", WORST, 0.001)
    assert one is not None
    assert one.verdict == "stands worse"
    assert made.answer.short == "sees stands best."


@pytest.mark.usefixtures("unchecked", "short_probes")
def test_adversarial_images_are_kept_where_they_fool(
    plane: toys.Plane, images: Images, labels: Labels, tmp_path: Path
) -> None:
    images = images.mul(255).round() / 255
    evaluate(plane, images, labels, eps=0.05, attacks=["pgd"], folder=tmp_path)
    arrays = packing.unpacked((tmp_path / "facts/the-network-0-1-pgd-Linf.npz").read_bytes())
    facts, kept = Evaluation.of_arrays(arrays), torch.from_numpy(arrays["adversarial"])
    assert kept.shape == (*facts.read_as.shape, *images.shape[1:])
    assert facts.won.any()
    for row, threat in enumerate(facts.threats):
        won = torch.from_numpy(facts.won[row])
        original = images[facts.ids][won]
        assert threat.allows(original, kept[row][won]).all()
        assert (toys.read_by(plane, kept[row][won]) != labels[facts.ids][won]).all()
        assert not kept[row][~won].any()


class Sealed(nn.Module):
    """Answers without a gradient."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Images) -> Logits:
        with torch.no_grad():
            found: Logits = self.inner(images)
        return found


@pytest.mark.usefixtures("unchecked", "short_probes")
def test_a_network_without_gradient_meets_black_boxes_alone(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    made = evaluate(Sealed(plane), images, labels, eps=0.05)
    assert {sweep.attack for sweep in made.study.sweeps} == {"noise", "square"}
    with pytest.raises(InvalidModel, match="follows the gradient"):
        evaluate(Sealed(plane), images, labels, eps=0.05, attacks=["pgd"])


class Broken(nn.Module):
    """Ends with an error as soon as it is asked about many images."""

    def forward(self, images: Images) -> Logits:
        if len(images) > 2:
            raise RuntimeError("no more than two")
        return images.flatten(1)[:, :2]


def test_an_error_of_the_network_is_an_error_never_robust(images: Images) -> None:
    with pytest.raises(JobFailed, match="no more than two"):
        evaluate(Broken(), images, torch.zeros(len(images), dtype=torch.int64), eps=0.1)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"eps": 0.0}, InvalidThreat, "above 0"),
        ({"eps": -0.1}, InvalidThreat, "eps"),
        ({"eps": ()}, InvalidThreat, "none"),
        ({"norm": "L3"}, InvalidThreat, "L3"),
        ({"eps": float("inf")}, InvalidThreat, "inf"),
        ({"eps": 8}, InvalidThreat, "8/255"),
        ({"eps": "0.1"}, InvalidThreat, "a number such as 0.1, or several; it is '0.1'"),
        ({"eps": ["0.1"]}, InvalidThreat, "a number"),
        ({"eps": None}, InvalidThreat, "a number"),
        ({"classes": ("a",)}, unfooled.errors.UnfooledError, "class"),
        ({"models": {}}, InvalidInput, "no network"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    plane: toys.Plane,
    images: Images,
    labels: Labels,
    unchecked: None,
    change: dict[str, Any],
    error: type[Exception],
    says: str,
) -> None:
    asked = {"models": plane, "eps": 0.1, "attacks": ["fgsm"], **change}
    with pytest.raises(error, match=says):
        evaluate(asked.pop("models"), images, labels, **asked)


def test_images_that_are_not_square_are_refused(plane: toys.Plane) -> None:
    with pytest.raises(InvalidInput, match="square"):
        evaluate(plane, torch.rand(3, 1, 4, 16), torch.zeros(3, dtype=torch.int64))


def entry(which: str, weights: str = "") -> Entry:
    return Entry(which, Given(which, weights), nn.Identity())


@pytest.mark.parametrize(
    ("entries", "titles"),
    [
        ([entry("runs/mnist/models/plain-0.safetensors")], ["plain-0"]),
        ([entry("mine.py:net"), entry("timm:resnet10t")], ["net", "resnet10t"]),
        ([entry("mine.py:net", "a.pt"), entry("mine.py:net", "b.pt")], ["a", "b"]),
        ([entry("one.py:net"), entry("two.py:net")], ["one.py:net", "two.py:net"]),
        ([entry("mine.py:net")] * 2, ["mine.py:net (1)", "mine.py:net (2)"]),
    ],
)
def test_titles_are_as_short_as_they_can_be_and_differ(
    entries: list[Entry], titles: list[str]
) -> None:
    assert [one.title for one in titled(entries)] == titles


def test_the_usual_attack_depends_on_the_norm(striped: Dataset) -> None:
    net = Entry("net", Given("net"), toys.net())
    for norm, name in (("Linf", "autoattack"), ("L0", "fmn"), ("spatial", "spatial")):
        found, _ = study([net], striped, Order(norm, (1.0,)))
        assert name in {sweep.attack for sweep in found.sweeps}
    assert study([net], striped, Order("Linf", (0.1,)))[0].sweeps[0].eps == (
        *(0.0, 0.025, 0.05, 0.075, 0.1),
    )


def test_recipes_of_equal_names_are_told_apart(striped: Dataset) -> None:
    pair = [Entry(title, Given(title), toys.net()) for title in ("a b", "a-b")]
    found, _ = study(pair, striped, Order())
    assert [recipe.name for recipe in found.recipes] == ["a-b.0", "a-b.1"]


def test_without_bounds_there_is_a_note_and_no_certificate(striped: Dataset) -> None:
    wide = nn.Sequential(nn.Flatten(), nn.Linear(64, 9000), nn.ReLU(), nn.Linear(9000, 3))
    for network, why in ((wide, "9,000 numbers"), (toys.plane(), "No certificates: net")):
        found, note = study([Entry("net", Given("net"), network)], striped, Order())
        assert found.certificates is None
        assert why in note
    found, note = study([Entry("net", Given("net"), toys.net())], striped, Order())
    assert note == ""
    assert found.certificates is not None


def test_a_network_whose_file_changed_meanwhile_is_refused(
    striped: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from torch import nn\n"
        "def net(*, size, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(size * size, classes))\n"
    )
    found = evaluating.entry(f"{path}:net", striped)
    whole, _ = study([found], striped, Order(attacks=(("fgsm", {}),), n=10))
    path.write_text(path.read_text() + "# changed\n")
    with pytest.raises(JobFailed, match="changed after"):
        run.run(whole, tmp_path / "run", own=striped)


def test_a_threat_is_one_of_ours() -> None:
    assert Order("Linf", (0.1,)).eps == (Threat("Linf", 0.1).eps,)
    with pytest.raises(InvalidInput, match="at least 1"):
        replace(Order(), n=0)


class _Shut(nn.Module):
    """A network whose answers have no gradient, as those of an ONNX file."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Images) -> Logits:
        with torch.no_grad():
            return self.inner(images)


def test_an_honest_network_without_a_gradient_is_evaluated_and_accused_of_nothing(
    images: Images, labels: Labels
) -> None:
    network = toys.pyramid(channels=1, size=toys.SIZE, classes=3)
    labels = network(images).argmax(1)
    made = evaluate(_Shut(network), images, labels, eps=0.3)
    assert [sweep.attack for sweep in made.study.sweeps] == ["square", "noise"]
    assert made.study.certificates is None
    assert made.results.recipes[0].curve(WORST, "Linf").at(0.3).value < 0.9
    verdicts = {one.check: one.verdict for one in made.findings}
    assert "failed" not in verdicts.values()
    assert {verdicts[one] for one in ("black_box", "more_steps", "eps_without_bound")} == {
        "not tried"
    }


class _Fails(nn.Module):
    def forward(self, images: Images) -> Logits:
        raise ArithmeticError("no luck\ntoday")


def test_what_a_user_may_get_wrong_in_python_ends_in_one_line(
    images: Images, labels: Labels
) -> None:
    network = toys.pyramid(channels=1, size=toys.SIZE, classes=3)
    few = labels.clamp(max=2)
    for model, classes, options, error, said in (
        (_Fails(), few, {}, InvalidModel, "the network cannot read images .*: no luck$"),
        (network, few + 3, {}, InvalidInput, "network's logits are 3; classes are numbered 0 to 2"),
        (network, few, {"attacks": ["pgd", "pgd"]}, InvalidOption, "pgd comes twice"),
        (network, few, {"attacks": ["transfer"]}, InvalidModel, "there is only one"),
    ):
        with pytest.raises(error, match=said):
            evaluate(model, images, classes, **options)


@pytest.mark.usefixtures("unchecked", "short_probes")
def test_one_attack_may_be_named_by_itself(
    plane: toys.Plane, images: Images, labels: Labels
) -> None:
    made = evaluate(plane, images[:4], labels[:4], eps=0.01, attacks="mifgsm")
    assert "mifgsm" in {sweep.attack for sweep in made.study.sweeps}
