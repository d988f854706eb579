"""A job's hyperparameters, judged before the job is paid for: names, types and ranges as the container takes them.

A test holds this table against the container's own, which refuses at start what is wrong here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from helpers.findings import Finding
from helpers.trainer_config import keys

IGNORED_PREFIXES = ("sagemaker_", "_tuning_")


@dataclass(frozen=True)
class Option:
    """A hyperparameter that is no trainer key: how it is read, and its least and greatest value."""

    read: Callable[[str], Any]
    least: float = -math.inf
    most: float = math.inf


def _whole(text: str) -> int:
    if (value := float(text)) != int(value):
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


OPTIONS: Mapping[str, Option] = {
    "env": Option(str),
    "run-id": Option(str),
    "trainer-config": Option(str),
    "curriculum": Option(str),
    "sampler": Option(str),
    "lesson": Option(_whole, 0),
    "num-envs": Option(_count_or_auto, 1, 512),
    "seed": Option(_whole, -1, 2**31 - 1),
    "save-freq": Option(_whole, 1),
    "keep-checkpoints": Option(_whole, 2),
    "base-port": Option(_count_or_auto, 1024, 65000),
    "no-graphics": Option(_switch),
    "slow": Option(_switch),
    "env-args": Option(str),
    "debug": Option(_switch),
    "stop-at-reward": Option(_goal),
    "stall-timeout": Option(_finite, 1),
    "max-restarts": Option(_whole, 0),
}

_EXPECTED = {
    _whole: "a whole number",
    _count_or_auto: "a whole number or auto",
    _switch: "true or false",
    _finite: "a number",
    _goal: "a reward such as 80, or 3DBall=80",
}

_FILE_OF_A_JOB = ("env", "trainer-config", "curriculum", "sampler")


def trainer_keys() -> dict[str, keys.Rule]:
    """Return every trainer key that a job may override, by its dotted name."""
    groups = {("pretraining",): keys.PRETRAINING}
    groups |= {("reward_signals", name): parts for name, parts in keys.REWARD_SIGNALS.items()}
    names = {key: keys.RULES[key] for key in keys.KNOWN - {"reward_signals", "pretraining"}}
    for path, (required, optional) in groups.items():
        names |= {".".join((*path, key)): keys.RULES[key] for key in required | optional}
    names[f"reward_signals.{keys.SAC_SIGNAL_SETTING}"] = keys.RULES[keys.SAC_SIGNAL_SETTING]
    return names


def decode(value: Any) -> str:
    """Take a value out of its JSON encoding where it has one, as the container does."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError):
        return value.strip()
    return decoded.strip() if isinstance(decoded, str) else value.strip()


def split(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[tuple[str, ...], Any], list[Finding]]:
    """Part a job's hyperparameters into options and overrides of the trainer config.

    Returns
    -------
    tuple
        Options by name; overrides by their path of keys; what is wrong with any of them.
    """
    options: dict[str, Any] = {}
    overrides: dict[tuple[str, ...], Any] = {}
    findings: list[Finding] = []
    known = trainer_keys()
    for name, value in given.items():
        if name.startswith(IGNORED_PREFIXES):
            continue
        text, place = decode(value), f"hyperparameter {name}"
        if name in OPTIONS:
            findings += _option(name, text, place, options)
        elif name in known:
            findings += _override(name, text, known[name], place, overrides)
        else:
            every = (*OPTIONS, *known)
            close = get_close_matches(name, every, 1, 0.6) or get_close_matches(name.replace("_", "-"), every, 1, 0.6)
            hint = (
                f" Did you mean {close[0]}?" if close else " Known: " + ", ".join(OPTIONS) + " and the trainer's keys."
            )
            findings.append(
                Finding("error", f"{name} is no hyperparameter.", f"The job would fail at once.{hint}", place)
            )
    return options, overrides, findings


def _option(name: str, text: str, place: str, options: dict[str, Any]) -> Iterator[Finding]:
    option = OPTIONS[name]
    try:
        value = option.read(text)
    except (ValueError, KeyError, OverflowError):
        yield Finding("error", f"{name} is {text!r}.", f"It must be {_EXPECTED[option.read]}.", place)
        return
    if isinstance(value, (int, float)) and not option.least <= value <= option.most:
        bounds = (
            f"{option.least:.0f} or more" if math.isinf(option.most) else f"{option.least:.0f} to {option.most:.0f}"
        )
        yield Finding("error", f"{name} is {text}.", f"It must be {bounds}.", place)
    elif name == "run-id" and not (text and all(sign.isalnum() or sign in "._-" for sign in text) and text[0] != "."):
        todo = "It becomes a folder's name: letters, digits, dots, dashes and underscores."
        yield Finding("error", f"run-id is {text!r}.", todo, place)
    else:
        options[name] = value


def _override(name: str, text: str, rule: keys.Rule, place: str, overrides: dict) -> Iterator[Finding]:
    key = name.rpartition(".")[2]
    value: Any = text
    try:
        if rule.kind == "truth":
            value = _switch(text)
        elif rule.kind in ("whole", "int()"):
            value = _whole(text)
        elif rule.kind in ("number", "float()"):
            value = _finite(text)
    except (ValueError, KeyError, OverflowError):
        expected = {"truth": "true or false", "whole": "a whole number", "int()": "a whole number"}.get(
            rule.kind, "a number"
        )
        yield Finding("error", f"{key} is {text!r}.", f"It must be {expected}.", place)
        return
    overrides[tuple(name.split("."))] = value
