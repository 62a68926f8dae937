"""Secrets: held so that they cannot be printed by accident, and taken out of text that may hold one.

Pure. Whoever needs the value itself calls `reveal()`, and nothing else gives it away: not `str`, `repr`,
a format, a traceback's locals, pickle or JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NoReturn

__all__ = ["MASK", "Secret", "as_asked", "is_secret", "redact", "spared"]

MASK = "***"
# How the credentials of this gateway and of well-known vendors begin.
_BEGINNING = re.compile(r"(?:psk|sk|pk|rk|gsk|xai|ghp|github_pat|whsec|AIza|AKIA|Bearer)[-_ 0-9A-Za-z]")
# What was drawn by chance: so much without a break, of several kinds of letters.
_DRAWN = re.compile(r"[0-9A-Za-z]{12,}")
_LONG = 20
_KINDS = (re.compile("[0-9]"), re.compile("[A-Z]"), re.compile("[a-z]"))
_MOST_SHOWN = 64
_MASKED = repr(MASK)
_PARTS = re.compile("([/;=&:,@])")


class Secret:
    """A credential that prints as `***`.

    Args:
        value: the credential.
        source: the reference it came from (`env:NAME`, `file:PATH`), which is not secret.
    """

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str = "") -> None:
        self._value = value
        self.source = source

    def reveal(self) -> str:
        """The value itself. Never log it, never put it in an error."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        # Pickle would write the value out in clear.
        raise TypeError("a Secret cannot be pickled or copied")


def is_secret(text: str) -> bool:
    """Whether it looks like the credential of this gateway or of a vendor, put in the place of a name by mistake."""
    text = text.strip()
    return _BEGINNING.match(text) is not None and any(_kinds(run) >= 2 for run in _DRAWN.findall(text))


def as_asked(text: str) -> str:
    """What somebody asked for, in quotes, as an error may repeat it.

    Not what may be a credential (twenty letters of both cases and digits without a break are no id), nor all of what
    is long.
    """
    drawn = any(len(run) >= _LONG and _kinds(run) == len(_KINDS) for run in _DRAWN.findall(text))
    return repr(MASK if drawn or is_secret(text) else text[:_MOST_SHOWN])


def spared(path: str) -> str:
    """A URL's path as a log may tell it: each part of it that may be a credential is `***`."""
    return "".join(MASK if as_asked(part) == _MASKED else part for part in _PARTS.split(path))


def _kinds(run: str) -> int:
    """Of how many kinds its letters are: digits, large, small."""
    return sum(kind.search(run) is not None for kind in _KINDS)


def redact(text: str, secrets: Iterable[Secret]) -> str:
    """`text` with every occurrence of a secret's value replaced by `***`, the longest first.

    Longest first, so that a secret which begins like another leaves no tail behind.
    """
    values = {secret.reveal() for secret in secrets}
    for value in sorted(values, key=len, reverse=True):
        if value:
            text = text.replace(value, MASK)
    return text
