"""Checks of a job's hyperparameters before the job is paid for: names, types and ranges that the container accepts.

An error here is refused by the container at start: both read `container/contract.json` and the table of keys.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from common import contract
from common.contract import CONTRACT, SPEEDUPS
from common.findings import Finding
from mlagents_check.trainer_config import keys

_LIMITS = CONTRACT["hyperparameters"]
IGNORED_PREFIXES = tuple(_LIMITS["ignored_prefixes"])
LARGEST: int = _LIMITS["largest_whole_number"]
MAX_RUN_ID_LENGTH: int = _LIMITS["longest_run_id"]


@dataclass(frozen=True)
class Option:
    """A hyperparameter: how its value is parsed, and its least and greatest value."""

    read: Callable[[str], Any]
    least: float = -math.inf
    most: float = math.inf

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.read is _whole

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers, so that it has a continuous or integer range."""
        return self.read in (_whole, _finite)


def _text(text: str) -> str:
    if not text or "\0" in text or len(text) > _LIMITS["longest_text"]:
        raise ValueError
    return text


def _shell_words(text: str) -> str:
    if "\0" in text:
        raise ValueError
    try:
        is_list = isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        is_list = False
    if not is_list:
        shlex.split(text)
    return text


def _whole(text: str) -> int:
    if (value := float(text)) != int(value) or value > LARGEST:
        raise ValueError
    return int(value)


def _count_or_auto(text: str) -> int | None:
    return None if text == "auto" else _whole(text)


def _switch(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError
    return value


def _goal(text: str) -> float:
    return _finite(text.rpartition("=")[2])


def _speedups(text: str) -> str:
    if text not in ("all", "none") and not {name.strip() for name in text.split(",")} <= set(SPEEDUPS):
        raise ValueError
    return text


_READERS = {
    "text": _text,
    "whole number": _whole,
    "number": _finite,
    "switch": _switch,
    "whole number or auto": _count_or_auto,
    "words": _shell_words,
    "speedups": _speedups,
    "reward goal": _goal,
}


def _options(table: Mapping[str, Any]) -> dict[str, Option]:
    return {
        name: Option(_READERS[row["type"]], row.get("least", -math.inf), row.get("most", math.inf))
        for name, row in table.items()
    }


OPTIONS: Mapping[str, Option] = _options(_LIMITS["options"])
# Trainer keys that a job may override. Stricter than in the config, where text is accepted as a number.
KEYS_OF: Mapping[str, Mapping[str, Option]] = {
    trainer: _options({name: row for name, row in table.items() if "type" in row})
    for trainer, table in contract.KEYS_OF.items()
}
TRAINER_KEYS = KEYS_OF[contract.DEFAULT_TRAINER]

_EXPECTED = {
    _text: "a name",
    _shell_words: "shell words without null characters",
    _whole: f"a whole number of at most {LARGEST}",
    _count_or_auto: "a whole number or auto",
    _switch: "true or false",
    _finite: "a number",
    _speedups: f"all, none or some of {', '.join(SPEEDUPS)}, separated by commas",
    _goal: "a reward such as 80, or 3DBall=80",
}


def decode(value: Any) -> str:
    """Decode a value from JSON if it is JSON, as the container does."""
    if not isinstance(value, str):
        try:
            return json.dumps(value, default=str)
        except (
            TypeError,
            ValueError,
            RecursionError,
        ):  # a list that contains itself, a number with thousands of digits
            return f"a {type(value).__name__} without a text form"
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError):
        return value.strip()
    return decoded.strip() if isinstance(decoded, str) else value.strip()


def split(
    hyperparameters: Mapping[str, Any], trainer: str = contract.DEFAULT_TRAINER
) -> tuple[dict[str, Any], dict[tuple[str, ...], Any], list[Finding]]:
    """Split a job's hyperparameters into options and overrides of the trainer config of a version.

    Returns
    -------
    tuple
        Options by name; overrides by their path of keys; findings about invalid ones.
    """
    options: dict[str, Any] = {}
    overrides: dict[tuple[str, ...], Any] = {}
    findings: list[Finding] = []
    table = contract.KEYS_OF[trainer]
    rows = _LIMITS["options"]
    options_here = {name: one for name, one in OPTIONS.items() if trainer in rows[name].get("trainers", [trainer])}
    known = {**options_here, **KEYS_OF[trainer]}
    for name, value in ((str(name), value) for name, value in hyperparameters.items()):
        if name.startswith(IGNORED_PREFIXES):
            continue
        text, place = decode(value), f"hyperparameter {name}"
        if name not in known:
            findings.append(_unknown(name, known, place))
        elif problem := _read(name, known[name], text, place):
            findings.append(problem)
        elif name in OPTIONS:
            options[name] = known[name].read(text)
        else:
            group = table[name].get("group")
            overrides[tuple((f"{group}.{name}" if group else name).split("."))] = known[name].read(text)
    return options, overrides, findings


def _unknown(name: str, known: Mapping[str, Option], place: str) -> Finding:
    if versions := _LIMITS["options"].get(name, {}).get("trainers"):
        todo = f"Only ML-Agents {' and '.join(versions)} has it. In a behaviors: file, curricula and samplers are its "
        todo += "environment_parameters."
        return Finding("error", f"{name} is not a hyperparameter of this version.", todo, place)
    start = name[:100]  # bounds the time of the comparisons
    close = get_close_matches(start, known, 1, 0.6) or get_close_matches(start.replace("_", "-"), known, 1, 0.6)
    hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(OPTIONS)} and the trainer's keys."
    return Finding("error", f"{name} is not a hyperparameter.", f"The job would fail immediately. {hint}", place)


def _read(name: str, option: Option, text: str, place: str) -> Finding | None:
    """Return a finding if a value is invalid, else None."""
    try:
        value = option.read(text)
    except (ValueError, KeyError, OverflowError):
        return Finding("error", f"{name} is {keys.shown(text)}.", f"It must be {_EXPECTED[option.read]}.", place)
    if isinstance(value, (int, float)) and not option.least <= value <= option.most:
        bounds = f"{option.least:g} or more" if math.isinf(option.most) else f"{option.least:g} to {option.most:g}"
        return Finding("error", f"{name} is {text}.", f"It must be {bounds}.", place)
    if name == "run-id" and not _can_be_folder(text):
        todo = (
            f"It becomes a folder's name: at most {MAX_RUN_ID_LENGTH} letters, digits, dots, dashes and underscores, "
            "not beginning with a dot or dash."
        )
        return Finding("error", f"run-id is {text!r}.", todo, place)
    return None


def _can_be_folder(text: str) -> bool:
    good = all(sign.isalnum() or sign in "._-" for sign in text)
    return good and text[0] not in ".-" and len(text) <= MAX_RUN_ID_LENGTH
