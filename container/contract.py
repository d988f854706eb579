"""The contract between this container and the programs that start it: names, paths, log lines, hyperparameters.

Both sides read `contract.json` and, for the keys of the trainer configuration, `trainer_keys.json`. A row there has the
key's meaning, its type and bounds as a hyperparameter, the trainers that require it or read it optionally, and under
`in_config` how ML-Agents reads it from the file: below `low` nothing is learned, above `high` losses become infinite or
NaN, an infinite value works only where it is `endless`, and a value outside `usual` is allowed but rarely intended.
"""

import json
import os

FOLDER = os.path.dirname(os.path.abspath(__file__))


def _load(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return json.load(file)


CONTRACT = _load("contract.json")
TRAINER_KEYS = _load("trainer_keys.json")
