"""Reads the job's hyperparameters; `contract.json`, and the table of keys that it names, list every name.

Names with dashes are options of `mlagents-learn` or of this container. Names with underscores and dots are keys of
the trainer configuration and override it for every brain. Values arrive as strings: JSON-encoded from some clients
(with quotes around them), raw from others (`3DBall`). Both are accepted.
"""

import difflib
import json
import math
import os
import shlex
from dataclasses import dataclass
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import contract
import speedups
import trainers
from refusal import RefusalError

NEAREST = 5  # names to suggest for an unknown one
SHOWN = 60  # characters of a value or name in messages
_LIMITS = contract.CONTRACT["hyperparameters"]
MAX_RUN_ID_LENGTH = _LIMITS["longest_run_id"]  # file names are limited to 255 bytes, and the brain's name is added
MAX_TEXT_LENGTH = _LIMITS["longest_text"]  # so that an error message with it is not truncated
LARGEST = _LIMITS["largest_whole_number"]  # the largest integer of ML-Agents and TensorFlow
IGNORED_PREFIXES = tuple(_LIMITS["ignored_prefixes"])  # added by SageMaker's tools, not for the trainer


@dataclass(frozen=True)
class Hyperparameter:
    """A hyperparameter that a job may set."""

    name: str
    read: Callable[[str], Any]
    default: Any
    meaning: str
    least: Optional[float] = None
    most: Optional[float] = None
    choices: Tuple[str, ...] = ()


class Settings(NamedTuple):
    """A job's settings: options (names with dashes), and overrides of the trainer configuration."""

    options: Dict[str, Any]
    overrides: Dict[str, Any]


def text(raw: str) -> str:
    """Read a text that is usable as a name."""
    if not raw or "\0" in raw or len(raw) > MAX_TEXT_LENGTH:
        raise ValueError("a name")
    return raw


def whole(raw: str) -> int:
    """Read a whole number; `5e4` and `50000.0` are whole too."""
    value = number(raw)
    if value != int(value):
        raise ValueError("a whole number")
    if value > LARGEST:
        raise ValueError("a whole number of at most %d" % LARGEST)
    return int(value)


def number(raw: str) -> float:
    """Read a finite number."""
    try:
        value = float(raw)
    except ValueError:
        raise ValueError("a number") from None
    if not math.isfinite(value):
        raise ValueError("a finite number")
    return value


def switch(raw: str) -> bool:
    """Read a yes or no."""
    if raw.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return raw.lower() == "true"


def count_or_auto(raw: str) -> Optional[int]:
    """Read a whole number, or `auto` as None."""
    try:
        return None if raw == "auto" else whole(raw)
    except ValueError:
        raise ValueError("a whole number or auto") from None


def argument_list(raw: str) -> Tuple[str, ...]:
    """Read an argument list, as a shell would split it or as a JSON list."""
    if "\0" in raw:
        raise ValueError("words without null characters")
    try:
        decoded = json.loads(raw)
    except (ValueError, RecursionError):
        decoded = None
    if isinstance(decoded, list):
        return tuple(str(word) for word in decoded)
    try:
        return tuple(shlex.split(raw))
    except ValueError:
        raise ValueError("words as a shell would split them") from None


def reward_goal(raw: str) -> Tuple[Optional[str], float]:
    """Read `80` (every brain) or `3DBall=80` (the named brain) as (brain or None, reward)."""
    brain, _, reward = raw.rpartition("=")
    try:
        return brain or None, number(reward)
    except ValueError:
        raise ValueError("a reward such as 80, or a brain and its reward such as 3DBall=80") from None


def _decode(value: Any) -> str:
    """Decode a value from JSON, if it is JSON."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError):
        return value.strip()
    return decoded.strip() if isinstance(decoded, str) else value.strip()


READERS = {
    "text": text,
    "whole number": whole,
    "number": number,
    "switch": switch,
    "whole number or auto": count_or_auto,
    "words": argument_list,
    "speedups": speedups.read_speedups,
    "reward goal": reward_goal,
}


def _read_table(table: Dict[str, Any]) -> Tuple[Hyperparameter, ...]:
    entries = []
    for name, row in table.items():
        read, default = READERS[row["type"]], row.get("default")
        if isinstance(default, dict):  # by trainer version; those of trainer keys are ML-Agents' own
            default = default.get(_TRAINER.VERSION)
        default = None if default is None else read(_decode(default))
        bounds = row.get("least"), row.get("most"), tuple(row.get("choices", ()))
        entries.append(Hyperparameter(name, read, default, row["meaning"], *bounds))
    return tuple(entries)


_TRAINER = trainers.chosen()
OPTIONS = _read_table(
    {name: row for name, row in _LIMITS["options"].items() if _TRAINER.VERSION in row.get("trainers", trainers.ROWS)}
)
TRAINER_KEYS = _read_table(
    {name: row for name, row in contract.load(_TRAINER.ROW["trainer_keys"]).items() if "type" in row}
)
KNOWN = {entry.name: entry for entry in OPTIONS + TRAINER_KEYS}


def load(path: str) -> Dict[str, Any]:
    """Read SageMaker's hyperparameter file; a missing file means none.

    Raises
    ------
    RefusalError
        The file is not a JSON object.
    """
    if not os.path.exists(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise RefusalError(
            "%s should hold a JSON object of hyperparameters, but is not JSON: %s." % (path, error)
        ) from None
    if not isinstance(found, dict):
        raise RefusalError(
            "%s should hold a JSON object of hyperparameters, but holds %s." % (path, type(found).__name__)
        )
    return found


def read_arguments(arguments: Sequence[str]) -> Dict[str, str]:
    """Read hyperparameters from the command line, in the form NAME=VALUE.

    Raises
    ------
    RefusalError
        An argument has another form.
    """
    for argument in arguments:
        if "=" not in argument:
            raise RefusalError("Expected NAME=VALUE after train, such as max_steps=50000, found %s." % argument)
    return dict(argument.split("=", 1) for argument in arguments)


def parse(raw_values: Dict[str, Any]) -> Settings:
    """Convert names and values as SageMaker passes them to settings.

    Parameters
    ----------
    raw_values
        Name to value, as strings, JSON-encoded or raw.

    Returns
    -------
    Settings
        `options` has every option, with defaults filled in; `overrides` only the trainer keys that were set.

    Raises
    ------
    RefusalError
        An unknown name, or a value of the wrong type or out of range.
    """
    relevant = {name: value for name, value in raw_values.items() if not name.startswith(IGNORED_PREFIXES)}
    unknown = sorted(set(relevant) - set(KNOWN))
    if unknown:
        raise RefusalError(_unknown(unknown))
    values = {name: _read_value(KNOWN[name], value) for name, value in relevant.items()}
    options = {entry.name: values.get(entry.name, entry.default) for entry in OPTIONS}
    _check_run_id(options["run-id"])
    overrides = {entry.name: values[entry.name] for entry in TRAINER_KEYS if entry.name in values}
    return Settings(options, overrides)


def _read_value(entry: Hyperparameter, encoded: Any) -> Any:
    raw = _decode(encoded)
    shown = _short(raw)
    try:
        value = entry.read(raw)
    except (ValueError, OverflowError) as error:
        raise RefusalError(
            "Hyperparameter %s should be %s (%s), but is %r." % (entry.name, error, entry.meaning, shown)
        ) from None
    if entry.choices and value not in entry.choices:
        raise RefusalError(
            "Hyperparameter %s should be one of %s, but is %r." % (entry.name, ", ".join(entry.choices), shown)
        )
    if entry.least is not None and value is not None and value < entry.least:
        raise RefusalError("Hyperparameter %s should be at least %g, but is %s." % (entry.name, entry.least, shown))
    if entry.most is not None and value is not None and value > entry.most:
        raise RefusalError("Hyperparameter %s should be at most %g, but is %s." % (entry.name, entry.most, shown))
    return value


def _short(raw: str) -> str:
    """Shorten a value for a message: SageMaker accepts values of 2,500 characters, but messages of only 1,024."""
    return raw if len(raw) <= SHOWN else raw[:SHOWN] + "..."


def _check_run_id(run_id: str) -> None:
    good = all(letter.isalnum() or letter in "._-" for letter in run_id) and not run_id.startswith((".", "-"))
    if not good or len(run_id) > MAX_RUN_ID_LENGTH:
        raise RefusalError(
            "Hyperparameter run-id becomes the name of a folder and may hold %d letters, digits, dots, dashes and "
            "underscores, beginning with a letter, a digit or an underscore, but is %r."
            % (MAX_RUN_ID_LENGTH, _short(run_id))
        )


def _unknown(names) -> str:
    """Return a short message, because SageMaker keeps at most 1,024 characters."""
    name = names[0]
    if name in _LIMITS["options"]:
        return (
            "Hyperparameter %s is of ML-Agents %s, but %s is installed here. Leave it out, and write what it does into "
            "the trainer configuration." % (name, ", ".join(_LIMITS["options"][name]["trainers"]), _TRAINER.VERSION)
        )
    nearest = sorted(KNOWN, key=lambda known: -difflib.SequenceMatcher(None, name[:SHOWN], known).ratio())[:NEAREST]
    shown = [_short(other) for other in names[: 1 + NEAREST]]
    more = ", %d more" % (len(names) - len(shown)) if len(names) > len(shown) else ""
    others = " (nor %s %s%s)" % ("is" if len(names) == 2 else "are", ", ".join(shown[1:]), more) if shown[1:] else ""
    return (
        "Hyperparameter %s is not known%s. The nearest names: %s. There are %d others: `docker run IMAGE` prints "
        "those with dashes, container/%s lists the rest."
        % (shown[0], others, ", ".join(nearest), len(KNOWN) - len(nearest), _TRAINER.ROW["trainer_keys"])
    )
