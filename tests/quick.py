"""What makes whole studies quick enough for tests whose subject is another."""

from collections.abc import Iterator
from contextlib import contextmanager

import jaxtyping
import pytest

from unfooled import attack
from unfooled.in_process import in_process
from unfooled.probing import PROBES

# Probes of as many kinds as ever, on networks so small that they need no more.
SHORT = {
    "square": ("square", {"queries": 100}),
    "margin": ("apgd", {"loss": "dlr", "steps": 20, "restarts": 2}),
    "differences": ("spsa", {"steps": 2, "samples": 8}),
}


@contextmanager
def unchecked() -> Iterator[None]:
    """The annotations are not checked, which takes two thirds of a study."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


@contextmanager
def short_probes() -> Iterator[None]:
    """Probes take fewer steps; most of what else a small study does is theirs."""
    with pytest.MonkeyPatch.context() as patch:
        for name, (kind, options) in SHORT.items():
            patch.setitem(PROBES, name, lambda _, k=kind, o=options: attack.find(k, **o))
        yield


@contextmanager
def no_processes() -> Iterator[None]:
    """Jobs are done in this process: others take longer to start than the work does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unfooled.engines.local.local", in_process)
        yield
