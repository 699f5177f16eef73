"""A study from Python: from the question to the report in one call."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from unfooled import config, provenance, report, run
from unfooled.errors import JobFailed
from unfooled.report import Report
from unfooled.run import Step
from unfooled.study import Study


def conduct(
    study: Study,
    folder: Path | str | None = None,
    *,
    data_folder: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    together: bool = False,
    on_step: Callable[[Step], None] = lambda _: None,
) -> Report:
    """What came of a study: every recipe trained with every seed, every network attacked.

    As `unfooled study` does it, with worker processes. A notebook shows the report by itself;
    `unfooled.publish` writes it as PDF, HTML, Markdown and JSON.

    Args:
        study: what to ask.
        folder: of the run, where everything is kept: the same call goes on where it was. None keeps
            nothing.
        data_folder, device, workers, together: as in `run.run`.
        on_step: called after each event, with where the run stands.

    Raises:
        InvalidStudy: its parts do not fit together.
        JobFailed: a training or an attack could not be done; what was done is in the folder.
        UnfooledError: as `run.run`.
    """
    config.fits(study)
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory()) if folder is None else folder
        failed = run.run(
            study,
            Path(home),
            data_folder=data_folder,
            device=device,
            workers=workers,
            together=together,
            command="unfooled.conduct(...), called by a Python program",
            on_step=on_step,
        )
        if failed:
            raise JobFailed("; ".join(run.reasons(failed, study)))
        return report.gather(Path(home), allow=provenance.code(study))
