"""What each key of a trainer config must be, as ML-Agents 0.11.0 reads it.

A test holds these tables against the source of the installed wheel, so that they can't drift from it.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import yaml

from helpers.trainer_config.document import LOADER

TRAINERS = ("ppo", "sac", "offline_bc")

_COMMON_RL = ("batch_size", "buffer_size", "hidden_units", "learning_rate", "max_steps", "normalize", "num_layers")
_COMMON_RL += ("time_horizon", "sequence_length", "summary_freq", "use_recurrent", "memory_size", "reward_signals")

# What the trainers refuse to start without.
REQUIRED: Mapping[str, frozenset[str]] = {
    "ppo": frozenset((*_COMMON_RL, "beta", "epsilon", "lambd", "num_epoch")),
    "sac": frozenset((*_COMMON_RL, "buffer_init_steps", "init_entcoef", "num_update", "tau", "vis_encode_type")),
    "offline_bc": frozenset(
        ("batch_size", "summary_freq", "max_steps", "batches_per_epoch", "use_recurrent", "hidden_units")
    ).union(("learning_rate", "num_layers", "sequence_length", "memory_size", "demo_path")),
}

# What they read if it is there.
OPTIONAL: Mapping[str, frozenset[str]] = {
    "ppo": frozenset(("learning_rate_schedule", "vis_encode_type", "pretraining")),
    "sac": frozenset(("learning_rate_schedule", "pretraining", "train_interval", "save_replay_buffer")),
    "offline_bc": frozenset(("normalize",)),
}

# Set by mlagents-learn itself; in a section they would move its files.
RESERVED = frozenset(("summary_path", "model_path", "keep_checkpoints"))

KNOWN = frozenset({"trainer"}.union(*REQUIRED.values(), *OPTIONAL.values()))

REWARD_SIGNALS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {  # name: (required, optional)
    "extrinsic": (frozenset(("strength", "gamma")), frozenset()),
    "curiosity": (frozenset(("strength", "gamma", "encoding_size")), frozenset(("learning_rate",))),
    "gail": (
        frozenset(("strength", "gamma", "demo_path")),
        frozenset(("encoding_size", "learning_rate", "use_actions", "use_vail")),
    ),
}
SAC_SIGNAL_SETTING = "reward_signal_num_update"  # stands among the signals, and SAC alone knows it

PRETRAINING = (
    frozenset(("strength", "demo_path", "steps")),
    frozenset(("batch_size", "num_epoch", "samples_per_update")),
)

CHOICES: Mapping[str, tuple[str, ...]] = {
    "trainer": TRAINERS,
    "learning_rate_schedule": ("linear", "constant"),
    "vis_encode_type": ("simple", "nature_cnn", "resnet"),
}

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 60, 60

# How the value is used decides what it may be. "float()" and "int()" also read text, which matters because YAML takes
# 1e-4 (no dot) and 5.0e4 (no sign) for text.
Kind = Literal["float()", "int()", "whole", "number", "truth", "choice", "path", "mapping"]


@dataclass(frozen=True)
class Rule:
    """What the value of a key must be.

    Parameters
    ----------
    kind
        How the trainer uses the value.
    low
        The least value that makes training work; below it is an error.
    usual
        Least and greatest value that make sense; outside is a warning.
    """

    kind: Kind
    low: float | None = None
    usual: tuple[float, float] = (-math.inf, math.inf)


RULES: Mapping[str, Rule] = {
    "trainer": Rule("choice"),
    "batch_size": Rule("whole", usual=(1, 100_000)),
    "batches_per_epoch": Rule("whole", low=1),
    "beta": Rule("float()", usual=(0, 1)),
    "buffer_init_steps": Rule("number", usual=(0, math.inf)),
    "buffer_size": Rule("number", usual=(1, 10_000_000)),
    "demo_path": Rule("path"),
    "encoding_size": Rule("int()", low=1, usual=(1, 4096)),
    "epsilon": Rule("float()", usual=(0, 1)),
    "gamma": Rule("number", usual=(0, 1)),
    "hidden_units": Rule("int()", low=1, usual=(1, 4096)),
    "init_entcoef": Rule("float()", usual=(1e-9, 100)),
    "lambd": Rule("number", usual=(0, 1)),
    "learning_rate": Rule("float()", usual=(1e-9, 1)),
    "learning_rate_schedule": Rule("choice"),
    "max_steps": Rule("float()", low=1),
    "memory_size": Rule("whole"),
    "normalize": Rule("truth"),
    "num_epoch": Rule("whole", low=1, usual=(1, 100)),
    "num_layers": Rule("int()", usual=(1, 10)),
    "num_update": Rule("whole", low=1, usual=(1, 100)),
    "pretraining": Rule("mapping"),
    "reward_signal_num_update": Rule("whole", usual=(1, 100)),
    "reward_signals": Rule("mapping"),
    "samples_per_update": Rule("whole"),
    "save_replay_buffer": Rule("truth"),
    "sequence_length": Rule("whole"),
    "steps": Rule("number", usual=(0, math.inf)),
    "strength": Rule("number", usual=(0, math.inf)),
    "summary_freq": Rule("number"),
    "tau": Rule("float()", usual=(0, 1)),
    "time_horizon": Rule("number", usual=(1, math.inf)),
    "train_interval": Rule("number", usual=(1, math.inf)),
    "use_actions": Rule("truth"),
    "use_recurrent": Rule("truth"),
    "use_vail": Rule("truth"),
    "vis_encode_type": Rule("choice"),
}


def nearest(name: Any, known: Any) -> str:
    """Say which known name a wrong one is like: " Did you mean x?", or nothing."""
    close = get_close_matches(str(name), [str(key) for key in known], 1, 0.7)
    return f" Did you mean {close[0]}?" if close else ""


def judge(key: str, value: Any, rule: Rule) -> tuple[Literal["error", "warning"], str, str] | None:
    """Judge a value by its rule.

    Returns
    -------
    tuple or None
        Level, what was found and what to do; None if the value is as it should be.
    """
    found = f"{key} is {shown(value)}"
    if rule.kind == "choice":
        names = CHOICES[key]
        if isinstance(value, str) and value in names:
            return None
        return "error", f"{found}.", f"It must be one of {', '.join(names)}.{nearest(value, names)}"
    if rule.kind == "truth":
        if isinstance(value, bool) or value in (0, 1):
            return None
        means = "true" if value else "false"
        return "warning", f"{found}, which counts as {means}.", "Write true or false, without quotes."
    if rule.kind == "path":
        return None if isinstance(value, str) and value else ("error", f"{found}.", "It must be the path of a file.")
    if rule.kind == "mapping":
        return None if isinstance(value, dict) else ("error", f"{found}.", "It must hold settings, indented below it.")
    return _judge_number(found, value, rule)


def _judge_number(found: str, value: Any, rule: Rule) -> tuple[Literal["error", "warning"], str, str] | None:
    expected = "a whole number" if rule.kind in ("whole", "int()") else "a number"
    hint = _quoted_hint(value) if isinstance(value, str) else ""
    number = as_number(value, rule.kind)
    if number is None:
        return "error", f"{found}.", f"It must be {expected}.{hint}"
    if math.isnan(number):
        return "error", f"{found}.", f"It must be {expected}."
    if rule.low is not None and number < rule.low:
        return "error", f"{found}.", f"It must be {rule.low} or more, else nothing is learnt."
    low, high = rule.usual
    if not low <= number <= high:
        bounds = f"{low:g} to {high:g}" if high < math.inf else f"{low:g} or more"
        return "warning", f"{found}.", f"Usual is {bounds}."
    if isinstance(value, bool):
        return "warning", f"{found}.", f"It counts as {int(value)}. Write {expected}."
    if rule.kind == "int()" and number != value and not isinstance(value, str):
        return "warning", f"{found}.", f"It counts as {number:g}. Write a whole number."
    return None


def _quoted_hint(text: str) -> str:
    """Say why YAML took a number for text: quotes around it, or a form that it does not know, such as 1e-4."""
    try:
        if isinstance(LOADER(text).get_single_data(), (int, float)):
            return " The quotes make a text of it: take them away."
        number = float(text)
    except (ValueError, yaml.YAMLError, RecursionError):
        return ""
    plain = f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else repr(number)
    plain = plain if "." in plain or "e" not in plain else plain.replace("e", ".0e")
    return f" YAML takes a number like {text} for text: write {plain}."


def as_number(value: Any, kind: Kind) -> float | None:
    """Read a value as the trainer does; None if that fails."""
    try:
        if kind == "float()":
            return float(value)
        if kind == "int()":
            return int(value)
        wanted = int if kind == "whole" else (int, float)
        float(value)  # an integer may be too large for it
        return value if isinstance(value, wanted) else None
    except (TypeError, ValueError, OverflowError):
        return None


def shown(value: Any) -> str:
    """Write a value as Python does, but short: a few lines of YAML can stand for a billion values."""
    if value is None:
        return "empty"
    try:
        return _SHORT.repr(value)
    except ValueError:  # a number of thousands of digits
        return "a number too large to show"
