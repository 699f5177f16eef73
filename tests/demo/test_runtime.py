import base64
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from unfooled import idx
from unfooled.demo import runtime
from unfooled.errors import DataMissing, InvalidData

CONTENTS = {runtime.MODULE: b"module", runtime.MACHINE: b"machine"}


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A small package that counts as the published one."""
    path = tmp_path / "onnxruntime-web-1.30.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {**CONTENTS, "more": b"of no use here"}.items():
            about = tarfile.TarInfo(f"package/dist/{name}")
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    whole = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    files = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    monkeypatch.setattr(runtime, "_WHOLE", f"sha512-{whole}")
    monkeypatch.setattr(runtime, "_FILES", files)
    return path


def npm(monkeypatch: pytest.MonkeyPatch, folder: Path, does: str) -> None:
    """A program of that name, and nothing else, is found."""
    home = folder / "bin"
    home.mkdir()
    (home / "npm").write_text(f"#!/bin/sh\nPATH=/bin:/usr/bin\necho ran >> {folder}/log\n{does}\n")
    (home / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(home))


def test_npm_is_asked_once(monkeypatch: pytest.MonkeyPatch, package: Path, tmp_path: Path) -> None:
    npm(monkeypatch, tmp_path, f"cp {package} . && echo {package.name}")
    assert runtime.files(None) == CONTENTS
    assert runtime.files(None) == CONTENTS
    assert (tmp_path / "log").read_text() == "ran\n"


def test_a_damaged_file_in_the_cache_is_fetched_again(
    monkeypatch: pytest.MonkeyPatch, package: Path, tmp_path: Path
) -> None:
    npm(monkeypatch, tmp_path, f"cp {package} . && echo {package.name}")
    runtime.files(None)
    (idx.cache_folder() / "onnxruntime-web-1.30.0" / runtime.MODULE).write_bytes(b"changed")
    assert runtime.files(None) == CONTENTS


@pytest.mark.parametrize("place", [".", "dist", "package/dist"])
def test_a_folder_does_as_well(tmp_path: Path, place: str) -> None:
    home = tmp_path / "given" / place
    home.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (home / name).write_bytes(content)
    assert runtime.files(tmp_path / "given") == CONTENTS


def test_so_does_the_package_itself(package: Path) -> None:
    assert runtime.files(package) == CONTENTS


def test_without_npm_one_line_says_what_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataMissing, match="npm, which would fetch it, is not installed") as error:
        runtime.files(None)
    assert "npm pack onnxruntime-web@1.30.0; then name the file by --runtime" in str(error.value)


def test_without_a_network_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    npm(monkeypatch, tmp_path, "echo 'npm error code ENOTFOUND' >&2\nexit 1")
    with pytest.raises(DataMissing, match=r"\(npm error code ENOTFOUND\); where there is a") as e:
        runtime.files(None)
    assert "\n" not in str(e.value)


def test_another_package_is_not_taken(package: Path) -> None:
    package.write_bytes(package.read_bytes() + b"\0")
    with pytest.raises(InvalidData, match="is not the package onnxruntime-web"):
        runtime.files(package)


def test_nor_other_files(tmp_path: Path) -> None:
    for name in CONTENTS:
        (tmp_path / name).write_bytes(b"another")
    with pytest.raises(InvalidData, match=r"ort.wasm.bundle.min.mjs in .* is not that of"):
        runtime.files(tmp_path)


def test_nor_a_folder_without_them(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"does not hold ort.wasm.bundle.min.mjs and ort-wasm"):
        runtime.files(tmp_path)
    with pytest.raises(DataMissing, match=r"cannot read .*: No such file"):
        runtime.files(tmp_path / "nothing.tgz")
