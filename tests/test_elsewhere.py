"""Everything that computes does so on another device than the CPU, where there is no GPU to try."""

import copy
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import elsewhere
import pytest
import torch
import toys
from attacks.test_contract import small
from elsewhere import DEVICE
from torch import Tensor, nn

import unfooled
from unfooled import (
    attack,
    auditing,
    bounds,
    catalog,
    corruption,
    doctor,
    preprocessor,
    report,
    run,
    smoothing,
    training,
    transform,
)
from unfooled.dataset import Dataset
from unfooled.gradients import predict
from unfooled.norms import NORMS
from unfooled.randomness import Draws
from unfooled.recipe import Plan, Recipe
from unfooled.study import Audit, Certificates, Corruptions, Study, Sweep
from unfooled.threat import Threat

PLAN = Plan(epochs=1, batch_size=40, learning_rate=0.01)
SIZES = {"Linf": 0.1, "L2": 0.5, "L1": 2.0, "L0": 4.0, "spatial": 0.5}
SHAPE = {"channels": 1, "size": 8}
DRAWS = Draws(0, "elsewhere")


@pytest.fixture(scope="module")
def network() -> nn.Module:
    recipe = Recipe("plain", "Plain", plan=replace(PLAN, epochs=3))
    return training.train("toys:pyramid", toys.striped(), recipe, 0).model


@pytest.fixture
def few(striped: Dataset) -> tuple[Tensor, Tensor]:
    """Images and labels."""
    return striped.test.pixels(torch.arange(8)), striped.test.labels[:8]


def on(device: torch.device, network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).to(device)


def asked(
    device: torch.device, network: nn.Module, few: tuple[Tensor, Tensor]
) -> tuple[nn.Module, Tensor, Tensor]:
    """A network, images and labels, all on one device."""
    return on(device, network), few[0].to(device), few[1].to(device)


def both(act: Callable[[torch.device], Any]) -> tuple[Any, Any]:
    """What comes of it on the CPU, and there."""
    here = act(torch.device("cpu"))
    with elsewhere.available():
        found = act(DEVICE)
        return here, found.cpu() if isinstance(found, Tensor) else found


def test_numbers_there_are_numbers_and_do_not_mix_with_others() -> None:
    here = torch.arange(6.0).view(2, 3)
    with elsewhere.available():
        there = here.to(DEVICE)
        assert there.device == DEVICE
        assert bool((there.sum() == 15).cpu())
        there[:, 1] *= 2
        assert there.tolist() == [[0, 2, 2], [3, 8, 5]]
        assert (there[torch.tensor([1])] + 1).tolist() == [[4, 9, 6]]
        assert (there * torch.tensor(2.0)).sum().item() == 40
        with pytest.raises(RuntimeError, match="another device"):
            there + here
        with pytest.raises(RuntimeError, match="another device"):
            here[torch.tensor([1], device=DEVICE)]
        with pytest.raises(RuntimeError, match="another device"):
            torch.cat([here, there])
    assert here.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.slow
@pytest.mark.parametrize("name", catalog.names("attacks"))
def test_attacks_work_there(
    name: str, network: nn.Module, few: tuple[Tensor, Tensor], unchecked: None
) -> None:
    for norm in set(NORMS) & set(catalog.module("attacks", name).NORMS):
        threat = Threat(norm, SIZES[norm])

        def act(device: torch.device, threat: Threat = threat) -> Tensor:
            known = {"surrogates": [on(device, network)]} if name == "transfer" else {}
            tried = attack.find(name, **known) if known else small(name)
            there, images, labels = asked(device, network, few)
            found = tried.run(there, images, labels, threat, draws=DRAWS)
            assert found.device == device
            return predict(there, found).argmax(1)

        here, there = both(act)
        # Another way through the network rounds otherwise, which may save or cost an image.
        assert int((here != there).sum()) <= 1


@pytest.mark.parametrize("name", catalog.names("defences"))
@pytest.mark.usefixtures("unchecked")
def test_defences_teach_there(name: str, striped: Dataset) -> None:
    recipe = Recipe("one", "One", defence=(name, {}), plan=PLAN)

    def act(device: torch.device) -> Any:
        found = training.train("toys:pyramid", striped, recipe, 0, device=device)
        assert next(found.model.parameters()).device == torch.device("cpu")
        return [epoch.loss for epoch in found.history]

    here, there = both(act)
    assert there == pytest.approx(here, rel=1e-3)


@pytest.mark.usefixtures("unchecked")
def test_seeds_are_trained_at_once_there(striped: Dataset) -> None:
    mixing = (("RandomRotation", {"degrees": 10}), ("MixUp", {"alpha": 1.0}))
    plan = replace(PLAN, averaging=0.9)
    recipe = Recipe("one", "One", transforms=mixing, plan=plan)

    def act(device: torch.device) -> Any:
        asked = ("toys:pyramid", striped, recipe, range(3))
        return [one.history[0].loss for one in training.train_together(*asked, device=device)]

    here, there = both(act)
    assert there == pytest.approx(here, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", transform.names())
@pytest.mark.usefixtures("unchecked")
def test_transformations_work_there(name: str, striped: Dataset) -> None:
    options = {
        "CutMix": {"alpha": 1.0},
        "ElasticTransform": {"alpha": 5.0},
        "GaussianBlur": {"kernel_size": 3},
        "MixUp": {"alpha": 1.0},
        "RandomAffine": {"degrees": 10},
        "RandomCrop": {"size": 8, "padding": 1},
        "RandomPosterize": {"bits": 2},
        "RandomResizedCrop": {"size": 8},
        "RandomRotation": {"degrees": 10},
        "RandomSolarize": {"threshold": 0.5},
        "RandomAdjustSharpness": {"sharpness_factor": 2.0},
    }.get(name, {})
    images = striped.train.pixels(torch.arange(16))

    def act(device: torch.device) -> Tensor:
        draws = DRAWS.at(torch.arange(16, device=device))
        found = transform.find(name, options, **SHAPE)
        if found.mix is not None:
            changed, partner, share = found.mix(images.to(device), draws)
            return torch.cat([changed.flatten(), partner.float(), share])
        return found.apply(images.to(device), draws)

    here, there = both(act)
    torch.testing.assert_close(there, here)


@pytest.mark.parametrize("name", catalog.names("corruptions"))
@pytest.mark.usefixtures("unchecked")
def test_corruptions_work_there(name: str, few: tuple[Tensor, Tensor]) -> None:
    here, there = both(
        lambda device: corruption.find(name).apply(few[0].to(device), 3, draws=DRAWS)
    )
    torch.testing.assert_close(there, here)


@pytest.mark.parametrize("name", catalog.names("preprocessors"))
@pytest.mark.usefixtures("unchecked")
def test_preprocessors_work_there(
    name: str, network: nn.Module, few: tuple[Tensor, Tensor]
) -> None:
    def act(device: torch.device) -> Tensor:
        before = [preprocessor.find(name)]
        return predict(preprocessor.defended(on(device, network), before), few[0].to(device))

    here, there = both(act)
    torch.testing.assert_close(there, here)


@pytest.mark.usefixtures("unchecked")
def test_certificates_and_examinations_work_there(
    network: nn.Module, few: tuple[Tensor, Tensor]
) -> None:
    def proven(device: torch.device) -> Any:
        given = asked(device, network, few)
        return bounds.certified(*given, Threat("Linf", 0.02), slopes=5, branches=4).tolist()

    def smoothed(device: torch.device) -> Any:
        found = smoothing.certify(*asked(device, network, few), 0.1, DRAWS, n0=10, n=50)
        return found.radii.tolist()

    def examined(device: torch.device) -> Any:
        told = doctor.examine(*asked(device, network, few), 3)
        return [(one.check, one.verdict) for one in told]

    for act in (proven, smoothed, examined):
        here, there = both(act)
        assert here == there


def whole() -> Study:
    """A study of everything that a study can ask for."""
    study = toys.study(
        sweeps=(
            Sweep("fgsm", {}, "Linf", (0.0, 0.1, 0.2), images=30),
            Sweep("pgd", {"steps": 3}, "Linf", (0.0, 0.1), images=30),
            Sweep("transfer", {"steps": 3}, "Linf", (0.1,), images=10),
            Sweep("pgd", {"steps": 3}, "Linf", (0.1,), images=6, targets="every"),
        ),
        corruptions=Corruptions(("fog",), (1, 3), 10),
        certificates=Certificates(eps=(0.0, 0.02), images=4),
        audit=Audit(images=5),
    )
    hard = replace(study.recipes[0], name="hard", defence=("adversarial", {"eps": 0.1, "steps": 2}))
    return replace(study, recipes=(*study.recipes, hard))


@pytest.mark.slow
@pytest.mark.usefixtures("no_processes", "short_probes", "unchecked")
def test_a_whole_study_done_there_tells_the_same(tmp_path: Path) -> None:
    """Two of its recipes train their seeds at once, the third one by one."""

    def act(device: torch.device) -> Any:
        folder = tmp_path / device.type
        assert run.run(whole(), folder, device=device.type, workers=1, together=True) == []
        assert not auditing.audit(folder, data=None, device=device.type).failures
        found = report.gather(folder)
        told = [
            (one.clean.value, [point.value for curve in one.curves for point in curve.robust])
            for one in found.results.recipes
        ]
        return found.environment["device"], found.answer.sentence, told

    (_, here, expected), (device, there, found) = both(act)
    assert device == DEVICE.type
    assert there == here
    for (clean, robust), (other, others) in zip(found, expected, strict=True):
        assert clean == pytest.approx(other, abs=0.02)
        assert robust == pytest.approx(others, abs=0.06)


@pytest.mark.usefixtures("no_processes", "short_probes", "unchecked")
def test_a_network_of_ones_own_that_is_there_is_evaluated(
    network: nn.Module, few: tuple[Tensor, Tensor]
) -> None:
    def act(device: torch.device) -> Any:
        found = unfooled.evaluate(*asked(device, network, few), attacks=("pgd",))
        return asdict(found.results.recipes[0].curves[0])

    here, there = both(act)
    assert here == there
