"""Runs the measurements: all sides of a comparison in turn, run after run, so that drift affects all equally."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from tools.benchmarks.comparison import AbsentError, Comparison, Measurements, Result


class Progress:
    """A line that says what is being measured; overwritten on a terminal, else a new line for each."""

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stderr
        self.started = time.monotonic()

    def show(self, text: str) -> None:
        """Show what is being measured."""
        minutes, seconds = divmod(round(time.monotonic() - self.started), 60)
        line = f"{minutes}:{seconds:02} {text}"
        self.stream.write(f"\r\x1b[K{line}" if self.stream.isatty() else f"{line}\n")
        self.stream.flush()

    def clear(self) -> None:
        """Remove the line, before something else is printed."""
        if self.stream.isatty():
            self.stream.write("\r\x1b[K")
            self.stream.flush()


def measure(
    comparison: Comparison,
    runs: int,
    progress: Progress,
    seconds: float | None = None,
) -> Iterator[Result]:
    """Measure a comparison; after every run yield its result, always the same object.

    The order of the sides is reversed with every run (ABC, CBA, ABC …): a machine that grows warm or busy favours none.
    A run counts if each of its sides was measured. A side that raises `AbsentError` is left out from then on; the
    others continue without it.

    Parameters
    ----------
    comparison : Comparison
    runs : int
        Their number.
    progress : Progress
    seconds : float, optional
        Start no run that is expected to end later than this, judging by the longest so far. The first one is always
        made.
    """
    result = Result(comparison)
    started, longest = time.monotonic(), 0.0
    for number in range(runs):
        if seconds is not None and number and time.monotonic() - started + longest > seconds:
            break
        start = time.monotonic()
        measurements = {}
        sides = list(comparison.sides)
        for side in sides if number % 2 == 0 else reversed(sides):
            if side in result.absent:
                continue
            progress.show(f"{comparison.name}, run {number + 1} of {runs}: {side}")
            try:
                measurements[side] = check_finite(comparison.sides[side](number + 1))
            except AbsentError as absent:
                result.absent[side] = str(absent)
            except Exception as error:
                result.failed = f"{side}, run {number + 1}: {type(error).__name__}: {error}"
                yield result
                return
        if measurements:
            result.runs.append(measurements)
        yield result
        longest = max(longest, time.monotonic() - start)
        if not measurements:
            return


def check_finite(measurements: Measurements) -> dict[str, float]:
    """Return the measurements; raise ValueError if one is not finite."""
    if wrong := {name: value for name, value in measurements.items() if not math.isfinite(value)}:
        raise ValueError(f"Expected finite measurements, found {wrong}.")
    return dict(measurements)


def measure_all(
    comparisons: Iterable[Comparison],
    runs: int,
    progress: Progress,
    save: Callable[[list[Result]], None],
    seconds: float | None = None,
) -> tuple[list[Result], bool]:
    """Measure comparisons one after another, each as `measure` does.

    Parameters
    ----------
    comparisons : iterable of Comparison
    runs, progress, seconds
        See `measure`.
    save : callable
        Called with all results after every run, so that no measurement is lost.

    Returns
    -------
    results : list of Result
        All that was measured: of an interrupted comparison, its complete runs.
    interrupted : bool
        Whether Ctrl-C ended it.
    """
    results: list[Result] = []
    try:
        for comparison in comparisons:
            for count, result in enumerate(measure(comparison, runs, progress, seconds)):
                if not count:
                    results.append(result)
                save(results)
    except KeyboardInterrupt:
        save(results)
        return results, True
    finally:
        progress.clear()
    return results, False
