"""A caller's `output_schema`: compiled once, and asked whether an answer follows it.

Schema and answer are both a stranger's, so everything about them is bounded: size, depth, what references unfold to,
and what a regular expression may cost. Nothing outside the schema is ever read (security: no `$ref` leaves it).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, NamedTuple, NoReturn
from urllib.parse import unquote

import jsonschema_rs
import msgspec

from penstock.errors import InvalidRequest

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_PARTS", "MAX_PATTERNS", "MAX_WORK", "Checked", "OutputSchema", "load_schema"]

MAX_BYTES = 64 * 1024
MAX_DEPTH = 100  # levels, references followed
MAX_PARTS = 10_000  # values, references followed
MAX_PATTERNS = 100
MAX_WORK = 200_000_000  # parts times letters of the answer: seconds, at the worst

_PARAM = "output_schema"
# An expression that backtracks too far does not match; a large repetition is refused when it is compiled.
_PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000, size_limit=256 * 1024, dfa_size_limit=256 * 1024)
_LITERAL = frozenset(("enum", "const", "default", "examples"))
_PATTERN_KEYS = frozenset(("pattern", "patternProperties"))
_NAMED = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"))
# Their targets depend on the path taken, or move what `#` means, so what they unfold to cannot be counted beforehand.
_REFUSED = frozenset(("$dynamicRef", "$recursiveRef"))
_TWICE = frozenset(("unevaluatedItems", "unevaluatedProperties"))  # these look at everything beside them once more


class Checked(NamedTuple):
    """Whether an answer follows the schema.

    Attributes:
        verdict: `none` where the check would cost too much.
        data: the answer's JSON, without white space, where it is valid; else None.
        why: what is wrong, as a sentence; "" where nothing is.
    """

    verdict: Literal["none", "valid", "invalid"]
    data: msgspec.Raw | None = None
    why: str = ""


class OutputSchema:
    """A schema that can be checked against.

    Attributes:
        value: as decoded JSON.
    """

    __slots__ = ("_parts", "_validator", "value")

    def __init__(self, value: Any, validator: Any, parts: int) -> None:
        self.value = value
        self._validator = validator
        self._parts = parts

    def check(self, text: str) -> Checked:
        """Whether `text` is JSON that follows the schema. Never raises."""
        if self._parts * len(text) > MAX_WORK:
            return Checked("none", why="The answer was not checked: schema and answer together are too large.")
        try:
            written = text.encode()
            value = msgspec.json.decode(written)
        except (ValueError, RecursionError):
            return Checked("invalid", why="The answer is not JSON.")
        try:
            # `is_valid` remembers what it has seen of a recursive schema; telling each error apart does not.
            valid = self._validator.is_valid(value)
        except ValueError:
            return Checked("none", why="The answer was not checked: it is nested too deeply.")
        if not valid:
            return Checked("invalid", why="The answer does not follow output_schema.")
        return Checked("valid", msgspec.Raw(msgspec.json.format(written, indent=-1)))


@lru_cache(64)
def load_schema(written: bytes) -> OutputSchema:
    """The schema in these bytes of JSON, kept for the next call that has the same.

    Raises:
        InvalidRequest: it is no schema, too large, or refers to something outside itself.
    """
    if len(written) > MAX_BYTES:
        _refuse(f"it is larger than {MAX_BYTES // 1024} KiB")
    try:
        value = msgspec.json.decode(written)
    except (ValueError, RecursionError):  # a number out of range, or too many levels
        _refuse("it cannot be read")
    if not isinstance(value, dict):
        _refuse("it must be an object")
    parts = _Measure(value).parts()
    try:
        validator = jsonschema_rs.validator_for(value, retriever=_nothing, pattern_options=_PATTERNS)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        _refuse(f"it is not a valid JSON schema: {str(error).partition(chr(10))[0][:200]}")
    return OutputSchema(value, validator, parts)


class _Measure:
    """Counts what a schema unfolds to when its references are followed, each as often as it is met.

    A reference to what is being unfolded counts as one: the validator remembers what it has seen there.
    """

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._targets: dict[str, int | None] = {}  # None while it is being unfolded
        self._patterns = 0

    def parts(self) -> int:
        total = self._schema(self._root, 0)
        if total > MAX_PARTS:
            _refuse(f"it unfolds to more than {MAX_PARTS:,} parts")
        return total

    def _schema(self, value: Any, depth: int) -> int:
        if depth > MAX_DEPTH:
            _refuse(f"it is nested more than {MAX_DEPTH} levels deep")
        if isinstance(value, list):
            return 1 + sum(self._schema(item, depth + 1) for item in value)
        if not isinstance(value, dict):
            return 1
        total = 1
        for key, item in value.items():
            total += self._keyword(key, item, depth)
        return total * 2 if _TWICE & value.keys() else total

    def _keyword(self, key: str, item: Any, depth: int) -> int:
        if key in _REFUSED or (key == "$id" and depth and isinstance(item, str)):
            _refuse(f"{key} is not read here")
        if key in _PATTERN_KEYS:
            self._patterns += len(item) if isinstance(item, dict) else 1
            if self._patterns > MAX_PATTERNS:
                _refuse(f"it holds more than {MAX_PATTERNS} regular expressions")
        if key == "$ref" and isinstance(item, str):
            return 1 + self._target(item, depth + 1)
        if key in _LITERAL:
            return 1 + _literal(item, depth + 1)
        if key in _NAMED and isinstance(item, dict):  # its keys are names, not keywords
            return 1 + sum(self._schema(named, depth + 2) for named in item.values())
        return self._schema(item, depth + 1)

    def _target(self, pointer: str, depth: int) -> int:
        if pointer not in self._targets:
            found = self._find(pointer)
            self._targets[pointer] = None
            self._targets[pointer] = self._schema(found, depth)
        return self._targets[pointer] or 1

    def _find(self, pointer: str) -> Any:
        head, _, path = pointer.partition("/")
        if head != "#":
            _refuse(
                f'the reference "{pointer[:80]}" does not begin with "#/"; only references into itself are followed'
            )
        found: Any = self._root
        for step in path.split("/") if path else ():
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isascii() and name.isdigit() and int(name[:6]) < len(found):
                found = found[int(name[:6])]
            elif isinstance(found, dict) and name in found:
                found = found[name]
            else:
                _refuse(f'the reference "{pointer[:80]}" leads nowhere')
        return found


def _literal(value: Any, depth: int) -> int:
    if depth > MAX_DEPTH:
        _refuse(f"it is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        return 1 + sum(_literal(item, depth + 1) for item in value.values())
    if isinstance(value, list):
        return 1 + sum(_literal(item, depth + 1) for item in value)
    return 1


def _nothing(uri: str) -> NoReturn:
    raise ValueError(f"{uri[:80]} is not read")


def _refuse(why: str) -> NoReturn:
    raise InvalidRequest(f"Invalid 'output_schema': {why}.", do="Mend the schema.", param=_PARAM)
