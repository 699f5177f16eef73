import importlib.util
import sys
from pathlib import Path

import pytest
import torch
import toys
from loaded import load, refused

from unfooled import attack
from unfooled.errors import InvalidModel
from unfooled.gradients import predict
from unfooled.randomness import Draws
from unfooled.threat import Threat

needs_onnx = pytest.mark.skipif(
    not importlib.util.find_spec("onnxruntime"), reason="onnxruntime is not installed"
)
writes_onnx = pytest.mark.skipif(
    not (importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx")),
    reason="onnx and onnxruntime are not installed",
)


def onnx_file(
    path: Path, *, batch: object = "n", outputs: int = 1, shape: list[object] | None = None
) -> Path:
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
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape or [batch, 1, 8, 8])],
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
    refused(net, "returns 3 logits for 4 classes", classes=4)
    flat = onnx_file(tmp_path / "flat.onnx", shape=["n", 64])
    assert "images are float [n, c, h, w]" in refused(flat, "takes tensor")
    anywhere = onnx_file(tmp_path / "anywhere.onnx", shape=["n", 1, "h", "w"])
    assert load(anywhere).knows == "scores"
    refused(anywhere, "cannot read 1 x 9 x 9 images", size=9)
    refused(net, "cannot read 3 x 8 x 8 images", channels=3)
    (tmp_path / "short.onnx").write_bytes(net.read_bytes()[:300])
    refused(tmp_path / "short.onnx", "damaged or no ONNX file")


@needs_onnx
def test_a_missing_onnx_file_is_told(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere.onnx", "cannot read .*nowhere.onnx: No such file")


def test_without_onnxruntime_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "net.onnx").write_bytes(b"")
    refused(tmp_path / "net.onnx", "pip install onnxruntime")
