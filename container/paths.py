"""Every path of the training container, in one place.

SageMaker's contract fixes them under `/opt/ml`; `SAGEMAKER_BASE_DIR` moves the root, so that the same program
runs outside Docker.
"""

import os
from urllib.parse import quote

BASE = os.path.abspath(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))

INPUT_CONFIG = os.path.join(BASE, "input", "config")
HYPERPARAMETERS = os.path.join(INPUT_CONFIG, "hyperparameters.json")
RESOURCES = os.path.join(INPUT_CONFIG, "resourceconfig.json")
CHANNEL = os.path.join(BASE, "input", "data", "unity-volume")

MODEL = os.path.join(BASE, "model")
TRAINING_JSON = os.path.join(MODEL, "training.json")
USED_TRAINER_CONFIG = os.path.join(MODEL, "trainer_config.yaml")

OUTPUT_DATA = os.path.join(BASE, "output", "data")
SUMMARIES = os.path.join(OUTPUT_DATA, "summaries")
TIMERS = os.path.join(OUTPUT_DATA, "timers.json")
PLAYER_LOGS = os.path.join(OUTPUT_DATA, "players")
# What SageMaker copies to S3 while the job runs, where it was launched with a TensorBoardOutputConfig.
TENSORBOARD = os.path.join(BASE, "output", "tensorboard")
FAILURE = os.path.join(BASE, "output", "failure")
RESERVE = os.path.join(BASE, "output", ".reserve")

# The learner's working directory: what it saves is a checkpoint, which SageMaker syncs to S3 while the job runs.
CHECKPOINTS = os.path.join(BASE, "checkpoints")
LEARNER_SUMMARIES = os.path.join(CHECKPOINTS, "summaries")

CONTAINER = os.path.dirname(os.path.abspath(__file__))
SHIPPED_TRAINER_CONFIG = os.path.join(CONTAINER, "trainer_config.yaml")
LEARNER = os.path.join(CONTAINER, "learner.py")


def channels():
    """Name the input channels that this job has."""
    folder = os.path.dirname(CHANNEL)
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def run_folder(run_id):
    """Folder of a run's models, relative to `CHECKPOINTS`; ML-Agents appends the `-0`."""
    return os.path.join("models", run_id + "-0")


def brain_file(brain, brains=()):
    """Return what a brain's folders and files are called: its name, percent-encoded where a file system needs it.

    Letters, digits, blanks and `-_.()+=@,` stay as they are; `A/Red` becomes `A%2FRed`. A dot is encoded where it would
    hide the file or make it look like one of ours. `urllib.parse.unquote` gives the name back; `%` stands for no name.

    Parameters
    ----------
    brain
        The brain's name.
    brains
        The names of all: those that differ in case alone are kept apart, for systems that do not tell cases apart.
    """
    twins = sorted(other for other in brains if other.casefold() == brain.casefold())
    if brain in twins[1:]:
        return "".join("%%%02X" % byte for byte in brain.encode())
    name = "".join(sign if sign.isalnum() or sign in " -_.()+=@," else quote(sign, safe="") for sign in brain)
    if name.startswith(".") or name.lower().endswith((".nn", ".json")):
        name = name.replace(".", "%2E")
    return name or "%"


def run_timers(run_id):
    """File of a run's timers, relative to `CHECKPOINTS`."""
    return os.path.join("summaries", run_id + "-0_timers.json")
