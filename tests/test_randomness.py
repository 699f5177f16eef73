import pytest
import torch
from scipy import stats

from unfooled.randomness import Draws

LIKE = torch.empty(300, 2, 3)


def test_splitmix64_gives_its_published_first_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    # Seed 0 of the reference implementation: the state of an image is its own key, here 0.
    monkeypatch.setattr(Draws, "_keys", lambda self, ids: torch.zeros_like(ids))
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC]
    found = Draws(0).uniform(torch.empty(1, 4))[0].double()
    expected = torch.tensor([(2 * (word >> 41) + 1) / 2**24 for word in published])
    assert torch.equal(found, expected.double())


def test_uniform_numbers_are_uniform_and_exclude_both_ends() -> None:
    numbers = Draws(0).uniform(torch.empty(200, 500))
    assert 0 < float(numbers.min()) < float(numbers.max()) < 1
    assert stats.kstest(numbers.flatten().double().numpy(), "uniform").pvalue > 0.01


def test_normal_numbers_are_normal_and_finite() -> None:
    numbers = Draws(0).normal(torch.empty(200, 500))
    assert bool(numbers.isfinite().all())
    assert stats.kstest(numbers.flatten().double().numpy(), "norm").pvalue > 0.01


def test_signs_are_fair_coins_and_independent_within_a_word_and_between_words() -> None:
    signs = Draws(0).signs(torch.empty(500, 3, 50))
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(signs.mean())) < 4 / signs.numel() ** 0.5
    flat = signs.flatten(1)
    for lag in (1, 2, 8, 63, 64, 65):
        assert abs(float((flat[:, lag:] * flat[:, :-lag]).mean())) < 4 / flat.numel() ** 0.5
    assert abs(float((flat[1:] * flat[:-1]).mean())) < 4 / flat.numel() ** 0.5


@pytest.mark.parametrize("shape", [(3, 1), (3, 63), (3, 64), (3, 65), (3, 1, 8, 8)])
def test_signs_come_in_the_shape_and_kind_that_is_asked_for(shape: tuple[int, ...]) -> None:
    for dtype in (torch.float32, torch.float64):
        signs = Draws(0).signs(torch.empty(shape, dtype=dtype))
        assert signs.shape == shape
        assert signs.dtype == dtype
        assert (signs.abs() == 1).all()


def test_numbers_do_not_depend_on_how_many_follow_them() -> None:
    for draw in (Draws(0).uniform, Draws(0).signs):
        few, many = draw(torch.empty(5, 100)), draw(torch.empty(5, 130))
        assert torch.equal(few, many[:, :100])


@pytest.mark.parametrize("draw", ["uniform", "normal", "signs"])
def test_numbers_belong_to_the_image_and_not_to_its_batch(draw: str) -> None:
    ids = torch.tensor([7, 3, 99999])
    together = getattr(Draws(1, "p", ids), draw)(LIKE[:3])
    alone = getattr(Draws(1, "p", ids[2:]), draw)(LIKE[:1])
    turned = getattr(Draws(1, "p", ids.flip(0)), draw)(LIKE[:3])
    assert torch.equal(together[2:], alone)
    assert torch.equal(together.flip(0), turned)


@pytest.mark.parametrize(
    "other",
    [Draws(1, "p"), Draws(0, "q"), Draws(0, "p").step("more"), Draws(0, "p").step(0)],
    ids=["seed", "purpose", "step", "number"],
)
def test_seeds_purposes_and_steps_are_independent(other: Draws) -> None:
    one, two = Draws(0, "p").uniform(LIKE), other.uniform(LIKE)
    assert not torch.equal(one, two)
    assert abs(float(torch.corrcoef(torch.stack([one.flatten(), two.flatten()]))[0, 1])) < 0.08


def test_neighbouring_images_are_independent() -> None:
    numbers = Draws(0).uniform(torch.empty(20000, 1)).flatten()
    assert abs(float(torch.corrcoef(torch.stack([numbers[1:], numbers[:-1]]))[0, 1])) < 0.03


def test_places_keep_the_numbers_of_the_images_there_in_their_order() -> None:
    places = torch.tensor([7, 3, 7])
    for draws in (Draws(0), Draws(0).at(torch.arange(len(LIKE)) + 50)):
        kept = draws.keep(places).uniform(LIKE[places])
        assert torch.equal(kept, draws.uniform(LIKE)[places])


def test_without_ids_the_images_of_a_batch_are_numbered_from_0() -> None:
    assert torch.equal(Draws(0).uniform(LIKE), Draws(0, ids=torch.arange(len(LIKE))).uniform(LIKE))


def test_keep_gives_the_kept_images_their_own_numbers() -> None:
    mask = torch.arange(len(LIKE)) % 3 == 0
    for draws in (Draws(0), Draws(0).at(torch.arange(len(LIKE)) + 50)):
        assert torch.equal(draws.keep(mask).uniform(LIKE[mask]), draws.uniform(LIKE)[mask])


def test_an_order_holds_every_number_once_and_depends_on_the_seed() -> None:
    order = Draws(0).order(1000)
    assert torch.equal(order.sort().values, torch.arange(1000))
    assert not torch.equal(order, Draws(1).order(1000))
    assert torch.equal(order, Draws(0).order(1000))


def test_a_number_is_never_negative() -> None:
    numbers = [Draws(seed).number() for seed in range(50)]
    assert min(numbers) >= 0
    assert len(set(numbers)) == 50


def test_torch_state_is_set_by_purpose_and_image_and_put_back() -> None:
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), Draws(0).torch_state():
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), before)
    with Draws(0).torch_state():
        first = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    with Draws(0).torch_state():
        assert torch.equal(torch.rand(3), first)
    with Draws(0).torch_state(image=1):
        assert not torch.equal(torch.rand(3), first)
