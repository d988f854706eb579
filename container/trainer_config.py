"""The effective trainer configuration: the channel's own or the default one, with the job's overrides."""

import os
import reprlib
from typing import Any, Dict, Optional

import contract
import paths
import yaml
from refusal import RefusalError
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

MAX_CHARACTERS, MAX_VALUES, MAX_LEVELS = (
    contract.CONTRACT["yaml"][name] for name in ("most_characters", "most_values", "most_levels")
)


class BoundedLoader(yaml.SafeLoader):
    """mlagents-learn's loader with limits: nested aliases could otherwise expand to billions of values."""

    def __init__(self, stream):
        super().__init__(stream)
        self.values = self.levels = 0
        self.sizes = {}

    def compose_node(self, parent, index):
        """Count a node; an alias counts as its whole content."""
        event = self.peek_event()
        anchor, is_alias = event.anchor, isinstance(event, yaml.AliasEvent)
        if is_alias and anchor in self.anchors and anchor not in self.sizes:
            raise ComposerError(None, None, "the anchor %s contains itself" % anchor, event.start_mark)
        before = self.values
        self.values += self.sizes.get(anchor, 0) if is_alias else 1
        self.levels += 1
        if self.values > MAX_VALUES or self.levels > MAX_LEVELS:
            limits = "more than %d values or %d levels of them, aliases counted" % (MAX_VALUES, MAX_LEVELS)
            raise ComposerError(None, None, "it holds " + limits, event.start_mark)
        node = super().compose_node(parent, index)
        self.levels -= 1
        if anchor is not None and not is_alias:
            self.sizes[anchor] = self.values - before
        return node

    def construct_object(self, node, deep=False):
        """Convert a node to a value; a value that Python can't represent is an error with its line."""
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int):
                float(value)  # larger integers have no use, and may be too large to print
            return value
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            problem = "%s can't be read as %s" % (reprlib.repr(node.value), node.tag.rpartition(":")[2])
            raise ConstructorError(None, None, problem, node.start_mark) from None


def choose(channel: str, named: Optional[str]) -> str:
    """Return the file that configures the training.

    Raises
    ------
    RefusalError
        The file that `trainer-config` names is not in the channel.
    """
    if named is not None:
        return in_channel(channel, named, "trainer-config")
    own = os.path.join(channel, contract.CONTRACT["files"]["trainer_config"])
    return own if os.path.isfile(own) else paths.shipped_trainer_config()


def in_channel(channel: str, named: str, hyperparameter: str) -> str:
    """Return the path in the channel that a hyperparameter names.

    Raises
    ------
    RefusalError
        It does not exist.
    """
    path = os.path.join(channel, named)
    if "\0" in named or not os.path.exists(path):
        found = ", ".join(sorted(os.listdir(channel))) if os.path.isdir(channel) else "no such channel"
        raise RefusalError(
            "Hyperparameter %s names %s, which is not in the channel unity-volume (it holds: %s)."
            % (hyperparameter, named, found or "nothing")
        )
    return path


def read(path: str) -> Any:
    """Read a YAML file, a trainer configuration or a sampler, within limits.

    Raises
    ------
    RefusalError
        It is not YAML, or too large.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = file.read(MAX_CHARACTERS + 1)
        if len(content) > MAX_CHARACTERS:
            raise ValueError("it has more than %d characters" % MAX_CHARACTERS)
        return yaml.load(content, BoundedLoader)  # noqa: S506 (a safe loader, with bounds)
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        raise RefusalError(
            "%s should be YAML, but cannot be read: %s" % (os.path.basename(path), " ".join(str(error).split()))
        ) from None


def set_key(section: Dict[str, Any], keys, value: Any) -> None:
    """Set a nested key of a section, in place."""
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
