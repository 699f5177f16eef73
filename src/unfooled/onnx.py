"""Networks in ONNX files, by onnxruntime: they answer with logits and give no gradient."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from unfooled import checkpoint
from unfooled.errors import InvalidData, InvalidModel, UnknownName, brief
from unfooled.shapes import Images, Logits

_KINDS: dict[str, type[np.floating[Any]]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
}
_SILENT = 4  # onnxruntime's own log, which it writes to the screen: nothing but a crash


class Session(nn.Module):
    """An ONNX network as one of torch's; without parameters, and without a gradient."""

    def __init__(self, session: Any, kind: type[np.floating[Any]]) -> None:
        super().__init__()
        self.session = session
        self.kind = kind
        self.given = session.get_inputs()[0].name

    def forward(self, images: Images) -> Logits:
        """What the session answers, in the kind and on the device of the images.

        Raises:
            InvalidModel: it cannot be asked about images of this shape.
        """
        array = images.detach().cpu().numpy().astype(self.kind)
        try:
            (found,) = self.session.run(None, {self.given: array})
        except Exception as error:  # the classes of its errors are not public
            raise InvalidModel(
                f"onnxruntime cannot read images {list(images.shape)}: {brief(error)}"
            ) from error
        logits: Logits = torch.from_numpy(np.array(found)).to(images)
        return logits


def files(path: Path) -> list[Path]:
    """The file and those beside it that hold its large weights, named in it, as far as can be told.

    torch's exporter writes them to NAME.onnx.data.
    """
    near = sorted(path.parent.glob(f"{path.name}*.data")) + sorted(
        path.parent.glob(f"{path.name}_data*")
    )
    return [path, *near]


def load(path: Path) -> nn.Module:
    """The network in an `.onnx` file.

    Raises:
        UnknownName: onnxruntime is not installed.
        InvalidData: the file is missing or damaged.
        InvalidModel: it takes one size of batch, or other inputs than one tensor of images, or
            returns more than logits.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UnknownName(
            f"{path} needs onnxruntime, which is not installed; pip install onnxruntime brings it"
        ) from error
    checkpoint.content(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        # By its path: large weights lie in a file beside it.
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # the classes of its errors are not public
        raise InvalidData(f"{path} is damaged or no ONNX file: {brief(error)}") from error
    return Session(session, _fits(path, session))


def _fits(path: Path, session: Any) -> type[np.floating[Any]]:
    """The kind of numbers that it takes images in."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise InvalidModel(
            f"{path} has {len(inputs)} inputs and {len(outputs)} outputs; it must take images "
            "alone and return logits alone"
        )
    kind, shape = inputs[0].type, list(inputs[0].shape)
    if kind not in _KINDS or len(shape) != 4:
        raise InvalidModel(f"{path} takes {kind} {shape}; images are float [n, c, h, w]")
    if isinstance(shape[0], int):
        raise InvalidModel(
            f"{path} takes batches of {shape[0]} alone; export it for any number of images: "
            'torch.onnx.export(..., dynamic_shapes=({0: torch.export.Dim("batch")},))'
        )
    return _KINDS[kind]
