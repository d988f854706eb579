"""Resumes from a run's checkpoints, whatever the trainer version: the newest complete one, and what fits it."""

import logging
import os

import checkpoints
import events
import h5py
from refusal import RefusalError
from run_state import Run

EPISODE_STATS = (
    "Environment/Cumulative Reward",
    "Environment/Episode Length",
    "Environment/Group Cumulative Reward",  # with POCA
)
"""Statistics that are averaged over the episodes since the last summary."""

log = logging.getLogger("mlagents.trainers")


def find_checkpoints(run: Run, problem, point_to) -> None:
    """Find the newest complete checkpoint of each brain, and move newer, incomplete ones away.

    Parameters
    ----------
    run
        The state of the run.
    problem
        Reads a readable checkpoint completely; returns what is wrong with it, or None.
    point_to
        Makes ML-Agents load a checkpoint.
    """
    run.known = checkpoints.brains(run.folder)
    for brain in run.known:
        found = checkpoints.of_brain(checkpoints.brain_folder(run.folder, brain))
        has_notes = any(
            os.path.exists(checkpoint.note) for checkpoint in found
        )  # else they are from plain mlagents-learn
        whole = []
        for checkpoint in found:
            trouble = _read(checkpoint, problem)
            if trouble is None:
                whole.append(checkpoint)
                if not has_notes or checkpoints.read_note(checkpoint) is not None:
                    break
                trouble = "its note %s is missing or torn" % os.path.basename(checkpoint.note)
            events.send("torn", brain=brain, step=checkpoint.step, message=trouble)
            if checkpoint not in whole:
                checkpoints.set_aside(checkpoint)
        if whole:
            _choose(run, brain, whole, has_notes)
            point_to(run.found[brain])
    for brain, checkpoint in run.found.items():
        _check_replay_buffer(brain, checkpoint)


def _read(checkpoint: checkpoints.Checkpoint, problem):
    for path in checkpoints.files(checkpoint):
        if not os.access(path, os.R_OK):  # it may be valid, so continuing without it would be wrong
            raise RefusalError("The checkpoint %s may not be read. Change its permissions." % path)
    return problem(checkpoint)


def _choose(run: Run, brain: str, whole, has_notes: bool) -> None:
    """Resume from the last of these checkpoints or, if none has a note, from the newest without one."""
    checkpoint, note = whole[-1], checkpoints.read_note(whole[-1])
    if has_notes and note is None:
        checkpoint = whole[0]
        log.warning("No checkpoint of %s has its note: a curriculum begins anew, what fits is not checked", brain)
    for newer in whole:
        if newer.step > checkpoint.step:
            checkpoints.set_aside(newer)
    run.found[brain], run.notes[brain] = checkpoint, note


def _check_replay_buffer(brain: str, checkpoint: checkpoints.Checkpoint) -> None:
    """Remove a damaged replay buffer: ML-Agents fails on it, but continues without one."""
    path = os.path.join(os.path.dirname(checkpoint.prefix), "last_replay_buffer.hdf5")
    if os.path.exists(path):
        try:
            h5py.File(path, "r").close()
        except OSError as error:
            events.send("torn", brain=brain, step=checkpoint.step, message="replay buffer: %s" % error)
            os.remove(path)


def note(run: Run, brain: str, stats, **more):
    """Return the note for a brain's checkpoint: what all versions have, and more."""
    return {
        "environment": run.environment,
        "brains": sorted(run.brains.union(run.known)),
        "shape": run.shapes[brain],
        "ended": {name: list(map(float, stats.get(name, ()))) for name in EPISODE_STATS},
        **more,
    }


def has_trained(run: Run, least: int = 0) -> bool:
    """Return whether a brain has advanced since this process resumed it or, without that, taken the `least` steps."""
    begun = {brain: checkpoint.step for brain, checkpoint in run.found.items()}
    return any(step > begun.get(brain, least - 1) for brain, (step, _) in run.steps().items())


def refuse_other_checkpoints(run: Run, brain: str) -> None:
    """Refuse checkpoints that were trained for another environment, brain or network."""
    for found, note in run.notes.items():
        if note is None:  # saved by plain mlagents-learn; `refuse_other_network` checks the rest
            note = {"environment": run.environment, "brains": run.known, "shape": run.shapes[brain]}
        if note["environment"] != run.environment:
            raise RefusalError(
                "The checkpoints were trained in the environment %s, but this job trains in %s. Start without "
                "checkpoints, or bring the build they belong to." % (note["environment"], run.environment)
            )
        if brain not in note["brains"]:
            raise RefusalError(
                "The checkpoints hold the brains %s, but this build has the brain %s. Start without checkpoints, or "
                "bring the build they belong to." % (", ".join(note["brains"]), brain)
            )
        different = checkpoints.differences(note["shape"], run.shapes[brain]) if found == brain else []
        if different:
            raise RefusalError(
                "The checkpoints of brain %s do not fit: %s. Start without checkpoints, or train with what they were "
                "made with." % (brain, "; ".join(different))
            )


def refuse_other_network(saved, current, what: str) -> None:
    """Refuse to load a checkpoint whose variables are not those of the network, if its note did not show it.

    Parameters
    ----------
    saved, current
        The sizes of the variables by name, of the checkpoint and of the network.
    what
        What is loaded, for the message.
    """
    different = [
        "%s is %s in the checkpoint, %s now" % (name, _size(saved.get(name)), _size(current.get(name)))
        for name in sorted(set(saved) | set(current))
        if saved.get(name) != current.get(name)
    ]
    if different:
        more = "; and %d more" % (len(different) - 3) if len(different) > 3 else ""
        raise RefusalError(
            "%s does not fit the network: %s%s. Start without checkpoints, or train with what they were made with."
            % (what, "; ".join(different[:3]), more)
        )


def _size(shape) -> str:
    if shape is None:
        return "missing"
    return " x ".join(map(str, shape)) or "a number"


def attempts(folder: str) -> int:
    """Return how many processes have written to a brain's curve, each to one event file."""
    return len(_event_files(folder))


def bytes_of_curve(folder: str) -> int:
    """Return the total size of a brain's event files in bytes."""
    return sum(map(os.path.getsize, _event_files(folder)))


def _event_files(folder: str):
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [os.path.join(folder, name) for name in names if ".tfevents." in name]
