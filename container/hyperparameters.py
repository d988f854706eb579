"""The job's hyperparameters, and how they are read; `contract.json` and `trainer_keys.json` list every name.

Names with dashes are options of `mlagents-learn` or of this container. Names with underscores and dots are keys of
the trainer configuration and override it for every brain. Values arrive as strings, JSON-encoded from some clients
(with quotes around them) and raw from others (`3DBall`); both are read alike.
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
from refusal import RefusalError

NEAREST = 5  # names that are shown where one is not known
SHOWN = 60  # characters of a value or a name that is shown
_LIMITS = contract.CONTRACT["hyperparameters"]
MOST_OF_RUN_ID = _LIMITS["longest_run_id"]  # the longest name of a file may have 255 bytes, and brains add theirs
MOST_OF_TEXT = _LIMITS["longest_text"]  # so that an error message about it is not cut
LARGEST = _LIMITS["largest_whole_number"]  # what ML-Agents and TensorFlow count with
IGNORED_PREFIXES = tuple(_LIMITS["ignored_prefixes"])  # added by SageMaker's own tools, not meant for the trainer


@dataclass(frozen=True)
class Hyperparameter:
    """One name that a job may set."""

    name: str
    read: Callable[[str], Any]
    default: Any
    meaning: str
    least: Optional[float] = None
    most: Optional[float] = None
    choices: Tuple[str, ...] = ()


class Settings(NamedTuple):
    """What a job asked for: an option for each name with dashes, and the overrides of the trainer configuration."""

    options: Dict[str, Any]
    overrides: Dict[str, Any]


def text(raw: str) -> str:
    """Read a text that can be the name of something."""
    if not raw or "\0" in raw or len(raw) > MOST_OF_TEXT:
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


def words(raw: str) -> Tuple[str, ...]:
    """Read an argument list, as a shell would split it or as a JSON list."""
    if "\0" in raw:
        raise ValueError("words without the character 0, which no program can be given")
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


def _plain(given: Any) -> str:
    """Take a value out of its JSON encoding, where it has one."""
    if not isinstance(given, str):
        return json.dumps(given)
    try:
        decoded = json.loads(given)
    except (ValueError, RecursionError):
        return given.strip()
    return decoded.strip() if isinstance(decoded, str) else given.strip()


READERS = {
    "text": text,
    "whole number": whole,
    "number": number,
    "switch": switch,
    "whole number or auto": count_or_auto,
    "words": words,
    "speedups": speedups.read_speedups,
    "reward goal": reward_goal,
}


def _read_table(table: Dict[str, Any]) -> Tuple[Hyperparameter, ...]:
    entries = []
    for name, row in table.items():
        read, default = READERS[row["type"]], row.get("default")
        default = None if default is None else read(_plain(default))
        bounds = row.get("least"), row.get("most"), tuple(row.get("choices", ()))
        entries.append(Hyperparameter(name, read, default, row["meaning"], *bounds))
    return tuple(entries)


OPTIONS = _read_table(_LIMITS["options"])
TRAINER_KEYS = _read_table({name: row for name, row in contract.TRAINER_KEYS.items() if "type" in row})
KNOWN = {entry.name: entry for entry in OPTIONS + TRAINER_KEYS}


def load(path: str) -> Dict[str, Any]:
    """Read SageMaker's file of hyperparameters; a missing file means that there are none.

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
            "%s should hold a JSON object of hyperparameters, but is no JSON: %s." % (path, error)
        ) from None
    if not isinstance(found, dict):
        raise RefusalError(
            "%s should hold a JSON object of hyperparameters, but holds %s." % (path, type(found).__name__)
        )
    return found


def read_words(words: Sequence[str]) -> Dict[str, str]:
    """Read hyperparameters from the command line, where they stand as NAME=VALUE.

    Raises
    ------
    RefusalError
        A word is something else.
    """
    for word in words:
        if "=" not in word:
            raise RefusalError("Expected NAME=VALUE after train, such as max_steps=50000, found %s." % word)
    return dict(word.split("=", 1) for word in words)


def parse(given: Dict[str, Any]) -> Settings:
    """Turn names and values as SageMaker passes them into settings.

    Parameters
    ----------
    given
        Name to value, as strings, JSON-encoded or raw.

    Returns
    -------
    Settings
        `options` holds every option, defaults filled in; `overrides` only the trainer keys that were given.

    Raises
    ------
    RefusalError
        An unknown name, or a value of the wrong type or out of range.
    """
    given = {name: value for name, value in given.items() if not name.startswith(IGNORED_PREFIXES)}
    unknown = sorted(set(given) - set(KNOWN))
    if unknown:
        raise RefusalError(_unknown(unknown))
    values = {name: _value(KNOWN[name], value) for name, value in given.items()}
    options = {entry.name: values.get(entry.name, entry.default) for entry in OPTIONS}
    _check_run_id(options["run-id"])
    overrides = {entry.name: values[entry.name] for entry in TRAINER_KEYS if entry.name in values}
    return Settings(options, overrides)


def _value(entry: Hyperparameter, given: Any) -> Any:
    raw = _plain(given)
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
    """Cut what is only shown: SageMaker takes values of 2,500 characters, and 1,024 of what is said of them."""
    return raw if len(raw) <= SHOWN else raw[:SHOWN] + "..."


def _check_run_id(run_id: str) -> None:
    good = all(letter.isalnum() or letter in "._-" for letter in run_id) and not run_id.startswith((".", "-"))
    if not good or len(run_id) > MOST_OF_RUN_ID:
        raise RefusalError(
            "Hyperparameter run-id becomes the name of a folder and may hold %d letters, digits, dots, dashes and "
            "underscores, beginning with a letter, a digit or an underscore, but is %r."
            % (MOST_OF_RUN_ID, _short(run_id))
        )


def _unknown(names) -> str:
    """Return the refusal in few words: SageMaker keeps no more than 1,024 characters."""
    name = names[0]
    nearest = sorted(KNOWN, key=lambda known: -difflib.SequenceMatcher(None, name[:SHOWN], known).ratio())[:NEAREST]
    shown = [_short(other) for other in names[: 1 + NEAREST]]
    more = ", %d more" % (len(names) - len(shown)) if len(names) > len(shown) else ""
    others = " (nor %s %s%s)" % ("is" if len(names) == 2 else "are", ", ".join(shown[1:]), more) if shown[1:] else ""
    return (
        "Hyperparameter %s is not known%s. The nearest names: %s. There are %d others: `docker run IMAGE` prints "
        "those with dashes, container/trainer_keys.json lists the rest."
        % (shown[0], others, ", ".join(nearest), len(KNOWN) - len(nearest))
    )
