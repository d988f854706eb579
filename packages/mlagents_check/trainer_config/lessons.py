"""Checks of curricula (a folder of `<Brain>.json`) and samplers (a YAML file), which change the reset parameters."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from common.findings import Finding
from mlagents_check.trainer_config.demonstrations import kind_of
from mlagents_check.trainer_config.document import UnreadableError, read_document, read_text, repeated_keys
from mlagents_check.trainer_config.keys import nearest
from mlagents_check.trainer_config.keys import shown as written

_CURRICULUM = ("measure", "thresholds", "min_lesson_length", "signal_smoothing", "parameters")

SAMPLERS = {
    "uniform": ("min_value", "max_value"),
    "gaussian": ("mean", "st_dev"),
    "multirange_uniform": ("intervals",),
}


def check_curriculum(
    folder: Path,
    shown: str,
    brains: Collection[str] | None = None,
    reset_parameters: Collection[str] | None = None,
    late: Collection[str] = (),
) -> Iterator[Finding]:
    """Check a folder of curricula as mlagents-learn 0.11.0 reads it.

    Parameters
    ----------
    folder
        The folder.
    shown
        Its name in findings.
    brains, reset_parameters
        The environment's names, if known.
    late
        Brains that appear only after the start.
    """
    if kind_of(folder) != "folder":
        todo = "A curriculum is a folder that holds a <Brain>.json for each brain."
        yield Finding("error", f"{shown} is not a folder.", todo, shown)
        return
    used: dict[str, str] = {}
    found = set()
    for path in sorted(folder.iterdir()):
        if not path.name.lower().endswith(".json"):
            continue
        brain = path.name.split(".")[0]
        found.add(brain)
        place = f"{shown}/{path.name}"
        if brains is not None and brain not in brains:
            what = f"The build has no brain {brain or path.name}."
            yield Finding(
                "error",
                what,
                f"mlagents-learn fails on it. Name the file after a brain.{nearest(brain, brains)}",
                place,
            )
        if brain in late:
            what = f"Brain {brain} has no agent at the start."
            todo = "mlagents-learn fails on its curriculum after the first step. Put an agent of it into the scene."
            yield Finding("warning", what, todo, place)
        parameters = yield from _lesson_file(path, place, reset_parameters)
        for name in parameters:
            if name in used:
                what = f"{name} is changed by {used[name]} too."
                yield Finding("warning", what, "Either of them may take effect.", place)
            used[name] = path.name
    for brain in sorted(set(brains or ()) - found):
        what = f"{shown} holds no curriculum for {brain}."
        todo = "With a curriculum, mlagents-learn needs one for each brain."
        if "/" in brain or "." in brain:  # the brain's name is the part of the file's name before its first dot
            todo += (
                " No file can be named after this brain: change its Behavior Name in Unity to one without slash or dot."
            )
        yield Finding("error", what, todo, shown)
    if not found and brains is None:
        yield Finding(
            "error",
            f"{shown} holds no .json file.",
            "With a curriculum, mlagents-learn needs one for each brain.",
            shown,
        )


def _lesson_file(path: Path, place: str, reset_parameters: Collection[str] | None) -> Iterator[Finding]:
    """Check one curriculum; return the names of the parameters that it changes."""
    try:
        text = read_text(path)
        data = json.loads(text)
    except (OSError, UnreadableError) as error:
        yield Finding("error", f"It can't be read: {error}.", "Save it as UTF-8 text.", place)
        return ()
    except json.JSONDecodeError as error:
        yield Finding("error", f"It is not JSON: {error.msg}.", "Fix it there.", place, error.lineno)
        return ()
    except (ValueError, RecursionError):  # a number with thousands of digits, or deeply nested lists
        yield Finding("error", "It holds a value that can't be read.", "Write numbers, and lists of them.", place)
        return ()

    def line(key: str) -> int | None:
        position = text.find(json.dumps(key))
        return text.count("\n", 0, position) + 1 if position >= 0 else None

    if not isinstance(data, dict):
        yield Finding("error", "It holds no settings.", f"It needs {', '.join(_CURRICULUM)}.", place)
        return ()
    for key in _CURRICULUM:
        if key not in data:
            close = nearest(key, [name for name in data if name not in _CURRICULUM])
            close = close.replace("Did you mean", "Is it misspelt as")
            yield Finding("error", f"{key} is missing.", f"mlagents-learn fails without it.{close}", place)
    for key in data:
        if key not in _CURRICULUM:
            yield Finding(
                "warning", f"{key} is not known.", f"It is ignored.{nearest(key, _CURRICULUM)}", place, line(key)
            )
    measure = data.get("measure", "reward")
    if measure not in ("reward", "progress"):
        what = f"measure is {written(measure)}."
        yield Finding("error", what, "It must be reward or progress.", place, line("measure"))
    if not _is_number(data.get("min_lesson_length", 1)) or data.get("min_lesson_length", 1) < 1:
        what = f"min_lesson_length is {written(data['min_lesson_length'])}."
        yield Finding("error", what, "It must be a number of episodes, 1 or more.", place, line("min_lesson_length"))
    elif not isinstance(data.get("min_lesson_length", 1), int) or data.get("min_lesson_length", 1) > sys.maxsize:
        what = f"min_lesson_length is {written(data['min_lesson_length'])}."
        todo = f"It must be a whole number without a point, {sys.maxsize} at most."
        yield Finding("error", what, todo, place, line("min_lesson_length"))
    thresholds = data.get("thresholds")
    if "thresholds" not in data:
        pass
    elif not isinstance(thresholds, list) or not all(_is_number(value) for value in thresholds):
        what = "thresholds is not a list of numbers."
        yield Finding("error", what, "Write [0.1, 0.3, …], one for each change of lesson.", place, line("thresholds"))
        thresholds = None
    elif measure == "progress" and any(not 0 <= value <= 1 for value in thresholds):
        what = "A threshold lies outside 0 to 1."
        yield Finding("warning", what, "Progress is the share of max_steps that is done.", place, line("thresholds"))
    elif measure == "progress" and thresholds != sorted(
        thresholds
    ):  # rewards may fall, because a harder lesson may earn less
        yield Finding(
            "warning", "The thresholds do not rise.", "A lesson may be passed at once.", place, line("thresholds")
        )
    yield from _parameters(data.get("parameters", {}), thresholds, reset_parameters, place, line)
    parameters = data.get("parameters")
    return tuple(parameters) if isinstance(parameters, dict) else ()


def _parameters(
    parameters: Any, thresholds: list | None, known: Collection[str] | None, place: str, line: Any
) -> Iterator[Finding]:
    if not isinstance(parameters, dict):
        todo = "It must hold a list of values for each reset parameter."
        yield Finding("error", "parameters holds no settings.", todo, place, line("parameters"))
        return
    for name, values in parameters.items():
        if known is not None and name not in known:
            what = f"The environment has no reset parameter {name}."
            yield Finding(
                "error", what, f"It has {', '.join(known) or 'none'}.{nearest(name, known)}", place, line(name)
            )
        if not isinstance(values, list) or not all(_is_number(value) for value in values):
            yield Finding(
                "error", f"{name} is not a list of numbers.", "Write one number for each lesson.", place, line(name)
            )
        elif thresholds is not None and len(values) != len(thresholds) + 1:
            what = f"{name} has {len(values)} values for {len(thresholds)} thresholds."
            todo = f"It must have one more than there are thresholds: {len(thresholds) + 1}."
            yield Finding("error", what, todo, place, line(name))


def check_sampler(path: Path, shown: str, reset_parameters: Collection[str] | None = None) -> Iterator[Finding]:
    """Check a file of samplers as mlagents-learn 0.11.0 reads it."""
    try:
        document = read_document(read_text(path))
    except UnreadableError as error:
        yield Finding("error", f"It can't be read as YAML: {error}.", "Fix it there.", shown, error.line)
        return
    except (OSError, ValueError) as error:  # ValueError: an invalid file name
        yield Finding("error", f"{shown} can't be read ({type(error).__name__}).", "Is the name right?", shown)
        return
    if not isinstance(document.value, dict):
        yield Finding(
            "error", "It holds no settings.", "It needs resampling-interval and a sampler for each parameter.", shown
        )
        return
    yield from repeated_keys(document, shown)
    if "resampling-interval" not in document.value:
        close = nearest("resampling-interval", document.value).replace("Did you mean", "Is it misspelt as")
        yield Finding(
            "error", "resampling-interval is missing.", f"It is the number of steps between two draws.{close}", shown
        )
    for name, values in document.value.items():
        line = document.line(name)
        if name == "resampling-interval":
            if not isinstance(values, int) or values <= 0:
                yield Finding(
                    "error",
                    f"resampling-interval is {written(values)}.",
                    "It must be a whole number above 0.",
                    shown,
                    line,
                )
            continue
        if reset_parameters is not None and name not in reset_parameters:
            what = f"The environment has no reset parameter {name}."
            todo = f"It has {', '.join(reset_parameters) or 'none'}.{nearest(name, reset_parameters)}"
            yield Finding("error", what, todo, shown, line)
        yield from _sampler(name, values, shown, lambda *keys: document.line(*keys))


def _sampler(name: Any, values: Any, shown: str, line: Any) -> Iterator[Finding]:
    if not isinstance(values, dict) or "sampler-type" not in values:
        todo = f"Name one of {', '.join(SAMPLERS)}."
        yield Finding("error", f"{name} has no sampler-type.", todo, shown, line(name))
        return
    kind = values["sampler-type"]
    if not isinstance(kind, str) or kind not in SAMPLERS:
        todo = f"Known: {', '.join(SAMPLERS)}.{nearest(kind, SAMPLERS)}"
        yield Finding("error", f"{written(kind)} is not a sampler-type.", todo, shown, line(name, "sampler-type"))
        return
    required = SAMPLERS[kind]
    for key in required:
        if key not in values:
            yield Finding(
                "error",
                f"The {kind} sampler of {name} lacks {key}.",
                "mlagents-learn fails without it.",
                shown,
                line(name),
            )
    for key, value in values.items():
        place = (shown, line(name, key))
        if key == "seed":
            what = f"The {kind} sampler of {name} has a seed."
            yield Finding("warning", what, "mlagents-learn replaces it by the run's. Delete it.", *place)
        elif key != "sampler-type" and key not in required:
            todo = f"mlagents-learn fails on it.{nearest(key, required)}"
            yield Finding("error", f"The {kind} sampler has no setting {key}.", todo, *place)
        elif key == "intervals":
            if not (isinstance(value, list) and value and all(_is_interval(item) for item in value)):
                yield Finding(
                    "error", f"intervals of {name} is not a list of pairs.", "Write [[1, 2], [5, 6]].", *place
                )
            elif not 0 < (width := sum(_width(low, high) for low, high in value)) < math.inf:
                what = f"The intervals of {name} have {'a width too large to compute' if width else 'no width'}."
                yield Finding("error", what, "mlagents-learn divides by it.", *place)
        elif key in required and not _is_number(value):
            yield Finding("error", f"{key} of {name} is {written(value)}.", "It must be a number.", *place)
        elif key == "st_dev" and value < 0:
            yield Finding("error", f"st_dev of {name} is {written(value)}.", "It must be 0 or more.", *place)

    ends = [values.get(key) for key in required]
    if kind == "uniform" and all(map(_is_number, ends)) and math.isinf(_width(*ends)):
        what = f"min_value and max_value of {name} are too far apart for a floating-point number."
        yield Finding("error", what, "mlagents-learn fails on the first draw.", shown, line(name))


def _width(low: float, high: float) -> float:
    """Return the width of an interval as NumPy computes it: infinite if it exceeds a float."""
    return abs(float(high) - float(low))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_interval(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_number(end) for end in value)
