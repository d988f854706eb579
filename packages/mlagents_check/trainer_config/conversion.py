"""Conversion between the format of 0.11.0 and the `behaviors:` format of ML-Agents 0.17 and later, both ways."""

from __future__ import annotations

import copy
import math
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from common.contract import CONTRACT, KEYS_OF
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


_HEAD_OF_LATER = "# Converted from the format of ML-Agents 0.11.0 to that of 1.1.0."
_AGENTS_ASSUMED = 12
_MULTIPLIED = (
    "max_steps, summary_freq and other steps counted those of the environment. 1.1.0 counts those of every agent, so "
    "they are multiplied by {}."
)
_ASSUMED = "the {} agents of 3DBall: correct them if your scene has more or fewer"
_IMITATES = (
    "offline_bc became behavioral_cloning, with which a policy learns from rewards too. 1.1.0 reads demonstrations of "
    "com.unity.ml-agents alone."
)
_GROUP_OF = {
    name: (*row.get("group", "").split("."), name) if row.get("group") else (name,)
    for name, row in KEYS_OF["1.1.0"].items()
    if "." not in name and row["in_config"]["read_as"] != "mapping"
}
_ALGORITHMS_OF = {
    name: tuple(row["default"]) for name, row in KEYS_OF["1.1.0"].items() if row.get("group") == "hyperparameters"
}


def convert_sections(config: Mapping[str, Any], agents: Mapping[str, int] | None = None) -> str:
    """Convert a config of 0.11.0, with `default:` and a section for each brain, to a `behaviors:` file of 1.1.0.

    Each behavior is written out with the values that it takes from `default:`; that section becomes `default_settings:`
    where all have the same trainer. Comments say what was left out or is counted differently. The result may still have
    errors of the original config, so check it.

    Parameters
    ----------
    config
        The YAML's content.
    agents
        Number of agents of each brain, if known. 1.1.0 counts their steps one by one, so settings in steps are
        multiplied by it, by 12 where it is not known.

    Returns
    -------
    str
        YAML text to save as a new trainer config.
    """
    agents = {name: number for name, number in (agents or {}).items() if number > 0}
    default = dict(_mapping(config.get("default")))
    sections = {}
    for name, values in config.items():
        seen = set()
        while isinstance(values, str) and values in config and values not in seen:  # the name of another section
            seen.add(values)
            values = config[values]
        if name != "default" and name not in keys.FILE_KEYS and isinstance(values, dict):
            sections[str(name)] = {**default, **values}
    behaviors = {name: _behavior(settings, agents.get(name)) for name, settings in sections.items()}
    lines = [_HEAD_OF_LATER]
    shared, comments = _behavior(default, max(agents.values(), default=None))
    if "trainer" in default and all(found.get("trainer") == default["trainer"] for found in sections.values()):
        lines += ["default_settings:", *(f"  {line}" for line in (*_comments(comments), *_dumped(shared)))]
        if "memory" in shared.get("network_settings", {}):
            for found, _ in behaviors.values():
                found.setdefault("network_settings", {}).setdefault("memory", None)
    if behaviors:
        lines.append("behaviors:")
    for name, (found, comments) in behaviors.items():
        lines.append(f"  {_scalar(name)}:")
        lines += [f"    {line}" for line in (*_comments(comments), *_dumped(found))]
    return "\n".join(lines) + "\n"


def _behavior(settings: Mapping[str, Any], agents: int | None) -> tuple[dict[str, Any], list[str]]:
    """Return a section's settings as those of a behavior, and comments on the changes."""
    settings = {key: _number(value) for key, value in settings.items()}
    comments = [_MULTIPLIED.format(f"its {agents} agents" if agents else _ASSUMED.format(_AGENTS_ASSUMED))]
    agents = agents or _AGENTS_ASSUMED
    trainer = settings.get("trainer", "ppo")
    if trainer == "offline_bc":
        trainer, imitated = "ppo", {"demo_path": settings.pop("demo_path", ""), "strength": 1.0}
        settings = {key: settings[key] for key in settings if key not in ("batches_per_epoch", "batch_size")}
        settings["pretraining"] = imitated
        comments.append(_IMITATES)
    found: dict[str, Any] = {"trainer_type": trainer, "hyperparameters": {}, "network_settings": {}}
    handled = {"trainer", "use_recurrent", "num_update", "train_interval", "reward_signals", "pretraining"}
    for key, value in settings.items():
        group = _GROUP_OF.get(key)
        if key in handled or value is None or (group and group[-2:-1] == ("memory",)):
            continue
        if group is None or trainer not in _ALGORITHMS_OF.get(key, (trainer,)):
            if group is None:
                comments.append(f"Left out: {keys.shown(str(key))[1:-1]}. 1.1.0 does not know it.")
            continue
        inner = found
        for part in group[:-1]:
            inner = inner.setdefault(part, {})
        inner[key] = (
            value * agents if key in ("max_steps", "summary_freq", "buffer_init_steps") and _is_finite(value) else value
        )
    if settings.get("use_recurrent"):
        memory = {key: settings[key] for key in ("memory_size", "sequence_length") if key in settings}
        found["network_settings"]["memory"] = memory
    own = found["hyperparameters"]
    if "beta" in own and own.get("learning_rate_schedule", "linear") != "linear":
        own |= {"beta_schedule": "linear", "epsilon_schedule": "linear"}  # 0.11.0 always lowers them
    signals = _mapping(settings.get("reward_signals"))
    if trainer == "sac":
        every, updates = settings.get("train_interval", 1), settings.get("num_update", 1)
        own["steps_per_update"] = _divided(every, updates, agents)
        if keys.SAC_SIGNAL_SETTING in signals:
            own["reward_signal_steps_per_update"] = _divided(every, signals[keys.SAC_SIGNAL_SETTING], agents)
    if converted := {name: _later_group(values) for name, values in signals.items() if isinstance(values, dict)}:
        found["reward_signals"] = converted
    if isinstance(settings.get("pretraining"), dict):
        found["behavioral_cloning"] = imitated = _later_group(settings["pretraining"])
        if _is_finite(imitated.get("steps")):
            imitated["steps"] = 0 if imitated["steps"] >= NEVER_FADES else imitated["steps"] * agents
    return {key: value for key, value in found.items() if value != {}}, comments


def _later_group(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the settings of a reward signal, or of pretraining; a size of its network stands deeper in 1.1.0."""
    found = {key: _number(value) for key, value in values.items() if value is not None}
    if "encoding_size" in found:
        found["network_settings"] = {"hidden_units": found.pop("encoding_size")}
    return found


def _divided(steps: Any, updates: Any, agents: int) -> Any:
    """Return the agents' steps for each update, from the environment's steps for some updates."""
    return steps * agents / updates if _is_finite(steps) and _is_finite(updates) and updates > 0 else steps


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
