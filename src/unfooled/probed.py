"""What the probes of a network came to: facts, image by image, which `checks/` look through."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfooled.errors import InvalidData
from unfooled.finding import Finding


@dataclass(frozen=True)
class Probed:
    """What the probes came to, image by image.

    Attributes:
        norm, eps: the threat of the probes.
        ids, labels: of the images, `[n]`.
        names: of the probes, in the order of `probing.PROBES`.
        read_as: what the judge reads in what each probe returned, `[probes, n]`.
        inside: whether that lies within the threat, `[probes, n]`.
        errors: for each probe, what kept it from running; "" where it ran.
        anywhere: what the judge reads after an attack within `probing.ANYWHERE`, `[n]`.
        astray: what kept that attack from running; "" where it ran.
        grey: what is read in the image that is 0.5 everywhere; `UNREAD` where nothing is.
        clean: what is read without attack, asked several times, `[times, n]`.
        repeated: how far an image's answers lie apart when it is asked again, as a share of the
            largest logit, `[n]`; infinite where it cannot be said.
        watched: the same, of the answer that is given while a gradient is asked for, `[n]`.
        steady: the cosine of an image's gradient and that a small random step away, `[n]`; NaN
            where there is none.
        findings: the doctor's.
    """

    norm: str
    eps: float
    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    read_as: NDArray[np.int64]
    inside: NDArray[np.bool_]
    errors: tuple[str, ...]
    anywhere: NDArray[np.int64]
    astray: str
    grey: int
    clean: NDArray[np.int64]
    repeated: NDArray[np.float64]
    watched: NDArray[np.float64]
    steady: NDArray[np.float64]
    findings: tuple[Finding, ...]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each image is read correctly without attack, when first asked, `[n]`."""
        return np.asarray(np.equal(self.clean[0], self.labels))

    @property
    def fooled(self) -> NDArray[np.bool_]:
        """Whether each probe returned a misread image within the threat, `[probes, n]`."""
        return np.asarray(np.not_equal(self.read_as, self.labels) & self.inside)

    @property
    def stuck(self) -> NDArray[np.bool_]:
        """Whether each image stands within `probing.ANYWHERE`, where grey is misread, `[n]`.

        Those whose own class is read in grey are left out: nothing says that they must fall.
        """
        stands = self.correct & (self.anywhere == self.labels)
        return np.asarray(stands & (self.labels != self.grey))

    def ran(self, name: str) -> bool:
        """Whether there is such a probe, and nothing kept it from running."""
        return name in self.names and not self.errors[self.names.index(name)]

    def error(self, *names: str) -> str:
        """What kept the first of these probes from running, as the end of a sentence."""
        return self.errors[self.names.index(names[0])].rstrip(".")

    def fooled_by(self, *names: str) -> NDArray[np.bool_]:
        """Whether one of these probes fooled each image, `[n]`; what did not run fooled none."""
        rows = [self.names.index(name) for name in names if self.ran(name)]
        return np.asarray(self.fooled[rows].any(axis=0))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays, for a file."""
        plain = {name: np.asarray(v) for name, v in vars(self).items() if name != "findings"}
        plain["checks"] = np.array([[f.check, f.verdict, f.sentence] for f in self.findings])
        values = [np.nan if f.value is None else f.value for f in self.findings]
        return {**plain, "values": np.array(values, dtype=np.float64)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Probed":
        """The inverse of `arrays`.

        Raises:
            InvalidData: another version of unfooled wrote them.
        """
        other = {field.name for field in fields(cls)} - {"findings"} - set(arrays)
        if other:
            raise InvalidData(
                f"the probes were made by another version of unfooled, without {min(other)}; the "
                "same command makes them anew"
            )
        findings = tuple(
            Finding(check, verdict, sentence, None if np.isnan(value) else float(value))
            for (check, verdict, sentence), value in zip(
                arrays["checks"].tolist(), arrays["values"], strict=True
            )
        )
        own = {name: a for name, a in arrays.items() if name not in ("checks", "values")}
        own |= {name: tuple(arrays[name].tolist()) for name in ("names", "errors")}  # type: ignore[misc]
        own |= {name: arrays[name].item() for name in ("norm", "eps", "astray", "grey")}
        return cls(**own, findings=findings)  # type: ignore[arg-type]
