"""The `behaviors:` format of ML-Agents 0.17 and later, and its way back to what 0.11.0 reads."""

from __future__ import annotations

from typing import Any

import yaml


def convert_behaviors(config: dict[str, Any]) -> str:
    """Convert a config of the later format to one that 0.11.0 reads.

    The later format nests a behavior's settings in groups (hyperparameters, network_settings, …); 0.11.0 has them flat,
    under a section named like the brain, and needs a `default:` section besides.

    Parameters
    ----------
    config
        The YAML's content, with `behaviors:` in it.

    Returns
    -------
    str
        YAML text to save as a new trainer config, and to check again.
    """
    behaviors = config.get("behaviors")
    sections = {
        name: _flat(values)
        for name, values in (behaviors.items() if isinstance(behaviors, dict) else ())
        if isinstance(values, dict)
    }
    default = config.get("default_settings")
    start = _flat(default) if isinstance(default, dict) else dict(next(iter(sections.values()), {}))
    start.setdefault("memory_size", 256)
    start.setdefault("sequence_length", 64)
    start.setdefault("use_recurrent", False)
    return yaml.safe_dump({"default": start, **sections}, sort_keys=False)


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    section: dict[str, Any] = {}
    for key, value in values.items():
        if key == "trainer_type":
            section["trainer"] = value
        elif key == "hyperparameters" and isinstance(value, dict):
            section |= {
                {"steps_per_update": "train_interval"}.get(name, name): setting for name, setting in value.items()
            }
        elif key == "network_settings" and isinstance(value, dict):
            section |= {name: setting for name, setting in value.items() if name != "memory"}
            memory = value.get("memory")
            section["use_recurrent"] = isinstance(memory, dict)
            section |= memory if isinstance(memory, dict) else {}
        elif key == "reward_signals" and isinstance(value, dict):
            section[key] = {name: _signal(setting) for name, setting in value.items()}
        elif key == "behavioral_cloning" and isinstance(value, dict):
            section["pretraining"] = value
        elif key not in ("checkpoint_interval", "threaded", "init_path", "self_play", "even_checkpoints"):
            section[key] = value
    section.pop("keep_checkpoints", None)
    section.pop("goal_conditioning_type", None)
    if section.get("trainer") == "sac":
        section.setdefault("num_update", 1)
        section.pop("reward_signal_steps_per_update", None)
    return section


def _signal(setting: Any) -> Any:
    if not isinstance(setting, dict):
        return setting
    setting = dict(setting)
    network = setting.pop("network_settings", None)
    if isinstance(network, dict) and "hidden_units" in network:
        setting.setdefault("encoding_size", network["hidden_units"])
    return setting
