"""A YAML file with the line of every key, read with mlagents-learn's own parser."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from common.contract import CONTRACT
from common.findings import Finding

_DEPTH = 8  # a config has no deeper keys
MAX_CHARACTERS: int = CONTRACT["yaml"]["most_characters"]  # of a file; the largest public trainer config has 20,000
MAX_VALUES: int = CONTRACT["yaml"]["most_values"]  # keys, values, and the content of aliases each time
MAX_LEVELS: int = CONTRACT["yaml"]["most_levels"]  # of nesting


class BoundedLoader(yaml.SafeLoader):
    """mlagents-learn's loader with limits: nested aliases could otherwise expand to billions of values.

    The same limit bounds everything that walks through the result, such as a merge or `repr`.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.values = self.levels = 0
        self.sizes: dict[str, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Count a node; an alias counts as its whole content."""
        event = self.peek_event()
        anchor, is_alias = event.anchor, isinstance(event, yaml.AliasEvent)
        if is_alias and anchor in self.anchors and anchor not in self.sizes:
            raise ComposerError(None, None, f"the anchor {anchor} contains itself", event.start_mark)
        before = self.values
        self.values += self.sizes.get(anchor, 0) if is_alias else 1
        self.levels += 1
        if self.values > MAX_VALUES or self.levels > MAX_LEVELS:
            most = f"{MAX_VALUES:,} values" if self.values > MAX_VALUES else f"{MAX_LEVELS} levels of values"
            raise ComposerError(None, None, f"it holds more than {most}, aliases counted", event.start_mark)
        node = super().compose_node(parent, index)
        self.levels -= 1
        if anchor is not None and not is_alias:
            self.sizes[anchor] = self.values - before
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Convert a node to a value; a value that Python can't represent is an error with its line."""
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int):
                float(value)  # larger integers have no use, and may be too large to print
            return value
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            what = f"{reprlib.repr(node.value)} can't be read as {node.tag.rpartition(':')[2]}"
            raise ConstructorError(None, None, what, node.start_mark) from None


LOADER = BoundedLoader


class UnreadableError(ValueError):
    """The text is not YAML that mlagents-learn can read."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Document:
    """A YAML file.

    Parameters
    ----------
    value
        Its content.
    lines
        Line of each key, counted from 1, by its path of keys; an item of a list has its number as key.
    repeated
        Paths of keys that appear twice in one mapping, with the line of the later one.
    """

    value: Any
    lines: dict[tuple, int]
    repeated: tuple[tuple[tuple, int], ...]

    def line(self, *keys: Any) -> int | None:
        """Return the line of a key, or of its nearest parent if it has none (when merged by ``<<``)."""
        return next((self.lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in self.lines), None)


def read_text(path: Path) -> str:
    """Read a file of limited size.

    Raises
    ------
    OSError
        If it can't be read.
    UnreadableError
        If it is not a file, too large or not UTF-8 text.
    """
    if path.exists() and not path.is_file():
        raise UnreadableError("it is not a file")
    with path.open("rb") as file:
        content = file.read(4 * MAX_CHARACTERS + 1)
    if len(content) > 4 * MAX_CHARACTERS:
        raise UnreadableError(f"it has more than {MAX_CHARACTERS:,} characters")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        raise UnreadableError("it is UTF-16, not UTF-8 text" if is_utf16 else "it is not UTF-8 text", line) from error


def read_document(text: str) -> Document:
    """Read YAML.

    Raises
    ------
    UnreadableError
        With the line, if it is not one valid document, contains itself, or is too large.
    """
    if len(text) > MAX_CHARACTERS:
        raise UnreadableError(f"it has {len(text):,} characters, more than {MAX_CHARACTERS:,}")
    loader = None
    try:
        loader = LOADER(text)
        node = loader.get_single_node()
        # Before merge keys are resolved: a merged key that is set again is not a repeated key.
        repeated = tuple(_repeated(node))
        value = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise UnreadableError(_problem(error), line) from error
    except yaml.reader.ReaderError as error:
        character = f"U+{error.character:04X}" if isinstance(error.character, int) else repr(error.character)
        line = text.count("\n", 0, error.position) + 1
        raise UnreadableError(f"it holds the character {character}, which YAML does not allow", line) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # bugs of PyYAML
        raise UnreadableError(f"it can't be parsed ({type(error).__name__})", loader and loader.line + 1) from error
    finally:
        if loader is not None:
            loader.dispose()
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
    if len(above) >= _DEPTH:
        return
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield (*above, number), item.start_mark.line + 1
            yield from _keys(item, (*above, number))
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            keys = (*above, _plain(key))
            yield keys, key.start_mark.line + 1
            yield from _keys(value, keys)


def _plain(key: yaml.ScalarNode) -> Any:
    try:
        return LOADER("").construct_object(key)
    except yaml.YAMLError:
        return key.value


def repeated_keys(document: Document, path: str) -> Iterator[Finding]:
    """Warn of repeated keys: the parser silently uses the last one."""
    for keys, line in document.repeated:
        what = f"{'.'.join(map(str, keys))} appears twice."
        yield Finding("warning", what, "The last one counts. Delete the other.", path, line)
