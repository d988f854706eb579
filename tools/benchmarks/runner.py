"""Takes the measurements: every side of a comparison in turn, run after run, so that what drifts hits all alike."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from tools.benchmarks.comparison import AbsentError, Comparison, Measurements, Result


class Progress:
    """One line that says what is being measured; on a terminal it is written over, elsewhere there is one each."""

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stderr
        self.begun = time.monotonic()

    def say(self, what: str) -> None:
        """Show what is being measured."""
        minutes, seconds = divmod(round(time.monotonic() - self.begun), 60)
        line = f"{minutes}:{seconds:02} {what}"
        self.stream.write(f"\r\x1b[K{line}" if self.stream.isatty() else f"{line}\n")
        self.stream.flush()

    def clear(self) -> None:
        """Take the line away, before something else is printed."""
        if self.stream.isatty():
            self.stream.write("\r\x1b[K")
            self.stream.flush()


def measure(
    comparison: Comparison,
    runs: int,
    progress: Progress,
    seconds: float | None = None,
) -> Iterator[Result]:
    """Measure a comparison; yield its result, the same object, after every run.

    The order of the sides turns round with every run (ABC, CBA, ABC …): a machine that grows warm or busy favours none.
    A run counts when each of its sides was measured. A side that raises `AbsentError` is left out from then on, and the
    others go on without it.

    Parameters
    ----------
    comparison : Comparison
    runs : int
        How many.
    progress : Progress
    seconds : float, optional
        Begin no run that would end later than so many seconds from now, if the longest before is any guide. The first
        one is always made.
    """
    result = Result(comparison)
    begun, longest = time.monotonic(), 0.0
    for number in range(runs):
        if seconds is not None and number and time.monotonic() - begun + longest > seconds:
            break
        start = time.monotonic()
        taken = {}
        sides = list(comparison.sides)
        for side in sides if number % 2 == 0 else reversed(sides):
            if side in result.absent:
                continue
            progress.say(f"{comparison.name}, run {number + 1} of {runs}: {side}")
            try:
                taken[side] = finite(comparison.sides[side](number + 1))
            except AbsentError as absent:
                result.absent[side] = str(absent)
            except Exception as error:
                result.failed = f"{side}, run {number + 1}: {type(error).__name__}: {error}"
                yield result
                return
        if taken:
            result.runs.append(taken)
        yield result
        longest = max(longest, time.monotonic() - start)
        if not taken:
            return


def finite(taken: Measurements) -> dict[str, float]:
    """Return the measurements, or raise ValueError: what is no number can be set against nothing."""
    if wrong := {name: value for name, value in taken.items() if not math.isfinite(value)}:
        raise ValueError(f"Expected finite measurements, found {wrong}.")
    return dict(taken)


def measure_all(
    comparisons: Iterable[Comparison],
    runs: int,
    progress: Progress,
    keep: Callable[[list[Result]], None],
    seconds: float | None = None,
) -> tuple[list[Result], bool]:
    """Measure comparisons one after another, each as `measure` does.

    Parameters
    ----------
    comparisons : iterable of Comparison
    runs, progress, seconds
        See `measure`.
    keep : callable
        Is handed all results after every run, so that nothing measured is lost.

    Returns
    -------
    results : list of Result
        Whatever was measured, of the one that was broken off its complete runs.
    interrupted : bool
        Whether Ctrl-C ended it.
    """
    results: list[Result] = []
    try:
        for comparison in comparisons:
            for count, result in enumerate(measure(comparison, runs, progress, seconds)):
                if not count:
                    results.append(result)
                keep(results)
    except KeyboardInterrupt:
        keep(results)
        return results, True
    finally:
        progress.clear()
    return results, False
