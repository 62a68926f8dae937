"""A stream of one dialect said in another: event by event, and where more text is all that comes, by its bytes.

Most of a stream repeats one event and changes its text alone. One such event is decoded, twice, and written; of those
that follow, byte for byte the same but for the text, each text's JSON is put where the other dialect has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from operator import itemgetter

import msgspec

from penstock.events import Alike, Event
from penstock.wire.dialect import AnswerWriter

__all__ = ["Recast", "proven"]

Decode = Callable[[bytes], list[Event]]

_TEXT = re.compile(rb'"(?:content|text)": ?"')

# What a mould may take up in memory as long as its stream is open.
_MAX_MOULD = 4096

# After so many reads for which no mould was of use, the stream's events are taken to differ in more than their text.
_TRIES = 3

_read_string = msgspec.json.Decoder(str).decode


class Recast:
    """One stream on its way from the provider's dialect to the caller's.

    Args:
        decode: reads the provider's events; the same bytes give the same, wherever they stand.
        alike: what the reader of the stream, which has just seen them too, knows of them.
    """

    __slots__ = ("_alike", "_decode", "_event", "_left", "_mould", "_proven", "_used", "_writer")

    def __init__(
        self, decode: Decode, writer: AnswerWriter, alike: Callable[[bytes], Alike | None] = lambda _: None
    ) -> None:
        self._decode = decode
        self._writer = writer
        self._alike = alike
        self._proven: Alike | None = None
        self._event: Event | None = None
        self._mould: _Mould | None = None
        self._used = False
        self._left = _TRIES

    def feed(self, data: bytes) -> bytes:
        """Whole events in the caller's dialect, b"" if they are held back for now."""
        alike = self._alike(data)
        if alike is not None:
            said = self._go_on(alike)
            return self._writer.write(self._decode(data)) if said is None else said
        mould = self._mould
        if mould is not None:
            said = mould.recast(data, self._writer)
            if said is not None:
                self._used = True
                return said
        events = self._decode(data)
        if self._left and events and events[-1].kind == "text":
            self._left = _TRIES if self._used else self._left - 1
            self._mould = _mould_of(data, self._decode) if self._left else None
            self._used = False
        return self._writer.write(events)

    def _go_on(self, alike: Alike) -> bytes | None:
        """Events that are known to be alike, where that holds for what a translation looks for, too."""
        if alike is not self._proven:
            self._proven = alike
            self._event = proven(self._decode(alike.samples))
        texts = alike.texts[1:-1]
        return None if self._event is None or b"" in texts else self._writer.go_on(self._event, texts, alike.length)


def _mould_of(data: bytes, decode: Decode) -> _Mould | None:
    """The mould of the last of whole events, None where that is anything but plain text in one line."""
    before = data.rfind(b"\n\n", 0, -2)
    block = data[before + 2 :] if before >= 0 else data
    found = _TEXT.search(block)
    if found is None or not block.endswith(b"\n\n") or b"\r" in block:
        return None
    head, tail = block[: found.end()], block[block.find(b'"', found.end()) :]
    if len(head) + len(tail) > _MAX_MOULD or b"\n" not in tail:
        return None
    # Where another text is read as another text, the place is a whole string, and it is the one that counts.
    first = proven(decode(b"%ba%b%bb%b" % (head, tail, head, tail)))
    return None if first is None else _Mould(head, tail, first)


def proven(events: list[Event]) -> Event | None:
    """The text event of a mould, where it is all that two events of it give, but for the answer's id."""
    told = [event for event in events if event.kind != "start"]
    return told[0] if [(event.kind, event.text) for event in told] == [("text", "a"), ("text", "b")] else None


class _Mould:
    """What is before and after the text in each of a stream's events, both known to be valid around any text."""

    __slots__ = ("_between", "_event", "_head", "_lines", "_several", "_start", "_stop", "_tail", "_text_of")

    def __init__(self, head: bytes, tail: bytes, event: Event) -> None:
        self._head = head
        self._tail = tail
        self._event = event
        self._between = tail + head
        self._start = len(head)
        self._stop = -len(tail)
        self._several = 2 * len(self._between)
        before = head.count(b"\n")
        self._lines = slice(before, None, before + tail.count(b"\n"))  # those with the text, of all
        self._text_of = itemgetter(slice(len(head) - head.rfind(b"\n") - 1, -tail.index(b"\n") - 1))

    def recast(self, data: bytes, writer: AnswerWriter) -> bytes | None:
        """Whole events in the writer's dialect, where all are of this mould and the writer says no more of them."""
        head, tail = self._head, self._tail
        if len(data) < self._several:
            if not data.startswith(head) or not data.endswith(tail) or len(data) < len(self._between):
                return None
            texts = [data[self._start : self._stop]]
        else:
            texts = [*map(self._text_of, BytesIO(data).readlines()[self._lines])]
            # What makes the same bytes when put together again was taken apart rightly.
            if head + self._between.join(texts) + tail != data:
                return None
        try:
            # Decoded as one: no escape and no character can reach over a space, so each is a string by itself.
            said = _read_string(b'"%b"' % b" ".join(texts))
        except ValueError:
            return None
        return None if b"" in texts else writer.go_on(self._event, texts, len(said) - len(texts) + 1)
