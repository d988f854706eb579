"""A run's checkpoints on disk: find, verify and describe them.

ML-Agents writes `models/<run>-0/<Brain>/model-<step>.cptk.*` and a file `checkpoint` that names the newest. For each
checkpoint this container adds a note, `model-<step>.json`, with the state that a checkpoint lacks: the shape of brain
and network, the environment, the curriculum's lesson, and the episodes that are not in a summary yet.
"""

import json
import os
import re
import shutil
from typing import Any, Dict, List, NamedTuple, Optional
from urllib.parse import unquote

import paths

EXPORTED = "exported.json"  # in a run's folder: brain -> step of its .nn
MODEL = re.compile(r"model-(\d+)\.cptk")


class Checkpoint(NamedTuple):
    """A saved state of a brain."""

    step: int
    prefix: str  # path without the suffixes .index, .meta and .data-…

    @property
    def note(self) -> str:
        """Path of its note."""
        return self.prefix[: -len(".cptk")] + ".json"


def brain_folder(run_folder: str, brain: str) -> str:
    """Return the folder of a brain's checkpoints."""
    return os.path.join(run_folder, paths.brain_file(brain))


def of_brain(folder: str) -> List[Checkpoint]:
    """List the checkpoints in a brain's folder, newest first, complete or not."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    steps = {int(match.group(1)) for match in map(MODEL.match, names) if match}
    return [Checkpoint(step, os.path.join(folder, "model-%d.cptk" % step)) for step in sorted(steps, reverse=True)]


def brains(run_folder: str) -> List[str]:
    """Return the brains that have checkpoints in a run's folder."""
    return sorted(unquote(name.rstrip("%")) for name in _saved(run_folder))


def runs(checkpoints: str) -> List[str]:
    """Return the runs that have checkpoints."""
    models = os.path.join(checkpoints, "models")
    names = os.listdir(models) if os.path.isdir(models) else []
    return sorted(name[: -len("-0")] for name in names if name.endswith("-0") and brains(os.path.join(models, name)))


def newest_step(run_folder: str) -> int:
    """Return the highest saved step of a run, over all brains; 0 if nothing is saved."""
    return max((found[0].step for found in _saved(run_folder).values()), default=0)


def _saved(run_folder: str) -> Dict[str, List[Checkpoint]]:
    names = os.listdir(run_folder) if os.path.isdir(run_folder) else []
    found = {name: of_brain(os.path.join(run_folder, name)) for name in names}
    return {name: saved for name, saved in found.items() if saved}


def note_export(run_folder: str, steps: Dict[str, Optional[int]]) -> None:
    """Record the step of each of these brains' `.nn`; None while it is being written."""
    known = dict(exported(run_folder), **steps)
    with open(os.path.join(run_folder, EXPORTED + ".part"), "w", encoding="utf-8") as file:
        json.dump({brain: step for brain, step in known.items() if step is not None}, file)
    os.replace(file.name, os.path.join(run_folder, EXPORTED))


def exported(run_folder: str) -> Dict[str, int]:
    """Return brain -> step of the last written `.nn` files, of this job or an earlier one; empty if none."""
    try:
        with open(os.path.join(run_folder, EXPORTED), encoding="utf-8") as file:
            found = dict(json.load(file))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}
    return {brain: step for brain, step in found.items() if isinstance(step, int)}


def files(checkpoint: Checkpoint) -> List[str]:
    """List a checkpoint's files, including its note."""
    folder, name = os.path.split(checkpoint.prefix)
    names = [found for found in os.listdir(folder) if found.startswith(name + ".")] + [
        os.path.basename(checkpoint.note)
    ]
    return [path for path in (os.path.join(folder, name) for name in names) if os.path.isfile(path)]


def set_aside(checkpoint: Checkpoint) -> None:
    """Move an incomplete checkpoint into the folder `torn` next to it."""
    folder, name = os.path.split(checkpoint.prefix)
    os.makedirs(os.path.join(folder, "torn"), exist_ok=True)
    for path in files(checkpoint):
        os.replace(path, os.path.join(folder, "torn", os.path.basename(path)))
    for found in os.listdir(folder):
        if found.startswith(name + "_temp"):  # files that TensorFlow was writing when it was killed
            shutil.rmtree(os.path.join(folder, found), ignore_errors=True)


def read_note(checkpoint: Checkpoint) -> Optional[Dict[str, Any]]:
    """Read a checkpoint's note; return None if it is missing or can't be read."""
    try:
        with open(checkpoint.note, encoding="utf-8") as file:
            note = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
    return note if isinstance(note, dict) else None


def write_note(checkpoint: Checkpoint, note: Dict[str, Any]) -> None:
    """Write a checkpoint's note before the checkpoint, so that none is without one; delete obsolete notes."""
    folder = os.path.dirname(checkpoint.prefix)
    os.makedirs(folder, exist_ok=True)
    with open(checkpoint.note + ".part", "w", encoding="utf-8") as file:
        json.dump(note, file, indent=2)
    os.replace(checkpoint.note + ".part", checkpoint.note)
    valid_notes = {os.path.basename(other.note) for other in of_brain(folder)} | {os.path.basename(checkpoint.note)}
    for name in os.listdir(folder):
        if re.fullmatch(r"model-\d+\.json", name) and name not in valid_notes:
            os.remove(os.path.join(folder, name))


def differences(saved: Dict[str, Any], current: Dict[str, Any]) -> List[str]:
    """Describe the differences between two shapes; empty if there are none."""
    return [
        "%s: %s in the checkpoint, %s now" % (key.replace("_", " "), saved.get(key), current.get(key))
        for key in sorted(set(saved) | set(current))
        if saved.get(key) != current.get(key)
    ]
