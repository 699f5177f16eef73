"""docs/attacks.md names every attack where it belongs."""

import inspect
import re
from pathlib import Path

import pytest

from unfooled import attack, catalog, targets

PAGE = (Path(__file__).parents[1] / "docs" / "attacks.md").read_text()
SECTIONS = {
    "gradients": "## White box: the whole network",
    "scores": "## Black box: scores",
    "decisions": "## Black box: decisions",
    "nothing": "## Without asking",
}


@pytest.mark.parametrize("name", catalog.names("attacks"))
def test_every_attack_stands_where_it_belongs_with_its_promise_and_source(name: str) -> None:
    found = attack.find(name)
    section = PAGE.partition(SECTIONS[found.knows])[2].partition("\n## ")[0]
    head = f"**[`{name}`](attacks/{name}.md)** ({found.promise})"
    entry = section.partition(head)[2].partition("\n**[`")[0]
    assert entry, f"{name} is not under {SECTIONS[found.knows]!r} as {found.promise}"
    sources = re.findall(r"https://arxiv\.org/abs/[\d.]+\d", inspect.getdoc(found.function) or "")
    assert not sources or any(source in entry for source in sources)


@pytest.mark.parametrize("name", targets.names())
def test_every_way_to_choose_targets_is_named(name: str) -> None:
    assert f"| `{name}` |" in PAGE
