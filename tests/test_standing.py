from dataclasses import replace
from functools import cache

import pytest
import torch
import toys

from unfooled.evaluating import evaluate
from unfooled.report import Report
from unfooled.standing import standing

pytestmark = pytest.mark.usefixtures("quick_studies")


@cache
def judged(count: int) -> Report:
    """So many networks, each with its plane a little farther off."""
    plane, images = toys.plane(), toys.pictures(24, low=0.3, high=0.7)
    labels = toys.read_by(plane, images)
    networks = {}
    for place in range(count):
        network = toys.plane()
        with torch.no_grad():
            network.offset += place * plane.margin(images).abs().median() / 2
        networks[f"n{place}"] = network
    return evaluate(networks, images, labels, eps=0.002, attacks=["pgd"])


def test_one_network_has_its_number() -> None:
    short, sentence = standing(judged(1).results)
    assert short.endswith("stand.")
    assert sentence.startswith("At Linf eps 0.002, over 24 images (95\N{NO-BREAK SPACE}% interval)")
    assert "n0" in sentence


def test_two_are_compared_and_more_are_counted() -> None:
    made = judged(5)
    short, sentence = standing(made.results)
    assert short == "n0 leads."
    assert "of 5 networks, from the best to the worst" in sentence
    pair = replace(made.results, recipes=(made.results.recipes[0], made.results.recipes[3]))
    assert "than" in standing(pair)[1]


@pytest.mark.parametrize(
    ("verdict", "short"),
    [
        ("no difference", "No difference."),
        ("stands better", "n1 stands better."),
        ("stands worse", "n0 stands best."),
        ("cannot tell", "Cannot tell."),
        ("not shown", "Cannot tell."),
    ],
)
def test_the_short_answer_follows_the_verdict(verdict: str, short: str) -> None:
    results = judged(2).results
    told = tuple(replace(one, verdict=verdict) for one in results.comparisons)
    assert standing(replace(results, comparisons=told))[0] == short
