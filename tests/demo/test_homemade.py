from pathlib import Path

import pytest

from unfooled.demo import homemade
from unfooled.recipe import Recipe
from unfooled.study import Study


@pytest.fixture
def _two_quick_recipes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = homemade.small()

    def small() -> Study:
        from dataclasses import replace

        quick = [replace(one, plan=replace(one.plan, epochs=1)) for one in whole.recipes]
        return replace(whole, recipes=(quick[0], quick[4]))

    monkeypatch.setattr(homemade, "small", small)
    monkeypatch.setattr("unfooled.idx.cache_folder", lambda: tmp_path)


def test_it_is_five_recipes_with_both_controls() -> None:
    recipes: tuple[Recipe, ...] = homemade.small().recipes
    assert [one.control for one in recipes] == ["", "", "", "positive", "sham"]
    assert {one.plan.epochs for one in recipes} == {homemade._EPOCHS}


@pytest.mark.usefixtures("_two_quick_recipes")
def test_networks_are_trained_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[float, str]] = []
    game = homemade.homemade(lambda *one: told.append(one), device="cpu")
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert (shares[0], told[-1]) == (0.0, (1.0, "ready"))
    assert [one.name for one in game.players] == ["plain", "sham"]
    assert game.eps_max == 0.3
    kept = sorted(tmp_path.rglob("*.safetensors"))
    assert [one.stem for one in kept] == ["plain", "sham"]
    kept[0].write_bytes(b"damaged")
    trained: list[str] = []
    train = homemade.training.train

    def counted(model: str, data: object, recipe: Recipe, *rest: object, **how: object) -> object:
        trained.append(recipe.name)
        return train(model, data, recipe, *rest, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(homemade.training, "train", counted)
    homemade.homemade(lambda *_: None, device="cpu")
    assert trained == ["plain"]


@pytest.mark.usefixtures("_two_quick_recipes")
def test_where_nothing_can_be_kept_it_is_trained_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setattr("unfooled.idx.cache_folder", lambda: blocked)
    assert len(homemade.homemade(lambda *_: None, device="cpu").players) == 2
