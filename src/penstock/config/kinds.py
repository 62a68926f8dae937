"""A user's own rows of the catalogue: `providers/*.toml` beside the config file, read when it is.

Each is held to the rules that Penstock's own rows are held to, and its faults are told with file, line and column. It
goes before a row of the same name in the catalogue, so that an upgrade which brings one changes nothing for whoever
had it before.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from penstock.config.schema import Config
from penstock.config.tree import Place, Problems
from penstock.providers.catalogue import Row, check_row, load_catalogue
from penstock.routing.nearest import did_you_mean, quoted

__all__ = ["read_kinds", "rows_of"]

# Far beyond any row; a folder may hold other things by mistake.
_LARGEST = 64 * 1024
_NOWHERE = "http://unread.invalid"
_TABLE = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.\"-]+)\s*\]\]?")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+|\"[^\"]+\")\s*=")
_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_PATH = re.compile(r" - at `\$(.*)`$")


def rows_of(config: Config) -> Mapping[str, Row]:
    """Every kind of provider that a configuration may name: the catalogue's and the user's own."""
    return {**load_catalogue(), **config.kinds} if config.kinds else load_catalogue()


def read_kinds(problems: Problems, folder: Path | None, name: str) -> dict[str, Row]:
    """The rows in `folder`, by name; none where there is no folder. What is wrong is noted in `problems`.

    Args:
        name: what the folder is called in messages.
    """
    found: dict[str, Row] = {}
    if folder is None or not folder.is_dir():
        return found
    for path in sorted(folder.glob("*.toml")):
        row = _Reading(problems, f"{name}/{path.name}").read(path)
        # One that is wrong is kept by its name, so that a provider of that kind is not reported as well.
        found[path.stem] = row or Row(name=path.stem, url=_NOWHERE, dialects=(), auth="none")
    return found


class _Reading:
    """Reads one file, noting what is wrong with it."""

    def __init__(self, problems: Problems, source: str) -> None:
        self._problems = problems
        self._source = source
        self._places: dict[tuple[str, ...], Place] = {}

    def read(self, path: Path) -> Row | None:
        """The row; None where it is wrong."""
        before = len(self._problems)
        data = self._parse(path)
        row = None if data is None else self._row(data)
        if row is None or len(self._problems) > before:
            return None
        if row.name != path.stem:
            self._add("name", f'the file of kind {quoted(row.name)} is called "{row.name}.toml"')
        shipped = load_catalogue().get(row.name)
        if row.in_process or (shipped is not None and shipped.in_process):
            self._add("name", f"{quoted(row.name)} would run inside Penstock, which only sim does")
        for key, message in check_row(row):
            self._add(key, message)
        return row if len(self._problems) == before else None

    def _add(self, key: str, message: str) -> None:
        self._problems.add(self._place((key,)), message)

    def _place(self, keys: tuple[str, ...]) -> Place:
        for count in range(len(keys), 0, -1):
            if keys[:count] in self._places:
                return self._places[keys[:count]]
        return Place(self._source, 1, 1)

    def _parse(self, path: Path) -> dict[str, Any] | None:
        here = Place(self._source, 1, 1)
        try:
            with path.open("rb") as file:
                data = file.read(_LARGEST + 1)
            text = data.decode("utf-8-sig")
        except (OSError, ValueError) as error:
            self._problems.add(here, f"cannot be read: {getattr(error, 'strerror', None) or 'not valid UTF-8'}")
            return None
        if len(data) > _LARGEST:
            self._problems.add(here, "is too large for a row of the catalogue")
            return None
        self._places = _places(text, self._source)
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            at = _AT.search(str(error))
            line, column = (at.group(1), at.group(2)) if at is not None else (None, None)
            end = text.count("\n") + 1
            place = Place(self._source, int(line) if line else end, int(column) if column else 1)
            self._problems.add(place, f"not valid TOML: {_AT.sub('', str(error))}")
            return None

    def _row(self, data: dict[str, Any]) -> Row | None:
        fields = {field.name: field for field in msgspec.structs.fields(Row)}
        values: dict[str, Any] = {}
        whole = True
        for key, value in data.items():
            if key not in fields:
                near = did_you_mean(key, fields) or f" (a row has: {', '.join(fields)})"
                self._add(key, f"unknown key {quoted(key)}{near}")
                whole = False
                continue
            try:
                values[key] = msgspec.convert(value, fields[key].type)
            except msgspec.ValidationError as error:
                self._invalid(key, str(error))
                whole = False
        for name, field in fields.items():
            if field.required and name not in data:
                self._problems.add(Place(self._source, 1, 1), f"{name} is missing")
                whole = False
        return Row(**values) if whole else None

    def _invalid(self, key: str, message: str) -> None:
        """One of msgspec's complaints, at the key it is about."""
        at = _PATH.search(message)
        below = re.findall(r"[A-Za-z0-9_-]+", re.sub(r"\[[^\]]*\]", "", at.group(1))) if at is not None else []
        unknown = re.search(r"unknown field `([^`]+)`", message)
        keys = (key, *below, *([unknown.group(1)] if unknown is not None else []))
        self._problems.add(self._place(keys), f"{key}: {_PATH.sub('', message).replace('`', chr(34))}")


def _places(text: str, source: str) -> dict[tuple[str, ...], Place]:
    """Where each key stands; the first of those that come more than once. tomllib tells no places."""
    found: dict[tuple[str, ...], Place] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        column = len(line) - len(line.lstrip()) + 1
        if (header := _TABLE.match(line)) is not None:
            table = tuple(header.group(1).replace('"', "").split("."))
            found.setdefault(table, Place(source, number, column))
        elif (key := _KEY.match(line)) is not None:
            found.setdefault((*table, key.group(1).strip('"')), Place(source, number, column))
    return found
