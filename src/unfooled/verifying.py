"""An attack's folder judged again, from its files alone; `exhibit.py` wrote them.

The hashes show damage, not deceit: whoever changes a file can change its hash as well. What cannot
be made up is what the network reads, how far the images lie from the test images, and that those
are the test images.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from unfooled import evaluation, exhibit
from unfooled.crafting import Saved
from unfooled.gradients import predict
from unfooled.kept import Kept
from unfooled.rejudging import Failure, Verified, Wrong, failures, gathered, rejudged
from unfooled.shapes import Images
from unfooled.sheet import as_bytes


def verify(kept: Kept, saved: Saved) -> Verified:
    """Every saved image judged again, and every file's hash.

    Raises:
        InvalidModel: the network's output cannot be used.
    """
    found = [*_origin(kept, saved)]
    recorded, whole, damaged = _damaged(kept)
    found += damaged
    names = [f"image {name.removesuffix('.png')}" for name in kept.pictures]
    wrong = _wrong(kept, saved)
    standing, of_images = failures(wrong, names)
    about = kept.about
    return Verified(
        f"{about['attack']}, {kept.threat}, on {saved.path}",
        images=len(names),
        standing=int(standing.sum()),
        files=recorded,
        whole=whole,
        failures=gathered([*found, *of_images]),
        notes=_notes(kept, saved),
    )


def _origin(kept: Kept, saved: Saved) -> list[Failure]:
    """Whether network and data are those that the facts name."""
    pairs = (
        ("weights", "model_sha256", saved.sha256, str(saved.path)),
        ("data", "dataset_sha256", saved.data.sha256, saved.data.title),
    )
    found = []
    for kind, key, now, name in pairs:
        then = kept.about.get(key)
        if then != now:
            sentence = (
                f"the images were made for {kind} {_short(then)}, and these are {_short(now)}"
            )
            found.append(Failure(kind, sentence, (name,)))
    return found


def _short(sha256: object) -> str:
    return f"{sha256[:12]}..." if isinstance(sha256, str) else "without a hash"


def _notes(kept: Kept, saved: Saved) -> tuple[str, ...]:
    found = list(saved.loaded.notes)
    outside = int((~kept.tensors["inside"]).sum())
    if outside:
        found.append(f"{outside:,} images lie outside the threat, as the facts say")
    if saved.sha256 is None:
        found.append("the network has no file of weights, so there is no hash to compare")
    return tuple(found)


def _damaged(kept: Kept) -> tuple[int, int, list[Failure]]:
    """How many files should have a hash, how many have it, and what is wrong with the others."""
    files = [*(f"png/{name}" for name in kept.pictures), exhibit.SHEET, exhibit.TENSORS]
    try:
        lines = (kept.folder / exhibit.SUMS).read_text().splitlines()
    except (OSError, ValueError):
        sentence = "there is no record of hashes, so that damage cannot be told"
        return len(files), 0, [Failure("hash", sentence, (exhibit.SUMS,))]
    sums = {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}
    kinds: dict[str, list[str]] = {}
    for name in files:
        try:
            content = (kept.folder / name).read_bytes()
        except OSError:
            kinds.setdefault("they are missing", []).append(name)
            continue
        if hashlib.sha256(content).hexdigest() != sums.get(name):
            kinds.setdefault("they are not what was written", []).append(name)
    whole = len(files) - sum(map(len, kinds.values()))
    return len(files), whole, [Failure("hash", why, tuple(n)) for why, n in kinds.items()]


def _wrong(kept: Kept, saved: Saved) -> list[Wrong]:
    tensors, device = kept.tensors, saved.sampled(1)[0].device
    images, adversarial = (tensors[name].to(device) for name in ("images", "adversarial"))
    facts = {name: tensor.numpy() for name, tensor in tensors.items()}
    read = evaluation.read(predict(saved.network, images))
    return [
        Wrong("original", "they are not the test images of these ids", _strange(kept, saved)),
        Wrong(
            "reading",
            "the network reads something else without attack than the facts say",
            read != facts["clean"],
        ),
        *rejudged(saved.network, images, adversarial, kept.threat, facts),
        *_pictured(kept, saved, images),
    ]


def _strange(kept: Kept, saved: Saved) -> Any:
    """The rows whose original image or label is not the data set's."""
    ids, test = kept.tensors["ids"], saved.data.test
    known = (ids >= 0) & (ids < len(test))
    at = ids.clamp(0, len(test) - 1)
    shown = test.pixels(at)
    if shown.shape != kept.tensors["images"].shape:
        return np.ones(len(ids), dtype=np.bool_)
    same = (shown == kept.tensors["images"]).flatten(1).all(1)
    return ~(known & same & (test.labels[at] == kept.tensors["labels"])).numpy()


def _pictured(kept: Kept, saved: Saved, images: Images) -> list[Wrong]:
    """What is wrong with the images as files of 8 bits hold them."""
    tensors = kept.tensors
    rounded = kept.threat.as_8bit(tensors["images"], tensors["adversarial"])
    expected = as_bytes(rounded.nan_to_num())
    same = np.array(
        [
            _shows(kept.folder / "png" / name, pixels)
            for name, pixels in zip(kept.pictures, expected, strict=True)
        ]
    )
    shown = rounded.to(images.device)
    read = evaluation.read(predict(saved.network, shown))
    allowed = kept.threat.allows(images, shown).cpu().numpy()
    # Of images that do not fool the facts at 8 bits are those of the images as they are.
    aims = tensors.get("targets")
    was, labels = tensors["read_as"], tensors["labels"]
    hit = was != labels if aims is None else (was == aims) | (was == evaluation.UNREAD)
    won = (hit & tensors["inside"]).numpy()
    return [
        Wrong("picture", "their PNG files do not hold the rounded images", ~same),
        Wrong(
            "8 bits",
            "rounded to 8 bits the network reads something else than the facts say",
            won & (read != tensors["read_at_8bit"].numpy()),
        ),
        Wrong(
            "8 bits",
            "rounded to 8 bits they lie elsewhere than the facts say",
            won & (allowed != tensors["inside_at_8bit"].numpy()),
        ),
    ]


def _shows(path: Path, pixels: Any) -> bool:
    """Whether a picture file holds exactly these pixels."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(path.read_bytes()), formats=("PNG",)) as picture:
            if picture.size != (pixels.shape[1], pixels.shape[0]):
                return False
            held = np.asarray(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return np.array_equal(held.reshape(*held.shape[:2], -1), pixels)
