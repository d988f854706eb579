"""What models of both versions have: their error, their brain, and how they are shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.brain_names import brain_of
from common.findings import CheckError

MASKS = "action_masks"
"""Input with 1 for each choice that an agent may make."""
MAX_NUMBERS = 10_000_000
"""Limit for one input; a camera of 1,920 by 1,080 has 6 million."""


class ModelError(CheckError):
    """The file is not a model that Unity can use; the message says why."""


def shown(shape: tuple[int, ...]) -> str:
    """Write a shape, such as ``agents x 8`` or ``agents x 84 x 84 x 3``."""
    rest = shape[1:] if shape[1:-1] != (1, 1) else shape[-1:]
    return " x ".join(["agents", *map(str, rest)])


def training_of(path: Path) -> tuple[str, Mapping[str, Any]]:
    """Return a model's brain, and what the `training.json` beside it says about that brain.

    Raises
    ------
    ModelError
        If that is from a training without this brain, or cannot be read.
    """
    record, brain = path.with_name("training.json"), brain_of(path.stem)
    if not record.is_file():
        return brain, {}
    try:
        brains = dict(json.loads(record.read_text(encoding="utf-8"))["brains"])
        known = {
            name: {
                "steps": int(b["steps"]),
                "mean_reward": None if b["mean_reward"] is None else float(b["mean_reward"]),
            }
            for name, b in brains.items()
        }
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ModelError(
            f"Expected the record of a training in {record}, but it cannot be read ({type(error).__name__}: {error})."
        ) from None
    if brain not in known:
        raise ModelError(
            f"Expected a model of one of the brains {', '.join(known) or '(none)'}, as in {record}, found {path.name}. "
            "Was it renamed, or is it from another training?"
        )
    return brain, known[brain]
