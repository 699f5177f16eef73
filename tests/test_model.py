import importlib.util
import json
import sys
from types import SimpleNamespace

import pytest
import torch
import toys
from safetensors.torch import save as to_bytes
from torch import nn

from unfooled import model
from unfooled.errors import InvalidData, InvalidModel, UnknownName
from unfooled.layers import Standardise


def test_standardise_gives_mnist_mean_0_and_deviation_1() -> None:
    pixels = torch.tensor([0.1307, 0.1307 + 0.3081]).view(1, 1, 1, 2)
    torch.testing.assert_close(Standardise()(pixels).flatten(), torch.tensor([0.0, 1.0]))


def test_an_unknown_model_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'strided'"):
        model.build("stridet", channels=1, size=28, classes=10, seed=0)


def test_images_that_are_too_small_are_refused_by_name() -> None:
    with pytest.raises(InvalidModel, match="lenet cannot be built for 1 x 6 x 6 images"):
        model.build("lenet", channels=1, size=6, classes=10, seed=0)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("nn.Sequential(nn.Flatten(), nn.Linear(64, 4))", "returns 4 logits for 3 classes"),
        ("nn.Flatten(0)", r"returned the shape \[64\]"),
        ("nn.LSTM(8, 3)", "cannot be built|returned a tuple"),
        ("nn.Linear(1, 2, 3, 4, 5, 6)", "cannot be built"),
    ],
)
def test_a_users_own_model_that_does_not_fit_is_refused(tmp_path, body: str, said: str) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        f"from torch import nn\ndef own(*, channels, size, classes):\n    return {body}\n"
    )
    with pytest.raises(InvalidModel, match=said):
        model.build(f"{path}:own", channels=1, size=8, classes=3, seed=0)


def test_the_layers_of_a_small_network_are_those_on_paper() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 9, 5),
    )
    found = model.layers(network, channels=1, size=16)
    assert [layer.kind for layer in found] == [
        "Conv2d",
        "ReLU",
        "Conv2d",
        "MaxPool2d",
        "Flatten",
        "Linear",
    ]
    assert [layer.output for layer in found] == [
        (4, 8, 8),
        (4, 8, 8),
        (8, 6, 6),
        (8, 3, 3),
        (72,),
        (5,),
    ]
    assert [layer.kernel for layer in found[:4]] == [
        "3x3, stride 2",
        "",
        "3x3, stride 1",
        "2x2, stride 2",
    ]
    # 3; 3 + 2 * 2; 7 + 1 * 2
    assert [layer.field for layer in found] == [3, 3, 7, 9, 9, 0]
    assert [layer.parameters for layer in found] == [40, 0, 296, 0, 0, 365]
    assert [layer.multiplications for layer in found] == [9 * 256, 0, 36 * 288, 0, 0, 360]


class Branching(nn.Module):
    """Two convolutions, and a way past them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.past, self.last = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 3)

    def forward(self, images):
        around = self.past(images)
        return self.last(around + self.second(self.first(images))).flatten(1)


def test_a_way_past_some_layers_sees_as_little_as_it_does() -> None:
    network = nn.Sequential(Branching(), nn.Linear(14 * 14, 2))
    found = model.layers(network, channels=1, size=16)
    assert [layer.field for layer in found] == [1, 3, 5, 7, 0]


def test_what_sees_all_pixels_sees_them_ever_after() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 2, 7), nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 1), nn.AdaptiveAvgPool2d(1)
    )
    assert [layer.field for layer in model.layers(network, channels=1, size=9)] == [7, 0, 0, 0]
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert [layer.field for layer in model.layers(pooled, channels=1, size=9)] == [0, 0]


class Recurrent(nn.Module):
    """Has a layer that gives more than one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.last = nn.LSTM(16, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, images):
        return self.last(self.rows(images[:, 0])[0][:, -1])


def test_a_layer_that_gives_several_tensors_is_told_by_the_first() -> None:
    found = model.layers(Recurrent(), channels=1, size=16)
    assert [(layer.kind, layer.output) for layer in found] == [("LSTM", (16, 5)), ("Linear", (2,))]


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 64)
        self.last.weight = self.first.weight

    def forward(self, images):
        return self.last(self.first(images.flatten(1)).relu())[:, :3]


def tied(*, channels: int, size: int, classes: int) -> nn.Module:
    return Tied()


def test_layers_that_share_their_weights_are_saved_and_restored() -> None:
    shape = {"channels": 1, "size": 8, "classes": 3}
    name = f"{__file__}:tied"
    network = model.build(name, **shape, seed=0)
    again = model.restored(model.save(network, {}), name, **shape)
    assert again.first.weight is again.last.weight
    for one, other in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_looking_at_the_layers_leaves_no_hook_behind(net: nn.Module) -> None:
    net.train()
    model.layers(net, channels=1, size=toys.SIZE)
    model.first_features(net, toys.pictures(1))
    assert net.training
    assert not any(module._forward_hooks for module in net.modules())


def test_the_first_features_are_what_the_first_convolution_answers() -> None:
    network = toys.pyramid(channels=1, size=8, classes=3)
    image = toys.pictures(1)
    filters, maps = model.first_features(network, image)
    assert torch.equal(filters, network[0].weight)
    assert torch.equal(maps, network[0](image)[0])


def test_a_network_without_convolutions_has_no_features(net: nn.Module) -> None:
    filters, maps = model.first_features(net, toys.pictures(1))
    assert filters.numel() == maps.numel() == 0


@pytest.mark.parametrize("content", [b"", b"not a file", b"\x80\x04\x95" + bytes(50)])
def test_a_file_that_holds_no_weights_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidData, match="no safetensors"):
        model.weights(content)
    with pytest.raises(InvalidData, match="no weights file of ours"):
        model.about(content)


def test_a_file_of_somebody_else_has_weights_but_tells_nothing() -> None:
    content = to_bytes({"a": torch.ones(2)})
    assert model.weights(content)["a"].tolist() == [1, 1]
    with pytest.raises(InvalidData, match="no weights file of ours"):
        model.about(content)


def test_a_truncated_file_is_refused(net: nn.Module) -> None:
    with pytest.raises(InvalidData):
        model.weights(model.save(net, {})[:-1])


def test_what_is_told_about_a_network_comes_back_as_json_has_it(net: nn.Module) -> None:
    about = {"seed": 3, "history": [{"loss": 0.5, "validation": None}]}
    assert model.about(model.save(net, about)) == json.loads(json.dumps(about))


def test_equal_networks_make_equal_files() -> None:
    assert model.save(toys.net(), {"a": 1, "b": 2}) == model.save(toys.net(), {"b": 2, "a": 1})


def of_timm(monkeypatch: pytest.MonkeyPatch, *, fixed: bool = False) -> list[dict[str, object]]:
    """A library of one network in timm's place; what it was asked for."""
    asked: list[dict[str, object]] = []

    def create(name: str, **options: object) -> nn.Module:
        asked.append(options)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, int(options["num_classes"])))

    library = SimpleNamespace(
        is_model=lambda name: name == "resnet10t",
        list_models=lambda: ["resnet10t", "vit_tiny"],
        get_pretrained_cfg=lambda name: SimpleNamespace(fixed_input_size=fixed),
        create_model=create,
    )
    monkeypatch.setitem(sys.modules, "timm", library)
    return asked


def test_a_network_of_timms_is_built_fresh_for_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = of_timm(monkeypatch)
    network = model.build("timm:resnet10t", channels=1, size=8, classes=3, seed=0)
    assert isinstance(network[0], Standardise)
    assert asked == [{"pretrained": False, "in_chans": 1, "num_classes": 3}]
    asked = of_timm(monkeypatch, fixed=True)
    model.build("timm:resnet10t", channels=1, size=8, classes=3, seed=0)
    assert asked[0]["img_size"] == 8


@pytest.mark.parametrize("name", ["resnet10", "hf-hub:some/one", "local-dir:/tmp"])
def test_a_network_that_timm_has_not_is_refused_before_anything_is_looked_up(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked = of_timm(monkeypatch)
    with pytest.raises(UnknownName, match="resnet10t") as raised:
        model.build(f"timm:{name}", channels=1, size=8, classes=3, seed=0)
    assert "\n" not in str(raised.value)
    assert not asked


def test_without_timm_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UnknownName, match="not installed; pip install timm") as raised:
        model.build("timm:resnet10t", channels=1, size=8, classes=3, seed=0)
    assert "\n" not in str(raised.value)


def test_the_version_of_timm_is_part_of_what_a_name_stands_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model, "version", lambda package: f"{package} 9.9")
    assert model.fingerprint("timm:resnet10t") == "timm:resnet10t timm 9.9"
    assert model.fingerprint("strided") == "strided"
    assert len(model.fingerprint("toys:pyramid").split()[1]) == 64


@pytest.mark.skipif(not importlib.util.find_spec("timm"), reason="timm is not installed")
@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])
def test_timms_own_networks_read_small_images(name: str) -> None:
    shape = {"channels": 1, "size": 32, "classes": 7}
    one, same = (model.build(f"timm:{name}", **shape, seed=3) for _ in range(2))
    pairs = zip(one.parameters(), same.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    again = model.restored(model.save(one, {}), f"timm:{name}", **shape)
    images = torch.rand(2, 1, 32, 32)
    assert torch.equal(again(images), one.eval()(images))
    assert model.layers(one, channels=1, size=32)[-1].output == (7,)
