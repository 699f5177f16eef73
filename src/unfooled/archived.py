"""The archives that torch writes, looked through before torch reads them.

Torch's reader and Python's find the parts of an archive in different ways, so that a forged one can
show each of them another. Here Python reads every part, and what torch gets is a new archive of
exactly these parts. Its pickles are read step by step, building nothing, before they are believed.
"""

import io
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from unfooled.errors import InvalidData, brief

# What a state dict, and the numbers that training scripts put beside it, are made of. Torch's own
# list is longer: it lets a few bytes ask for any amount of memory.
_HARMLESS = re.compile(
    r"collections (OrderedDict|Counter)|(builtins|__builtin__) (set|complex)"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|tensor_v3|parameter)"
    r"|torch (Size|device|[A-Z]\w+Storage|b?float\w+|complex\w+|u?int\w+|bool)"
    r"|torch\.storage (Untyped|Typed)Storage|torch\.nn\.parameter Parameter"
)
_FOLDER = 0x10  # of the attributes of a part
_MARK = -1
_GATHERS = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "REDUCE", "NEWOBJ")


def parts(path: Path, raw: bytes) -> dict[str, bytes]:
    """Every part of a zip archive by its name, as its checksum says.

    Memory holds the file once more, since torch packs nothing.

    Raises:
        InvalidData: the archive is damaged, or larger unpacked than it is.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            listed = archive.infolist()
            if sum(part.file_size for part in listed) > len(raw):
                raise InvalidData(f"{path} would be larger unpacked, and torch packs nothing")
            # Which of two parts of one name is meant nobody can say.
            if len({part.filename.lower() for part in listed}) != len(listed):
                raise InvalidData(f"{path} is damaged: it holds two parts of one name")
            return {part.filename: _part(path, archive, part) for part in listed}
    except InvalidData:
        raise
    except Exception as error:  # a damaged archive can raise almost anything
        raise InvalidData(f"{path} is damaged or cut off: {brief(error)}") from error


def _part(path: Path, archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bytes:
    try:
        # What is marked as a folder torch reads as nothing, whatever stands there.
        if not part.external_attr & _FOLDER:
            return archive.read(part)
    except zipfile.BadZipFile:
        pass
    what = f"{part.filename!r} in it is not what its head or checksum says"
    raise InvalidData(f"{path} is damaged: {what}")


def packed(parts: Mapping[str, bytes]) -> io.BytesIO:
    """An archive of these parts and of nothing else, for torch to read."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    file.seek(0)
    return file


def pickled(path: Path, content: bytes, *, count: int) -> None:
    """Let only pickles pass that build plain values and tensors, and none too large for the file.

    Args:
        content: begins with that many pickles.
        count: how many torch would read.

    Raises:
        InvalidData: it is damaged, names what could run code, or unfolds to more than it holds.
    """
    file = io.BytesIO(content)
    try:
        for _ in range(count):
            _walked(path, file, len(content))
    except InvalidData:
        raise
    except Exception as error:  # a damaged pickle can raise almost anything
        raise InvalidData(f"{path} is damaged, cut off, or not what torch.save writes") from error


def _walked(path: Path, file: io.BytesIO, most: int) -> None:
    """One pickle, step by step, of which only the size of each value is kept.

    A pair of one shared pair of one shared pair is short to write, and takes for ever to look at.
    """
    stack, memo = list[int](), dict[int, int]()
    for step, argument, _ in pickletools.genops(file):
        name = step.name
        if name in ("GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "OBJ"):
            _known(path, name, str(argument))
        if name.endswith("PUT"):
            memo[int(str(argument))] = stack[-1]
            continue
        taken = list(_taken(stack, step))
        size = 1 + sum(taken) if name in _GATHERS else 1
        if name.endswith("GET"):
            size = memo[int(str(argument))]
        if size > most:
            raise InvalidData(f"{path} is damaged: it unfolds to more than it holds")
        stack += [_MARK] if name == "MARK" else [size] * len(step.stack_after)


def _taken(stack: list[int], step: pickletools.OpcodeInfo) -> Iterator[int]:
    """What a step takes from the stack, taken from it."""
    before = step.stack_before
    if pickletools.markobject in before:
        while (top := stack.pop()) != _MARK:
            yield top
        before = before[: before.index(pickletools.markobject)]
    for _ in before:
        yield stack.pop()


def _known(path: Path, step: str, words: str) -> None:
    if step != "GLOBAL" or not _HARMLESS.fullmatch(words):
        named = words.replace(" ", ".") if step in ("GLOBAL", "INST") else "code"
        raise InvalidData(
            f"{path} holds more than weights ({named}), which could run code, and was not loaded; "
            "save the weights alone: torch.save(model.state_dict(), FILE)"
        )
