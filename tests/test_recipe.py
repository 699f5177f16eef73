import pickle

from unfooled.recipe import Plan, Recipe


def test_a_recipe_by_default_trains_as_everybody_does() -> None:
    recipe = Recipe("plain", "Plain")
    assert recipe.transforms == ()
    assert recipe.defence == ("standard", {})
    assert recipe.plan == Plan()
    assert recipe.control == ""


def test_a_recipe_can_be_sent_to_a_worker() -> None:
    recipe = Recipe("plain", "Plain")
    assert pickle.loads(pickle.dumps(recipe)) == recipe
