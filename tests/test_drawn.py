"""Every draw is of the distribution that it says, and belongs to an image's id."""

from types import SimpleNamespace

import pytest
import torch
from blobs import ENOUGH, uniform
from scipy import stats

from unfooled import drawn
from unfooled.randomness import Draws

MANY = torch.zeros(4000, 1, 2, 2)


def test_a_uniform_number_stays_between_its_bounds() -> None:
    values = drawn.between((2, 3), "x", MANY, Draws(0))
    assert uniform(values.double().numpy(), 2, 3) > ENOUGH


def test_two_names_are_independent_and_so_are_several_numbers() -> None:
    one, other = (drawn.between((0, 1), name, MANY, Draws(0)) for name in "ab")
    assert abs(stats.pearsonr(one, other).statistic) < 0.06
    pair = drawn.several((0, 1), 2, "pair", MANY, Draws(0))
    assert abs(stats.pearsonr(*pair.T).statistic) < 0.06


@pytest.mark.parametrize("choices", [1, 2, 7, 28])
def test_every_whole_number_is_as_frequent(choices: int) -> None:
    values = drawn.whole(choices, "x", MANY, Draws(0))
    counts = values.bincount(minlength=choices)
    assert len(counts) == choices
    assert choices == 1 or stats.chisquare(counts).pvalue > ENOUGH


def test_each_image_can_have_as_many_choices_as_it_likes() -> None:
    choices = torch.arange(4000) % 5 + 1
    values = drawn.whole(choices, "x", MANY, Draws(0))
    assert bool(((values >= 0) & (values < choices)).all())
    assert stats.chisquare(values[choices == 5].bincount()).pvalue > ENOUGH


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_betas_are_betas(alpha: float) -> None:
    values = drawn.beta(alpha, "x", MANY, Draws(0)).double().numpy()
    assert stats.kstest(values, "beta", args=(alpha, alpha)).pvalue > ENOUGH


@pytest.mark.parametrize("alpha", [0.01, 0.5, 1.0, 4.0])
def test_shares_add_up_and_each_is_a_beta(alpha: float) -> None:
    shares = drawn.dirichlet(alpha, 3, "x", MANY, Draws(0))
    torch.testing.assert_close(shares.sum(1), torch.ones(len(MANY)))
    if alpha > 0.1:  # below, float32 rounds too much of the distribution to 0 and to 1
        for column in shares.double().numpy().T:
            assert stats.kstest(column, "beta", args=(alpha, 2 * alpha)).pvalue > ENOUGH


def test_some_images_are_changed_and_the_others_are_not() -> None:
    half = drawn.sometimes(lambda made, images, draws: images + 1)
    changed = half(SimpleNamespace(p=0.3), MANY, Draws(0))
    assert set(changed.unique().tolist()) == {0, 1}
    assert float(changed.mean()) == pytest.approx(0.3, abs=0.03)


def test_an_image_that_is_changed_keeps_its_own_draws() -> None:
    def form(made, images, draws):
        return images + drawn.between((0, 1), "x", images, draws)[:, None, None, None]

    ids = torch.tensor([5, 900, 3, 4, 77, 12, 8, 6])
    draws = Draws(0, "p", ids)
    always = form(None, MANY[:8], draws)
    changed = drawn.sometimes(form)(SimpleNamespace(p=0.5), MANY[:8], draws)
    chosen = (changed != 0).flatten(1).any(1)
    assert 0 < int(chosen.sum()) < 8
    assert torch.equal(changed[chosen], always[chosen])
