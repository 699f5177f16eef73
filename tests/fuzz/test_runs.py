"""A run's folder in which anything may have been changed, the ledger's hashes as well."""

import hashlib
import io
import json
import shutil
import sqlite3
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import quick
import toys
from fuzzed import MORE, damaged, forged, survives, tries, zipped
from hypothesis import given
from hypothesis import strategies as st

from unfooled import auditing, believed, columns, packing, provenance, report, run, store
from unfooled.publishing import publish
from unfooled.study import Audit, Certificates, Corruptions

FACTS = {
    "attack": "flips-1-1-pgd-Linf.npz",
    "corrupted": "plain-0-corrupted.npz",
    "certified": "flips-0-certified.npz",
    "probed": "plain-1-probed.npz",
    "pictures": "plain-0-pictures.npz",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with facts of every kind."""
    found = tmp_path_factory.mktemp("whole")
    study = toys.study(
        corruptions=Corruptions(("brightness",), (1, 5), 20),
        certificates=Certificates((0.01, 0.05), 10),
        audit=Audit(6),
    )
    with quick.no_processes(), quick.short_probes():
        run.run(study, found, device="cpu")
    return found


@pytest.fixture(scope="module")
def folder(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(whole, tmp_path_factory.mktemp("forged") / "run"))


def put(folder: Path, file: str, content: bytes) -> None:
    """A file of a run, with the ledger's word for it."""
    (folder / file).write_bytes(content)
    with sqlite3.connect(folder / "ledger.sqlite") as ledger:
        sha256 = hashlib.sha256(content).hexdigest()
        ledger.execute("UPDATE jobs SET sha256 = ? WHERE file = ?", (sha256, file))
    ledger.close()


def back(folder: Path, whole: Path) -> None:
    """The forged folder as it was."""
    shutil.rmtree(folder)
    shutil.copytree(whole, folder)


def read_everything(folder: Path) -> None:
    survives(provenance.asked, folder)
    survives(store.files, folder)
    survives(columns.facts, folder)
    if survives(report.gather, folder) and MORE:  # it takes seconds
        publish(report.gather(folder), folder)


NUMBERS = [0, 1, -1, -2, 3, 7, 2**31, -(2**62), 0.5, 1e300, np.nan, -np.inf]
CHANGES: dict[str, Callable[[packing.Arrays, float], object]] = {
    "shuffled": lambda one, _: np.roll(one, 1),
    "turned": lambda one, _: one.T,
    "short": lambda one, _: one[..., :-1] if one.ndim else one[None],
    "none": lambda one, _: one[:0] if one.ndim else np.empty(0, one.dtype),
    "filled": lambda one, number: np.full(one.shape, number).astype(one.dtype),
    "text": lambda one, _: np.zeros(one.shape) if one.dtype.kind == "U" else one.astype(str),
    "words": lambda one, number: np.full(one.shape, ["", "x", "\x1b", "L2"][hash(number) % 4]),
    "deep": lambda one, _: one[None],
    "bytes": lambda one, _: one if one.dtype.kind == "U" else one.astype("S3"),
}


@st.composite
def other_arrays(draw: st.DrawFn, arrays: packing.Arrays) -> packing.Arrays:
    """The same with some of them of other shapes, kinds or numbers."""
    found = dict(arrays)
    for name in draw(st.lists(st.sampled_from(sorted(found)), min_size=1, max_size=2, unique=True)):
        if draw(st.integers(0, 9)) == 0:
            del found[name]
            continue
        change = CHANGES[draw(st.sampled_from(["filled", *sorted(CHANGES)]))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numbers that the kind cannot hold
            found[name] = change(found[name], draw(st.sampled_from(NUMBERS)))
    return found


def believe(kind: str, content: bytes, study: object) -> None:
    if kind == "attack":
        believed.attacked([content], study.sweeps[1], 3)
    elif kind == "pictures":
        believed.pictures(content, study.sweeps[0], 3)
    elif kind == "probed":
        believed.probed(content, study, 3)
    else:
        getattr(believed, kind)([content], study, 3)


@pytest.mark.parametrize("kind", FACTS)
@given(data=st.data())
@tries(25)
def test_facts(whole: Path, kind: str, data: st.DataObject) -> None:
    content = (whole / "facts" / FACTS[kind]).read_bytes()
    study, _ = provenance.asked(whole)
    assert survives(believe, kind, content, study)
    survives(believe, kind, data.draw(damaged([content])), study)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = data.draw(st.sampled_from(sorted(parts)))
    inside = zipped({**parts, name: data.draw(damaged([parts[name]]))}, zipfile.ZIP_DEFLATED)
    survives(believe, kind, inside, study)
    other = data.draw(other_arrays(packing.unpacked(content)))
    survives(believe, kind, packing.packed(other), study)


@given(kind=st.sampled_from(sorted(FACTS)), data=st.data())
@tries(8)
def test_reports_of_other_facts(whole: Path, folder: Path, kind: str, data: st.DataObject) -> None:
    file = f"facts/{FACTS[kind]}"
    other = data.draw(other_arrays(packing.unpacked((whole / file).read_bytes())))
    put(folder, file, packing.packed(other))
    try:
        read_everything(folder)
        survives(auditing.audit, folder, data=None, device="cpu")
    finally:
        put(folder, file, (whole / file).read_bytes())


@pytest.mark.parametrize("name", provenance.NAMES)
@given(data=st.data())
@tries(12)
def test_reports_of_another_study_or_place(
    whole: Path, folder: Path, name: str, data: st.DataObject
) -> None:
    content = (whole / name).read_bytes()
    other = json.dumps(data.draw(forged(json.loads(content)))).encode()
    (folder / name).write_bytes(
        data.draw(st.sampled_from([other, other, data.draw(damaged([content]))]))
    )
    try:
        read_everything(folder)
    finally:
        (folder / name).write_bytes(content)


@given(head=st.data())
@tries(8)
def test_reports_of_other_heads(whole: Path, folder: Path, head: st.DataObject) -> None:
    file = "models/plain-0.safetensors"
    content = (whole / file).read_bytes()
    size = int.from_bytes(content[:8], "little")
    outer = json.loads(content[8 : 8 + size])
    told = head.draw(forged(json.loads(outer["__metadata__"]["unfooled"])))
    outer["__metadata__"]["unfooled"] = json.dumps(told)
    raw = json.dumps(outer).encode()
    put(folder, file, len(raw).to_bytes(8, "little") + raw + content[8 + size :])
    try:
        read_everything(folder)
    finally:
        put(folder, file, content)


@given(data=st.data())
@tries(25)
def test_ledgers(whole: Path, folder: Path, data: st.DataObject) -> None:
    content = (whole / "ledger.sqlite").read_bytes()
    (folder / "ledger.sqlite").write_bytes(data.draw(damaged([content])))
    try:
        survives(store.files, folder)
        survives(store.recorded, folder / "models" / "plain-0.safetensors")

        def opened() -> None:
            with store.opened(folder, toys.study().plain()) as ledger:
                ledger.seconds()
                for name in ledger.named():
                    assert "/" not in name

        survives(opened)
    finally:
        for path in folder.glob("ledger.sqlite*"):
            path.unlink()
        (folder / "ledger.sqlite").write_bytes(content)


def test_what_is_fuzzed_makes_a_report_when_it_is_whole(whole: Path, folder: Path) -> None:
    back(folder, whole)
    publish(report.gather(folder), folder)
    assert not auditing.audit(folder, data=None, device="cpu").failures
