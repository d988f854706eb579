"""The plan of an experiment: a run for each combination of settings and seeds, and the names of their jobs.

A job's name is derived from the experiment, the settings and the seed. SageMaker accepts a name only once, so no run is
launched twice.
"""

from __future__ import annotations

import hashlib
import json
import numbers
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from training_jobs import job_request
from training_jobs.job import JOB_PREFIX

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,46}[A-Za-z0-9._-])?")
NAME_RULE = "1 to 48 letters, digits, spaces, dots, dashes and underscores, a letter or digit first"
MAX_SEED = 2**31 - 1
# Together with prefix, seed, two hashes and dashes, these are within SageMaker's 63 characters.
MAX_EXPERIMENT_LENGTH, MAX_SETTINGS_LENGTH = 15, 10


@dataclass(frozen=True)
class Planned:
    """A planned run of an experiment.

    Attributes
    ----------
    experiment, settings : str
        Their names.
    seed : int
    hyperparameters : mapping of str to str
        As encoded for SageMaker, including the seed.
    attempt : int
        1, and one more for each relaunch after it failed or was stopped.
    """

    experiment: str
    settings: str
    seed: int
    hyperparameters: Mapping[str, str]
    attempt: int = 1

    @property
    def label(self) -> tuple[str, int]:
        """Its settings and seed, which are unique in the experiment."""
        return self.settings, self.seed

    @property
    def labels(self) -> dict[str, str]:
        """The tags of its job."""
        return {"experiment": self.experiment, "settings": self.settings, "seed": str(self.seed)}

    @property
    def name(self) -> str:
        """Its job's name."""
        settings = shorten(self.settings, MAX_SETTINGS_LENGTH)
        content = json.dumps([self.labels, dict(self.hyperparameters), self.attempt], sort_keys=True)
        return f"{prefix(self.experiment)}{settings}-s{self.seed}-{_hash(content)[:8]}"


def make_name(
    volume: str, image: str, settings: Mapping[str, Mapping[str, object]], hyperparameters: Mapping[str, object]
) -> str:
    """Return the name for an unnamed experiment, derived from build, image, settings and hyperparameters."""
    by_setting = {name: job_request.encode({**hyperparameters, **own}) for name, own in settings.items()}
    content = json.dumps([volume.rstrip("/"), image, by_setting], sort_keys=True)
    return f"experiment-{_hash(content)[:8]}"


def prefix(experiment: str) -> str:
    """Return the prefix of an experiment's job names, which is unique because it contains a hash."""
    return f"{JOB_PREFIX}-{shorten(experiment, MAX_EXPERIMENT_LENGTH)}-{_hash(experiment)[:6]}-"


def shorten(name: str, length: int) -> str:
    """Shorten a name for use in a job's name: lower-case letters and digits, separated by single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:length].strip("-")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make(
    experiment: str,
    settings: Mapping[str, Mapping[str, object]],
    seeds: Sequence[int],
    hyperparameters: Mapping[str, object],
) -> list[Planned]:
    """Return the runs of an experiment: for each seed, all settings.

    Parameters
    ----------
    experiment : str
    settings : mapping of str to mapping
        The hyperparameters in which each setting differs, by its name.
    seeds : sequence of int
    hyperparameters : mapping
        The hyperparameters that all runs share.
    """
    return [
        Planned(experiment, name, seed, job_request.encode({**hyperparameters, **own, "seed": seed}))
        for seed in map(int, seeds)
        for name, own in settings.items()
    ]


def find_problems(experiment: object, settings: object, seeds: object, hyperparameters: object) -> Iterator[str]:
    """Yield the problems of an experiment's arguments."""
    if experiment != "" and (not isinstance(experiment, str) or not NAME.fullmatch(experiment)):
        yield f"Expected experiment to be empty, or a name of {NAME_RULE}, found {experiment!r}."
    if not isinstance(settings, Mapping) or not settings:
        yield f'Expected settings to be names and hyperparameters, such as {{"small": {{...}}}}, found {settings!r}.'
        settings = {}
    if not isinstance(hyperparameters, Mapping):
        yield f"Expected hyperparameters to be names and values, found {hyperparameters!r}."
        hyperparameters = {}
    names: dict[str, str] = {}
    for name, own in settings.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            yield f"Expected the settings to have names of {NAME_RULE}, found {name!r}."
        if not isinstance(own, Mapping):
            yield f"Expected the settings {name!r} to be hyperparameters, found {own!r}."
            continue
        if "seed" in {**hyperparameters, **own}:
            yield f"Expected the seed only in seeds, found one in the hyperparameters of {name!r}, too."
        encoded = repr(sorted(job_request.encode({**hyperparameters, **own}).items(), key=repr))
        if encoded in names:
            yield f"Expected settings that differ, found {names[encoded]!r} and {name!r} with the same hyperparameters."
        names[encoded] = name
    if isinstance(seeds, str) or not isinstance(seeds, Sequence) or not seeds:
        yield f"Expected seeds to be whole numbers, such as [1, 2, 3], found {seeds!r}."
        return
    for seed in seeds:
        if not is_whole(seed) or not 0 <= seed <= MAX_SEED:
            yield f"Expected each seed to be a whole number from 0 to {MAX_SEED}, found {seed!r}."
    if all(map(is_whole, seeds)) and len(set(seeds)) < len(seeds):
        yield f"Expected each seed once, found {list(seeds)}: a second run with the same seed adds nothing."


def is_whole(value: object) -> bool:
    """Return whether a value is a whole number, Python's or NumPy's."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
