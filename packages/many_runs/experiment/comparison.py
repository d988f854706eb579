"""Whether one setting is better than another, from a few runs of each.

The difference of the means comes with two 95 % intervals: SciPy's percentile bootstrap over runs, and Welch's, which
takes the runs for draws from normal distributions and is the wider one with few runs
(https://arxiv.org/abs/1806.08295 compares both). The probability of improvement is that of a run of one setting being
better than a run of the other, ties counted half: the Mann-Whitney statistic over the number of pairs, as in rliable
(https://arxiv.org/abs/2108.13264, https://github.com/google-research/rliable). Their interval is a percentile
bootstrap there and here.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.findings import Tabular
from training_jobs.job import TrainingError

RESAMPLES = 10_000
FEW = 5
"""Below so many runs of a setting, intervals are said to be rough."""
HEADER = ("", "estimate", "95 % interval", "how")


@dataclass(frozen=True)
class Comparison(Tabular):
    """Two settings, compared by the scores of their runs.

    Attributes
    ----------
    baseline, other : str
        The names of the settings.
    counts : tuple of int
        Runs of each.
    means : tuple of float
        Mean scores of each, reward.
    difference : float
        The other's mean less the baseline's, reward.
    bootstrap, welch : tuple of float, or None
        95 % intervals of the difference; None with fewer than two runs of either.
    probability : float
        That a run of the other is better than one of the baseline.
    probability_interval : tuple of float, or None
    left_out : tuple of str
        The runs that are in none of these numbers, and why.
    not_compared : tuple of str
        Further settings that have scores, where nobody said which two to compare.
    """

    baseline: str
    other: str
    counts: tuple[int, int]
    means: tuple[float, float]
    difference: float
    bootstrap: tuple[float, float] | None
    welch: tuple[float, float] | None
    probability: float
    probability_interval: tuple[float, float] | None
    left_out: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = ()
    header = HEADER

    @property
    def verdict(self) -> str:
        """The numbers in two or three sentences."""
        if self.bootstrap is None or self.welch is None:
            return (
                f"With {min(self.counts)} run of a setting nothing can be said: how much runs differ by their seed "
                "alone is not known. Launch more seeds."
            )
        if all(low > 0 or high < 0 for low, high in (self.bootstrap, self.welch)):
            better, worse = (self.other, self.baseline) if self.difference > 0 else (self.baseline, self.other)
            told = f"{better} is better than {worse}: both intervals of the difference leave 0 out."
        elif any(low > 0 or high < 0 for low, high in (self.bootstrap, self.welch)):
            told = "Undecided: one interval of the difference leaves 0 out, the other does not."
        else:
            told = "No difference is shown: it may well be 0. That does not mean that there is none."
        if min(self.counts) < FEW:
            told += f" {few(self.counts)}"
        return told

    @property
    def rows(self) -> tuple[tuple[str, str, str, str], ...]:
        """The table."""
        n, m = self.counts
        difference = f"{self.difference:+.2f}"
        return (
            (f"mean of {self.baseline}", f"{self.means[0]:.2f}", "", f"{n} run{'s' * (n > 1)}"),
            (f"mean of {self.other}", f"{self.means[1]:.2f}", "", f"{m} run{'s' * (m > 1)}"),
            ("difference", difference, _show(self.bootstrap, "+.2f"), "bootstrap over runs"),
            ("difference", difference, _show(self.welch, "+.2f"), "Welch's t"),
            (
                f"probability that {self.other} improves",
                f"{self.probability:.2f}",
                _show(self.probability_interval, ".2f"),
                f"{n * m} pairs, bootstrap over runs",
            ),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """The verdict, and what is not compared."""
        told = [self.verdict]
        if self.not_compared:
            told.append(
                f"Not compared: {', '.join(self.not_compared)}. Two settings are compared at a time; say which with "
                f"baseline={self.baseline!r}, other={self.not_compared[0]!r}."
            )
        return (*told, *(f"Left out: {one}" for one in self.left_out))


def compare(
    scores: Mapping[str, Mapping[int, float]],
    baseline: str = "",
    other: str = "",
    *,
    left_out: Sequence[str] = (),
) -> Comparison:
    """Compare two settings.

    Parameters
    ----------
    scores : mapping of str to mapping of int to float
        Settings, then seed, to a run's score, such as `Curves.score` gives them.
    baseline, other : str
        Which two; empty for the first and the second. Those that are not compared then are named.
    left_out : sequence of str
        What to say of runs that are not in `scores`.

    Raises
    ------
    TrainingError
        If a setting has no scores, or one that is no number.
    """
    names = list(scores)
    more = [] if baseline or other else names[2:]
    baseline = baseline or next((name for name in names if name != other), "")
    other = other or next((name for name in names if name != baseline), "")
    for name in (baseline, other):
        if not scores.get(name):
            found = ", ".join(names) or "none"
            wanted = name or "two settings"
            raise TrainingError("\n".join([f"Expected scores of {wanted}, found those of {found}.", *left_out]))
        for seed, score in scores[name].items():
            if not math.isfinite(score):
                raise TrainingError(f"Expected scores that are numbers, found {score} for {name}, seed {seed}.")
    if baseline == other:
        raise TrainingError(f"Expected two settings to compare, found {baseline} twice.")
    first, second = (np.array([scores[name][seed] for seed in sorted(scores[name])]) for name in (baseline, other))
    enough = min(len(first), len(second)) > 1
    return Comparison(
        baseline=baseline,
        other=other,
        counts=(len(first), len(second)),
        means=(float(first.mean()), float(second.mean())),
        difference=float(second.mean() - first.mean()),
        bootstrap=_resample(second, first, _difference) if enough else None,
        welch=_welch(second, first) if enough else None,
        probability=float(improvement(second, first)),
        probability_interval=_resample(second, first, improvement) if enough else None,
        left_out=tuple(left_out),
        not_compared=tuple(more),
    )


def improvement(better: np.ndarray, than: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the probability that a score of the one is above one of the other, ties counted half.

    Parameters
    ----------
    better, than : numpy.ndarray
        Scores along the last axis.
    """
    first, second = better[..., :, None], than[..., None, :]
    return ((first > second) + 0.5 * (first == second)).mean(axis=(-2, -1))


def few(counts: tuple[int, int]) -> str:
    """Return the sentence on how little few runs tell."""
    n, m = counts
    return (
        f"{n} and {m} runs are few: chance alone puts every run of one above every run of the other once in "
        f"{math.comb(n + m, n) // 2} times, and a bootstrap of so few is too narrow. Ten runs of each tell more."
    )


def _difference(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    return first.mean(axis=axis) - second.mean(axis=axis)


def _resample(first: np.ndarray, second: np.ndarray, statistic) -> tuple[float, float]:
    from scipy.stats import bootstrap  # takes a second to import

    made = bootstrap(
        (first, second),
        statistic,
        vectorized=True,
        paired=False,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(made.low), float(made.high)


def _welch(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    from scipy.stats import ttest_ind

    if np.ptp(first) == np.ptp(second) == 0:  # nothing varies, and SciPy would divide by it
        difference = float(first.mean() - second.mean())
        return difference, difference
    with warnings.catch_warnings():  # where the scores of one are all alike, SciPy doubts its moments; they are exact
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    return float(interval.low), float(interval.high)


def _show(interval: tuple[float, float] | None, form: str) -> str:
    return "needs 2 runs of each" if interval is None else f"{interval[0]:{form}} to {interval[1]:{form}}"
