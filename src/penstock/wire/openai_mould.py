"""A short way to know that a stream's events are valid: they are, byte for byte, events that were, with other text.

Most of a stream repeats one event and changes its text alone. So one event is judged by the decoder, twice, and of
those that follow only the text is decoded. What is cast otherwise is left to the decoder.
"""

from __future__ import annotations

import re
from io import BytesIO
from operator import itemgetter

import msgspec

from penstock.wire.openai_chunk import plain_content

__all__ = ["Mould", "mould_of"]

_CONTENT = re.compile(rb'("content": ?")(?:[^"\\]++|\\.)*+"')

# What a mould may take up in memory as long as its stream is open.
_MAX_MOULD = 4096

_read_string = msgspec.json.Decoder(str).decode


def mould_of(data: bytes) -> Mould | None:
    """The mould of the last event in `data`, None where that is anything but plain text in one line of ASCII.

    Args:
        data: whole events.
    """
    before = data.rfind(b"\n\n", 0, -2)
    event = data[before + 2 :] if before >= 0 else data
    found = _CONTENT.search(event)
    if found is None:
        return None
    head, tail = event[: found.end(1)], event[found.end() - 1 :]
    if len(head) + len(tail) > _MAX_MOULD or not tail.endswith(b"}\n\n"):
        return None
    if not head.isascii() or not tail.isascii():
        return None
    # Where another text is read as another content, the place is a whole string, and it is the one that counts.
    if plain_content(b"%ba%b%bb%b" % (head, tail, head, tail)) != "ab":
        return None
    return Mould(head, tail)


class Mould:
    """What is before and after the text in each of a stream's events, both known to be valid around any text."""

    __slots__ = ("_between", "_head", "_several", "_start", "_stop", "_tail", "_text_of")

    def __init__(self, head: bytes, tail: bytes) -> None:
        self._head = head
        self._tail = tail
        self._between = tail + head
        self._start = len(head)
        self._stop = -len(tail)
        self._several = 2 * len(self._between)
        self._text_of = itemgetter(slice(self._start, self._stop + 1))  # of a line, that is, without the blank one

    def measure(self, data: bytes) -> int | None:
        """How many bytes of text whole events say, where all are of this mould; else None."""
        head, tail = self._head, self._tail
        if len(data) < self._several:
            if not data.startswith(head) or not data.endswith(tail) or len(data) < len(self._between):
                return None
            texts = [data[self._start : self._stop]]
        else:
            texts = [*map(self._text_of, BytesIO(data).readlines()[::2])]
            # What makes the same bytes when put together again was taken apart rightly.
            if head + self._between.join(texts) + tail != data:
                return None
        try:
            # Decoded as one: no escape and no character can reach over a space, so each is a string by itself.
            text = _read_string(b'"%b"' % b" ".join(texts))
        except ValueError:
            return None
        return (len(text) if text.isascii() else len(text.encode())) - len(texts) + 1

    def part(self, data: bytes) -> bytes:
        """Where events that may be of this mould are followed by others that aren't: the former; else b""."""
        end = data.rfind(self._tail) + len(self._tail)
        return data[:end] if len(self._tail) <= end < len(data) else b""
