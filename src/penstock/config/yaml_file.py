"""`penstock.yaml` to a tree with marks. The only module that knows YAML, apart because its parser loads slowly.

YAML 1.2 (`yes` and `on` are text). Only the composer runs: tags build nothing, so a file is data and no more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from penstock.config.habits import yaml_mending
from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.config.tree import Node, Place, Problems, Tree
from penstock.errors import ConfigError
from penstock.routing.nearest import quoted

__all__ = ["open_config", "open_tree", "read_yaml"]

_TAG = "tag:yaml.org,2002:"


def open_config(
    path: str | Path,
    env: Mapping[str, str],
    *,
    serving: bool = True,
    check_files: bool = True,
    kept: bool | None = None,
    tell: Callable[[str], object] | None = None,
) -> Config:
    """Read a config file; see `load_config`.

    Args:
        tell: is told each doubt, as `place: message`.

    Raises:
        ConfigError: the file cannot be read, is no YAML, or says what it must not.
    """
    tree = open_tree(path)
    config = load_config(tree, env, serving=serving, check_files=check_files, kept=kept)
    if tell is not None:
        for doubt in tree.problems.doubts:
            tell(doubt)
    return msgspec.structs.replace(config, files=(os.path.abspath(path), *config.files))


def open_tree(path: str | Path) -> Tree:
    """Read a file as it is written, whatever it means.

    Raises:
        ConfigError: the file cannot be read, or is no YAML.
    """
    name = str(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror or error}") from None
    return read_yaml(data, name)


def read_yaml(data: bytes, name: str) -> Tree:
    """The tree of a YAML text, `name` being what its places are called by and relative paths count from.

    Raises:
        ConfigError: it is no UTF-8 or no YAML; duplicate keys are left to the tree's problems.
    """
    problems = Problems()
    root = _compose(_decode(data, name), name)
    folder = Path(name).absolute().parent
    if root is None:
        place = Place(name, 1, 1)
        return Tree(Node({}, place, place), problems, name, folder, folder / "providers")
    return Tree(_Reading(name, problems).node(root), problems, name, folder, folder / "providers")


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line_start = before.rfind(b"\n") + 1
        column = len(before[line_start:].decode("utf-8", "replace")) + 1
        place = Place(name, before.count(b"\n") + 1, column)
        wide = "; it begins as UTF-16 does" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise ConfigError(f"{place}: not valid UTF-8{wide}: save it as UTF-8") from None


def _compose(text: str, name: str) -> object:
    try:
        return YAML(typ="safe", pure=True).compose(text)
    except ReaderError as error:
        line_start = text.rfind("\n", 0, error.position) + 1
        place = Place(name, text.count("\n", 0, error.position) + 1, error.position - line_start + 1)
        raise ConfigError(f"{place}: the character U+{ord(text[error.position]):04X} is not allowed") from None
    except MarkedYAMLError as error:
        raise ConfigError(_told(error, text, name)) from None
    except RecursionError:
        raise ConfigError(f"{name}: not valid YAML: brackets are nested too deep") from None
    except YAMLError as error:
        raise ConfigError(f"{name}: not valid YAML: {type(error).__name__}") from None


def _told(error: MarkedYAMLError, text: str, name: str) -> str:
    """Only the problem's own words: the rest of ruamel's message quotes the file, which may hold a secret."""
    mark = error.problem_mark or error.context_mark
    told = error.problem or error.context or "it cannot be read"
    if told.startswith("but "):
        told = f"{error.context} {told}"
    if mark is None:
        return f"{name}: not valid YAML: {told}"
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    begun = error.context_mark
    closes = (
        begun is not None
        and begun.line < mark.line
        and ("flow" in str(error.context) or "quoted" in str(error.context))
    )
    opened = begun.line + 1 if closes else 0
    return f"{Place(name, mark.line + 1, mark.column + 1)}: not valid YAML: {told}{yaml_mending(told, line, opened)}"


class _Reading:
    """Turns the parser's nodes into ours, each once: an alias is the node it stands for."""

    def __init__(self, name: str, problems: Problems) -> None:
        self._name = name
        self._problems = problems
        self._open: set[int] = set()
        self._done: dict[int, Node] = {}

    def node(self, raw: object, key: Place | None = None) -> Node:
        """The node of `raw`; `key` is where the key before it begins."""
        place = self._place(raw)
        known = self._done.get(id(raw))
        if known is not None:
            return Node(known.value, key or known.place, key or known.place)
        if id(raw) in self._open:
            self._problems.add(place, "an anchor that contains itself")
            return Node(None, place, key or place)
        self._open.add(id(raw))
        made = Node(self._value(raw, place), place, key or place)
        self._open.discard(id(raw))
        self._done[id(raw)] = made
        return made

    def _place(self, raw: object) -> Place:
        mark = getattr(raw, "start_mark", None)
        return Place(self._name, mark.line + 1, mark.column + 1) if mark else Place(self._name)

    def _value(self, raw: object, place: Place) -> object:
        if isinstance(raw, MappingNode):
            return self._mapping(raw)
        if isinstance(raw, SequenceNode):
            return [self.node(item) for item in raw.value]
        if isinstance(raw, ScalarNode):
            return self._scalar(raw, place)
        return None

    def _mapping(self, raw: MappingNode) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for raw_key, raw_value in raw.value:
            place = self._place(raw_key)
            name = self._key(raw_key, place)
            if name is None:
                continue
            if name in entries:
                self._problems.add(place, f"duplicate key {quoted(name)}, first on line {entries[name].key.line}")
                continue
            entries[name] = self.node(raw_value, place)
        return entries

    def _key(self, raw: object, place: Place) -> str | None:
        if not isinstance(raw, ScalarNode):
            self._problems.add(place, "a key must be text; a variable is written env:NAME, not {{NAME}} or ${NAME}")
            return None
        if raw.tag == _TAG + "merge":
            self._problems.add(place, "merge keys (<<) are not YAML 1.2: write the keys out, or alias the whole value")
            return None
        if raw.tag != _TAG + "str":
            self._problems.add(place, f"a key must be text: write {quoted(str(raw.value))} with its quotes")
            return None
        return str(raw.value)

    def _scalar(self, raw: ScalarNode, place: Place) -> object:
        text = str(raw.value)
        kind = str(raw.tag).removeprefix(_TAG)
        # A date is text to us; nothing in a configuration is one.
        if kind in ("str", "timestamp"):
            return text
        read = _SCALARS.get(kind)
        if read is None:
            self._problems.add(
                place, f"the tag {raw.tag} is not known here: a variable is written env:NAME, without a tag"
            )
            return None
        try:
            return read(text)
        except (ValueError, OverflowError):
            self._problems.add(place, f"not a valid {kind}")
            return None


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _integer(text: str) -> int:
    return int(text, 0) if text.lower().startswith(("0x", "0o")) else int(text)


def _real(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_SCALARS: dict[str, Callable[[str], object]] = {
    "bool": _boolean,
    "int": _integer,
    "float": _real,
    "null": lambda _: None,
}
