import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from unfooled import statistics
from unfooled.statistics import Difference, Estimate, difference, holm, share, verdict


def chance(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def crossed(generator: np.random.Generator, seeds: int, images: int, shift: float) -> np.ndarray:
    """Outcomes with chance through seeds, images and both; `shift` moves all of them."""
    by_seed = generator.normal(0, 0.3, (seeds, 1))
    by_image = generator.normal(0, 1.2, (1, images))
    return by_seed + by_image + generator.normal(0, 1, (seeds, images)) + shift > 0


def test_the_mean_of_a_table_is_its_value() -> None:
    table = np.array([[True, True, False, True], [True, False, False, True]])
    found = share(table)
    assert (found.value, found.images, found.seeds) == (5 / 8, 4, 2)
    assert found.low < found.value < found.high


def test_the_two_way_variances_are_those_on_paper() -> None:
    # Rows 1 2 6 and 3 4 5: grand mean 3.5, row means 3 and 4, column means 2, 3 and 5.5.
    found = statistics._crossed(np.array([[1.0, 2.0, 6.0], [3.0, 4.0, 5.0]]))
    ms_seed, ms_image, ms_rest = 1.5, 6.5, 1.5
    assert found.value == 3.5
    assert found.by_seeds == pytest.approx(ms_seed / 6)
    assert found.by_images == pytest.approx((ms_image - ms_rest) / 6)
    half = math.sqrt(
        ms_seed / 6 * stats.t.ppf(0.975, 1) ** 2
        + (ms_image - ms_rest) / 6 * stats.t.ppf(0.975, 2) ** 2
    )
    assert found.half(0.95) == pytest.approx(half)


def test_with_one_seed_only_the_images_vary() -> None:
    values = np.array([[1.0, 2.0, 6.0, 7.0]])
    found = statistics._crossed(values)
    half = stats.t.ppf(0.975, 3) * values.std(ddof=1) / 2
    assert found.half(0.95) == pytest.approx(half)
    one, other = values > 0, values < 7
    assert statistics.difference(one, other).p == 1  # one seed cannot say anything about a recipe


def test_two_networks_themselves_are_compared_over_the_images() -> None:
    draws = np.random.default_rng(0)
    first, second = draws.random((1, 60)) < 0.5, draws.random((1, 60)) < 0.8
    found = statistics.between(first, second)
    paired = np.concatenate([(second.astype(float) - first)[0], [1.0, -1.0]])
    assert found.p == pytest.approx(stats.ttest_1samp(paired, 0).pvalue)
    assert found.estimate == statistics.difference(first, second).estimate
    assert statistics.ranked(found, found.p, 0.02) == "stands better"
    assert statistics.ranked(statistics.between(second, first), found.p, 0.02) == "stands worse"
    assert statistics.verdict(found, found.p, 0.02) == "cannot tell"
    same = statistics.between(np.ones((1, 900), bool), np.ones((1, 900), bool))
    assert statistics.ranked(same, same.p, 0.02) == "no difference"


def test_networks_that_all_agree_leave_the_chance_of_the_images() -> None:
    row = chance(0).random(400) < 0.7
    one, five = share(row[None]), share(np.tile(row, (5, 1)))
    assert five.low == pytest.approx(one.low, abs=1e-3)
    assert five.high == pytest.approx(one.high, abs=1e-3)


def test_images_that_are_all_alike_leave_the_chance_of_the_seeds() -> None:
    levels = np.array([0.2, 0.4, 0.6, 0.8])
    rows = [chance(i).permutation(10_000) < 10_000 * level for i, level in enumerate(levels)]
    half = stats.t.ppf(0.975, 3) * levels.std(ddof=1) / 2
    found = share(np.stack(rows))
    assert found.high - found.value == pytest.approx(half, rel=0.02)


@pytest.mark.parametrize("images", [100, 1000, 10_000])
@pytest.mark.parametrize("seeds", [1, 5])
def test_a_share_of_0_may_be_up_to_3_over_n(images: int, seeds: int) -> None:
    found = share(np.zeros((seeds, images), dtype=bool))
    assert found.value == found.low == 0
    assert found.high * images == pytest.approx(3, abs=0.15)
    whole = share(np.ones((seeds, images), dtype=bool))
    assert whole.value == whole.high == 1
    assert whole.low == pytest.approx(1 - found.high)


def test_an_interval_stays_between_0_and_1_and_holds_the_value() -> None:
    for seed in range(30):
        generator = chance(seed)
        shape = (int(generator.integers(1, 6)), int(generator.integers(1, 30)))
        found = share(generator.random(shape) < generator.random())
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_a_difference_is_the_second_less_the_first() -> None:
    first = np.array([[True, False, False, False]] * 3)
    second = np.array([[True, True, True, False]] * 3)
    assert difference(first, second).estimate.value == 0.5
    assert difference(second, first).estimate.value == -0.5


def test_turning_a_difference_round_turns_its_interval_round() -> None:
    generator = chance(0)
    first, second = (crossed(generator, 5, 200, shift) for shift in (0.0, 0.4))
    one, other = difference(first, second), difference(second, first)
    assert one.estimate.low == pytest.approx(-other.estimate.high)
    assert one.estimate.high == pytest.approx(-other.estimate.low)
    assert one.p == pytest.approx(other.p)
    assert one.detectable == pytest.approx(other.detectable)


def test_pairing_takes_out_what_both_share() -> None:
    table = chance(0).random((5, 300)) < 0.5
    better = table.copy()
    better[:, :20] = True
    assert difference(table, better).p < 0.01
    unpaired = share(table).high - share(table).low
    paired = difference(table, better).estimate
    assert paired.high - paired.low < 0.7 * unpaired


def test_equal_tables_differ_by_0_but_not_for_certain() -> None:
    table = chance(0).random((5, 1000)) < 0.7
    found = difference(table, table)
    assert found.estimate.value == 0
    assert found.estimate.low == pytest.approx(-found.estimate.high)
    assert 0.001 < found.estimate.high < 0.01
    assert found.p == 1


def test_one_seed_cannot_say_whether_recipes_differ() -> None:
    first, second = np.zeros((1, 500), dtype=bool), np.ones((1, 500), dtype=bool)
    found = difference(first, second)
    assert found.estimate.value == 1
    assert found.p == 1
    assert verdict(found, found.p, 0.02) == statistics.CANNOT_TELL


def test_a_sure_difference_has_a_p_that_is_small_but_not_0() -> None:
    found = difference(np.zeros((5, 5000), dtype=bool), np.ones((5, 5000), dtype=bool))
    assert 0 < found.p < 1e-9


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_p_is_below_5_percent_exactly_where_the_interval_excludes_0(seeds: int) -> None:
    below = above = 0
    for seed in range(60):
        generator = chance(seed)
        first = crossed(generator, seeds, 80, 0.0)
        second = crossed(generator, seeds, 80, generator.normal(0, 0.6))
        found = difference(first, second)
        excludes = found.estimate.low > 0 or found.estimate.high < 0
        assert excludes == (found.p < 0.05)
        below, above = below + excludes, above + (not excludes)
    assert min(below, above) >= 1


def test_the_level_of_p_is_that_at_which_the_interval_ends_at_0() -> None:
    generator = chance(0)
    for seeds in (2, 5, 10):
        mean = statistics._crossed(generator.normal(0.1, 0.5, (seeds, 50)))
        assert 0 < mean.p() < 1
        assert mean.half(1 - mean.p()) == pytest.approx(abs(mean.value), rel=1e-6)


def test_what_is_detectable_is_found_in_80_of_100_studies() -> None:
    # Networks that all agree, on so many images that the mean is normal.
    better = np.tile(chance(0).random(40_000) < 0.1, (5, 1))
    deviation = better[0].std() / math.sqrt(better.shape[1])
    found = difference(np.zeros_like(better), better)
    assert found.detectable == pytest.approx((1.96 + 0.8416) * deviation, rel=0.005)


def test_more_seeds_and_more_images_tell_more() -> None:
    def detectable(seeds: int, images: int) -> float:
        generator = chance(3)
        first, second = (crossed(generator, seeds, images, 0.0) for _ in range(2))
        return difference(first, second).detectable

    assert detectable(10, 1000) < detectable(5, 1000) < detectable(3, 1000)
    assert detectable(5, 2000) < detectable(5, 100)


@pytest.mark.parametrize(
    ("given", "corrected"),
    [
        ([], []),
        ([0.03], [0.03]),
        # Sorted 0.01 0.02 0.04: times 3, 2, 1; never less than the one before.
        ([0.01, 0.04, 0.02], [0.03, 0.04, 0.04]),
        ([0.02, 0.025, 0.03], [0.06, 0.06, 0.06]),
        ([0.6, 0.9], [1.0, 1.0]),
    ],
)
def test_holms_correction_is_that_on_paper(given: list[float], corrected: list[float]) -> None:
    assert holm(given) == pytest.approx(corrected)


def test_holms_correction_is_that_of_statsmodels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gc.collect", lambda *_: 0)  # statsmodels collects garbage every time
    for seed in range(10):
        given = chance(seed).random(7) ** 3
        expected = multipletests(given, method="holm")[1]
        assert holm(given.tolist()) == pytest.approx(expected.tolist())


def test_correcting_collects_no_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gc.collect", lambda: pytest.fail("a report corrects hundreds of times"))
    holm([0.01, 0.04, 0.02])


def told(low: float, high: float, p: float, seeds: int = 5) -> str:
    value = (low + high) / 2
    found = Difference(Estimate(value, low, high, 1000, seeds), p, 0.03)
    return verdict(found, p, 0.02)


@pytest.mark.parametrize(
    ("low", "high", "p", "seeds", "expected"),
    [
        (0.05, 0.09, 0.001, 5, "helps"),
        (-0.09, -0.05, 0.001, 5, "hurts"),
        (0.001, 0.009, 0.01, 5, "no difference"),  # sure, but too small to matter
        (0.001, 0.025, 0.01, 5, "helps"),
        (-0.01, 0.019, 0.4, 5, "no difference"),
        (-0.02, 0.02, 1.0, 5, "no difference"),
        (-0.01, 0.021, 0.4, 5, "cannot tell"),
        (-0.021, 0.01, 0.4, 5, "cannot tell"),
        (0.01, 0.05, 0.06, 5, "cannot tell"),  # significant before Holm's correction only
        (0.05, 0.09, 0.001, 4, "cannot tell"),
        (-0.01, 0.01, 0.4, 4, "cannot tell"),
    ],
)
def test_the_verdict_follows_its_rules(
    low: float, high: float, p: float, seeds: int, expected: str
) -> None:
    assert told(low, high, p, seeds) == expected


@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_cover_the_truth_about_as_often_as_they_say(seeds: int) -> None:
    """A rough look; `benchmarks/coverage.py` measures it."""
    generator, covered, n = chance(seeds), {"share": 0, "difference": 0}, 300
    deviation = math.sqrt(0.3**2 + 1.2**2 + 1)
    first_truth = stats.norm.cdf(0.5 / deviation)
    truth = first_truth - stats.norm.cdf(0.2 / deviation)
    for _ in range(n):
        one, other = (crossed(generator, seeds, 100, shift) for shift in (0.2, 0.5))
        found, apart = share(other), difference(one, other).estimate
        covered["share"] += found.low <= first_truth <= found.high
        covered["difference"] += apart.low <= truth <= apart.high
    assert 0.91 <= covered["share"] / n <= 1.0
    assert 0.91 <= covered["difference"] / n <= 1.0


def test_without_a_difference_few_studies_find_one() -> None:
    generator, found = chance(7), 0
    for _ in range(300):
        one, other = (crossed(generator, 5, 100, 0.3) for _ in range(2))
        found += difference(one, other).p < 0.05
    assert found / 300 <= 0.08
