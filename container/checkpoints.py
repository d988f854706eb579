"""A run's checkpoints on disk: find, verify and describe them.

ML-Agents writes a folder for each run and, in it, one for each brain; how they and the checkpoints are named depends on
its version. For each checkpoint this container adds a note, a file of the same name that ends with `.json`, with the
state that a checkpoint lacks: the shape of brain and network, the environment, lessons, and the episodes that are not
in a summary yet.
"""

import json
import os
import re
import shutil
from typing import Any, Dict, List, NamedTuple, Optional
from urllib.parse import unquote

import paths
import trainers

EXPORTED = "exported.json"  # in a run's folder: brain -> step of its model


class Checkpoint(NamedTuple):
    """A saved state of a brain."""

    step: int
    prefix: str  # its path; where it has several files, what they begin with

    @property
    def note(self) -> str:
        """Path of its note."""
        return os.path.splitext(self.prefix)[0] + ".json"


def brain_folder(run_folder: str, brain: str) -> str:
    """Return the folder of a brain's checkpoints."""
    return os.path.join(run_folder, paths.brain_file(brain))


def of_brain(folder: str) -> List[Checkpoint]:
    """List the checkpoints in a brain's folder, newest first, complete or not."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    matches = filter(None, map(trainers.chosen().CHECKPOINT.match, names))
    found = {Checkpoint(int(match.group("step")), os.path.join(folder, match.group("name"))) for match in matches}
    return sorted(found, reverse=True)


def brains(run_folder: str) -> List[str]:
    """Return the brains that have checkpoints in a run's folder."""
    return sorted(unquote(name.rstrip("%")) for name in _saved(run_folder))


def runs(checkpoints: str) -> List[str]:
    """Return the runs that have checkpoints."""
    folder, suffix = os.path.join(checkpoints, trainers.chosen().ROW["runs"]), trainers.chosen().SUFFIX
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(
        name[: len(name) - len(suffix)]
        for name in names
        if name.endswith(suffix) and brains(os.path.join(folder, name))
    )


def newest_step(run_folder: str) -> int:
    """Return the highest saved step of a run, over all brains; 0 if nothing is saved."""
    return max((found[0].step for found in _saved(run_folder).values()), default=0)


def _saved(run_folder: str) -> Dict[str, List[Checkpoint]]:
    names = os.listdir(run_folder) if os.path.isdir(run_folder) else []
    found = {name: of_brain(os.path.join(run_folder, name)) for name in names}
    return {name: saved for name, saved in found.items() if saved}


def note_export(run_folder: str, steps: Dict[str, Optional[int]]) -> None:
    """Record the step of each of these brains' model; None while it is being written."""
    known = dict(exported(run_folder), **steps)
    with open(os.path.join(run_folder, EXPORTED + ".part"), "w", encoding="utf-8") as file:
        json.dump({brain: step for brain, step in known.items() if step is not None}, file)
    os.replace(file.name, os.path.join(run_folder, EXPORTED))


def exported(run_folder: str) -> Dict[str, int]:
    """Return brain -> step of the last written models, of this job or an earlier one; empty if none."""
    try:
        with open(os.path.join(run_folder, EXPORTED), encoding="utf-8") as file:
            found = dict(json.load(file))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}
    return {brain: step for brain, step in found.items() if isinstance(step, int)}


def files(checkpoint: Checkpoint) -> List[str]:
    """List a checkpoint's files, including its note."""
    folder, name = os.path.split(os.path.splitext(checkpoint.prefix)[0])
    paths = [os.path.join(folder, found) for found in os.listdir(folder) if found.startswith(name + ".")]
    return [path for path in paths if os.path.isfile(path)]


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
        if re.fullmatch(r".+-\d+\.json", name) and name not in valid_notes:
            os.remove(os.path.join(folder, name))


def differences(saved: Dict[str, Any], current: Dict[str, Any]) -> List[str]:
    """Describe the differences between two shapes; empty if there are none."""
    return [
        "%s: %s in the checkpoint, %s now" % (key.replace("_", " "), saved.get(key), current.get(key))
        for key in sorted(set(saved) | set(current))
        if saved.get(key) != current.get(key)
    ]
