"""The versions of ML-Agents that can train. All that differs between them is in one package for each.

An image holds one version, and `chosen` returns the package of the one that is installed. Nothing outside these
packages compares versions; what the programs that start jobs must know as well is in `contract.json`, under `trainers`.

Each package has, importable without ML-Agents:

- `VERSION`, and `ROW`, its row in `contract.json`;
- `load(path)` and `override(config, overrides)`: the form of the trainer configuration;
- `prepare(options, config)`: the learner's further arguments, once the options that only this version has are checked;
- `arguments(options, resume)`: the arguments of `mlagents-learn` for an attempt;
- `SUFFIX` of runs' folders, and `CHECKPOINT`, a pattern of checkpoints' names;
- `environment(options)`: the learner's environment variables;
- `timers(run_id)`: file of a run's timers, below the checkpoints;
- `NEVER_UPDATED`, by algorithm, `IMITATION` and `END_EPISODE`: the words of remarks on a training that learned nothing;
- `versions(installed)`: what `training.json` tells of the packages with these versions, by name;
- `advice(code)`: what a learner's exit code means beyond what it means for any process.

In the learner's process, `install()` prepares the import of `mlagents`, and `learner_watch.install()` makes it send the
events that `supervisor` handles, and save and resume as the job needs; `watching` and `resume` are what both share.
"""

import functools
import glob
import importlib
import os
import sys
from types import ModuleType
from typing import Optional

from contract import CONTRACT
from refusal import RefusalError

ROWS = CONTRACT["trainers"]


def package(version: str) -> ModuleType:
    """Return the package of a version."""
    return importlib.import_module("trainers." + ROWS[version]["module"])


@functools.lru_cache(maxsize=None)
def chosen() -> ModuleType:
    """Return the package of the installed version; of the default one where none is installed."""
    # Package metadata takes long to load on Python 3.7.
    found = (glob.glob(os.path.join(glob.escape(path), "mlagents-*.dist-info")) for path in sys.path)
    versions = [os.path.basename(path)[len("mlagents-") : -len(".dist-info")] for paths in found for path in paths]
    return package(next(filter(ROWS.__contains__, versions), CONTRACT["default_trainer"]))


def check(named: Optional[str], checkpoints: str) -> None:
    """Refuse a job for another version than the installed one.

    Raises
    ------
    RefusalError
        The hyperparameter `trainer-version` is another one, or the checkpoints are.
    """
    if named not in (None, chosen().VERSION):
        raise RefusalError(
            "Hyperparameter trainer-version is %s, but %s is installed here. Use the image, or the trainer "
            "environment, of ML-Agents %s, or leave trainer-version out." % (named, chosen().VERSION, named)
        )
    for row in ROWS.values():
        if row is not chosen().ROW and os.path.isdir(os.path.join(checkpoints, row["runs"])):
            raise RefusalError(
                "The checkpoints are those of %s, but %s is installed here. Use the image of the version that made "
                "them, or start without checkpoints." % (row["name"], chosen().ROW["name"])
            )
