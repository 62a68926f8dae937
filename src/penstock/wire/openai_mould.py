"""A short way to know that a stream's events are valid: they are, byte for byte, events that were, with other text.

Most of a stream repeats one event and changes its text alone. So one event is judged by the decoder, twice, and of
those that follow only the text is decoded. What is cast otherwise is left to the decoder.
"""

from __future__ import annotations

import re
from io import BytesIO
from operator import itemgetter

import msgspec

from penstock.wire.openai_chunk import Choice, Chunk, Delta, plain_chunks

__all__ = ["QUOTE", "Mould", "cast_of", "mould_of", "read_string"]

_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+(?=")')
_OPENINGS = (b'"content":"', b'"content": "')

# What a mould may take up in memory as long as its stream is open.
_MAX_MOULD = 4096

QUOTE = b'"'
_SAID = ([Choice(delta=Delta("a"))], [Choice(delta=Delta("b"))])

read_string = msgspec.json.Decoder(str).decode


def mould_of(data: bytes) -> Mould | None:
    """The mould of the last event in `data`, None where that is anything but plain text in one line of ASCII.

    Args:
        data: whole events.
    """
    mould = cast_of(data)
    return mould if mould is not None and mould.holds(plain_chunks(mould.samples)) else None


def cast_of(data: bytes) -> Mould | None:
    """The same, not judged yet: its `samples` are to be decoded, and `holds` asked."""
    start = data.rfind(b"\n\n", 0, -2)
    start = start + 2 if start >= 0 else 0
    for opening in _OPENINGS:
        at = data.find(opening, start)
        if at >= 0:
            break
    else:
        return None
    at += len(opening)
    end = data.find(b'"', at)
    if data.find(b"\\", at, end) >= 0:
        found = _STRING.match(data, at)
        end = found.end() if found else -1
    if end <= at:  # an event that says nothing is mostly another one, such as the first
        return None
    head, tail = data[start:at], data[end:]
    if len(head) + len(tail) > _MAX_MOULD or not tail.endswith(b"}\n\n"):
        return None
    if b"\n" in head or tail.find(b"\n") < len(tail) - 2:
        return None
    return Mould(head, tail) if head.isascii() and tail.isascii() else None


class Mould:
    """What is before and after the text in each of a stream's events, both known to be valid around any text.

    Attributes:
        head, tail: the two.
        texts, length: of the events measured last, as `Alike` has them.
        between, text_of, skip, more: for who measures many: the end of an event and the beginning of the next; gives an
            event's text; how much of the quoted texts joined by `between` precedes the events, and is not in them.
    """

    __slots__ = (
        "_text_of_line",
        "between",
        "head",
        "length",
        "more",
        "skip",
        "tail",
        "text_of",
        "texts",
    )

    def __init__(self, head: bytes, tail: bytes) -> None:
        self.head = head
        self.tail = tail
        self.texts: list[bytes] = []
        self.length = 0
        self.between = tail + head
        start, stop = len(head), len(tail)
        self.skip, self.more = stop + 1, start + stop + 2
        self.text_of = itemgetter(slice(start, -stop))
        self._text_of_line = itemgetter(slice(start, 1 - stop))  # that is, without the blank one

    @property
    def samples(self) -> bytes:
        """Two events of this mould, for decoders to judge."""
        return b"%ba%b%bb%b" % (self.head, self.tail, self.head, self.tail)

    @staticmethod
    def holds(chunks: list[Chunk] | None) -> bool:
        """Whether the samples, the last two of these, are the first answer's text and nothing else.

        Where another text is read as another content, the place is a whole string, and it is the one that counts.
        """
        if chunks is None:
            return False
        a, b = chunks[-2:]
        more = a.usage or b.usage or a.error or b.error or a.x_groq or b.x_groq
        return (a.choices, b.choices) == _SAID and not more

    def measure(self, data: bytes) -> int | None:
        """How many bytes of text whole events say, where all are of this mould; else None."""
        size, between = len(data), self.between
        if size < 2 * len(between):
            if size < len(between) or not data.startswith(self.head) or not data.endswith(self.tail):
                return None
            quoted = [QUOTE, self.text_of(data), QUOTE]
        else:
            quoted = [QUOTE, *map(self._text_of_line, BytesIO(data).readlines()[::2]), QUOTE]
            # What makes the same bytes when put together again was taken apart rightly.
            joined = between.join(quoted)
            if len(joined) != size + self.more or not joined.startswith(data, self.skip):
                return None
        try:
            # Decoded as one: no escape and no character can reach over a space, so each is a string by itself.
            text = read_string(b" ".join(quoted))
        except ValueError:
            return None
        spaces = len(quoted) - 1
        self.texts = quoted
        self.length = len(text) - spaces
        return (len(text) if text.isascii() else len(text.encode())) - spaces
