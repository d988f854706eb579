"""Medians, ratios, winners, and the power with which a cost grows."""

import numpy as np
import pytest

from tools.benchmarks import spread


def test_medians_and_their_ratio():
    found = spread.contest([(1.0, 2.0), (10.0, 4.0), (3.0, 5.0)], more_is_better=False)
    assert found == spread.Contest(3.0, 4.0, 0.75, 0.5, 2.5, 3, "neither")


def test_an_even_number_of_runs_has_its_median_between_two():
    found = spread.contest([(1.0, 4.0), (2.0, 6.0)], more_is_better=False)
    assert (found.ours, found.other, found.ratio) == (1.5, 5.0, 0.3)
    assert found.winner == "too few"


@pytest.mark.parametrize(
    ("pairs", "more_is_better", "winner"),
    [
        ([(1.0, 2.0), (1.9, 2.0), (1.5, 2.0)], False, "ours"),
        ([(1.0, 2.0), (1.9, 2.0), (1.5, 2.0)], True, "other"),
        ([(3.0, 2.0), (2.1, 2.0), (2.5, 2.0)], False, "other"),
        ([(3.0, 2.0), (2.1, 2.0), (2.5, 2.0)], True, "ours"),
        ([(1.0, 2.0), (2.1, 2.0), (1.5, 2.0)], False, "neither"),
        ([(1.0, 2.0), (2.0, 2.0), (1.5, 2.0)], False, "neither"),
    ],
)
def test_the_winner_is_ahead_in_every_pair(pairs, more_is_better, winner):
    assert spread.contest(pairs, more_is_better).winner == winner


def test_nothing_to_compare():
    with pytest.raises(ValueError, match="at least one pair"):
        spread.contest([], True)


@pytest.mark.parametrize("pair", [(float("nan"), 1.0), (1.0, float("inf"))])
def test_measurements_that_are_not_finite(pair):
    with pytest.raises(ValueError, match="Expected finite measurements, found"):
        spread.contest([(1.0, 1.0), pair], True)


@pytest.mark.parametrize(
    ("pairs", "winner"),
    [
        ([(-2.0, -3.0), (-1.0, -1.5), (0.5, 0.0)], "ours"),
        ([(-3.0, -2.0), (-1.5, -1.0), (0.0, 0.5)], "other"),
        ([(-3.0, -2.0), (1.0, -1.0), (0.0, 0.5)], "neither"),
        ([(0.0, 1.0)], "too few"),
    ],
)
def test_rewards_below_zero_have_a_winner_and_no_ratio(pairs, winner):
    found = spread.contest(pairs, more_is_better=True)
    assert (found.ratio, found.low, found.high, found.winner) == (None, None, None, winner)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_the_power_of_the_size(power):
    sizes = [10, 100, 1000, 10_000]
    assert spread.exponent(sizes, [3.0 * size**power for size in sizes]) == pytest.approx(power)


def test_fixed_costs_do_not_hide_the_growth():
    sizes = [1, 10, 100, 1000, 2000]
    costs = [1000 + size**2 for size in sizes]
    slope, _ = np.polyfit(np.log(sizes[2:]), np.log(costs[2:]), 1)
    assert spread.exponent(sizes, costs) == pytest.approx(slope)
    assert slope > 1.9


def test_sizes_may_come_in_any_order():
    assert spread.exponent([100, 1, 10], [100.0, 1.0, 10.0]) == pytest.approx(1)


@pytest.mark.parametrize("sizes", [[1], [5, 5]])
def test_one_size_has_no_exponent(sizes):
    with pytest.raises(ValueError, match="two different sizes"):
        spread.exponent(sizes, [1.0] * len(sizes))
