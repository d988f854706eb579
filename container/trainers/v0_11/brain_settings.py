"""The effective settings of a brain, and checks for settings with which it would silently learn nothing."""

import math
from typing import Any, Dict

import paths
from refusal import RefusalError

MAX_NAME_BYTES = 240  # of a file name, with room for its suffix


def find(config: Dict[str, Any], brain: str) -> Dict[str, Any]:
    """Return a brain's effective settings: `default`, overridden by the brain's own section."""
    section = config.get(brain, {})
    while isinstance(section, str):
        section = config[section]
    return dict(config["default"], **section)


def refuse_ineffective_training(settings: Dict[str, Any], brain: str) -> None:
    """Refuse settings with which ML-Agents would run to the end and never change the network.

    Raises
    ------
    RefusalError
        The training would have no end, or SAC ends before its first update.
    """
    trainer = settings.get("trainer")
    end, start = _number(settings, "max_steps"), _number(settings, "buffer_init_steps")
    if not math.isfinite(end):
        raise RefusalError(
            "Brain %s would train without an end: max_steps is %g. Write a number that is finite." % (brain, end)
        )
    if trainer == "sac" and 0 < end <= start:
        raise RefusalError(
            "Brain %s would learn nothing: max_steps is %g, and its first update comes at buffer_init_steps, which is "
            "%g. Raise the one or lower the other." % (brain, end, start)
        )


def refuse_long_name(brain: str, run_id: str) -> None:
    """Refuse a brain whose name is too long for its files.

    Raises
    ------
    RefusalError
        The name is longer than file systems allow.
    """
    size = len(("%s_%s" % (run_id, paths.brain_file(brain))).encode())
    if size > MAX_NAME_BYTES:
        raise RefusalError(
            "Brain %s… has too long a name: with the run id in front, its folder's name takes %d bytes, and file "
            "systems take %d. Shorten its Behavior Name in Unity, and build again." % (brain[:40], size, MAX_NAME_BYTES)
        )


def refuse_empty_updates(settings: Dict[str, Any], brain: str) -> None:
    """Refuse to continue if updates draw no batch.

    The experiences of a PPO update depend on how many agents fill the buffer at once, which is unknown before.

    Raises
    ------
    RefusalError
        Always.
    """
    if settings["trainer"] == "ppo":
        data = (
            "buffer_size %s, so that no batch is full. Make buffer_size some 10 times batch_size"
            % settings["buffer_size"]
        )
    else:
        data = "batches_per_epoch %s. Raise batches_per_epoch, or record more" % settings["batches_per_epoch"]
    raise RefusalError("Brain %s would learn nothing: batch_size is %s and %s." % (brain, settings["batch_size"], data))


def refuse_curriculum(meta, brain: str, lesson: int) -> None:
    """Refuse curricula without a file for a brain, or a first lesson that its curriculum does not have.

    Parameters
    ----------
    meta
        ML-Agents' curricula of all brains, or None.
    brain
        The brain.
    lesson
        The hyperparameter `lesson`.

    Raises
    ------
    RefusalError
        ML-Agents would fail with the brain's name alone, or quietly take the last lesson.
    """
    if meta is None:
        return
    curricula = meta.brains_to_curriculums
    if brain not in curricula:
        todo = "Add %s.json to it." % brain
        if "/" in brain or "." in brain:  # ML-Agents uses the part of the name before the first dot as the brain
            todo = "No file can be named after it: give it a Behavior Name without slash and dot in Unity."
        raise RefusalError(
            "Expected a curriculum for each brain, found none for %s; the folder has: %s. %s"
            % (brain, ", ".join(sorted(curricula)) or "no *.json", todo)
        )
    last = curricula[brain].max_lesson_num
    if lesson > last:
        raise RefusalError(
            "Hyperparameter lesson is %d, but the curriculum of brain %s has the lessons 0 to %d."
            % (lesson, brain, last)
        )


def refuse_unused_curriculum(meta, trained) -> None:
    """Refuse a curriculum for a brain that is not (yet) trained.

    Raises
    ------
    RefusalError
        ML-Agents would fail with the brain's name alone.
    """
    lonely = sorted(set(meta.brains_to_curriculums) - set(trained))
    if lonely:
        raise RefusalError(
            "The curriculum has %s.json, but after the first step the build has shown the brains %s. ML-Agents 0.11 "
            "fails on a curriculum whose brain appears later, or not at all: let every brain have an agent from the "
            "start, or train without the curriculum." % (".json, ".join(lonely), ", ".join(sorted(trained)) or "none")
        )


def refuse_ineffective_pretraining(module, brain: str) -> None:
    """Refuse pretraining that would draw no batch from its demonstrations.

    Parameters
    ----------
    module
        ML-Agents' own pretraining, or None.
    brain
        The brain.

    Raises
    ------
    RefusalError
        Its loss would be NaN.
    """
    if module is None:
        return
    steps, sequence = len(module.demonstration_buffer.update_buffer["actions"]), module.policy.sequence_length
    batches = possible = steps // module.n_sequences
    if module.samples_per_update // module.n_sequences:
        batches = min(possible, module.samples_per_update // module.n_sequences)
    if module.num_epoch < 1 or batches // sequence < 1:
        raise RefusalError(
            "Brain %s would not imitate: its pretraining draws no batch from %d steps of demonstrations with num_epoch "
            "%d, samples_per_update %d and sequence_length %d. Record more, or change these."
            % (brain, steps, module.num_epoch, module.samples_per_update, sequence)
        )


def refuse_gail_with_few_steps(trainer) -> None:
    """Refuse GAIL in PPO with demonstrations of fewer steps than a batch.

    Parameters
    ----------
    trainer
        ML-Agents' own, of one brain.

    Raises
    ------
    RefusalError
        GAIL would shorten a batch of which PPO has fed a part to TensorFlow already.
    """
    gail = getattr(trainer.policy, "reward_signals", {}).get("gail")
    if gail is None or trainer.trainer_parameters["trainer"] != "ppo":
        return
    sequence, batch = trainer.policy.sequence_length, trainer.trainer_parameters["batch_size"]
    steps, batch = len(gail.demonstration_buffer.update_buffer["actions"]), max(batch // sequence, 1) * sequence
    if steps < batch:
        raise RefusalError(
            "Brain %s would fail at its first update: gail compares batches of %d steps with only %d steps of "
            "demonstrations. Lower batch_size to %d or less, or record more."
            % (trainer.brain_name, batch, steps, steps)
        )


def _number(settings: Dict[str, Any], key: str) -> float:
    """Return a setting as a number; 0 where it is none, of which ML-Agents complains itself."""
    try:
        return float(settings.get(key) or 0)
    except (TypeError, ValueError):
        return 0.0
