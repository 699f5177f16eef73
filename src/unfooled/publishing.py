"""Reports on the disk: every kind of report, and every figure by itself with its numbers."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from unfooled import catalog, store
from unfooled.beside import beside
from unfooled.drawing import Figure
from unfooled.errors import RunRefused
from unfooled.figures import all_figures
from unfooled.report import Report


def publish(report: Report, folder: Path | str) -> list[Path]:
    """Written into `report/` of the run's folder; the paths of the reports.

    The figures lie beside them as `figures/NAME.svg` and `figures/NAME.csv`.

    Raises:
        RunRefused: the disk is full or the folder cannot be written.
    """
    made = {
        catalog.module("reports", name).ENDING: catalog.function("reports", name)(report)
        for name in catalog.names("reports")
    }
    return _write(Path(folder) / "report", made, all_figures(report).values())


def publish_beside(reports: Mapping[str, Report], folder: Path | str) -> list[Path]:
    """Several runs side by side, by their names, written into a folder; the paths.

    Raises:
        RunRefused: as `publish`.
    """
    whole = beside(reports)
    modules = [catalog.module("reports", name) for name in catalog.names("reports")]
    made = {one.ENDING: one.laid_out(whole) for one in modules if hasattr(one, "laid_out")}
    return _write(Path(folder), made, [whole.lead])


def _write(folder: Path, made: Mapping[str, bytes], figures: Iterable[Figure]) -> list[Path]:
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunRefused(f"cannot write to {folder}: {error.strerror}") from error
    for figure in figures:
        store.write(folder / "figures" / f"{figure.name}.svg", figure.svg.encode())
        store.write(folder / "figures" / f"{figure.name}.csv", figure.csv.encode())
    paths = {folder / f"results.{ending}": content for ending, content in made.items()}
    for path, content in paths.items():
        store.write(path, content)
    return list(paths)
