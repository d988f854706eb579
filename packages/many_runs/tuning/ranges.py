"""What is to be tried, looked at before anything is paid for: ranges and lists of values for keys of the trainer."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.findings import Finding
from mlagents_check import trainer_config
from mlagents_check.trainer_config import hyperparameters as known
from mlagents_check.trainer_config import keys
from training_jobs import job_request

SCALES = ("Auto", "Linear", "Logarithmic", "ReverseLogarithmic")
MOST_RANGES, MOST_VALUES = 30, 30  # SageMaker's


@dataclass(frozen=True)
class Range:
    """The values that a tuning job may try for one key.

    Attributes
    ----------
    name : str
        The key.
    kind : str
        ``"Continuous"``, ``"Integer"`` or ``"Categorical"``.
    low, high : float
        Least and greatest value, both included; 0 for categories.
    scale : str
        One of `SCALES`, as SageMaker means them.
    values : tuple of str
        The categories, as the container reads them.
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    scale: str = "Auto"
    values: tuple[str, ...] = ()

    @property
    def count(self) -> float:
        """How many values it holds; infinite for a continuous one."""
        if self.kind == "Categorical":
            return len(self.values)
        return self.high - self.low + 1 if self.kind == "Integer" else math.inf

    @property
    def ends(self) -> tuple[str, ...]:
        """The values that must all be fit for training: both ends, or every category."""
        return self.values or (_write(self.low, self.kind), _write(self.high, self.kind))


def _write(value: float, kind: str) -> str:
    return str(int(value)) if kind == "Integer" else repr(float(value))


def read(given: object, static: Mapping[str, Any]) -> tuple[list[Range], list[str]]:
    """Read what was given, and say what is wrong with it.

    Parameters
    ----------
    given
        Key to ``(low, high)`` or ``(low, high, scale)``, or to a list of values.
    static
        The hyperparameters that stay as they are.

    Returns
    -------
    ranges : list of Range
        Those that can be meant.
    problems : list of str
        A sentence or two for each of the others.
    """
    if not isinstance(given, Mapping) or not 1 <= len(given) <= MOST_RANGES:
        found = f"{len(given)}" if isinstance(given, Mapping) else repr(given)[:60]
        return [], [
            f"Expected ranges to be 1 to {MOST_RANGES} keys and what to try for each, such as "
            f'{{"learning_rate": (1e-5, 1e-2)}}, found {found}.'
        ]
    ranges, problems = [], []
    for name, tried in given.items():
        wrong = list(_problems_of_key(name, static)) or list(_problems_of_values(name, tried))
        problems += wrong
        if not wrong:
            ranges.append(_read(name, tried))
    return ranges, problems


def find_conflicts(folder: str | Path, ranges: list[Range], static: Mapping[str, Any], metric: str) -> list[str]:
    """Say what of the ranges does not go with the trainer config in `folder`.

    Each range's ends are put into the config, and the config is checked as the trainer would read it.
    """
    problems = job_request.find_conflicts(folder, static, metric)
    report = trainer_config.check_folder(folder, hyperparameters=static)
    before = {finding.what for finding in _errors(report)}
    for one in ranges:
        top = one.name.partition(".")[0]
        trainers = {brain.trainer for brain in report.brains} & set(keys.TRAINERS)
        if trainers and not any(top in keys.REQUIRED[name] | keys.OPTIONAL[name] | {"trainer"} for name in trainers):
            problems.append(f"{one.name} is not read by the trainer {' or '.join(sorted(trainers))}. Tune another key.")
            continue
        found = {}
        for value in one.ends:
            for finding in _errors(trainer_config.check_folder(folder, hyperparameters={**static, one.name: value})):
                if finding.what not in before:
                    found.setdefault(finding.what, f"With {one.name} {value}: {finding.what} {finding.todo}")
        problems += found.values()
    return problems


def _errors(report: trainer_config.ConfigReport) -> list[Finding]:
    return [finding for finding in report.findings if finding.level == "error"]


def _problems_of_key(name: object, static: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(name, str) or name not in known.TRAINER_KEYS:
        option = " It is an option of the run, not a key of the trainer." if name in known.OPTIONS else ""
        near = "" if option else keys.nearest(name, known.TRAINER_KEYS)
        yield f"Expected the ranges to be of keys that the trainer has, found {name}.{option}{near}"
    elif name in static:
        yield (
            f"Expected {name} either in hyperparameters, with one value, or in ranges, found it in both. "
            "Leave it out of hyperparameters to tune it."
        )


def _problems_of_values(name: str, tried: object) -> Iterator[str]:
    if isinstance(tried, list):
        yield from _problems_of_list(name, tried)
    elif isinstance(tried, tuple):
        yield from _problems_of_range(name, tried)
    else:
        yield (
            f"Expected for {name} a range such as (low, high), or a list of values to try, found {tried!r}. To set one "
            "value, put it into hyperparameters."
        )


def _problems_of_list(name: str, tried: list[Any]) -> Iterator[str]:
    if not 2 <= len(tried) <= MOST_VALUES or len({known.decode(value) for value in tried}) < len(tried):
        yield f"Expected for {name} 2 to {MOST_VALUES} different values to try, found {tried!r}."
    for value in tried:
        yield from _problems_of_value(name, value)


def _problems_of_range(name: str, tried: tuple[Any, ...]) -> Iterator[str]:
    if not _is_numeric(name):
        yield (
            f"Expected for {name} a list of the values to try, because it is no number, found the range {tried!r}. "
            f"Write [{', '.join(map(repr, tried[:2]))}] if you mean these."
        )
        return
    low, high, scale = (*tried, "Auto")[:3] if len(tried) in (2, 3) else (None, None, "Auto")
    if len(tried) not in (2, 3) or not (_is_number(low) and _is_number(high)):
        yield (
            f"Expected for {name} a range of two numbers, (low, high), found {tried!r}. Values that are no range stand "
            "in a list, with square brackets."
        )
        return
    yield from (problem for value in (low, high) for problem in _problems_of_value(name, value))
    if low > high:
        yield f"Expected the range of {name} to go from low to high, found {tried!r}. Write ({high!r}, {low!r})."
    elif low == high:
        yield f"Expected the range of {name} to hold more than one value, found {tried!r}. Put it into hyperparameters."
    if scale not in SCALES:
        yield f"Expected the scale of {name} to be one of {', '.join(SCALES)}, found {scale!r}."
    elif scale == "Logarithmic" and min(low, high) <= 0:
        yield f"Expected a logarithmic range of {name} above 0, found {tried!r}. Raise its low end."
    elif scale == "ReverseLogarithmic" and (_is_whole(name) or min(low, high) < 0 or max(low, high) >= 1):
        yield (
            f"Expected a reverse logarithmic range of {name} within 0 <= x < 1, found {tried!r}. It is for numbers "
            "that come near 1, such as a gamma of (0.9, 0.9995)."
        )


def _problems_of_value(name: str, value: Any) -> Iterator[str]:
    _, _, findings = known.split({name: value})
    yield from (f"{finding.what} {finding.todo}" for finding in findings)
    if not findings and name in keys.CHOICES and known.decode(value) not in keys.CHOICES[name]:
        yield f"{name} is {value!r}. It must be one of {', '.join(keys.CHOICES[name])}."


def _read(name: str, tried: list[Any] | tuple[Any, ...]) -> Range:
    if isinstance(tried, list):
        return Range(name, "Categorical", values=tuple(known.decode(value) for value in tried))
    low, high, scale = (*tried, "Auto")[:3]
    if _is_whole(name):
        return Range(name, "Integer", int(low), int(high), scale)
    return Range(name, "Continuous", float(low), float(high), scale)


def _is_whole(name: str) -> bool:
    return known.TRAINER_KEYS[name].is_whole


def _is_numeric(name: str) -> bool:
    return known.TRAINER_KEYS[name].is_number


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
