"""How a tuning job chooses hyperparameters: ranges, scales, strategies."""

import math
from statistics import median

import pytest

from sagemaker_local.tuning.sampler import Range, Tried, choose, combinations, read_ranges

RATE = Range("rate", "Continuous", 1e-5, 1e-2, "Logarithmic")
GAMMA = Range("gamma", "Continuous", 0.9, 0.9999, "ReverseLogarithmic")


def draw(count, *ranges, strategy="Random", seed=0, maximise=True, score=lambda tuned: 0.0):
    tried = []
    for _ in range(count):
        tuned = choose(strategy, ranges, tried, seed=seed, maximise=maximise)
        tried.append(Tried(tuned, score(tuned)))
    return [one.hyperparameters for one in tried]


@pytest.mark.parametrize(
    ("one", "scale"),
    [
        (Range("r", "Continuous", 1e-5, 1e-3), "Logarithmic"),
        (Range("r", "Continuous", 1e-3, 5e-2), "Linear"),
        (Range("r", "Continuous", 0.0, 1e-2), "Linear"),
        (Range("r", "Continuous", 0.9, 0.9995), "ReverseLogarithmic"),
        (Range("r", "Continuous", 0.9, 1.0), "Linear"),
        (Range("r", "Integer", 10, 1000), "Logarithmic"),
        (Range("r", "Integer", 10, 999), "Linear"),
        (Range("r", "Integer", 10, 9999, "Linear"), "Linear"),
    ],
)
def test_auto_scale(one, scale):
    assert one.used_scale == scale


def test_each_scale_is_drawn_evenly():
    wide = Range("flat", "Continuous", 1e-5, 1e-2, "Linear")
    ranges = (RATE, GAMMA, wide, Range("size", "Integer", 1, 1000, "Logarithmic"))
    drawn = [choose("Random", ranges, [], seed=seed, maximise=True) for seed in range(200)]
    half = [median(float(one[name]) for one in drawn) for name in ("rate", "gamma", "flat", "size")]
    assert -4.0 < math.log10(half[0]) < -3.0  # the middle of the powers of ten is -3.5
    assert -3.0 < math.log10(1 - half[1]) < -2.0  # that of the distances from 1 is -2.5
    assert 0.004 < half[2] < 0.006
    assert 15 < half[3] < 65  # 31.6
    assert {one["size"] for one in drawn} > {"1", "2"}


@pytest.mark.parametrize("text", ["0.9", "0.9999", "0.95", "0.99990000000001"])
def test_values_survive_a_round_trip(text):
    low, high = sorted((1 - 0.9, 1 - 0.9999))
    assert low <= GAMMA.read(text) <= high
    assert float(GAMMA.write(GAMMA.read(text))) == pytest.approx(min(float(text), 0.9999), abs=1e-15)


def test_a_grid_has_every_combination_once():
    ranges = (Range("a", "Categorical", values=("1", "2", "3")), Range("b", "Categorical", values=("true", "false")))
    assert combinations(ranges) == 6
    outcomes = iter([None, math.nan, 1.0, 2.0, None, 3.0])  # running, failed and completed
    drawn = draw(6, *ranges, strategy="Grid", score=lambda _: next(outcomes))
    assert sorted((one["a"], one["b"]) for one in drawn) == [(a, b) for a in "123" for b in ("false", "true")]


def test_the_number_of_combinations():
    assert combinations([Range("a", "Integer", 3, 5), Range("b", "Categorical", values=("x", "y"))]) == 6
    assert combinations([Range("a", "Integer", 3, 5), RATE]) == math.inf


@pytest.mark.parametrize("maximise", [True, False])
def test_bayesian_search_comes_nearer_than_random(maximise):
    sign = 1 if maximise else -1

    def score(tuned):  # best at a learning rate of 0.001
        return -sign * abs(math.log10(float(tuned["rate"])) + 3)

    def distance(strategy, seed):
        drawn = draw(24, RATE, strategy=strategy, seed=seed, maximise=maximise, score=score)
        return sum(abs(score(tuned)) for tuned in drawn[12:])

    seeds = range(5)
    assert sum(distance("Bayesian", seed) for seed in seeds) < 0.7 * sum(distance("Random", seed) for seed in seeds)


def test_a_running_training_is_not_drawn_again():
    first = choose("Bayesian", [RATE], [], seed=1, maximise=True)
    second = choose("Bayesian", [RATE], [Tried(first, None)], seed=1, maximise=True)
    assert first != second


def test_ranges_are_read_from_a_request():
    given = {
        "IntegerParameterRanges": [{"Name": "size", "MinValue": "32", "MaxValue": "64"}],
        "ContinuousParameterRanges": [
            {"Name": "rate", "MinValue": "1.0E-5", "MaxValue": "0.01", "ScalingType": "Logarithmic"}
        ],
        "CategoricalParameterRanges": [{"Name": "normalize", "Values": ["true", "false"]}],
    }
    assert read_ranges(given) == [
        Range("size", "Integer", 32, 64),
        RATE,
        Range("normalize", "Categorical", values=("true", "false")),
    ]
    with pytest.raises(ValueError, match="invalid literal"):
        read_ranges({"IntegerParameterRanges": [{"Name": "size", "MinValue": "1.5", "MaxValue": "2"}]})
