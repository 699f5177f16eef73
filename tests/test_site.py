"""The site has a page for everything, in its menu, and points to nothing that is not there."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import cells
import docstrings
import formulas
import make
import members
import navigation
import pages
import pytest
import sources

from unfooled import catalog

MEMBERS = [(of, name) for of in members.PAGED for name in catalog.names(of)]


@pytest.fixture(scope="module")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pages, without pictures."""
    folder = tmp_path_factory.mktemp("pages")
    make.assembled(folder, lambda of, name, target: "")
    return folder


@pytest.mark.parametrize(("of", "name"), MEMBERS)
def test_every_attack_and_defence_has_its_page(assembled: Path, of: str, name: str) -> None:
    formula = (pages.ROOT / members.written(of, name)).read_text()
    assert re.match(r"# .+\n\n\$\$\n", formula), "a heading, and a formula below it"
    page = (assembled / of / f"{name}.md").read_text()
    said = docstrings.told(catalog.function(of, name))
    assert "<math " in page
    assert said.source[1:] in page
    assert set(re.findall(r"^\| `(\w+)` \| `", page, re.MULTILINE)) == set(
        catalog.options(catalog.function(of, name), members.GIVEN[of])
    )


def test_no_page_is_left_of_an_attack_or_defence_that_is_gone() -> None:
    written = {(path.parent.name, path.stem) for of in members.PAGED for path in docs_of(of)}
    assert written == set(MEMBERS)


def docs_of(folder: str) -> list[Path]:
    return list((pages.ROOT / "docs" / folder).glob("*.md"))


@pytest.mark.parametrize("name", catalog.names("attacks"))
def test_every_attack_says_when_to_take_it(name: str) -> None:
    assert members.when(name, sources.Sources.found())


@pytest.mark.parametrize("name", catalog.names("defences"))
def test_every_defence_stands_among_the_recipes(name: str) -> None:
    assert f"| [`{name}`](defences/{name}.md) |" in (pages.ROOT / "docs/recipes.md").read_text()


def test_the_menu_has_every_page_once(assembled: Path) -> None:
    listed = list(navigation.pages(navigation.tree(assembled)))
    made = {path.relative_to(assembled).as_posix() for path in assembled.rglob("*.md")}
    assert sorted(listed) == sorted(made)


def test_options_and_errors_are_described(assembled: Path) -> None:
    for of, name in MEMBERS:
        said = docstrings.told(catalog.function(of, name))
        assert set(catalog.options(catalog.function(of, name), members.GIVEN[of])) <= {
            *said.options
        }


def test_a_formula_is_well_formed_and_can_be_read_out() -> None:
    made = formulas.with_formulas("at $x_1$ and\n\n$$\n\\frac{a}{b}\n$$\n\nfor $5 or $6")
    assert made.count("<math ") == 2
    assert made.endswith("for $5 or $6")
    inline = ElementTree.fromstring(made.partition("at ")[2].partition(" and")[0])
    formula = inline[0]
    assert formula.get("alttext") == "x_1"


def test_a_link_leads_to_where_the_page_is_in_the_site() -> None:
    found = sources.Sources.found()
    links = "[a](../src/unfooled/attacks/pgd.py) [b](../studies/mnist.toml)"
    text = f"{links} `[c](d)` ![e](figures/curves.svg)"
    assert found.adapted(text, "docs/attacks.md", "attacks.md") == (
        "[a](attacks/pgd.md) [b](reference/studies.md#mnist) `[c](d)` ![e](figures/curves.svg)"
    )
    assert found.assets == {"docs/figures/curves.svg": "figures/curves.svg"}


def test_a_notebook_is_shown_as_it_was_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "ROOT", tmp_path)
    shown = [
        {"output_type": "stream", "text": ["two\n", "lines\n"]},
        {"data": {"image/png": "aGVsbG8=", "text/plain": "<Figure of a digit>"}},
        {"data": {"text/html": "<p>\n\n<b>bold</b></p>", "text/plain": "bold"}},
    ]
    written = [
        {"cell_type": "markdown", "source": ["# Title\n", "At $x_1$."]},
        {"cell_type": "code", "source": "print(1)", "outputs": shown},
    ]
    (tmp_path / "own.ipynb").write_text(json.dumps({"cells": written}))
    found = sources.Sources({"own.ipynb": "notebooks/own.md"})
    page = cells.page("own.ipynb", found, tmp_path / "pages")
    assert page.startswith("# Title\nAt <span><math ")
    assert "```python\nprint(1)\n```\n\n```text\ntwo\nlines\n```" in page
    assert "![Figure of a digit](own-1-1.png)" in page
    assert (tmp_path / "pages" / "own-1-1.png").read_bytes() == b"hello"
    assert "<div class='output'>\n<p>\n<b>bold</b></p>\n</div>" in page


def test_a_link_to_nowhere_and_a_section_that_is_gone_are_errors() -> None:
    found = sources.Sources.found()
    with pytest.raises(sources.Broken, match=r"docs/attacks\.md points to gone\.md, which is not"):
        found.adapted("[gone](gone.md)", "docs/attacks.md", "attacks.md")
    with pytest.raises(sources.Broken, match=r"README\.md has no heading 'Gone'"):
        sources.section("README.md", "Gone")


def test_what_is_for_readers_elsewhere_gives_way_to_the_section_itself() -> None:
    text = "<!-- include README.md: A study file -->\n[there](README.md)\n<!-- /include -->\nend"
    adapted = sources.Sources.found().adapted(text, "docs/attacks.md", "attacks.md")
    assert adapted.startswith("```toml\nquestion = ")
    assert adapted.endswith("\nend")
    assert "there" not in adapted.splitlines()[-2:]
