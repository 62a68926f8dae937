"""Secrets: held so that they cannot be printed by accident, and taken out of text that may hold one.

Pure. Whoever needs the value itself calls `reveal()`, and nothing else gives it away: not `str`, `repr`,
a format, a traceback's locals, pickle or JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

__all__ = ["MASK", "Secret", "redact"]

MASK = "***"


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


def redact(text: str, secrets: Iterable[Secret]) -> str:
    """`text` with every occurrence of a secret's value replaced by `***`, the longest first.

    Longest first, so that a secret which begins like another leaves no tail behind.
    """
    values = {secret.reveal() for secret in secrets}
    for value in sorted(values, key=len, reverse=True):
        if value:
            text = text.replace(value, MASK)
    return text
