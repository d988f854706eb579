"""What the training container and this side agree on, read from `container/contract.json` and the tables of keys."""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from common import ROOT


class SummaryForm(NamedTuple):
    """How a version of ML-Agents writes a summary: `before_names`, names, `before_step`, `numbers`.

    The names are the brain's, after the run's and `between_names` where that is not empty. `numbers` has groups `step`,
    `elapsed` (seconds), `mean` and `std`, or `group` with POCA; only the first where no episode ended.
    """

    before_names: str
    between_names: str
    before_step: str
    numbers: re.Pattern[str]


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
SUMMARY_FORMS: Mapping[str, SummaryForm] = {
    trainer: SummaryForm(
        row["log"]["before_names"],
        row["log"]["between_names"],
        row["log"]["before_step"],
        re.compile(row["log"]["numbers"].replace("NUMBER", _LOG["number"])),
    )
    for trainer, row in TRAINERS.items()
}
"""By version of ML-Agents."""
SUMMARY_FILTER: str = _LOG["filter"]
"""Filter pattern of CloudWatch Logs for summaries with a reward."""
RESUMED = re.compile(_LOG["resumed"])
"""The container's line about a brain that goes on from a checkpoint; groups `brain` and `step`."""
ENDED = re.compile(_LOG["ended"])
"""The container's line about a regular end; group `reason`."""
CHOSEN_PLAYERS = re.compile(_LOG["chosen_players"])
"""The container's line about how many players `auto` keeps; group `players`."""
METRICS: Mapping[str, str] = _LOG["metrics"]
"""Metric definitions of a training job: name to regex. The sign belongs to the number, else -0.95 would be 0.95."""
