"""The effective trainer configuration: the channel's own or the shipped one, with the job's overrides on top."""

import os
from typing import Any, Dict, Optional

import paths
import yaml
from refusal import RefusalError


def choose(channel: str, named: Optional[str]) -> str:
    """Say which file the training is configured by.

    Raises
    ------
    RefusalError
        The file that `trainer-config` names is not in the channel.
    """
    if named is not None:
        return in_channel(channel, named, "trainer-config")
    own = os.path.join(channel, "trainer_config.yaml")
    return own if os.path.isfile(own) else paths.SHIPPED_TRAINER_CONFIG


def in_channel(channel: str, named: str, hyperparameter: str) -> str:
    """Find what a hyperparameter names inside the channel.

    Raises
    ------
    RefusalError
        It is not there.
    """
    path = os.path.join(channel, named)
    if not os.path.exists(path):
        found = ", ".join(sorted(os.listdir(channel))) if os.path.isdir(channel) else "no such channel"
        raise RefusalError(
            "Hyperparameter %s names %s, which is not in the channel unity-volume (it holds: %s)."
            % (hyperparameter, named, found or "nothing")
        )
    return path


def load(path: str) -> Dict[str, Any]:
    """Read a trainer configuration and check its outer shape.

    Raises
    ------
    RefusalError
        It is no YAML, has no `default` section, or a section is neither keys and values nor the name of another.
    """
    name = os.path.basename(path)
    try:
        with open(path, encoding="utf-8") as file:
            config = yaml.safe_load(file)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RefusalError("%s should be YAML, but cannot be read: %s" % (name, " ".join(str(error).split()))) from None
    if not isinstance(config, dict) or not isinstance(config.get("default"), dict):
        sections = ", ".join(map(str, config)) if isinstance(config, dict) else "no sections"
        raise RefusalError(
            "%s should have a section `default:` of keys and values, which ML-Agents 0.11 falls back to, but has %s. "
            "(The later format with `behaviors:` is not read by this version.)" % (name, sections or "no sections")
        )
    for section, content in config.items():
        seen = [section]
        while isinstance(content, str):
            if content not in config or content in seen:
                raise RefusalError("%s: section %s refers to %s, which leads nowhere." % (name, section, content))
            seen.append(content)
            content = config[content]
        if not isinstance(content, dict):
            raise RefusalError("%s: section %s should hold keys and values, but holds %r." % (name, section, content))
    return config


def override(config: Dict[str, Any], overrides: Dict[str, Any]) -> None:
    """Set keys for every brain, in place.

    A brain takes whole top-level keys from `default` where its own section lacks them, so a key is set in
    `default` and in every section that would hide it.
    """
    for name, value in overrides.items():
        root = name.split(".")[0]
        for section, content in config.items():
            if isinstance(content, dict) and (section == "default" or root in content):
                _set(content, name.split("."), value)


def _set(section: Dict[str, Any], keys, value: Any) -> None:
    for key in keys[:-1]:
        if not isinstance(section.get(key), dict):
            section[key] = {}
        section = section[key]
    section[keys[-1]] = value


def find_demonstrations(config: Any, channel: str) -> None:
    """Make every `demo_path` absolute, in place: the learner does not run in the channel.

    Raises
    ------
    RefusalError
        A demonstration is not in the channel.
    """
    if not isinstance(config, dict):
        return
    for key, value in config.items():
        if key == "demo_path" and isinstance(value, str):
            config[key] = in_channel(channel, value, "demo_path (in the trainer configuration)")
        else:
            find_demonstrations(value, channel)


def write(config: Dict[str, Any], path: str) -> None:
    """Write the configuration as YAML."""
    with open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump(config, file, default_flow_style=False, sort_keys=False)
