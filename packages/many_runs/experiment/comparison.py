"""Compares two settings, from a few runs of each.

The difference of the means has two 95 % intervals: SciPy's percentile bootstrap over runs, and Welch's, which assumes
normal distributions and is wider for few runs (https://arxiv.org/abs/1806.08295 compares both). The probability of
improvement is the probability that a run of one setting is better than a run of the other, with ties counted half: the
Mann-Whitney statistic divided by the number of pairs, as in rliable (https://arxiv.org/abs/2108.13264,
https://github.com/google-research/rliable). Its interval is a percentile bootstrap, as there.
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
"""With fewer runs of a setting, the verdict warns that intervals are rough."""
HEADER = ("", "estimate", "95 % interval", "how")


@dataclass(frozen=True)
class Comparison(Tabular):
    """A comparison of two settings by the scores of their runs.

    Attributes
    ----------
    baseline, other : str
        The names of the settings.
    counts : tuple of int
        Runs of each.
    means : tuple of float
        Mean scores of each, reward.
    difference : float
        The other's mean minus the baseline's, reward.
    bootstrap, welch : tuple of float, or None
        95 % intervals of the difference; None with fewer than two runs of either.
    probability : float
        The probability that a run of the other is better than one of the baseline.
    probability_interval : tuple of float, or None
    left_out : tuple of str
        The runs that are not included, and why.
    not_compared : tuple of str
        Other settings with scores, if the two to compare were not chosen.
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
        """The conclusion, in two or three sentences."""
        if self.bootstrap is None or self.welch is None:
            return (
                f"With {min(self.counts)} run of a setting there is no conclusion: how much runs differ by their seed "
                "alone is not known. Launch more seeds."
            )
        if all(low > 0 or high < 0 for low, high in (self.bootstrap, self.welch)):
            better, worse = (self.other, self.baseline) if self.difference > 0 else (self.baseline, self.other)
            text = f"{better} is better than {worse}: both intervals of the difference exclude 0."
        elif any(low > 0 or high < 0 for low, high in (self.bootstrap, self.welch)):
            text = "Undecided: one interval of the difference excludes 0, the other does not."
        else:
            text = "No difference is shown: it may be 0. That does not mean that there is none."
        if min(self.counts) < FEW:
            text += f" {few(self.counts)}"
        return text

    @property
    def rows(self) -> tuple[tuple[str, str, str, str], ...]:
        """The rows of the table."""
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
        """The verdict, and the settings and runs that are not included."""
        notes = [self.verdict]
        if self.not_compared:
            notes.append(
                f"Not compared: {', '.join(self.not_compared)}. Two settings are compared at a time; choose them with "
                f"baseline={self.baseline!r}, other={self.not_compared[0]!r}."
            )
        return (*notes, *(f"Left out: {line}" for line in self.left_out))


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
        Runs' scores by settings and seed, as from `Curves.score`.
    baseline, other : str
        The two settings; by default the first and the second, and the others are listed as not compared.
    left_out : sequence of str
        Messages about runs that are not in `scores`.

    Raises
    ------
    TrainingError
        If a setting has no scores, or one that is not a number.
    """
    names = list(scores)
    not_compared = [] if baseline or other else names[2:]
    baseline = baseline or next((name for name in names if name != other), "")
    other = other or next((name for name in names if name != baseline), "")
    for name in (baseline, other):
        if not scores.get(name):
            found = ", ".join(names) or "none"
            expected = name or "two settings"
            raise TrainingError("\n".join([f"Expected scores of {expected}, found those of {found}.", *left_out]))
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
        not_compared=tuple(not_compared),
    )


def improvement(better: np.ndarray, than: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the probability that a score of `better` is above one of `than`, with ties counted half.

    Parameters
    ----------
    better, than : numpy.ndarray
        Scores along the last axis.
    """
    first, second = better[..., :, None], than[..., None, :]
    return ((first > second) + 0.5 * (first == second)).mean(axis=(-2, -1))


def few(counts: tuple[int, int]) -> str:
    """Return the warning that there are few runs."""
    n, m = counts
    return (
        f"{n} and {m} runs are few: chance alone puts every run of one above every run of the other once in "
        f"{math.comb(n + m, n) // 2} times, and a bootstrap of so few is too narrow. Use ten runs of each."
    )


def _difference(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    return first.mean(axis=axis) - second.mean(axis=axis)


def _resample(first: np.ndarray, second: np.ndarray, statistic) -> tuple[float, float]:
    from scipy.stats import bootstrap  # takes a second to import

    interval = bootstrap(
        (first, second),
        statistic,
        vectorized=True,
        paired=False,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _welch(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    from scipy.stats import ttest_ind

    if np.ptp(first) == np.ptp(second) == 0:  # no variance, by which SciPy would divide
        difference = float(first.mean() - second.mean())
        return difference, difference
    with warnings.catch_warnings():  # SciPy warns if all scores of one setting are equal; the result is exact
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    return float(interval.low), float(interval.high)


def _show(interval: tuple[float, float] | None, form: str) -> str:
    return "needs 2 runs of each" if interval is None else f"{interval[0]:{form}} to {interval[1]:{form}}"
