"""Writes a job's results: the model, the output and, after a failure, its reason."""

import json
import os
import platform
import shutil
import traceback
from typing import Any, Dict

import checkpoints
import paths
import trainers
from job_outcome import Outcome

FAILURE_CHARACTERS = 1024  # SageMaker's limit for FailureReason
RESERVE_BYTES = 1 << 16  # kept free to report a full disk


def reserve() -> None:
    """Reserve disk space for `training.json` and the failure."""
    with open(paths.RESERVE, "wb") as file:
        file.write(bytes(RESERVE_BYTES))


def release() -> None:
    """Free the reserved disk space."""
    if os.path.exists(paths.RESERVE):
        os.remove(paths.RESERVE)


def collect(outcome: Outcome, run_id: str) -> None:
    """Copy models, summaries and timers from the learner's folder to where SageMaker expects them."""
    run_folder = os.path.join(paths.CHECKPOINTS, paths.run_folder(run_id))
    outcome.model_steps = checkpoints.exported(run_folder)
    suffix = trainers.chosen().ROW["model_suffix"]
    for brain in outcome.model_steps:
        name = paths.brain_file(brain, outcome.model_steps) + suffix
        shutil.copy(checkpoints.brain_folder(run_folder, brain) + suffix, os.path.join(paths.MODEL, name))
    if os.path.isdir(paths.LEARNER_SUMMARIES):
        shutil.rmtree(paths.SUMMARIES, ignore_errors=True)
        shutil.copytree(paths.LEARNER_SUMMARIES, paths.SUMMARIES, ignore=shutil.ignore_patterns("*.json", "*.csv"))
        for brain in outcome.brains:
            names = paths.brain_file(brain), paths.brain_file(brain, outcome.brains)
            source, target = (os.path.join(paths.SUMMARIES, "%s_%s" % (run_id, name)) for name in names)
            if source != target and os.path.isdir(source):
                os.rename(source, target)
    share_summaries()
    timers = os.path.join(paths.CHECKPOINTS, trainers.chosen().timers(run_id))
    if os.path.exists(timers):
        shutil.copy(timers, paths.TIMERS)


def share_summaries() -> None:
    """Copy event files that have grown to the folder that SageMaker syncs while the job runs."""
    for folder, _, names in os.walk(paths.LEARNER_SUMMARIES):
        target = os.path.join(paths.TENSORBOARD, os.path.relpath(folder, paths.LEARNER_SUMMARIES))
        for name in names:
            source, shared = os.path.join(folder, name), os.path.join(target, name)
            unchanged = os.path.exists(shared) and os.path.getsize(shared) == os.path.getsize(source)
            if ".tfevents." not in name or unchanged:
                continue
            os.makedirs(target, exist_ok=True)
            part = os.path.join(target, ".part")  # TensorBoard reads all files with tfevents in their name
            shutil.copy(source, part)
            os.replace(part, shared)


def describe(outcome: Outcome, **facts: Any) -> Dict[str, Any]:
    """Return the content of `training.json`."""
    # Versions from package metadata, because importing TensorFlow takes seconds.
    versions = _versions()
    brains = {n: {"steps": b.step, "mean_reward": b.mean_reward} for n, b in outcome.brains.items()}
    return dict(
        {
            "status": outcome.status,
            "reason": outcome.reason,
            "remarks": outcome.remarks(),
            "python": platform.python_version(),
            "mlagents": versions.get("mlagents"),
            **trainers.chosen().versions(versions),
            "brains": brains,
            "model_steps": outcome.model_steps,
            "restarts": outcome.restarts,
            "resumed_from": outcome.resumed_from,
            "torn_checkpoints": outcome.torn,
        },
        **facts,
    )


def _versions() -> Dict[str, str]:
    try:
        from importlib import metadata
    except ImportError:  # Python 3.7
        import pkg_resources

        return {found.project_name.lower(): found.version for found in pkg_resources.working_set}
    return {found.metadata["Name"].lower(): found.version for found in metadata.distributions()}


def write_training(description: Dict[str, Any]) -> None:
    """Write `training.json`."""
    with open(paths.TRAINING_JSON, "w", encoding="utf-8") as file:
        json.dump(description, file, indent=2)
        file.write("\n")


def write_failure(reason: str, details: str = "") -> None:
    """Write the failure file: the cause in the first line, then the details."""
    os.makedirs(os.path.dirname(paths.FAILURE), exist_ok=True)
    with open(paths.FAILURE, "w", encoding="utf-8") as file:
        file.write((" ".join(reason.split()) + "\n" + details).strip()[:FAILURE_CHARACTERS])


def unexpected(error: BaseException) -> str:
    """Return the cause for an unexpected error of this program."""
    traceback.print_exc()
    return "The training program itself failed with %s: %s" % (type(error).__name__, error)
