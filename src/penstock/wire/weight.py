"""How many values a piece of JSON holds, told from its bytes: before anybody makes objects of them.

Decoding costs by the value, not by the byte: two million empty arrays fit in four megabytes, and take a hundred times
as long as four megabytes of text.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from penstock.errors import TooLarge

__all__ = ["MAX_VALUES", "check_weight"]

# A conversation that fills a context window of a million tokens has some ten thousand.
MAX_VALUES = 200_000


def check_weight(values: Iterable[msgspec.Raw], most: int = MAX_VALUES) -> None:
    """Refuse what holds more than `most` values, names of fields counted too.

    Raises:
        TooLarge: it does.
    """
    if sum(_weight(bytes(value), most) for value in values) > most:
        raise TooLarge(
            f"The request holds more than {most:,} values, which is more than can be translated.",
            do="Send fewer messages, parts or tools; or ask for a model that speaks this API itself.",
        )


def _weight(value: bytes, most: int) -> int:
    """How many values there are, or, where those are no more than `most`, at least that many."""
    weight = _marks(value)
    if weight <= most:
        return weight
    # Text has commas and brackets of its own: without escaped quotes, every second piece between quotes is no text.
    bare = value.replace(b"\\\\", b"").replace(b'\\"', b"")
    texts = bare.count(b'"') // 2
    return texts if texts > most else texts + _marks(b"".join(bare.split(b'"')[::2]))


def _marks(value: bytes) -> int:
    return 1 + value.count(b",") + value.count(b"[") + value.count(b"{")
