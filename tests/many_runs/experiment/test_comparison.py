"""Numbers that say whether one setting is better than another, against rliable's and against what they must be."""

import numpy as np
import pytest
from scipy.stats import t

from many_runs import experiment
from many_runs.experiment.comparison import improvement
from training_jobs import TrainingError

X, Y = [81.2, 77.5, 90.1], [70.3, 79.9, 68.8]
TIES_X, TIES_Y = [1.0, 2.0, 2.0, 4.0, 5.0], [2.0, 2.0, 3.0, 0.0, 1.0]


def compare(first, second, **more):
    scores = {"old": dict(enumerate(first)), "new": dict(enumerate(second))}
    return experiment.compare(scores, **more)


@pytest.mark.parametrize(
    "better, than, probability, low, high",
    [  # metrics.probability_of_improvement and library.get_interval_estimates (20,000 resamples) of rliable 1.2.0
        (X, Y, 8 / 9, 5 / 9, 1.0),
        (TIES_X, TIES_Y, 0.7, 0.34, 0.96),
    ],
)
def test_the_probability_of_improvement_is_rliables(better, than, probability, low, high):
    found = compare(than, better)
    assert found.probability == pytest.approx(probability, abs=1e-12)
    assert found.probability_interval == pytest.approx((low, high), abs=0.021)  # one of 50 steps that it can take


def test_probability_of_improvement():
    assert improvement(np.array([1.0, 2.0]), np.array([0.0, 0.5])) == 1
    assert improvement(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0.5
    assert improvement(np.array([0.0]), np.array([1.0, 2.0, -1.0])) == pytest.approx(1 / 3)
    many = improvement(np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[0.0, 0.5], [1.0, 1.0]]))
    assert many.tolist() == [1.0, 0.0]


def test_difference_and_its_intervals():
    found = compare(Y, X)
    assert found.counts == (3, 3)
    assert found.means == pytest.approx((73.0, 82.9333333))
    assert found.difference == pytest.approx(9.9333333)
    parts = [np.var(scores, ddof=1) / 3 for scores in (X, Y)]  # by hand
    freedom = sum(parts) ** 2 / sum(part**2 / 2 for part in parts)
    half = t.ppf(0.975, freedom) * np.sqrt(sum(parts))
    assert found.welch == pytest.approx((found.difference - half, found.difference + half))
    low, high = found.bootstrap
    assert min(X) - max(Y) < low < found.difference < high < max(X) - min(Y)
    assert compare(X, Y).difference == -found.difference


def test_results_are_reproducible():
    assert compare(Y, X) == compare(Y, X)


def test_three_runs_each_that_differ_a_little_are_undecided():
    assert compare(Y, X).verdict.startswith("Undecided: one interval of the difference excludes 0, the other does not.")


def test_few_runs_get_a_warning():
    assert (
        "3 and 3 runs are few: chance alone puts every run of one above every run of the other once in 10"
        in compare(Y, X).verdict
    )
    assert (
        "2 and 3 runs are few: chance alone puts every run of one above every run of the other once in 5"
        in compare([1, 2], X).verdict
    )
    assert "few" not in compare(range(5), range(5)).verdict


def test_a_clear_difference():
    rng = np.random.default_rng(0)
    low, high = rng.normal(10, 1, 10), rng.normal(20, 1, 10)
    assert compare(low, high).verdict == "new is better than old: both intervals of the difference exclude 0."
    assert compare(high, low).verdict == "old is better than new: both intervals of the difference exclude 0."


def test_no_difference():
    rng = np.random.default_rng(1)
    found = compare(rng.normal(10, 1, 10), rng.normal(10, 1, 10))
    assert found.verdict == "No difference is shown: it may be 0. That does not mean that there is none."


def test_coverage_of_intervals():
    """Of 95 % intervals by Welch about 95 hold the truth with three runs; those by bootstrap are too narrow, as is said."""
    rng = np.random.default_rng(2)
    found = [compare(rng.normal(0, 1, 3), rng.normal(1, 1, 3)) for _ in range(200)]
    welch = np.mean([one.welch[0] <= 1 <= one.welch[1] for one in found])
    bootstrap = np.mean([one.bootstrap[0] <= 1 <= one.bootstrap[1] for one in found])
    assert 0.91 <= welch <= 1
    assert 0.6 <= bootstrap < 0.9


def test_one_run_allows_no_conclusion():
    found = compare([1.0], [2.0, 3.0])
    assert (found.bootstrap, found.welch, found.probability_interval) == (None, None, None)
    assert found.difference == 1.5
    assert found.verdict.startswith("With 1 run of a setting there is no conclusion")
    assert "needs 2 runs of each" in str(found)


def test_runs_with_equal_scores():
    found = compare([5.0, 5.0, 5.0], [7.0, 7.0, 7.0])
    assert found.welch == found.bootstrap == (2.0, 2.0)
    assert found.probability_interval == (1.0, 1.0)


def test_the_two_settings_can_be_chosen():
    scores = {"a": {1: 1.0, 2: 2.0}, "b": {1: 2.0, 2: 3.0}, "c": {1: 5.0, 2: 6.0}}
    assert (found := experiment.compare(scores)).baseline + found.other == "ab"
    assert (found := experiment.compare(scores, other="c")).baseline + found.other == "ac"
    assert (found := experiment.compare(scores, "c")).baseline + found.other == "ca"
    assert experiment.compare(scores, "b", "c").difference == 3
    assert (found := experiment.compare(scores, other="a")).baseline + found.other == "ba"
    with pytest.raises(TrainingError, match="Expected two settings to compare, found a twice."):
        experiment.compare(scores, "a", "a")


def test_settings_that_are_not_compared_are_named():
    scores = {"a": {1: 1.0, 2: 2.0}, "b": {1: 2.0, 2: 3.0}, "c": {1: 5.0, 2: 6.0}, "d": {1: 5.0, 2: 6.0}}
    note = "Not compared: c, d. Two settings are compared at a time; choose them with baseline='a', other='c'."
    assert str(experiment.compare(scores)).splitlines()[-1] == note
    assert "Not compared: c, d." in experiment.compare(scores)._repr_html_()
    assert "Not compared" not in str(experiment.compare(scores, "a", "b"))
    assert "Not compared" not in str(experiment.compare({"a": scores["a"], "b": scores["b"]}))


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_scores_that_are_not_numbers(score):
    with pytest.raises(TrainingError, match=f"Expected scores that are numbers, found {score} for b, seed 2."):
        experiment.compare({"a": {1: 1.0}, "b": {1: 1.0, 2: score}})


@pytest.mark.filterwarnings("error")
def test_equal_scores_cause_no_warning():
    low, high = compare([5.0, 5.0, 5.0], [7.0, 8.0, 7.0]).welch
    freedom, error = 2, np.std([7.0, 8.0, 7.0], ddof=1) / np.sqrt(3)
    assert (low, high) == pytest.approx((7 / 3 - t.ppf(0.975, freedom) * error, 7 / 3 + t.ppf(0.975, freedom) * error))


@pytest.mark.parametrize(
    "scores, message", [({}, "two settings"), ({"a": {1: 1.0}}, "two settings"), ({"a": {1: 1.0}, "b": {}}, "b")]
)
def test_missing_scores_are_reported_with_the_runs_left_out(scores, message):
    with pytest.raises(TrainingError) as caught:
        experiment.compare(scores, left_out=["b, seed 1: Failed, out of memory"])
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"Expected scores of {message}, found those of ")
    assert second == "b, seed 1: Failed, out of memory"


def test_an_unknown_setting_is_named():
    with pytest.raises(TrainingError, match="Expected scores of Z, found those of a, b."):
        experiment.compare({"a": {1: 1.0}, "b": {1: 2.0}}, "a", "Z")


def test_what_is_shown():
    found = compare(Y, X, left_out=["<b>, seed 4: Failed"])
    assert str(found).splitlines()[-1] == "Left out: <b>, seed 4: Failed"
    assert "probability that new improves  0.89" in str(found)
    assert "<p>Left out: &lt;b&gt;, seed 4: Failed</p>" in found._repr_html_()
    assert found._repr_html_().count("<tr>") == 6
