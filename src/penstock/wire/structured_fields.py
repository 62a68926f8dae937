"""Headers that are dictionaries of plain values: RFC 9651, section 3.2, read and written.

Of its values those are taken that are one word: strings, display strings, tokens, numbers and booleans. Inner lists and
byte sequences are refused; parameters are read and left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

__all__ = ["KEY", "read_dictionary", "write_dictionary"]

KEY = re.compile(r"[a-z*][a-z0-9_\-.*]*")
_STRING = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
# Section 4.2.10: percent-encoded UTF-8 with lower-case digits; visible ASCII but % and " stands for itself.
_DISPLAY = re.compile(r'%"((?:[\x20\x21\x23\x24\x26-\x7e]|%[0-9a-f]{2})*)"')
_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+\-.^_`|~:/]*")
_NUMBER = re.compile(r"-?(?:[0-9]{1,12}\.[0-9]{1,3}|[0-9]{1,15})(?![0-9.])")
_BOOLEAN = re.compile(r"\?([01])")
_SPACES = re.compile(r"[ \t]*")
_PARAMETER = re.compile(r" *")


def read_dictionary(text: str) -> dict[str, str]:
    """Names and values; of a name that is there twice the last holds. Booleans are `true` and `false`.

    Raises:
        ValueError: it is none; the message says where, as words.
    """
    found: dict[str, str] = {}
    at = _past(_PARAMETER, text, 0)
    end = len(text.rstrip(" "))
    while at < end:
        name, at = _key(text, at)
        value = "true"
        if text[at : at + 1] == "=":
            value, at = _value(text, at + 1)
        at = _parameters(text, at)
        found.pop(name, None)  # section 4.2.2: it stands where it came last
        found[name] = value
        at = _past(_SPACES, text, at)
        if at >= end:
            break
        if text[at] != ",":
            raise ValueError(f"a comma is expected at character {at + 1}")
        at = _past(_SPACES, text, at + 1)
        if at >= end:
            raise ValueError("it ends with a comma")
    return found


def write_dictionary(pairs: Iterable[tuple[str, str]]) -> str:
    """The same as text: strings where they are ASCII, else display strings. Names must match `KEY`."""
    return ", ".join(f"{name}={_written(value)}" for name, value in pairs)


def _written(value: str) -> str:
    if value.isascii() and value.isprintable():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    # Upper-case digits are not allowed, so those that `quote` writes are lowered; what is safe has none.
    safe = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in '%"')
    raw = re.sub("%..", lambda found: found[0].lower(), quote(value.encode("utf-8", "replace"), safe=safe))
    return f'%"{raw}"'


def _past(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found is not None else at


def _key(text: str, at: int) -> tuple[str, int]:
    found = KEY.match(text, at)
    if found is None:
        raise ValueError(f"a name is expected at character {at + 1}: lower-case letters, digits, _ - . *")
    return found[0], found.end()


def _value(text: str, at: int) -> tuple[str, int]:
    """One item's value as text, and where it ends."""
    if (found := _STRING.match(text, at)) is not None:
        return re.sub(r"\\(.)", r"\1", found[1]), found.end()
    if (found := _DISPLAY.match(text, at)) is not None:
        try:
            return unquote_to_bytes(found[1]).decode(), found.end()
        except UnicodeDecodeError:
            raise ValueError(f"what stands at character {at + 1} is no UTF-8") from None
    if (found := _BOOLEAN.match(text, at)) is not None:
        return "true" if found[1] == "1" else "false", found.end()
    for pattern in (_NUMBER, _TOKEN):
        if (found := pattern.match(text, at)) is not None:
            return found[0], found.end()
    raise ValueError(f'a value is expected at character {at + 1}: a word, a number, or text as in "two words"')


def _parameters(text: str, at: int) -> int:
    while text[at : at + 1] == ";":
        _, at = _key(text, _past(_PARAMETER, text, at + 1))
        if text[at : at + 1] == "=":
            _, at = _value(text, at + 1)
    return at
