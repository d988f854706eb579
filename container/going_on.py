"""Going on from a run's checkpoints: the newest that is whole, its lesson, its step and its reward curve."""

import logging
import os

import brain_settings
import checkpoints
import events
import h5py
import tensorflow as tf
from mlagents.trainers import learn
from refusal import RefusalError
from run import Run

OF_EPISODES = ("Environment/Cumulative Reward", "Environment/Episode Length")
"""What is averaged over the episodes that ended since the last summary."""

log = logging.getLogger("mlagents.trainers")


def find_checkpoints(run: Run) -> None:
    """Find the newest whole checkpoint of each brain, and set newer ones aside that are torn."""
    run.known = checkpoints.brains(run.folder)
    for brain in run.known:
        found = checkpoints.of_brain(checkpoints.brain_folder(run.folder, brain))
        noted = any(os.path.exists(checkpoint.note) for checkpoint in found)  # else they are plain mlagents-learn's
        whole = []
        for checkpoint in found:
            problem = _problem(checkpoint)
            if problem is None:
                whole.append(checkpoint)
                if not noted or checkpoints.read_note(checkpoint) is not None:
                    break
                problem = "its note %s is missing or torn" % os.path.basename(checkpoint.note)
            events.send("torn", brain=brain, step=checkpoint.step, message=problem)
            if checkpoint not in whole:
                checkpoints.set_aside(checkpoint)
        if whole:
            _take(run, brain, whole, noted)
    for brain, checkpoint in run.found.items():
        _check_replay_buffer(brain, checkpoint)


def _take(run: Run, brain: str, whole, noted: bool) -> None:
    """Go on from the last of these checkpoints, or, where none has its note, from the newest without it."""
    checkpoint, note = whole[-1], checkpoints.read_note(whole[-1])
    if noted and note is None:
        checkpoint = whole[0]
        log.warning("No checkpoint of %s has its note: a curriculum begins anew, what fits is not checked", brain)
    for newer in whole:
        if newer.step > checkpoint.step:
            checkpoints.set_aside(newer)
    run.found[brain], run.notes[brain] = checkpoint, note
    _point_to(checkpoint)


def _check_replay_buffer(brain: str, checkpoint: checkpoints.Checkpoint) -> None:
    """Remove a torn replay buffer, without which ML-Agents goes on; with it, it fails."""
    path = os.path.join(os.path.dirname(checkpoint.prefix), "last_replay_buffer.hdf5")
    if os.path.exists(path):
        try:
            h5py.File(path, "r").close()
        except OSError as error:
            events.send("torn", brain=brain, step=checkpoint.step, message="replay buffer: %s" % error)
            os.remove(path)


def _problem(checkpoint: checkpoints.Checkpoint):
    """Read a checkpoint through, checksums and all; return what is wrong with it."""
    for path in checkpoints.files(checkpoint):
        if not os.access(path, os.R_OK):  # whole or not, it is not for us to go on without it
            raise RefusalError("The checkpoint %s may not be read. Change its permissions." % path)
    try:
        reader = tf.train.NewCheckpointReader(checkpoint.prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except Exception as error:  # TensorFlow raises many kinds
        return " ".join(str(error).split())
    return None


def _point_to(checkpoint: checkpoints.Checkpoint) -> None:
    """Make the file `checkpoint` name this one, whatever it named or however torn it was."""
    folder, name = os.path.split(checkpoint.prefix)
    path = os.path.join(folder, "checkpoint")
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write('model_checkpoint_path: "%s"\nall_model_checkpoint_paths: "%s"\n' % (name, name))
    os.replace(path + ".part", path)


def shape_of(config, brain):
    """Describe brain and network: all that a checkpoint must fit."""
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
    """Return what is to be written beside a brain's checkpoint."""
    curriculum = run.curricula.get(brain)
    stats = run.trainers[brain].stats
    return {
        "environment": run.environment,
        "brains": sorted(run.brains.union(run.known)),
        "shape": run.shapes[brain],
        "lesson": None if curriculum is None else curriculum.lesson_num,
        "smoothing": None if curriculum is None else float(curriculum.smoothing_value),
        "ended": {name: list(map(float, stats.get(name, ()))) for name in OF_EPISODES},
    }


def has_trained(run: Run) -> bool:
    """Whether a brain is further than it was when this process took it up."""
    begun = {brain: checkpoint.step for brain, checkpoint in run.found.items()}
    return any(step > begun.get(brain, -1) for brain, (step, _) in run.steps().items())


def refuse_other_checkpoints(run: Run, brain: str) -> None:
    """Refuse to go on from what was trained for another environment, brain or network."""
    for found, note in run.notes.items():
        if note is None:  # saved by plain mlagents-learn; `refuse_other_network` looks at the rest
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
    """Refuse to load a checkpoint whose variables are not those of the network: what no note told of."""
    brain = policy.brain.brain_name
    saved = tf.train.NewCheckpointReader(run.found[brain].prefix).get_variable_to_shape_map()
    with policy.graph.as_default():
        wanted = {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}
    different = [
        "%s is %s in the checkpoint, %s now" % (name, _size(saved.get(name)), _size(wanted.get(name)))
        for name in sorted(set(saved) | set(wanted))
        if saved.get(name) != wanted.get(name) and "/Adam" not in name  # the optimiser's, which follow the others
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


def take_up(run: Run, trainer) -> None:
    """Take up the run's step, its list of checkpoints and its reward curve."""
    name = trainer.brain_name
    trainer.step = int(trainer.policy.get_current_step())
    run.first_step = max(run.first_step, trainer.step)
    for field, values in (run.notes.get(name) or {}).get("ended", {}).items():
        trainer.stats[field] = [*trainer.stats.get(field, ()), *values]
    older = [c.prefix for c in reversed(checkpoints.of_brain(checkpoints.brain_folder(run.folder, name)))]
    trainer.policy.saver.recover_last_checkpoints(older)  # or they would never be removed
    events.send("resumed", brain=name, step=trainer.step)


def attempts(folder: str) -> int:
    """Return how many processes have written to a brain's curve: each has an event file."""
    return len(_event_files(folder))


def bytes_of_curve(folder: str) -> int:
    """Return how large a brain's event files are together."""
    return sum(map(os.path.getsize, _event_files(folder)))


def _event_files(folder: str):
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [os.path.join(folder, name) for name in names if ".tfevents." in name]


def begin_curve(trainer, number: int) -> None:
    """Mark where a curve goes on, for whoever reads it: what was written of later steps is dropped.

    `number` counts the attempts, because the names of the files do not when a clock is put back.
    """
    start = tf.SessionLog(status=tf.SessionLog.START, msg="attempt %d" % number)
    trainer.summary_writer.add_session_log(start, trainer.step + 1)
    trainer.summary_writer.flush()


def restore_lessons(run: Run) -> None:
    """Let a curriculum, once it is made, go on in the lesson it was in."""
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
