"""What an experiment consists of: a run for each of its settings and seeds, and the name that each job gets.

A job's name is worked out from the experiment, the settings and the seed. SageMaker takes a name once, so whatever is
launched a second time is there already.
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
WANTED = "1 to 48 letters, digits, spaces, dots, dashes and underscores, a letter or digit first"
MAX_SEED = 2**31 - 1
# Together with the seed, the two hashes and what stands between them: SageMaker's 63 characters.
MAX_EXPERIMENT_LENGTH, MAX_SETTINGS_LENGTH = 15, 10


@dataclass(frozen=True)
class Planned:
    """A run that belongs to an experiment.

    Attributes
    ----------
    experiment, settings : str
        Their names.
    seed : int
    hyperparameters : mapping of str to str
        As SageMaker takes them, the seed included.
    attempt : int
        1, and one more each time that it is launched again after it failed or was stopped.
    """

    experiment: str
    settings: str
    seed: int
    hyperparameters: Mapping[str, str]
    attempt: int = 1

    @property
    def label(self) -> tuple[str, int]:
        """What tells it from the experiment's other runs."""
        return self.settings, self.seed

    @property
    def labels(self) -> dict[str, str]:
        """The same as tags of its job."""
        return {"experiment": self.experiment, "settings": self.settings, "seed": str(self.seed)}

    @property
    def name(self) -> str:
        """Its job's name."""
        settings = shorten(self.settings, MAX_SETTINGS_LENGTH)
        told = json.dumps([self.labels, dict(self.hyperparameters), self.attempt], sort_keys=True)
        return f"{prefix(self.experiment)}{settings}-s{self.seed}-{_hash(told)[:8]}"


def make_name(
    volume: str, image: str, settings: Mapping[str, Mapping[str, object]], hyperparameters: Mapping[str, object]
) -> str:
    """Return a name for an experiment that was given none, worked out from all that its runs are made of."""
    each = {name: job_request.encode({**hyperparameters, **own}) for name, own in settings.items()}
    told = json.dumps([volume.rstrip("/"), image, each], sort_keys=True)
    return f"experiment-{_hash(told)[:8]}"


def prefix(experiment: str) -> str:
    """Return what the names of all jobs of an experiment begin with, and of no other: a hash of its name is in it."""
    return f"{JOB_PREFIX}-{shorten(experiment, MAX_EXPERIMENT_LENGTH)}-{_hash(experiment)[:6]}-"


def shorten(name: str, most: int) -> str:
    """Return what a job's name can hold of a name: small letters and digits, single dashes between them."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:most].strip("-")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make(
    experiment: str,
    settings: Mapping[str, Mapping[str, object]],
    seeds: Sequence[int],
    hyperparameters: Mapping[str, object],
) -> list[Planned]:
    """Return the runs of an experiment, every setting's first seed before any second one.

    Parameters
    ----------
    experiment : str
    settings : mapping of str to mapping
        The name of each setting, to the hyperparameters that it differs in.
    seeds : sequence of int
    hyperparameters : mapping
        What all runs have in common.
    """
    return [
        Planned(experiment, name, seed, job_request.encode({**hyperparameters, **own, "seed": seed}))
        for seed in map(int, seeds)
        for name, own in settings.items()
    ]


def find_problems(experiment: object, settings: object, seeds: object, hyperparameters: object) -> Iterator[str]:
    """Yield what of an experiment cannot be meant, a sentence or two for each."""
    if experiment != "" and (not isinstance(experiment, str) or not NAME.fullmatch(experiment)):
        yield f"Expected experiment to be empty, or a name of {WANTED}, found {experiment!r}."
    if not isinstance(settings, Mapping) or not settings:
        yield f'Expected settings to be names and hyperparameters, such as {{"small": {{...}}}}, found {settings!r}.'
        settings = {}
    if not isinstance(hyperparameters, Mapping):
        yield f"Expected hyperparameters to be names and values, found {hyperparameters!r}."
        hyperparameters = {}
    same: dict[str, str] = {}
    for name, own in settings.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            yield f"Expected the settings to have names of {WANTED}, found {name!r}."
        if not isinstance(own, Mapping):
            yield f"Expected the settings {name!r} to be hyperparameters, found {own!r}."
            continue
        if "seed" in {**hyperparameters, **own}:
            yield f"Expected the seed in seeds alone, found one in the hyperparameters of {name!r}, too."
        told = repr(sorted(job_request.encode({**hyperparameters, **own}).items(), key=repr))
        if told in same:
            yield f"Expected settings that differ, found {same[told]!r} and {name!r} with the same hyperparameters."
        same[told] = name
    if isinstance(seeds, str) or not isinstance(seeds, Sequence) or not seeds:
        yield f"Expected seeds to be whole numbers, such as [1, 2, 3], found {seeds!r}."
        return
    for seed in seeds:
        if not is_whole(seed) or not 0 <= seed <= MAX_SEED:
            yield f"Expected each seed to be a whole number from 0 to {MAX_SEED}, found {seed!r}."
    if all(map(is_whole, seeds)) and len(set(seeds)) < len(seeds):
        yield f"Expected each seed once, found {list(seeds)}: a second run with a seed tells nothing new."


def is_whole(value: object) -> bool:
    """Return whether a value is a whole number, Python's or NumPy's."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
