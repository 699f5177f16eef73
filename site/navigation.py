"""What the site has, in which order, under which names.

A page that is not there is left out, so that one may be named before it is written.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from members import PAGED, SETS
from reference import MODULES

from unfooled import catalog, guide

Tree = dict[str, Any]  # a page's address, or a tree of them, by the name that it has in the menu
_KNOWS = {
    "gradients": "White box",
    "scores": "Black box, scores",
    "decisions": "Black box, decisions",
    "nothing": "Without asking",
}


def address(heading: str) -> str:
    """Of a page of the reference."""
    return f"reference/{heading.lower().replace(' ', '-')}.md"


def tree(folder: Path) -> Tree:
    """The menu, of those pages that are in the folder."""
    return _there(
        {
            "Start": {
                "The question": "index.md",
                "In two minutes": "start.md",
                "How to read a report": "report.md",
                "The demo": "demo.md",
                "Networks to take away": "export.md",
                "A notebook": "notebooks/ae_attack.md",
            },
            "Tutorials": {
                "Your own images": "tutorials/images.md",
                "Your own model": "tutorials/model.md",
                "Your own attack": "tutorials/attack.md",
                "Your own transformation": "tutorials/transformation.md",
                "In CI": "tutorials/ci.md",
                "On a cluster": "tutorials/cluster.md",
            },
            "Attacks": {"Which one when": "attacks.md", **_ladder()},
            "Defences": {
                "Recipes": "recipes.md",
                "Training": {name: f"defences/{name}.md" for name in catalog.names("defences")},
            },
            "Trust": {
                "What a number means": "trust.md",
                "The audit": "audit.md",
                "Intervals": "statistics.md",
                "Bounds": "bounds.md",
            },
            "Findings": {
                "What was found": "findings.md",
                "Benchmarks": "benchmarks.md",
                "Speed": "speed.md",
                "How far it scales": "scale.md",
            },
            "Reference": {
                "Networks of your own": "networks.md",
                "On the command line": "commands.md",
                "Data of a run": "data.md",
                "Commands": "reference/commands.md",
                "Study files": "reference/studies.md",
                "Transformations": "reference/transformations.md",
                **{SETS[one][1]: address(SETS[one][1]) for one in SETS if one not in PAGED},
                "Python": {
                    "unfooled": "reference/python.md",
                    **{heading: address(f"python {heading}") for heading in MODULES},
                },
            },
            "Project": {
                "How it is built": "project/architecture.md",
                "Conventions": "project/conventions.md",
                "Contributing": "project/contributing.md",
                "Security": "project/security.md",
                "How it is measured": "project/benchmarks.md",
                "Changes": "project/changelog.md",
            },
        },
        folder,
    )


def toml(tree: Tree) -> str:
    """The menu as zensical reads it."""
    parts = []
    for name, found in tree.items():
        value = toml(found) if isinstance(found, dict) else f'"{found}"'
        parts.append(f'{{ "{name}" = {value} }}')
    return f"[{', '.join(parts)}]"


def pages(tree: Mapping[str, Any]) -> Iterator[str]:
    """Every page of the menu."""
    for found in tree.values():
        if isinstance(found, str):
            yield found
        else:
            yield from pages(found)


def _ladder() -> Tree:
    """The attacks by what they know."""
    rungs: Tree = {}
    for rung in guide.ladder():
        rungs.setdefault(_KNOWS[rung.knows], {})[rung.name] = f"attacks/{rung.name}.md"
    return rungs


def _there(tree: Tree, folder: Path) -> Tree:
    kept: Tree = {}
    for name, found in tree.items():
        one = _there(found, folder) if isinstance(found, dict) else found
        if one if isinstance(one, dict) else (folder / one).is_file():
            kept[name] = one
    return kept
