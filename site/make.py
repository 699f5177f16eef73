"""The documentation as a site: `python site/make.py` makes it in build/site/html.

Its pages are those of the repository (`sources.py`), those about members (`members.py`) and the
reference (`reference.py`), in the order of `navigation.py`; zensical lays them out. Nothing is
fetched, neither here nor by a reader. A page that points to nothing, or any other warning, ends the
build with an error.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cells
import members
import navigation
import pictures
import reference
from sources import ROOT, Sources

from unfooled import catalog

HERE = Path(__file__).parent
# Draws the picture of a member into a file, and says what there is to see.
Draw = Callable[[str, str, Path], str]


def assembled(folder: Path, draw: Draw) -> list[str]:
    """Write every page of the site, as Markdown, into a folder; their addresses.

    Raises:
        Broken: a page points to what is not there, or a page of a member is missing.
    """
    sources = Sources.found()
    made = {"index.md": sources.read("docs/index.md")}
    for name, address in sources.pages.items():
        if name.endswith(".ipynb"):
            made[address] = cells.page(name, sources, (folder / address).parent)
        elif address.partition("/")[0] not in members.PAGED and address not in made:
            made[address] = sources.read(name)
    for of in members.PAGED:
        (folder / of).mkdir(parents=True, exist_ok=True)
        for name in catalog.names(of):
            caption = draw(of, name, folder / of / f"{name}.svg")
            made[f"{of}/{name}.md"] = members.page(of, name, sources, caption)
    for of, (_, heading) in members.SETS.items():
        made[navigation.address(heading)] = members.catalogue(of)
    made["reference/transformations.md"] = members.transformations()
    made["reference/studies.md"] = members.studies()
    made["reference/commands.md"] = reference.commands()
    made["reference/python.md"] = reference.python()
    for heading in reference.MODULES:
        made[navigation.address(f"python {heading}")] = reference.modules(heading)
    for address, text in made.items():
        _write(folder / address, text)
    for file, address in {**sources.assets, "site/style.css": "style.css"}.items():
        target = folder / address
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, target)
    return list(made)


def laid_out(home: Path) -> Path:
    """The pages in home/pages as a site in home/html; where it is.

    Raises:
        SystemExit: zensical found something wrong; it has said what.
    """
    menu = navigation.toml(navigation.tree(home / "pages"))
    settings = (HERE / "settings.toml").read_text()
    settings = settings.replace("nav = []", f"nav = {menu}").replace("SOURCE", str(ROOT / "src"))
    _write(home / "zensical.toml", settings)
    shutil.copytree(HERE / "theme", home / "theme", dirs_exist_ok=True)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=home, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}the site was not built")
    return home / "html"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def main() -> None:
    """Build it, and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="folder")
    home = parser.parse_args().out
    shutil.rmtree(home / "pages", ignore_errors=True)
    assembled(home / "pages", pictures.kept(home / "pictures"))
    print(f"{laid_out(home)}/index.html")


if __name__ == "__main__":
    main()
