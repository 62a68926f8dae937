"""A configuration as it was written, each value with its place: what the loader reads, wherever it came from.

`config/yaml_file.py` makes one from a file, `from_mapping` from a dict. Problems are collected, so that one
look at the error shows all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from penstock.errors import ConfigError

__all__ = ["Node", "Place", "Problems", "Tree", "from_mapping"]

# Far deeper than any configuration; a dict that contains itself must end somewhere.
_DEEPEST = 32


class Place(NamedTuple):
    """`file:line:column`, counted from 1; for a dict, the path to the value and no line."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source

    @property
    def where(self) -> str:
        """`file:line`, for whoever is told of it long after it was read."""
        return f"{self.source}:{self.line}" if self.line else self.source


class Node(msgspec.Struct, frozen=True):
    """A value and where it stands.

    Attributes:
        value: a scalar, a list of nodes, or a dict of nodes by their keys.
        place: where the value begins.
        key: where the key that names it begins; the same as `place` for what has no key.
    """

    value: object
    place: Place
    key: Place


class Problems:
    """What is wrong, and where; and what is only doubtful."""

    def __init__(self) -> None:
        # In their order, and each once.
        self._found: dict[tuple[Place, str], None] = {}
        self._doubts: dict[tuple[Place, str], None] = {}

    def add(self, place: Place, message: str) -> None:
        """Note a problem; the same one at the same place counts once."""
        self._found[place, message] = None

    def doubt(self, place: Place, message: str) -> None:
        """Note what is allowed, and most likely not meant."""
        self._doubts[place, message] = None

    @property
    def found(self) -> list[tuple[Place, str]]:
        """What is wrong, in the order in which it was found."""
        return list(self._found)

    @property
    def doubted(self) -> list[tuple[Place, str]]:
        """What is doubtful, likewise."""
        return list(self._doubts)

    @property
    def doubts(self) -> list[str]:
        """One `place: message` for each doubt, in the order of the file."""
        return _told(self._doubts)

    def __len__(self) -> int:
        return len(self._found)

    def raise_if_any(self) -> None:
        """Raises ConfigError with one `place: message` per line, in the order of the file."""
        if not self._found:
            return
        raise ConfigError("\n".join(_told(self._found)))


def _told(found: Iterable[tuple[Place, str]]) -> list[str]:
    return [f"{place}: {message}" for place, message in sorted(found, key=_order)]


def _order(found: tuple[Place, str]) -> tuple[bool, str, int, int]:
    """By file and line; what has no line stays as it was found."""
    place = found[0]
    return bool(place.line), place.source if place.line else "", place.line, place.column


class Tree(msgspec.Struct, frozen=True):
    """What was written.

    Attributes:
        root: the whole of it.
        problems: what was found wrong while it was read.
        source: what to call it.
        folder: what relative paths count from.
        kinds: where the user's own rows of the catalogue lie; None where it was read from no file.
    """

    root: Node
    problems: Problems
    source: str
    folder: Path
    kinds: Path | None = None


def from_mapping(data: Mapping[str, object], source: str = "(a mapping)", folder: Path | None = None) -> Tree:
    """The tree of a plain dict; a value's place is its path, such as `models.fast.targets[0]`."""
    problems = Problems()
    root = _node(data, "config", problems, 0)
    return Tree(root, problems, source, folder if folder is not None else Path.cwd())


def _node(value: object, path: str, problems: Problems, depth: int) -> Node:
    place = Place(path)
    if depth > _DEEPEST:
        problems.add(place, "nested too deep")
        return Node(None, place, place)
    if isinstance(value, Mapping):
        below = "" if depth == 0 else f"{path}."
        entries: dict[str, Node] = {}
        for key, entry in value.items():
            if isinstance(key, str):
                entries[key] = _node(entry, f"{below}{key}", problems, depth + 1)
            else:
                problems.add(place, f"the key {key!r} is not a string")
        return Node(entries, place, place)
    if isinstance(value, list | tuple):
        items = [_node(item, f"{path}[{index}]", problems, depth + 1) for index, item in enumerate(value)]
        return Node(items, place, place)
    return Node(value, place, place)
