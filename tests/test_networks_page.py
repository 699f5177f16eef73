"""docs/networks.md and docs/trust.md: what they show works, and what they point to is there."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {
    name: (DOCS / f"{name}.md").read_text() for name in ("networks", "trust", "audit", "bounds")
}
ADDRESSES = [
    (name, address)
    for name, page in PAGES.items()
    for address in re.findall(r"\]\((?!http)([^)]+)\)", page)
]


def test_the_python_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = re.findall(r"```python\n(.*?)```", PAGES["networks"], re.DOTALL)
    exec(compile(first, "networks.md", "exec"), {})
    assert "At Linf eps 0.02, over 64 images" in capsys.readouterr().out
    assert (tmp_path / "runs" / "mine" / "report" / "results.html").exists()
    exec(compile(second, "networks.md", "exec"), {})


@pytest.mark.parametrize(("name", "address"), ADDRESSES)
def test_every_place_that_a_page_points_to_is_there(name: str, address: str) -> None:
    file, _, anchor = address.partition("#")
    path = DOCS / file if file else DOCS / f"{name}.md"
    assert path.exists()
    heads = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
    assert not anchor or anchor in slugs
