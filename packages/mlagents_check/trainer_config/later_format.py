"""Conversion of the `behaviors:` format of ML-Agents 0.17 and later to the format of 0.11.0."""

from __future__ import annotations

import copy
import math
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from common.contract import CONTRACT
from mlagents_check.trainer_config import keys

NEVER_FADES: int = CONTRACT["hyperparameters"]["largest_whole_number"]
"""Steps over which imitation fades out. In later releases 0 means never; 0.11.0 fails on 0."""

_SIGNAL = {"strength": 1.0, "gamma": 0.99}
_COMMON = {
    "hidden_units": 128,
    "learning_rate": 3.0e-4,
    "max_steps": 50_000,
    "normalize": False,
    "num_layers": 2,
    "summary_freq": 1000,
    "time_horizon": 64,
    "use_recurrent": False,
    "memory_size": 256,
    "sequence_length": 64,
    "vis_encode_type": "simple",
    "reward_signals": {"extrinsic": _SIGNAL},
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "ppo": {"batch_size": 1024, "buffer_size": 10_240, "beta": 5.0e-3, "epsilon": 0.2, "lambd": 0.95, "num_epoch": 3}
    | {**_COMMON, "learning_rate_schedule": "linear"},
    "sac": {"batch_size": 128, "buffer_size": 50_000, "buffer_init_steps": 0, "init_entcoef": 1.0, "tau": 0.005}
    | {"num_update": 1, "train_interval": 1, **_COMMON, "learning_rate_schedule": "constant"},
}
"""The `default:` sections of trainer_config.yaml and sac_trainer_config.yaml in 0.11.0."""

_GROUP_DEFAULTS = {  # the later releases' defaults for settings that 0.11.0 requires
    "extrinsic": _SIGNAL,
    "curiosity": {**_SIGNAL, "encoding_size": 128},
    "gail": _SIGNAL,
    "pretraining": {"strength": 1.0, "steps": NEVER_FADES},
}

_HEAD = "# Converted from the format of ML-Agents 0.17 and later to that of 0.11.0."
_AGENTS = (
    "max_steps and summary_freq counted the steps of every agent, as 0.14 and later do. 0.11.0 counts those of the "
    "environment: divide both by the number of agents in the scene."
)
_FILLED = "Not in the file; as in the trainer config that comes with 0.11.0:"


def convert_behaviors(config: Mapping[str, Any]) -> str:
    """Convert a config of the later format to one that 0.11.0 reads.

    The later format nests a behavior's settings in groups (hyperparameters, network_settings, …). In 0.11.0 they are
    flat, in a section named like the brain, and a `default:` section is required. Comments say what was filled in, left
    out or is counted differently. The result may still have errors of the original config, so check it.

    Parameters
    ----------
    config
        The YAML's content, with `behaviors:` or `default_settings:`.

    Returns
    -------
    str
        YAML text to save as a new trainer config.
    """
    behaviors = {str(name): _mapping(values) for name, values in _mapping(config.get("behaviors")).items()}
    shared = _merged(_mapping(config.get("default_settings")), behaviors.pop("default", {}))
    left_out = [
        _line_of(name, row) for name, row in keys.FILE_KEYS.items() if config.get(name) is not None and not row.key
    ]
    default = _Section(shared)
    lines = [_HEAD, *_comments(left_out), "default:", *default.lines({})]
    for name, values in behaviors.items():
        lines += ["", f"{_scalar(name)}:", *_Section(_merged(shared, values)).lines(default.settings)]
    return "\n".join(lines) + "\n"


class _Section:
    """A behavior as a section of 0.11.0: its settings, with missing ones filled in, and comments on the changes."""

    def __init__(self, behavior: Mapping[str, Any]) -> None:
        self.comments: list[str] = []
        self.converted = self._flat(behavior)
        filled = DEFAULTS["sac" if self.converted["trainer"] == "sac" else "ppo"]
        self.settings = {**self.converted, **{key: value for key, value in filled.items() if key not in self.converted}}

    def lines(self, default: Mapping[str, Any]) -> list[str]:
        """Return the section's lines, without filled-in values that the default section has already."""
        filled = {key: value for key, value in self.settings.items() if key not in self.converted}
        filled = {key: value for key, value in filled.items() if key not in default or default[key] != value}
        lines = [*_comments(self.comments), *_dumped(self.converted)]
        lines += [*_comments([_FILLED]), *_dumped(filled)] if filled else []
        return [f"  {line}" for line in lines]

    def _flat(self, behavior: Mapping[str, Any]) -> dict[str, Any]:
        network, own = dict(_mapping(behavior.get("network_settings"))), dict(_mapping(behavior.get("hyperparameters")))
        settings: dict[str, Any] = {"trainer": behavior.get("trainer_type") or "ppo"}
        memory = network.pop("memory", None)
        groups = ("trainer_type", "hyperparameters", "network_settings", "reward_signals", "behavioral_cloning")
        for source in (own, network, {key: value for key, value in behavior.items() if key not in groups}):
            for key, value in source.items():
                if value is not None and self._is_supported(key, value):
                    settings[str(key)] = _number(value)
        if isinstance(memory, dict):
            settings |= {"use_recurrent": True, **self._memory(memory, settings["trainer"])}
        if settings["trainer"] == "sac":
            settings |= _updates(own)
            if own.get("steps_per_update") is not None:
                self.comments.append(
                    "train_interval is what steps_per_update was, in steps of every agent: divide it likewise."
                )
        if signals := self._signals(_mapping(behavior.get("reward_signals"))):
            settings["reward_signals"] = signals | _signal_updates(own, settings["trainer"])
        if isinstance(behavior.get("behavioral_cloning"), dict):
            settings["pretraining"] = self._group("pretraining", behavior["behavioral_cloning"], *keys.PRETRAINING)
            if settings["pretraining"]["steps"] == 0:
                settings["pretraining"]["steps"] = NEVER_FADES
            if settings["trainer"] == "sac":
                settings["pretraining"].pop("samples_per_update", None)
        if "max_steps" in settings or "summary_freq" in settings:
            self.comments.append(_AGENTS)
        return settings

    def _is_supported(self, key: Any, value: Any) -> bool:
        if key in ("steps_per_update", "reward_signal_steps_per_update"):
            return False  # counted differently, see _updates and _signal_updates
        row = keys.OTHER_CHOICES.get(key, {}).get(value) if isinstance(value, str) else None
        if key in keys.KNOWN and (row is None or key == "trainer"):
            return True
        self.comments.append(_line_of(f"{key} {value}" if row else key, row or keys.ELSEWHERE.get(key)))
        return False

    def _memory(self, memory: Mapping[str, Any], trainer: Any) -> dict[str, Any]:
        size, length = _number(memory.get("memory_size", 128)), _number(memory.get("sequence_length", 64))
        divisor = 8 if trainer == "sac" else 4
        if isinstance(size, int) and size % divisor:
            self.comments.append(f"memory_size was {size}; 0.11.0 needs one that is divisible by {divisor}.")
            size += -size % divisor
        return {"memory_size": size, "sequence_length": length}

    def _signals(self, signals: Mapping[str, Any]) -> dict[str, Any]:
        converted = {}
        for name, values in signals.items():
            if name in keys.REWARD_SIGNALS and isinstance(values, dict):
                converted[name] = self._group(name, values, *keys.REWARD_SIGNALS[name])
            elif values is not None:
                self.comments.append(_line_of(f"reward_signals: {name}", keys.OTHER_SIGNALS.get(name)))
        return converted

    def _group(self, name: str, values: Mapping[str, Any], required: Iterable[str], optional: Iterable[str]) -> dict:
        values = {key: _number(value) for key, value in values.items() if value is not None}
        known, network = {*required, *optional}, values.pop("network_settings", None)
        if isinstance(network, dict) and "hidden_units" in network and "encoding_size" in known:
            values["encoding_size"] = _number(network["hidden_units"])
        for key in values.keys() - known:
            self.comments.append(_line_of(f"{name}: {key}", None))
        values = {key: value for key, value in values.items() if key in known}
        missing = {key: value for key, value in _GROUP_DEFAULTS[name].items() if key not in values}
        if missing:
            filled = ", ".join(f"{key} {value}" for key, value in missing.items())
            self.comments.append(f"Not in the file, as the later releases have it: {filled} of {name}.")
        return {**values, **missing}


def _updates(own: Mapping[str, Any]) -> dict[str, Any]:
    steps = _number(own.get("steps_per_update", 1))
    return {"num_update": 1, "train_interval": max(1, round(steps)) if _is_finite(steps) else steps}


def _signal_updates(own: Mapping[str, Any], trainer: Any) -> dict[str, Any]:
    every = _number(own.get("reward_signal_steps_per_update"))
    steps = _number(own.get("steps_per_update", 1))
    if trainer != "sac" or not (_is_finite(every) and _is_finite(steps)) or every <= 0 or every >= steps:
        return {}
    return {keys.SAC_SIGNAL_SETTING: round(steps / every)}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a behavior into the default settings group by group, as the later releases do."""
    merged = copy.deepcopy(dict(under))
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else copy.deepcopy(value)
    return merged


def _number(value: Any) -> Any:
    """Convert text to a number as the later releases do; whole numbers become int."""
    try:
        number = float(value) if isinstance(value, (str, float)) else math.nan
    except ValueError:
        return value
    if number.is_integer() and (isinstance(value, str) or abs(number) > 1):
        return int(number)
    return number if isinstance(value, str) and math.isfinite(number) else value


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _line_of(name: Any, row: keys.Elsewhere | None) -> str:
    return f"Left out: {keys.shown(str(name))[1:-1]}. " + (
        f"{row.todo.removeprefix('Delete it: ')}." if row else "0.11.0 does not know it."
    )


def _comments(texts: Iterable[str]) -> list[str]:
    return [f"# {line}" for text in dict.fromkeys(texts) for line in textwrap.wrap(text, 116)]


def _dumped(settings: Mapping[str, Any]) -> list[str]:
    return yaml.dump(settings, Dumper=_Dumper, sort_keys=False, width=1000).splitlines() if settings else []


def _scalar(name: str) -> str:
    return yaml.safe_dump({name: 0}, width=1000, allow_unicode=True).rpartition(":")[0]


class _Dumper(yaml.SafeDumper):
    """Writes repeated values in full, without aliases, so that each can be edited alone."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
