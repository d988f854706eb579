"""Resumes from a run's checkpoints: the newest complete one, its lesson, its step and its reward curve."""

import logging
import os

import checkpoints
import events
import h5py
import tensorflow as tf
from mlagents.trainers import learn
from refusal import RefusalError
from run_state import Run

from trainers.v0_11 import brain_settings

EPISODE_STATS = ("Environment/Cumulative Reward", "Environment/Episode Length")
"""Statistics that are averaged over the episodes since the last summary."""

log = logging.getLogger("mlagents.trainers")


def find_checkpoints(run: Run) -> None:
    """Find the newest complete checkpoint of each brain, and move newer, incomplete ones away."""
    run.known = checkpoints.brains(run.folder)
    for brain in run.known:
        found = checkpoints.of_brain(checkpoints.brain_folder(run.folder, brain))
        has_notes = any(
            os.path.exists(checkpoint.note) for checkpoint in found
        )  # else they are from plain mlagents-learn
        whole = []
        for checkpoint in found:
            problem = _problem(checkpoint)
            if problem is None:
                whole.append(checkpoint)
                if not has_notes or checkpoints.read_note(checkpoint) is not None:
                    break
                problem = "its note %s is missing or torn" % os.path.basename(checkpoint.note)
            events.send("torn", brain=brain, step=checkpoint.step, message=problem)
            if checkpoint not in whole:
                checkpoints.set_aside(checkpoint)
        if whole:
            _choose(run, brain, whole, has_notes)
    for brain, checkpoint in run.found.items():
        _check_replay_buffer(brain, checkpoint)


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
    _point_to(checkpoint)


def _check_replay_buffer(brain: str, checkpoint: checkpoints.Checkpoint) -> None:
    """Remove a damaged replay buffer: ML-Agents fails on it, but continues without one."""
    path = os.path.join(os.path.dirname(checkpoint.prefix), "last_replay_buffer.hdf5")
    if os.path.exists(path):
        try:
            h5py.File(path, "r").close()
        except OSError as error:
            events.send("torn", brain=brain, step=checkpoint.step, message="replay buffer: %s" % error)
            os.remove(path)


def _problem(checkpoint: checkpoints.Checkpoint):
    """Read a checkpoint completely, with its checksums; return what is wrong with it, or None."""
    for path in checkpoints.files(checkpoint):
        if not os.access(path, os.R_OK):  # it may be valid, so continuing without it would be wrong
            raise RefusalError("The checkpoint %s may not be read. Change its permissions." % path)
    try:
        reader = tf.train.NewCheckpointReader(checkpoint.prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except Exception as error:  # TensorFlow raises many kinds
        return " ".join(str(error).split())
    return None


def _point_to(checkpoint: checkpoints.Checkpoint) -> None:
    """Rewrite the file `checkpoint` so that it names this checkpoint."""
    folder, name = os.path.split(checkpoint.prefix)
    path = os.path.join(folder, "checkpoint")
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write('model_checkpoint_path: "%s"\nall_model_checkpoint_paths: "%s"\n' % (name, name))
    os.replace(path + ".part", path)


def shape_of(config, brain):
    """Describe brain and network: everything that a checkpoint must match."""
    parameters = brain_settings.find(config, brain.brain_name)
    recurrent = bool(parameters.get("use_recurrent"))
    shape = {
        "vector_observations": brain.vector_observation_space_size * brain.num_stacked_vector_observations,
        "visual_observations": [list(resolution) for resolution in brain.camera_resolutions],
        "action_type": brain.vector_action_space_type,
        "actions": list(brain.vector_action_space_size),
        "use_recurrent": recurrent,
        "memory_size": parameters.get("memory_size") if recurrent else 0,
    }
    for key in ("trainer", "hidden_units", "num_layers", "normalize"):
        shape[key] = parameters.get(key)
    if brain.camera_resolutions:
        shape["vis_encode_type"] = parameters.get("vis_encode_type", "simple")
    if parameters.get("trainer") != "offline_bc":
        signals = parameters.get("reward_signals") or {}
        shape["reward_signals"] = sorted(name for name in signals if isinstance(signals[name], dict))
        shape["pretraining"] = "pretraining" in parameters
    return shape


def note_of(run: Run, brain: str):
    """Return the note for a brain's checkpoint."""
    curriculum = run.curricula.get(brain)
    stats = run.trainers[brain].stats
    return {
        "environment": run.environment,
        "brains": sorted(run.brains.union(run.known)),
        "shape": run.shapes[brain],
        "lesson": None if curriculum is None else curriculum.lesson_num,
        "smoothing": None if curriculum is None else float(curriculum.smoothing_value),
        "ended": {name: list(map(float, stats.get(name, ()))) for name in EPISODE_STATS},
    }


def has_trained(run: Run) -> bool:
    """Return whether a brain has advanced since this process resumed it."""
    begun = {brain: checkpoint.step for brain, checkpoint in run.found.items()}
    return any(step > begun.get(brain, -1) for brain, (step, _) in run.steps().items())


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


def refuse_other_network(run: Run, policy) -> None:
    """Refuse to load a checkpoint whose variables are not those of the network, if its note did not show it."""
    brain = policy.brain.brain_name
    saved = tf.train.NewCheckpointReader(run.found[brain].prefix).get_variable_to_shape_map()
    with policy.graph.as_default():
        current = {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}
    different = [
        "%s is %s in the checkpoint, %s now" % (name, _size(saved.get(name)), _size(current.get(name)))
        for name in sorted(set(saved) | set(current))
        if saved.get(name) != current.get(name)
        and "/Adam" not in name  # the optimiser's variables correspond to the others
    ]
    if different:
        more = "; and %d more" % (len(different) - 3) if len(different) > 3 else ""
        raise RefusalError(
            "The checkpoint of brain %s at step %d does not fit the network: %s%s. Start without checkpoints, or train "
            "with what they were made with." % (brain, run.found[brain].step, "; ".join(different[:3]), more)
        )


def _size(shape) -> str:
    if shape is None:
        return "missing"
    return " x ".join(map(str, shape)) or "a number"


def apply_state(run: Run, trainer) -> None:
    """Apply the run's step, its list of checkpoints and its unfinished statistics to a trainer."""
    name = trainer.brain_name
    trainer.step = int(trainer.policy.get_current_step())
    run.first_step = max(run.first_step, trainer.step)
    for field, values in (run.notes.get(name) or {}).get("ended", {}).items():
        trainer.stats[field] = [*trainer.stats.get(field, ()), *values]
    older = [c.prefix for c in reversed(checkpoints.of_brain(checkpoints.brain_folder(run.folder, name)))]
    trainer.policy.saver.recover_last_checkpoints(older)  # else they would never be removed
    events.send("resumed", brain=name, step=trainer.step)


def attempts(folder: str) -> int:
    """Return how many processes have written to a brain's curve, each to one event file."""
    return len(_event_files(folder))


def bytes_of_curve(folder: str) -> int:
    """Return the total size of a brain's event files in bytes."""
    return sum(map(os.path.getsize, _event_files(folder)))


def _event_files(folder: str):
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [os.path.join(folder, name) for name in names if ".tfevents." in name]


def begin_curve(trainer, number: int) -> None:
    """Mark where a curve is resumed; readers then drop what was written for later steps.

    `number` counts the attempts, because the files' names are not in order if the clock is set back.
    """
    start = tf.SessionLog(status=tf.SessionLog.START, msg="attempt %d" % number)
    trainer.summary_writer.add_session_log(start, trainer.step + 1)
    trainer.summary_writer.flush()


def restore_lessons(run: Run) -> None:
    """Make a curriculum continue with its last lesson, once it is created."""
    create = learn.try_create_meta_curriculum

    def restored(*args):
        meta = create(*args)
        if meta is not None:
            run.curricula = meta.brains_to_curriculums
            for brain, curriculum in run.curricula.items():
                note = run.notes.get(brain) or {}
                if note.get("lesson") is not None:
                    curriculum.lesson_num = note["lesson"]
                    curriculum.smoothing_value = note["smoothing"]
                    log.info("%s goes on in lesson %d", brain, curriculum.lesson_num)
        return meta

    learn.try_create_meta_curriculum = restored
