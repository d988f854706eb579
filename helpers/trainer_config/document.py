"""A YAML file with the line of every key, read by the same parser that mlagents-learn uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from helpers.findings import Finding

LOADER = yaml.SafeLoader  # written in Python, as in mlagents-learn; the faster one in C differs in some corners
_DEPTH = 4  # a config has no keys that lie deeper


class UnreadableError(ValueError):
    """The text is no YAML that mlagents-learn can read."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Document:
    """A YAML file.

    Parameters
    ----------
    value
        What it says.
    lines
        Line of each key, counted from 1, by the path of keys to it.
    repeated
        Paths of keys that stand twice in one mapping, with the line of the later one.
    """

    value: Any
    lines: dict[tuple, int]
    repeated: tuple[tuple[tuple, int], ...]

    def line(self, *keys: Any) -> int | None:
        """Line of a key, or of the nearest one above it where that has none (merged by ``<<``)."""
        return next((self.lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in self.lines), None)


def read_document(text: str) -> Document:
    """Read YAML.

    Raises
    ------
    UnreadableError
        With the line, if it is not one valid document, or one that contains itself.
    """
    try:
        loader = LOADER(text)
        try:
            node = loader.get_single_node()
            # Before merge keys are followed: what a mapping takes from another and sets anew does not stand twice.
            repeated = tuple(_repeated(node))
            value = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise UnreadableError(_problem(error), line) from error
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, AttributeError, TypeError) as error:
        raise UnreadableError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if _contains_itself(value, set(), set()):
        raise UnreadableError("an anchor contains itself")
    return Document(value, dict(_keys(node, ())), repeated)


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem or error.context or "not valid YAML")
    if problem.startswith("but "):
        problem = f"{error.context}, {problem}"
    if "'\\t'" in problem:
        problem += " (indent with spaces, never with tabs)"
    return problem


def _repeated(node: Any) -> Iterator[tuple[tuple, int]]:
    seen = set()
    for keys, line in _keys(node, ()):
        if keys in seen:
            yield keys, line
        seen.add(keys)


def _keys(node: Any, above: tuple) -> Iterator[tuple[tuple, int]]:
    if not isinstance(node, yaml.MappingNode) or len(above) >= _DEPTH:
        return
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            keys = (*above, _plain(key))
            yield keys, key.start_mark.line + 1
            yield from _keys(value, keys)


def _plain(key: yaml.ScalarNode) -> Any:
    try:
        return LOADER("").construct_object(key)
    except (yaml.YAMLError, ValueError):
        return key.value


def _contains_itself(value: Any, above: set[int], seen: set[int]) -> bool:
    """Whether a value lies in itself; each is looked at once, however many aliases lead to it."""
    if not isinstance(value, (dict, list)) or id(value) in seen:
        return isinstance(value, (dict, list)) and id(value) in above
    seen.add(id(value))
    above.add(id(value))
    inner = value.values() if isinstance(value, dict) else value
    found = any(_contains_itself(item, above, seen) for item in inner)
    above.remove(id(value))
    return found


def repeated_keys(document: Document, path: str) -> Iterator[Finding]:
    """Warn of keys that stand twice: the parser takes the last one without a word."""
    for keys, line in document.repeated:
        what = f"{'.'.join(map(str, keys))} stands twice."
        yield Finding("warning", what, "The last one counts. Delete the other.", path, line)
