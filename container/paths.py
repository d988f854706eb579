"""All paths of the training container.

SageMaker's contract fixes them under `/opt/ml`; `SAGEMAKER_BASE_DIR` moves the root, so that the same program
runs outside Docker.
"""

import os
from urllib.parse import quote

import trainers
from contract import CONTRACT, FOLDER

_PATHS, _FILES = CONTRACT["paths"], CONTRACT["files"]
BASE = os.path.abspath(os.environ.get(CONTRACT["environment"]["base"], _PATHS["base"]))


def _in_base(name):
    return os.path.join(BASE, *_PATHS[name].split("/"))


HYPERPARAMETERS = _in_base("hyperparameters")
RESOURCES = _in_base("resources")
CHANNEL = os.path.join(_in_base("channels"), CONTRACT["channel"])

MODEL = _in_base("model")
TRAINING_JSON = os.path.join(MODEL, _FILES["training_json"])
USED_TRAINER_CONFIG = os.path.join(MODEL, _FILES["trainer_config"])

OUTPUT_DATA = _in_base("output_data")
SUMMARIES = os.path.join(OUTPUT_DATA, _FILES["summaries"])
TIMERS = os.path.join(OUTPUT_DATA, _FILES["timers"])
PLAYER_LOGS = os.path.join(OUTPUT_DATA, _FILES["player_logs"])
# SageMaker copies this to S3 while the job runs, if it was launched with a TensorBoardOutputConfig.
TENSORBOARD = _in_base("tensorboard")
FAILURE = _in_base("failure")
RESERVE = os.path.join(BASE, "output", ".reserve")

# The learner's working directory, which SageMaker syncs to S3 while the job runs.
CHECKPOINTS = _in_base("checkpoints")
LEARNER_SUMMARIES = os.path.join(CHECKPOINTS, "summaries")

LEARNER = os.path.join(FOLDER, "learner.py")


def channels():
    """Return the names of this job's input channels."""
    folder = os.path.dirname(CHANNEL)
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def shipped_trainer_config():
    """Return the trainer configuration that comes with the container."""
    return os.path.join(FOLDER, trainers.chosen().ROW["trainer_config"])


def run_folder(run_id):
    """Folder of a run's models, relative to `CHECKPOINTS`."""
    return os.path.join(trainers.chosen().ROW["runs"], run_id + trainers.chosen().SUFFIX)


def brain_file(brain, brains=()):
    """Return the name of a brain's folders and files: its own name, percent-encoded where a file system needs it.

    Letters, digits, blanks and `-_.()+=@,` stay as they are; `A/Red` becomes `A%2FRed`. A dot is encoded where it would
    hide the file or make it look like one of ours. `urllib.parse.unquote` gives the name back; `%` stands for no name.

    Parameters
    ----------
    brain
        The brain's name.
    brains
        The names of all brains: names that differ only in case get different results, for case-insensitive systems.
    """
    twins = sorted(other for other in brains if other.casefold() == brain.casefold())
    if brain in twins[1:]:
        return "".join("%%%02X" % byte for byte in brain.encode())
    name = "".join(sign if sign.isalnum() or sign in " -_.()+=@," else quote(sign, safe="") for sign in brain)
    if name.startswith(".") or name.lower().endswith((".nn", ".onnx", ".json")):
        name = name.replace(".", "%2E")
    return name or "%"
