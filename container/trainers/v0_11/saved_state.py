"""What ML-Agents 0.11.0 resumes from: a checkpoint of TensorFlow, its lesson, its step and its reward curve."""

import logging
import os

import checkpoints
import events
import resume
import tensorflow as tf
from mlagents.trainers import learn
from run_state import Run

from trainers.v0_11 import brain_settings

log = logging.getLogger("mlagents.trainers")


def problem(checkpoint: checkpoints.Checkpoint):
    """Read a checkpoint completely, with its checksums; return what is wrong with it, or None."""
    try:
        reader = tf.train.NewCheckpointReader(checkpoint.prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except Exception as error:  # TensorFlow raises many kinds
        return " ".join(str(error).split())
    return None


def point_to(checkpoint: checkpoints.Checkpoint) -> None:
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
    return resume.note(
        run,
        brain,
        run.trainers[brain].stats,
        lesson=None if curriculum is None else curriculum.lesson_num,
        smoothing=None if curriculum is None else float(curriculum.smoothing_value),
    )


def refuse_other_network(run: Run, policy) -> None:
    """Refuse to load a checkpoint whose variables are not those of the network, if its note did not show it."""
    brain = policy.brain.brain_name
    saved = tf.train.NewCheckpointReader(run.found[brain].prefix).get_variable_to_shape_map()
    with policy.graph.as_default():
        current = {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}
    what = "The checkpoint of brain %s at step %d" % (brain, run.found[brain].step)
    # The optimiser's variables correspond to the others.
    own = [{name: shape for name, shape in shapes.items() if "/Adam" not in name} for shapes in (saved, current)]
    resume.refuse_other_network(*own, what)


def apply_state(run: Run, trainer) -> None:
    """Apply the run's step, its list of checkpoints and its unfinished statistics to a trainer."""
    name = trainer.brain_name
    trainer.step = int(trainer.policy.get_current_step())
    run.first_step = max(run.first_step, trainer.step)
    for field, values in (run.notes.get(name) or {}).get("ended", {}).items():
        if values:
            trainer.stats[field] = [*trainer.stats.get(field, ()), *values]
    older = [c.prefix for c in reversed(checkpoints.of_brain(checkpoints.brain_folder(run.folder, name)))]
    trainer.policy.saver.recover_last_checkpoints(older)  # else they would never be removed
    events.send("resumed", brain=name, step=trainer.step)


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
