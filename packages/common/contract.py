"""What the training container and this side agree on, read from `container/contract.json` and the tables of keys."""

import json
import re
from collections.abc import Mapping
from typing import Any

from common import ROOT


def _load(name: str) -> Any:
    return json.loads((ROOT / "container" / name).read_text(encoding="utf-8"))


CONTRACT: Mapping[str, Any] = _load("contract.json")
TRAINERS: Mapping[str, Mapping[str, Any]] = CONTRACT["trainers"]
"""What each version of ML-Agents has of its own, by version."""
DEFAULT_TRAINER: str = CONTRACT["default_trainer"]
_DEFAULT = TRAINERS[DEFAULT_TRAINER]
KEYS_OF: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    trainer: _load(row["trainer_keys"]) for trainer, row in TRAINERS.items()
}
"""Keys of the trainer config by version and name; `container/contract.py` says what a row holds."""
TRAINER_KEYS = KEYS_OF[DEFAULT_TRAINER]
"""Those of the default version, by their dotted names."""

CHANNEL: str = CONTRACT["channel"]
"""Name of the job's input channel, and of the folder that is uploaded to it."""
VOLUME_HASH: str = CONTRACT["environment"]["volume_hash"]
"""Environment variable of a job: the content hash of what it was launched with."""
LIST_OF_HASHES: str = CONTRACT["list_of_hashes"]
"""File in the channel that the content hash is the hash of."""
FILES: Mapping[str, str] = CONTRACT["files"]
"""What the container names its files: `trainer_config`, `training_json`, `summaries`, `timers`, `player_logs`."""
SPEEDUPS: tuple[str, ...] = tuple(_DEFAULT["speedups"])
"""What the container can make the trainer faster with."""

_LOG = CONTRACT["log"]
BEFORE_NAMES: str = _DEFAULT["log"]["before_names"]
BEFORE_STEP: str = _DEFAULT["log"]["before_step"]
"""A summary in the trainer's log: `BEFORE_NAMES`, run and brain, `BEFORE_STEP`, `SUMMARY_NUMBERS`."""
SUMMARY_NUMBERS = re.compile(_DEFAULT["log"]["numbers"].replace("NUMBER", _LOG["number"]))
"""Groups `step`, `elapsed` (seconds), `mean` and `std`; only the first where no episode ended."""
SUMMARY_FILTER: str = _LOG["filter"]
"""Filter pattern of CloudWatch Logs for summaries with a reward."""
RESUMED = re.compile(_LOG["resumed"])
"""The container's line about a brain that goes on from a checkpoint; groups `brain` and `step`."""
METRICS: Mapping[str, str] = _LOG["metrics"]
"""Metric definitions of a training job: name to regex. The sign belongs to the number, else -0.95 would be 0.95."""
