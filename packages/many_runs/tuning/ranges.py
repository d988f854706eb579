"""Checks of a tuning job's ranges and categories for trainer keys, before anything is paid for."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.contract import DEFAULT_TRAINER, KEYS_OF
from common.findings import Finding
from mlagents_check import trainer_config
from mlagents_check.trainer_config import hyperparameters as known
from mlagents_check.trainer_config import keys
from training_jobs import job_request

SCALES = ("Auto", "Linear", "Logarithmic", "ReverseLogarithmic")
MAX_RANGES, MAX_VALUES = 30, 30  # SageMaker's


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
        One of `SCALES`, as in SageMaker.
    values : tuple of str
        The categories.
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    scale: str = "Auto"
    values: tuple[str, ...] = ()

    @property
    def count(self) -> float:
        """The number of its values; infinite for a continuous range."""
        if self.kind == "Categorical":
            return len(self.values)
        return self.high - self.low + 1 if self.kind == "Integer" else math.inf

    @property
    def ends(self) -> tuple[str, ...]:
        """The values that must all be valid for training: both ends, or every category."""
        numbers = (str(int(value)) if self.kind == "Integer" else repr(value) for value in (self.low, self.high))
        return self.values or tuple(numbers)

    def __str__(self) -> str:
        inside = list(self.values) if self.values else f"{self.low:g}, {self.high:g}"
        return f"{self.kind}Parameter({inside})"


def read(parameter_ranges: Mapping[str, list[Mapping[str, Any]]]) -> list[Range]:
    """Return the ranges of a tuning job's ``ParameterRanges``."""
    ranges = [
        Range(one["Name"], kind, float(one["MinValue"]), float(one["MaxValue"]), one.get("ScalingType", "Auto"))
        for kind in ("Continuous", "Integer")
        for one in parameter_ranges.get(f"{kind}ParameterRanges", ())
    ]
    return ranges + [
        Range(one["Name"], "Categorical", values=tuple(one["Values"]))
        for one in parameter_ranges.get("CategoricalParameterRanges", ())
    ]


def find_problems(ranges: list[Range], static: Mapping[str, Any], trainer: str = DEFAULT_TRAINER) -> Iterator[str]:
    """Yield the problems of ranges, independent of the trainer config.

    Parameters
    ----------
    ranges : list of Range
    static : mapping
        The hyperparameters that are not tuned.
    trainer : str
        The version of ML-Agents that trains.
    """
    if not 1 <= len(ranges) <= MAX_RANGES:
        yield (
            f"Expected hyperparameter_ranges of 1 to {MAX_RANGES} keys, such as "
            f'{{"learning_rate": ContinuousParameter(1e-5, 1e-2)}}, found {len(ranges)}.'
        )
    for each in ranges:
        yield from list(_problems_of_key(each.name, static, trainer)) or _problems_of_range(each, trainer)


def find_conflicts(
    folder: str | Path,
    ranges: Iterable[Range],
    static: Mapping[str, Any],
    metric: str,
    trainer: str = DEFAULT_TRAINER,
) -> list[str]:
    """Return the conflicts of the ranges with the trainer config in `folder`.

    The config is checked with each end of each range.
    """
    problems = job_request.find_conflicts(folder, static, metric, trainer)
    report = trainer_config.check_folder(folder, hyperparameters=static, trainer=trainer)
    before = {finding.what for finding in _errors(report)}
    algorithms = {brain.trainer for brain in report.brains if brain.trainer}
    for each in ranges:
        readers = _readers(KEYS_OF[trainer].get(each.name.partition(".")[0], {}))
        if readers and algorithms and not readers & algorithms:
            problems.append(
                f"{each.name} is not read by the trainer {' or '.join(sorted(algorithms))}. Tune another key."
            )
            continue
        found = {}
        for value in each.ends:
            tried = trainer_config.check_folder(folder, hyperparameters={**static, each.name: value}, trainer=trainer)
            for finding in _errors(tried):
                if finding.what not in before:
                    found.setdefault(finding.what, f"With {each.name} {value}: {finding.what} {finding.todo}")
        problems += found.values()
    return problems


def _errors(report: trainer_config.ConfigReport) -> list[Finding]:
    return [finding for finding in report.findings if finding.level == "error"]


def _readers(row: Mapping[str, Any]) -> set[str]:
    """Return the algorithms that read a key, from its row of `keys.json`; none where all do."""
    named = (row.get("required"), row.get("optional"), row.get("default"))
    return {algorithm for one in named if isinstance(one, (list, Mapping)) for algorithm in one}


def _problems_of_key(name: str, static: Mapping[str, Any], trainer: str) -> Iterator[str]:
    if name not in known.KEYS_OF[trainer]:
        option = " It is an option of the run, not a key of the trainer." if name in known.OPTIONS else ""
        near = "" if option else keys.nearest(name, known.KEYS_OF[trainer])
        yield f"Expected the ranges to be of keys that the trainer has, found {name}.{option}{near}"
    elif name in static:
        yield (
            f"Expected {name} either in the trainer's hyperparameters, with one value, or in hyperparameter_ranges, "
            "found it in both. Leave it out of hyperparameters to tune it."
        )


def _problems_of_range(one: Range, trainer: str) -> Iterator[str]:
    key = known.KEYS_OF[trainer][one.name]
    if one.kind == "Categorical":
        if not 2 <= len(set(one.values)) == len(one.values) <= MAX_VALUES:
            yield f"Expected for {one.name} 2 to {MAX_VALUES} different values to try, found {list(one.values)}."
        yield from (problem for value in one.values for problem in _problems_of_value(one.name, value, trainer))
        return
    expected = "Categorical" if not key.is_number else "Integer" if key.is_whole else "Continuous"
    if one.kind != expected:
        article = "an" if expected == "Integer" else "a"
        yield f"Expected for {one.name} {article} {expected}Parameter, found {one}."
        return
    yield from (problem for value in one.ends for problem in _problems_of_value(one.name, value, trainer))
    if one.low >= one.high:
        yield f"Expected the range of {one.name} to go from a lower to a higher value, found {one}."
    if one.scale not in SCALES:
        yield f"Expected the scaling_type of {one.name} to be one of {', '.join(SCALES)}, found {one.scale!r}."
    elif one.scale == "Logarithmic" and one.low <= 0:
        yield f"Expected a logarithmic range of {one.name} above 0, found {one}. Raise its low end."
    elif one.scale == "ReverseLogarithmic" and (key.is_whole or one.low < 0 or one.high >= 1):
        yield (
            f"Expected a reverse logarithmic range of {one.name} within 0 <= x < 1, found {one}. It is for numbers "
            "that come near 1, such as a gamma from 0.9 to 0.9995."
        )


def _problems_of_value(name: str, value: str, trainer: str) -> Iterator[str]:
    _, _, findings = known.split({name: value}, trainer)
    yield from (f"{finding.what} {finding.todo}" for finding in findings)
    choices = KEYS_OF[trainer][name].get("choices")
    if not findings and choices and known.decode(value) not in choices:
        yield f"{name} is {value!r}. It must be one of {', '.join(choices)}."
