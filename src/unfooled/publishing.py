"""Reports on the disk: every kind of report, and every figure by itself."""

from pathlib import Path

from unfooled import catalog, store
from unfooled.errors import RunRefused
from unfooled.figures import all_figures
from unfooled.report import Report


def publish(report: Report, folder: Path | str) -> list[Path]:
    """Written into `report/` of the run's folder; the paths of the reports.

    The figures lie beside them as `figures/NAME.svg`.

    Raises:
        RunRefused: the disk is full or the folder cannot be written.
    """
    folder, written = Path(folder), []
    try:
        (folder / "report" / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunRefused(f"cannot write to {folder}: {error.strerror}") from error
    for name in catalog.names("reports"):
        path = folder / "report" / f"results.{catalog.module('reports', name).ENDING}"
        store.write(path, catalog.function("reports", name)(report))
        written.append(path)
    for figure in all_figures(report).values():
        store.write(folder / "report" / "figures" / f"{figure.name}.svg", figure.svg.encode())
    return written
