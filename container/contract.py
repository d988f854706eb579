"""The contract between this container and the programs that start it: names, paths, log lines, hyperparameters.

Both sides read `contract.json`. Under `trainers` it has a row for each version of ML-Agents, which names the table of
the keys of its trainer configuration. A row of that table has the key's meaning, its type and bounds as a
hyperparameter, the algorithms that require it or read it optionally, and under `in_config` how ML-Agents reads it from
the file: below `low` nothing is learned, above `high` losses become infinite or NaN, an infinite value works only where
it is `endless`, and a value outside `usual` is allowed but rarely intended.
"""

import json
import os

FOLDER = os.path.dirname(os.path.abspath(__file__))


def load(name):
    """Return the content of a JSON file in this folder."""
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return json.load(file)


CONTRACT = load("contract.json")
