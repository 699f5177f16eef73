"""Networks from words; every mistake in them is one line."""

import importlib.util
import json
import os
import pickle
import re
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import toys
from safetensors.torch import save_file
from torch import nn

from unfooled import attack, checkpoint, loading, model, store
from unfooled.errors import InvalidData, InvalidModel, InvalidOption, UnfooledError, UnknownName
from unfooled.gradients import frozen, predict, quickened
from unfooled.layers import Standardise
from unfooled.loading import Loaded
from unfooled.randomness import Draws
from unfooled.threat import Threat

SHAPE = {"channels": 1, "size": toys.SIZE, "classes": 3}
BATCH = ({0: torch.export.Dim("batch")},)
needs_onnx = pytest.mark.skipif(
    not importlib.util.find_spec("onnxruntime"), reason="onnxruntime is not installed"
)
writes_onnx = pytest.mark.skipif(
    not (importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx")),
    reason="onnx and onnxruntime are not installed",
)
needs_timm = pytest.mark.skipif(
    not importlib.util.find_spec("timm"), reason="timm is not installed"
)


def load(which: object, **options: object) -> Loaded:
    return loading.load(str(which), **{**SHAPE, **options})


def refused(which: object, said: str, **options: object) -> str:
    """That it is refused in one line which says this; the line."""
    with pytest.raises(UnfooledError, match=said) as raised:
        load(which, **options)
    line = str(raised.value)
    assert "\n" not in line
    return line


@pytest.fixture
def network() -> nn.Module:
    return model.build("toys:pyramid", **SHAPE, seed=5).eval()


@pytest.fixture
def own(tmp_path: Path) -> Callable[..., str]:
    """A function in a file of the user's own, with this body."""

    def write(body: str, given: str = "*, channels, size, classes") -> str:
        path = tmp_path / f"own{len(list(tmp_path.iterdir()))}.py"
        path.write_text(f"import toys\nfrom torch import nn\ndef f({given}):\n    {body}\n")
        return f"{path}:f"

    return write


# --- what can be loaded ---------------------------------------------------------------------------


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


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".pth"])
@pytest.mark.parametrize(("under", "prefix"), [("", ""), ("state_dict", "module."), ("model", "")])
def test_weights_are_found_where_training_scripts_put_them(
    tmp_path: Path, network: nn.Module, ending: str, under: str, prefix: str
) -> None:
    state = {prefix + key: value for key, value in network.state_dict().items()}
    path = tmp_path / f"weights{ending}"
    if ending == ".safetensors":
        save_file(state, path)
    else:
        torch.save({under: state, "epoch": 3} if under else state, path)
    found = load("toys:pyramid", weights=path)
    images = toys.pictures(3)
    assert torch.equal(predict(found.network, images), predict(network, images))
    said = " ".join(found.notes)
    assert ("module." in said) == bool(prefix)
    assert (repr(under) in said) == (bool(under) and ending != ".safetensors")


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


# --- programs of torch.export ---------------------------------------------------------------------


def exported(network: nn.Module, path: Path, *, batch: object = BATCH) -> Path:
    program = torch.export.export(network, (torch.rand(2, 1, 8, 8),), dynamic_shapes=batch)
    torch.export.save(program, path)
    return path


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = model.build("toys:dropping", **SHAPE, seed=5).eval()
    return exported(network, tmp_path_factory.mktemp("programs") / "net.pt2")


def test_an_exported_program_answers_and_gives_gradients_as_the_network_does(program: Path) -> None:
    network = model.build("toys:dropping", **SHAPE, seed=5).eval()
    found = load(program)
    assert (found.knows, len(str(found.sha256))) == ("gradients", 64)
    images = toys.pictures(7)
    torch.testing.assert_close(predict(found.network, images), predict(network, images))
    attacked = attack.find("pgd", steps=2)
    labels = toys.read_by(network, images)
    threat = Threat("Linf", 0.2)
    both = [
        attacked.run(one, images, labels, threat, draws=Draws(0, "x"))
        for one in (found.network, network)
    ]
    torch.testing.assert_close(*both)


def test_a_program_for_one_size_of_batch_is_refused(tmp_path: Path, network: nn.Module) -> None:
    path = exported(network, tmp_path / "one.pt2", batch=None)
    assert "dynamic_shapes" in refused(path, "for batches of 2 alone")


def test_a_program_in_train_mode_is_refused(tmp_path: Path) -> None:
    network = model.build("toys:dropping", **SHAPE, seed=5).train()
    refused(exported(network, tmp_path / "train.pt2"), "exported in train mode")


def changed(program: Path, path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """The same archive with other parts."""
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return path


class _Runs:
    """A pickle that runs a command when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return (os.system, (f"touch {self.path}",))


def test_a_program_that_would_run_code_is_refused_and_runs_nothing(
    tmp_path: Path, program: Path
) -> None:
    mark = tmp_path / "ran"

    def inputs(name: str, part: bytes) -> bytes:
        return pickle.dumps(_Runs(mark)) if name.endswith("sample_inputs/model.pt") else part

    def operator(name: str, part: bytes) -> bytes:
        return part.replace(b"torch.ops.aten.relu.default", b"torch.serialization.os.system")

    def size(name: str, part: bytes) -> bytes:
        if not name.endswith("model.json"):
            return part
        evil = json.dumps(f"__import__('os').system('touch {mark}')").encode()
        return re.sub(rb'"expr_str": "[^"]+"', b'"expr_str": ' + evil, part)

    def weight(name: str, part: bytes) -> bytes:
        return part.replace(b'"use_pickle": false', b'"use_pickle": true')

    for number, change in enumerate((inputs, operator, size, weight)):
        path = changed(program, tmp_path / f"{number}.pt2", change)
        assert path.read_bytes() != program.read_bytes()
        refused(path, "was not loaded: it holds .* could run code")
    assert not mark.exists()


def test_a_damaged_program_is_refused(tmp_path: Path, program: Path) -> None:
    whole = program.read_bytes()
    (tmp_path / "short.pt2").write_bytes(whole[:-400])
    refused(tmp_path / "short.pt2", "damaged or cut off|no file of torch.export.save")
    (tmp_path / "other.pt2").write_bytes(b"no program")
    refused(tmp_path / "other.pt2", "no file of torch.export.save")
    torch.save({"w": torch.ones(2)}, tmp_path / "weights.pt2")
    refused(tmp_path / "weights.pt2", "no file of torch.export.save")


def test_a_program_for_other_images_is_refused(program: Path) -> None:
    refused(program, "cannot read 1 x 9 x 9 images", size=9)
    refused(program, "returns 3 logits for 4 classes", classes=4)


# --- ONNX -----------------------------------------------------------------------------------------


def onnx_file(path: Path, *, batch: object, outputs: int = 1) -> Path:
    """An ONNX network for the stripes, a product with the pixels, written part by part."""
    from onnx import TensorProto, helper, numpy_helper, save

    weight = torch.linspace(-1, 1, 3 * 64).view(64, 3).numpy()
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
    ]
    results = ["logits", "flat"][:outputs]
    graph = helper.make_graph(
        nodes,
        "plane",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 1, 8, 8])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results],
        [numpy_helper.from_array(weight, "weight")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(made, path)
    return path


@writes_onnx
def test_an_onnx_network_answers_and_only_black_boxes_can_attack_it(tmp_path: Path) -> None:
    found = load(onnx_file(tmp_path / "net.onnx", batch="n"))
    assert found.knows == "scores"
    images = toys.pictures(5)
    weight = torch.linspace(-1, 1, 3 * 64).view(64, 3)
    torch.testing.assert_close(predict(found.network, images), images.flatten(1) @ weight)
    with pytest.raises(InvalidModel, match=r"pgd follows the gradient, and .* gives none; a black"):
        found.takes(attack.find("pgd"))
    black = attack.find("square", queries=20)
    found.takes(black)
    labels = toys.read_by(found.network, images)
    black.run(found.network, images, labels, Threat("Linf", 0.3), draws=Draws(0, "x"))


@writes_onnx
def test_onnx_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    fixed = onnx_file(tmp_path / "fixed.onnx", batch=2)
    assert "dynamic_shapes" in refused(fixed, "takes batches of 2 alone")
    refused(onnx_file(tmp_path / "two.onnx", batch="n", outputs=2), "1 inputs and 2 outputs")
    net = onnx_file(tmp_path / "net.onnx", batch="n")
    refused(net, "cannot read 1 x 9 x 9 images", size=9)
    refused(net, "cannot read 3 x 8 x 8 images", channels=3)
    (tmp_path / "short.onnx").write_bytes(net.read_bytes()[:300])
    refused(tmp_path / "short.onnx", "damaged or no ONNX file")


@needs_onnx
def test_a_missing_onnx_file_is_told(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere.onnx", "cannot read .*nowhere.onnx: No such file")


def test_without_onnxruntime_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    (tmp_path / "net.onnx").write_bytes(b"")
    refused(tmp_path / "net.onnx", "pip install onnxruntime")


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_runs_code_is_refused_and_runs_nothing(
    tmp_path: Path, network: nn.Module, zipped: bool
) -> None:
    mark, path = tmp_path / "ran", tmp_path / "weights.pt"
    state = {**network.state_dict(), "more": _Runs(mark)}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    assert "system" in refused("toys:pyramid", "more than weights .* not loaded", weights=path)
    path.write_bytes(pickle.dumps(_Runs(mark)))
    refused("toys:pyramid", "damaged, cut off, or not|more than weights", weights=path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists()  # it would have


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_truncated_weights_are_refused(tmp_path: Path, network: nn.Module, ending: str) -> None:
    path = tmp_path / f"weights{ending}"
    if ending == ".pt":
        torch.save(network.state_dict(), path)
    else:
        save_file(network.state_dict(), path)
    whole = path.read_bytes()
    for end in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        refused("toys:pyramid", "damaged|cut off", weights=path)


def test_a_flipped_bit_is_seen_where_there_is_a_checksum(
    tmp_path: Path, network: nn.Module
) -> None:
    path = tmp_path / "weights.pt"
    torch.save(network.state_dict(), path)
    raw = bytearray(path.read_bytes())
    raw[raw.find(network[0].weight.detach().numpy().tobytes()) + 2] ^= 1
    path.write_bytes(raw)
    refused("toys:pyramid", "not what its checksum says", weights=path)


def test_a_flipped_bit_in_a_run_is_seen_by_its_ledger(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    path = toys.saved(tmp_path / "models" / "plain-0.safetensors")
    assert store.recorded(path) is None
    with store.opened(tmp_path, {}) as ledger:
        ledger.put("key", "plain-0", "train", path.read_bytes(), 1.0)
    assert load(path).sha256 == store.recorded(path)
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)
    refused(path, "not what the run's ledger says")
    sqlite3.connect(tmp_path / "ledger.sqlite").execute("DROP TABLE jobs")
    assert store.recorded(path) is None


def test_weights_that_are_not_finite_are_refused(tmp_path: Path, network: nn.Module) -> None:
    state = network.state_dict()
    state["0.bias"] = state["0.bias"] * torch.nan
    save_file(state, tmp_path / "w.safetensors")
    refused("toys:pyramid", "0.bias holds NaN", weights=tmp_path / "w.safetensors")


def test_weights_of_another_network_are_told_by_their_keys(tmp_path: Path) -> None:
    other = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Flatten(), nn.Flatten())
    other.append(nn.Linear(4, 3))
    torch.save(other.state_dict(), tmp_path / "w.pt")
    line = refused("toys:pyramid", "do not fit toys:pyramid", weights=tmp_path / "w.pt")
    for part in (
        "0.weight [5, 1, 3, 3] instead of [4, 1, 3, 3]",
        "missing: 3.weight, 3.bias",
        "not known there: 4.weight, 4.bias",
    ):
        assert part in line
    lines = [f"k{n}" for n in range(9)]
    torch.save({key: torch.ones(1) for key in lines}, tmp_path / "w.pt")
    line = refused("toys:pyramid", "do not fit", weights=tmp_path / "w.pt")
    assert "k0, k1, k2 and 6 more" in line


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([1, 2], "holds a list, not a state dict"),
        ({}, "not a state dict"),
        ({"state_dict": {"a": 3}}, "'a' is a int, not a tensor"),
    ],
)
def test_other_things_than_weights_are_refused(tmp_path: Path, made: object, said: str) -> None:
    torch.save(made, tmp_path / "w.pt")
    refused("toys:pyramid", said, weights=tmp_path / "w.pt")


def test_whole_models_in_a_pickle_are_refused(tmp_path: Path, network: nn.Module) -> None:
    torch.save(network, tmp_path / "w.pt")
    line = refused("toys:pyramid", "more than weights", weights=tmp_path / "w.pt")
    assert "model.state_dict()" in line


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


def test_every_kind_of_weights_has_a_reader() -> None:
    assert set(checkpoint.ENDINGS) == {".safetensors", *checkpoint.PICKLED}
    assert issubclass(UnknownName, UnfooledError)
