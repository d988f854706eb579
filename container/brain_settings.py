"""The settings that hold for one brain, and those with which it would learn nothing without a word."""

from typing import Any, Dict

import paths
from refusal import RefusalError

LONGEST = 240  # bytes of a name, with room for its ending


def find(config: Dict[str, Any], brain: str) -> Dict[str, Any]:
    """Return what ML-Agents takes for a brain: `default`, with the brain's own section on top."""
    section = config.get(brain, {})
    while isinstance(section, str):
        section = config[section]
    return dict(config["default"], **section)


def refuse_what_learns_nothing(settings: Dict[str, Any], brain: str) -> None:
    """Refuse settings with which ML-Agents would run to the end and never change the network.

    Raises
    ------
    RefusalError
        A batch is larger than the buffer that it is drawn from, or SAC ends before its first update.
    """
    trainer = settings.get("trainer")
    batch, buffer = _number(settings, "batch_size"), _number(settings, "buffer_size")
    if trainer in ("ppo", "sac") and 0 < buffer < batch:
        raise RefusalError(
            "Brain %s would learn nothing: batch_size is %g and buffer_size %g, so that no batch is ever full. Make "
            "buffer_size some 10 times batch_size." % (brain, batch, buffer)
        )
    end, start = _number(settings, "max_steps"), _number(settings, "buffer_init_steps")
    if trainer == "sac" and 0 < end <= start:
        raise RefusalError(
            "Brain %s would learn nothing: max_steps is %g, and its first update comes at buffer_init_steps, which is "
            "%g. Raise the one or lower the other." % (brain, end, start)
        )


def refuse_long_name(brain: str, run_id: str) -> None:
    """Refuse a brain whose files can't be named after it.

    Raises
    ------
    RefusalError
        The name is longer than file systems take.
    """
    size = len(("%s_%s" % (run_id, paths.brain_file(brain))).encode())
    if size > LONGEST:
        raise RefusalError(
            "Brain %s… has too long a name: with the run id in front, its folder's name takes %d bytes, and file "
            "systems take %d. Shorten its Behavior Name in Unity, and build again." % (brain[:40], size, LONGEST)
        )


def refuse_curriculum(meta, brain: str, lesson: int) -> None:
    """Refuse curricula that say nothing of a brain, or a first lesson that its curriculum has not.

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
        raise RefusalError(
            "Expected a curriculum for each brain, found none for %s; the folder has: %s. Add %s.json to it."
            % (brain, ", ".join(sorted(curricula)) or "no *.json", brain)
        )
    last = curricula[brain].max_lesson_num
    if lesson > last:
        raise RefusalError(
            "Hyperparameter lesson is %d, but the curriculum of brain %s has the lessons 0 to %d."
            % (lesson, brain, last)
        )


def _number(settings: Dict[str, Any], key: str) -> float:
    """Return a setting as a number; 0 where it is none, of which ML-Agents complains itself."""
    try:
        return float(settings.get(key) or 0)
    except (TypeError, ValueError):
        return 0.0
