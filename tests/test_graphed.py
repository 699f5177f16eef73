from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import toys
from torch import Tensor, nn

from unfooled import catalog, graphed, model, onnx
from unfooled.errors import InvalidModel
from unfooled.graphed import alike, graphs
from unfooled.randomness import Draws

LABELS = torch.tensor([0, 1, 2])


def settled(network: nn.Module) -> nn.Module:
    """With batch normalisations that have met other images than none."""
    with Draws(0, "settled").torch_state():
        for one in network.modules():
            if isinstance(one, nn.BatchNorm2d):
                nn.init.normal_(one.running_mean, 0, 0.1)  # type: ignore[arg-type]
                nn.init.uniform_(one.running_var, 0.5, 2)  # type: ignore[arg-type]
    return network.eval()


@pytest.mark.parametrize("name", catalog.names("models"))
def test_every_model_answers_as_torch_does(name: str, tmp_path: Path) -> None:
    network = settled(model.build(name, channels=1, size=16, classes=10, seed=0))
    images = F.interpolate(toys.pictures(3), 16)
    files = graphs(network, images, tmp_path, name)
    alike(network, images, LABELS, files)
    assert [file.name for file in files] == [
        f"{name}.onnx",
        f"{name}.gradient.onnx",
        f"{name}.onnx.data",
    ]


class Branching(nn.Module):
    """Functions instead of modules, and a branch that is taken twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 2, 3, padding=1), nn.Linear(2 * toys.SIZE**2, 3)

    def forward(self, images: Tensor) -> Tensor:
        found = F.relu(self.first(images))
        found = torch.add(found, found)
        found += images
        return self.last(torch.flatten(torch.relu(found), 1))


def branching() -> nn.Module:
    with Draws(0, "branching").torch_state():
        return Branching()


def test_a_sum_of_two_shapes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="add_1 is a sum of two shapes"):
        graphs(branching(), toys.pictures(1), tmp_path, "net")


def test_branches_and_functions_are_followed(tmp_path: Path) -> None:
    network = branching()
    network.first = nn.Conv2d(1, 1, 3, padding=1)
    network.last = nn.Linear(toys.SIZE**2, 3)
    images = toys.pictures(3)
    alike(network, images, LABELS, graphs(network, images, tmp_path, "net"))


def test_any_number_of_images_and_our_own_reader(tmp_path: Path) -> None:
    network, images = toys.rectified(), toys.pictures(5)
    path = graphs(network, images[:1], tmp_path, "net")[0]
    found = onnx.load(path)(images)
    torch.testing.assert_close(found, network(images), atol=1e-5, rtol=0)


def test_the_network_stays_as_it_is(tmp_path: Path) -> None:
    network = toys.rectified().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    graphs(network, toys.pictures(1), tmp_path, "net")
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(before[name], one) for name, one in network.state_dict().items())


class Straying(nn.Module):
    """A forward that depends on the images."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) if images.sum() > 0 else images


def hooked() -> nn.Module:
    network = toys.rectified()
    network[0].register_forward_hook(lambda *_: None)  # type: ignore[index]
    return network


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (toys.plane(), "Plane cannot be written as ONNX with its gradient: it contains"),
        (Straying(), "Straying .*: its forward cannot be followed"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Softplus()), "_2 is a layer of the kind"),
        (hooked(), "a hook may change"),
    ],
)
def test_what_cannot_be_written_is_one_line(network: nn.Module, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=words) as error:
        graphs(network, toys.pictures(1), tmp_path, "net")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_another_network_is_not_alike(tmp_path: Path) -> None:
    images = toys.pictures(3)
    files = graphs(toys.rectified(), images, tmp_path, "net")
    other = toys.rectified()
    with torch.no_grad():
        other[-1].bias += 10 * graphed.NEAR  # type: ignore[index, union-attr, operator]
    with pytest.raises(InvalidModel, match=r"answers otherwise, by 1.0e-03"):
        alike(other, images, LABELS, files)
