"""Networks from words; every mistake in them is one line."""

import importlib.util
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import toys
from loaded import load, refused
from safetensors.torch import save_file
from torch import nn

from unfooled import loading, model, store
from unfooled.errors import InvalidData, InvalidModel, InvalidOption
from unfooled.gradients import frozen, predict, quickened
from unfooled.layers import Standardise

needs_timm = pytest.mark.skipif(
    not importlib.util.find_spec("timm"), reason="timm is not installed"
)


@pytest.fixture
def own(tmp_path: Path) -> Callable[..., str]:
    """A function in a file of the user's own, with this body."""

    def write(body: str, given: str = "*, channels, size, classes") -> str:
        path = tmp_path / f"own{len(list(tmp_path.iterdir()))}.py"
        path.write_text(f"import toys\nfrom torch import nn\ndef f({given}):\n    {body}\n")
        return f"{path}:f"

    return write


def test_a_network_of_a_run(tmp_path: Path) -> None:
    path = toys.saved(tmp_path / "plain-0.safetensors")
    found = load(path)
    assert found.knows == "gradients"
    assert not found.network.training
    assert found.sha256 is not None
    assert loading.trained_on(str(path)) == "toys:striped"


@pytest.mark.parametrize("which", ["toys:pyramid", "strided"])
def test_a_name_alone_is_a_fresh_network_and_says_so(which: str) -> None:
    size = 8 if ":" in which else 28
    found = load(which, size=size)
    assert found.sha256 is None
    assert "no weights were given" in found.notes[0]


def test_a_function_may_ask_for_as_little_as_it_needs(own: Callable[..., str]) -> None:
    for given in ("", "classes=3", "*, size=8, classes"):
        body = "return toys.pyramid(channels=1, size=8, classes=3)"
        assert load(own(body, given)).knows == "gradients"


def test_mean_and_std_are_put_before_the_network_or_in_place_of_its_own(tmp_path: Path) -> None:
    found = load("toys:pyramid", mean=[0.2], std=[0.5])
    assert isinstance(found.network[0], Standardise)
    again = load("strided", size=28, mean=[0.2], std=[0.5]).network
    assert [type(one) for one in again].count(Standardise) == 1
    assert again[0].mean == 0.2


def test_each_channel_has_its_own_mean_on_every_way_through_a_network() -> None:
    shape = {"channels": 3, "size": 8, "classes": 3}
    found = loading.load("toys:pyramid", **shape, mean=[0.1, 0.2, 0.3], std=[0.5])
    images = torch.rand(5, 3, 8, 8)
    mean = torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    expected = found.network[1]((images - mean) / 0.5)
    torch.testing.assert_close(predict(found.network, images), expected.detach())
    with frozen(found.network):
        quick = quickened(found.network, images)
        torch.testing.assert_close(quick(images).detach(), expected.detach())


@needs_timm
def test_a_network_of_timms_takes_weights_saved_without_our_normalisation(tmp_path: Path) -> None:
    import timm

    inner = timm.create_model("resnet10t", num_classes=3, in_chans=1)
    torch.save(inner.state_dict(), tmp_path / "w.pth")
    found = load("timm:resnet10t", size=32, weights=tmp_path / "w.pth", mean=[0.5], std=[0.25])
    images = torch.rand(2, 1, 32, 32)
    expected = inner.eval()((images - 0.5) / 0.25).detach()
    torch.testing.assert_close(predict(found.network, images), expected)


def test_a_flipped_bit_in_a_run_is_seen_by_its_ledger(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = toys.saved(tmp_path / "other" / "plain-0.safetensors")
    path = tmp_path / "models" / "plain-0.safetensors"
    assert store.recorded(path) is None
    with store.opened(tmp_path, {}) as ledger:
        ledger.put("key", "plain-0", "train", other.read_bytes(), 1.0)
    assert store.recorded(other) is None
    assert load(path).sha256 == store.recorded(path)
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)
    refused(path, "not what the run's ledger says")
    sqlite3.connect(tmp_path / "ledger.sqlite").execute("DROP TABLE jobs")
    assert store.recorded(path) is None


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("stridet", "did you mean 'strided'"),
        ("no.such.module:net", "cannot import 'no.such.module'"),
        ("nowhere.py:net", "there is no file nowhere.py"),
        ("toys:nothing", "not a function"),
        ("toys:little", "returned|logits for|cannot"),
        ("weights.pt", "--weights weights.pt"),
        ("mine.py", "mine.py:FUNCTION"),
        ("nowhere.safetensors", "cannot read nowhere.safetensors"),
        ("nowhere.pt2", "cannot read nowhere.pt2"),
        (".", "Is a directory"),
    ],
)
def test_words_that_stand_for_nothing_are_refused(which: str, said: str) -> None:
    refused(which, said, classes=4 if which == "toys:little" else 3)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 3", "returned a int, not a torch.nn.Module"),
        ("raise ValueError('first line\\nsecond')", "first line"),
        ("return nn.Flatten(0)", "returned the shape"),
        ("return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))", "4 logits for 3 classes"),
        ("return nn.Conv2d(3, 4, 3)", "cannot be built"),
    ],
)
def test_a_function_that_makes_no_network_for_these_images(
    own: Callable[..., str], body: str, said: str
) -> None:
    refused(own(body), said)


def test_a_function_that_wants_more_is_refused(own: Callable[..., str]) -> None:
    refused(own("return nn.Flatten()", "width"), "missing 1 required positional argument: 'width'")


@pytest.mark.parametrize(
    "line", ["raise RuntimeError('a\\nb')", "import sys; sys.exit(3)", "1 +"], ids=str
)
def test_a_file_that_raises_on_import_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "bad.py").write_text(line + "\n")
    refused(f"{tmp_path / 'bad.py'}:net", "raised on import: (RuntimeError: a|SystemExit|Syntax)")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mean": [0.5]}, "belong together"),
        ({"mean": [0.5, 0.5], "std": [0.5]}, "one for each of 1 channels"),
        ({"mean": [0.5], "std": [0.0]}, "std must be above 0"),
        ({"mean": [float("nan")], "std": [1.0]}, "mean must be"),
        ({"mean": [], "std": [1.0]}, "mean must be"),
        ({"weights": Path("w.txt")}, "must end in"),
        ({"weights": Path("nowhere.pt")}, "cannot read nowhere.pt"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], said: str) -> None:
    refused("toys:pyramid", said, **options)


def test_a_file_with_its_own_weights_takes_no_others(tmp_path: Path, program: Path) -> None:
    path = toys.saved(tmp_path / "plain-0.safetensors")
    refused(path, "holds its own weights", weights=path)
    refused(program, "holds its own weights", weights=path)
    refused(path, "normalises inside itself", mean=[0.5], std=[0.5])


def test_weights_alone_are_no_network_of_a_run(tmp_path: Path, network: nn.Module) -> None:
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    assert "--weights" in refused(tmp_path / "w.safetensors", "no network of a run")
    for which in ("toys:pyramid", "strided", "net.pt2"):
        with pytest.raises(InvalidOption, match="--dataset"):
            loading.trained_on(which)
    with pytest.raises(InvalidData, match="cannot read nowhere"):
        loading.trained_on("nowhere")


def test_a_file_does_not_choose_what_runs(tmp_path: Path) -> None:
    """The head of a weights file that names code is refused, and the code is not run."""
    evil = tmp_path / "evil.py"
    ran = str(tmp_path / "ran")
    evil.write_text(f"import pathlib\npathlib.Path({ran!r}).touch()\nnet = data = print\n")
    whole = toys.saved(tmp_path / "a.safetensors", {"architecture": f"{evil}:net", "dataset": "x"})
    with pytest.raises(InvalidData, match="not run because a file says so"):
        loading.load(str(whole), channels=1, size=toys.SIZE, classes=3)
    named = toys.saved(tmp_path / "b.safetensors", {"architecture": "x", "dataset": f"{evil}:data"})
    with pytest.raises(InvalidData, match="not run because a file says so"):
        loading.trained_on(str(named))
    assert not (tmp_path / "ran").exists()
    with pytest.raises(InvalidModel):  # whoever allows it has it run
        loading.load(str(whole), channels=1, size=toys.SIZE, classes=3, allow=[f"{evil}:net"])
    assert (tmp_path / "ran").exists()


def test_a_network_is_asked_where_it_is() -> None:
    """`meta` is a device that no image of the CPU's may meet, as a GPU is."""
    network = toys.pyramid(channels=1, size=8, classes=3).to("meta")
    found = loading.handed(network, "net", channels=1, size=8, classes=3)
    assert found.knows == "gradients"
    assert model.layers(network, channels=1, size=8)[-1].output == (3,)
