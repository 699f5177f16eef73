"""Programs that `torch.export.save` wrote, `.pt2`: networks that need no source of their own.

Torch's reader runs what such a file tells it to: pickles, sources of guards, any function of torch
by its name. So a file is looked through first, and only one that holds tensors, and a graph of
torch's own operators over them, is handed on.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic_core import from_json
from torch import nn

from unfooled import archived, checkpoint
from unfooled.errors import InvalidData, InvalidModel, brief
from unfooled.shapes import Images, Logits

_ROOT, _PROGRAM, _INPUTS = "program", "models/model.json", "data/sample_inputs/model.pt"
_PARTS = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/\w+|\.format_version"
    r"|\.storage_alignment|models/model\.json|data/sample_inputs/model\.pt"
    r"|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)"
)
_CONFIG = re.compile(r"data/(weights|constants)/model_\w+_config\.json")
_OPERATORS = re.compile(
    r"torch\.ops\.aten\.(?!from_file|_print)\w+\.\w+|torch\.ops\.higher_order\.wrap_with_\w+"
    r"|torch\.sym_\w+|_operator\.(getitem|add|sub|mul|neg|floordiv|truediv|mod|pow|[engl][qet])"
    r"|math\.(ceil|floor|sqrt|trunc)"
)
# Shapes are written as sums and products of symbols, and read by an interpreter of Python.
_SIZES = re.compile(
    r"(?:[\d\s+\-*/(),]|Symbol\('[suz]\d+'(?:, [a-z]+=(?:True|False))*\)|\b(?:[suz]\d+|Integer|Add"
    r"|Mul|Pow|Max|Min|FloorDiv|CleanDiv|Mod|PythonMod|Eq|Ne)\b)*"
)
_SAVED = "save the model in eval mode by torch.export.save(torch.export.export(...), FILE)"
_ANY_BATCH = 'dynamic_shapes=({0: torch.export.Dim("batch")},)'


class Program(nn.Module):
    """An exported program as a network; it was exported in eval mode and knows no other."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program
        self.training = False

    def train(self, mode: bool = True) -> "Program":  # noqa: FBT001, FBT002 - torch's signature
        """The mode as it is told; the program itself refuses to be told."""
        self.training = mode
        return self

    def forward(self, images: Images) -> Logits:
        """The program's answer."""
        logits: Logits = self.program(images)
        return logits


def load(path: Path) -> nn.Module:
    """The network in a `.pt2` file, on the CPU.

    Raises:
        InvalidData: the file is missing or damaged, or holds what could run code.
        InvalidModel: it was exported in train mode, for one size of batch, or for other inputs than
            one tensor of images.
    """
    raw = checkpoint.content(path)
    if not raw.startswith(b"PK"):
        raise InvalidData(f"{path} is no file of torch.export.save; {_SAVED}")
    archive = archived.packed(_looked_through(path, archived.parts(path, raw)))
    try:
        found = torch.export.load(archive)
        _fits(path, found)
        # The guards are source code in the file; our own checks stand in for them.
        return Program(found.module(check_guards=False))
    except InvalidModel:
        raise
    except Exception as error:  # whatever it is that a damaged file leads to
        raise InvalidData(f"{path} cannot be read by torch.export: {brief(error)}") from error


def _looked_through(path: Path, whole: Mapping[str, bytes]) -> dict[str, bytes]:
    """The parts of a file that can do nothing but compute; no other file passes."""
    parts = {name.partition("/")[2]: part for name, part in whole.items()}
    if _PROGRAM not in parts or _INPUTS not in parts:
        raise InvalidData(f"{path} is no file of torch.export.save of torch 2.8 or newer; {_SAVED}")
    if len(parts) != len(whole):
        raise _unsafe(path, "two parts of one name")
    for name, part in parts.items():
        if not _PARTS.fullmatch(name):
            raise _unsafe(path, name)
        if name == _PROGRAM or _CONFIG.fullmatch(name):
            try:
                text = from_json(part)
            except ValueError as error:
                raise InvalidData(f"{path} is damaged: {name}: {brief(error)}") from error
            for found in _suspects(text):
                raise _unsafe(path, found)
    try:
        inputs = archived.parts(path, parts[_INPUTS])
        checkpoint.pickles(path, parts[_INPUTS])
    except InvalidData as error:
        raise _unsafe(path, "sample inputs that are more than tensors") from error
    # An archive within the archive, which torch shall not read otherwise than it was read here.
    parts[_INPUTS] = archived.packed(inputs).getvalue()
    return {f"{_ROOT}/{name}": part for name, part in parts.items()}


def _suspects(found: Any) -> Iterator[str]:
    """Whatever in a description of the program is not known to be harmless."""
    if isinstance(found, list):
        for one in found:
            yield from _suspects(one)
    if not isinstance(found, dict):
        return
    for key, value in found.items():
        if key in ("target", "as_operator") and isinstance(value, str):
            if not _OPERATORS.fullmatch(value):
                yield f"the operator {value}"
        elif key == "expr_str" and not _SIZES.fullmatch(str(value)):
            yield f"the size {value}"
        elif key == "range_constraints" and not all(map(_SIZES.fullmatch, value)):
            yield "a size of another kind"
        elif key == "use_pickle" and value is not False:
            yield "a pickle"
        elif key == "path_name" and not re.fullmatch(r"(weight|tensor)_\d+", str(value)):
            yield f"the part {value}"
        yield from _suspects(value)


def _unsafe(path: Path, found: str) -> InvalidData:
    return InvalidData(
        f"{path} was not loaded: it holds {found}, which could run code; a program of torch's own "
        "operators would do"
    )


def _fits(path: Path, found: torch.export.ExportedProgram) -> None:
    nodes = {node.name: node for node in found.graph.nodes}
    inputs = [nodes[name] for name in found.graph_signature.user_inputs if name in nodes]
    if len(inputs) != 1 or not isinstance(inputs[0].meta.get("val"), torch.Tensor):
        raise InvalidModel(f"{path} takes {len(inputs)} inputs; it must take one tensor of images")
    shape = inputs[0].meta["val"].shape
    if len(shape) != 4:
        raise InvalidModel(f"{path} takes {list(shape)}; images are [n, c, h, w]")
    if isinstance(shape[0], int):
        raise InvalidModel(
            f"{path} was exported for batches of {shape[0]} alone; export it for any number of "
            f"images: torch.export.export(model, (images,), {_ANY_BATCH})"
        )
    for node in nodes.values():
        if _trains(node):
            raise InvalidModel(f"{path} was exported in train mode ({node.target}); {_SAVED}")


def _trains(node: torch.fx.Node) -> bool:
    """Whether this is dropout or a normalisation as in training."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return False
    places = [place for place, a in enumerate(schema.arguments) if a.name in ("train", "training")]
    return any(place < len(node.args) and node.args[place] is True for place in places)
