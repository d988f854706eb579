"""The keys of a trainer config and their valid values, as ML-Agents 0.11.0 reads them.

The table itself is `container/trainers/v0_11/keys.json`. A test compares it with the source of the installed wheel.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import islice
from typing import Any, Literal

import yaml

from common.contract import TRAINER_KEYS
from mlagents_check.trainer_config.document import LOADER

ALGORITHMS: tuple[str, ...] = tuple(TRAINER_KEYS["trainer"]["choices"])


def _read_by(trainer: str, how: str, group: str = "") -> frozenset[str]:
    """Return the names of a group's keys that a trainer requires, or reads optionally."""
    start = f"{group}." if group else ""
    names = [
        name.removeprefix(start)
        for name, row in TRAINER_KEYS.items()
        if name.startswith(start) and trainer in row.get(how, ())
    ]
    return frozenset(name for name in names if "." not in name)


# Keys that the trainers require, and optional keys that they read.
REQUIRED: Mapping[str, frozenset[str]] = {trainer: _read_by(trainer, "required") for trainer in ALGORITHMS}
OPTIONAL: Mapping[str, frozenset[str]] = {trainer: _read_by(trainer, "optional") for trainer in ALGORITHMS}

# Set by mlagents-learn itself; in a section they would move its files.
RESERVED = frozenset(("summary_path", "model_path", "keep_checkpoints"))

KNOWN = frozenset(name for name in TRAINER_KEYS if "." not in name)

# Required and optional keys of the reward signals and of pretraining.
REWARD_SIGNALS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    name: (_read_by("ppo", "required", f"reward_signals.{name}"), _read_by("ppo", "optional", f"reward_signals.{name}"))
    for name in ("extrinsic", "curiosity", "gail")
}
SAC_SIGNAL_SETTING = "reward_signal_num_update"  # appears among the signals, for SAC only
PRETRAINING = (_read_by("ppo", "required", "pretraining"), _read_by("ppo", "optional", "pretraining"))

CHOICES: Mapping[str, tuple[str, ...]] = {
    name: tuple(row["choices"]) for name, row in TRAINER_KEYS.items() if "choices" in row
}


@dataclass(frozen=True)
class Elsewhere:
    """A key or value that other releases of ML-Agents have and 0.11.0 lacks.

    Parameters
    ----------
    releases
        These releases, such as ``0.13 and later`` or ``0.3 to 0.8``, by the version of the Python package.
    todo
        What to do about it in 0.11.0.
    key
        The corresponding key in 0.11.0; empty if there is none.
    """

    releases: str
    todo: str
    key: str = ""

    @property
    def counts_each_agent(self) -> bool:
        """Whether all these releases count the steps of every agent, as 0.14 and later do."""
        first = self.releases.split()[0].split(".")
        return (int(first[0]), int(first[1])) >= (0, 14)


_DEMO = "Record a demonstration in Unity, and write trainer: offline_bc with its demo_path"
_START = "Pass the earlier job to training.launch as start_from"
_DELETE = "Delete it: 0.11.0 "

# Sources: the packages 0.4.0 to 0.6.0, 0.9.0, 0.10.0 and 0.12.0 to 1.1.0, and ML-Agents' docs/Migrating.md.
ELSEWHERE: Mapping[str, Elsewhere] = {
    "gamma": Elsewhere("0.3 to 0.8", "Write it as reward_signals: extrinsic: gamma", "reward_signals"),
    "use_curiosity": Elsewhere(
        "0.4 to 0.8", "If it is true, name the signal curiosity in reward_signals", "reward_signals"
    ),
    "curiosity_strength": Elsewhere(
        "0.4 to 0.8", "With use_curiosity, write it as reward_signals: curiosity: strength"
    ),
    "curiosity_enc_size": Elsewhere(
        "0.4 to 0.8", "With use_curiosity, write it as reward_signals: curiosity: encoding_size"
    ),
    "graph_scope": Elsewhere("0.3 to 0.5", _DELETE + "names networks after their brains"),
    "brain_to_imitate": Elsewhere("0.3 to 0.10", _DEMO, "demo_path"),
    "behavioral_cloning": Elsewhere("0.13 and later", "Rename it pretraining", "pretraining"),
    "self_play": Elsewhere("0.14 and later", _DELETE + "has no self-play, and each brain learns on its own"),
    "burn_in_ratio": Elsewhere("0.15 and 0.16", _DELETE + "learns from whole sequences"),
    "steps_per_update": Elsewhere(
        "0.16 and later",
        "Write num_update: 1, and train_interval: its value divided by the number of agents in the scene",
        "num_update",
    ),
    "reward_signal_steps_per_update": Elsewhere(
        "0.16 and later",
        "Write reward_signals: reward_signal_num_update, the number of their updates at each update of the policy",
        "reward_signal_num_update",
    ),
    "threaded": Elsewhere("0.16 and later", _DELETE + "alternates between playing and learning"),
    "init_path": Elsewhere("0.16 and later", _START),
    "trainer_type": Elsewhere("0.17 and later", "Rename it trainer", "trainer"),
    "hyperparameters": Elsewhere("0.17 and later", "Write its keys in the section itself", "batch_size"),
    "network_settings": Elsewhere("0.17 and later", "Write its keys in the section itself", "hidden_units"),
    "memory": Elsewhere(
        "0.17 and later", "Write use_recurrent: true, memory_size and sequence_length in the section", "memory_size"
    ),
    "keep_checkpoints": Elsewhere("0.17 and later", "Set it as the job's hyperparameter keep-checkpoints"),
    "checkpoint_interval": Elsewhere("0.17 and later", "Set it as the job's hyperparameter save-freq"),
    "framework": Elsewhere("0.20 to 0.23", _DELETE + "supports only TensorFlow"),
    "goal_conditioning_type": Elsewhere("0.26 and later", _DELETE + "has no goal signals"),
    "deterministic": Elsewhere("0.28 and later", _DELETE + "draws its actions"),
    "beta_schedule": Elsewhere("0.28 and later", _DELETE + "lowers beta linearly"),
    "epsilon_schedule": Elsewhere("0.28 and later", _DELETE + "lowers epsilon linearly"),
    "shared_critic": Elsewhere("1.0 and later", _DELETE + "decides that itself"),
    "even_checkpoints": Elsewhere("1.0 and later", "Set the job's hyperparameter save-freq"),
}

# Keys at the top level of a file, besides its sections.
FILE_KEYS: Mapping[str, Elsewhere] = {
    "default_settings": Elsewhere("0.20 and later", "Rename it default", "default"),
    "curriculum": Elsewhere("0.17", "Make a folder of <Brain>.json, and name it in the hyperparameter curriculum"),
    "parameter_randomization": Elsewhere("0.17", "Make a sampler file, and name it in the hyperparameter sampler"),
    "environment_parameters": Elsewhere(
        "0.18 and later",
        "Make a folder of curricula or a sampler file, and name it in the hyperparameter curriculum or sampler",
    ),
    "env_settings": Elsewhere("0.17 and later", "Set hyperparameters of the job such as num-envs, seed and env-args"),
    "engine_settings": Elsewhere("0.17 and later", "Set size and quality in Unity; no-graphics is a hyperparameter"),
    "checkpoint_settings": Elsewhere("0.17 and later", _START),
    "torch_settings": Elsewhere("0.24 and later", _DELETE + "supports only TensorFlow"),
    "debug": Elsewhere("0.17 and later", "Set it as the job's hyperparameter debug"),
}

_SIMPLE = Elsewhere("0.27 and later", "Write simple, which needs images of 20 x 20 pixels at least")
# Values of keys with a fixed set of choices.
OTHER_CHOICES: Mapping[str, Mapping[str, Elsewhere]] = {
    "trainer": {
        "imitation": Elsewhere("0.3 to 0.5", _DEMO),
        "online_bc": Elsewhere("0.6 to 0.10", _DEMO),
        "poca": Elsewhere("0.25 and later", "Write ppo, which learns from each agent's own reward"),
    },
    "vis_encode_type": {"match3": replace(_SIMPLE, releases="0.20 and later"), "fully_connected": _SIMPLE},
}
# Keys among the reward signals, and within each group.
OTHER_SIGNALS: Mapping[str, Elsewhere] = {
    "rnd": Elsewhere("0.21 and later", "Write curiosity, which rewards what is new, too"),
    "reward_signal_steps_per_update": ELSEWHERE["reward_signal_steps_per_update"],
}
_NETWORK = {
    "network_settings": Elsewhere(
        "0.25 and later",
        "Write its hidden_units as encoding_size in curiosity and gail; delete it in extrinsic",
        "encoding_size",
    )
}
_EPOCHS = Elsewhere("0.9.0", _DELETE + "trains the signal with the policy, as often as num_epoch of the section says")
_SAMPLES = Elsewhere("0.9.0", _DELETE + "trains gail on every batch of the policy")
OTHER_GROUP_KEYS: Mapping[str, Mapping[str, Elsewhere]] = {
    "extrinsic": _NETWORK,
    "curiosity": {**_NETWORK, "num_epoch": _EPOCHS},
    "gail": {**_NETWORK, "num_epoch": _EPOCHS, "samples_per_update": _SAMPLES},
    "pretraining": _NETWORK,
}


def of_release(name: str, table: Mapping[str, Elsewhere], how: str) -> tuple[str, str]:
    """Return which releases have a key and how it is handled here, and what to do."""
    return f"{name} is from ML-Agents {table[name].releases}, and {how}.", f"{table[name].todo}."


def elsewhere(name: Any, settings: Any, tables: Iterable[Mapping[str, Elsewhere]]) -> str:
    """Return a hint if the settings have a missing key under another release's name; else an empty string."""
    for other, row in ((other, row) for table in tables for other, row in table.items() if row.key == name):
        if other in settings:
            return f" ML-Agents {row.releases} use {other} instead. {row.todo}."
    return ""


def convert_old_signals(settings: Mapping[str, Any]) -> str:
    """Convert a section's reward signals from the keys of 0.3 to 0.8 to YAML for 0.11.0."""
    gamma = settings.get("gamma", 0.99)
    signals = {"extrinsic": {"strength": 1.0, "gamma": gamma}}
    if settings.get("use_curiosity"):
        strength, size = settings.get("curiosity_strength", 0.01), settings.get("curiosity_enc_size", 128)
        signals["curiosity"] = {"strength": strength, "gamma": gamma, "encoding_size": size}
    return yaml.safe_dump({"reward_signals": signals}, sort_keys=False)


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 60, 60

# Valid values depend on how the trainer uses them. "float()" and "int()" also accept text, because YAML reads
# 1e-4 (no dot) and 5.0e4 (no sign) as text.
Kind = Literal["float()", "int()", "whole", "number", "truth", "choice", "path", "mapping"]


@dataclass(frozen=True)
class Rule:
    """The valid values of a key.

    Parameters
    ----------
    kind
        How the trainer uses the value.
    low
        The least value with which training works; a lower one is an error.
    usual
        The usual least and greatest value; a value outside is a warning.
    high
        The greatest value, in size, with which losses stay finite; a greater one is an error.
    endless
        Whether training works with an infinite value; else that is an error.
    choices
        The valid values of a choice.
    """

    kind: Kind
    low: float | None = None
    usual: tuple[float, float] = (-math.inf, math.inf)
    high: float = math.inf
    endless: bool = False
    choices: tuple[str, ...] = ()


def rule_of(row: Mapping[str, Any]) -> Rule:
    """Return the rule of a row of the table."""
    more = dict(row["in_config"])
    kind, (least, most) = more.pop("read_as"), more.pop("usual", (None, None))
    usual = (-math.inf if least is None else least, math.inf if most is None else most)
    return Rule(kind, usual=usual, choices=tuple(row.get("choices", ())), **more)


RULES: Mapping[str, Rule] = {name: rule_of(row) for name, row in TRAINER_KEYS.items()}
"""The rule of each key, by its dotted name."""


def nearest(name: Any, known: Any) -> str:
    """Return " Did you mean x?" with the known name closest to a wrong one, or an empty string."""
    some = [str(key)[:100] for key in islice(known, 200)]  # bounds the time of the comparisons
    close = get_close_matches(str(name)[:100], some, 1, 0.7)
    return f" Did you mean {close[0]}?" if close else ""


def judge(key: str, value: Any, rule: Rule) -> tuple[Literal["error", "warning"], str, str] | None:
    """Check a value against its rule.

    Returns
    -------
    tuple or None
        Level, what was found and what to do; None if the value is valid.
    """
    found = f"{key} is {shown(value)}"
    if rule.kind == "choice":
        names = rule.choices
        if isinstance(value, str) and value in names:
            return None
        if isinstance(value, str) and names == CHOICES.get(key) and (other := OTHER_CHOICES.get(key, {}).get(value)):
            return "error", f"{found}, which ML-Agents {other.releases} have.", f"{other.todo}."
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
        return "error", f"{found}.", f"It must be {rule.low} or more, else nothing is learned."
    if math.isinf(number) and not (rule.endless and number > 0):
        return "error", f"{found}.", f"It must be {expected} that is finite."
    if abs(number) > rule.high:
        return "error", f"{found}.", f"It must be {rule.high:g} or less, else losses become infinite or NaN."
    low, high = rule.usual
    if not low <= number <= high:
        bounds = f"{low:g} to {high:g}" if high < math.inf else f"{low:g} or more"
        return "warning", f"{found}.", f"Usual values: {bounds}."
    if isinstance(value, bool):
        return "warning", f"{found}.", f"It counts as {int(value)}. Write {expected}."
    if rule.kind == "int()" and number != value and not isinstance(value, str):
        return "warning", f"{found}.", f"It counts as {number:g}. Write a whole number."
    return None


def _quoted_hint(text: str) -> str:
    """Return why YAML read a number as text: quotes, or a form that YAML does not recognise, such as 1e-4."""
    try:
        if isinstance(LOADER(text).get_single_data(), (int, float)):
            return " The quotes make it text: remove them."
        number = float(text)
    except (ValueError, yaml.YAMLError, RecursionError):
        return ""
    plain = f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else repr(number)
    plain = plain if "." in plain or "e" not in plain else plain.replace("e", ".0e")
    return f" YAML reads a number like {text} as text: write {plain}."


def as_number(value: Any, kind: Kind) -> float | None:
    """Convert a value as the trainer does; return None if that fails."""
    try:
        if kind == "float()":
            return float(value)
        if kind == "int()":
            return int(value)
        types = int if kind == "whole" else (int, float)
        float(value)  # fails if an integer is too large
        return value if isinstance(value, types) else None
    except (TypeError, ValueError, OverflowError):
        return None


def shown(value: Any) -> str:
    """Return a value's `repr`, shortened, because a few lines of YAML can expand to a billion values."""
    if value is None:
        return "empty"
    try:
        return _SHORT.repr(value)
    except ValueError:  # a number with thousands of digits
        return "a number too large to show"
