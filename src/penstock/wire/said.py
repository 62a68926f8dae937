"""What a caller has heard of an answer, as far as it can be gone on with; and the note in it that it was. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import StringIO

import msgspec

from penstock.events import Alike, Event
from penstock.records import Record
from penstock.wire.dialect import Begun
from penstock.wire.recast import proven
from penstock.wire.tolerant_json import repaired

__all__ = ["MAX_TEXT", "Said", "note_of", "noted"]

# A longer answer is not held to be gone on with, characters.
MAX_TEXT = 256 * 1024

_read_texts = msgspec.json.Decoder(list[str]).decode

_SILENT = frozenset(("start", "usage", "end", "error"))


class Said:
    """One answer so far. It can be gone on with inside a text, which must be the only one, and all it says but thoughts
    before it (semantics.md: Streams).

    Args:
        decode: reads its events.

    Attributes:
        begun: what is needed to go on.
        length: of the text, in characters.
    """

    __slots__ = ("_alike", "_block", "_decode", "_plain", "_text", "_whole", "begun", "length")

    def __init__(self, decode: Callable[[bytes], list[Event]]) -> None:
        self._decode = decode
        self._alike: Alike | None = None  # the last that was looked at, and what came of it
        self._plain = False
        self._block = 0
        self.begun = Begun()
        self.length = 0
        self._text = StringIO()
        self._whole = True

    @property
    def joinable(self) -> bool:
        """Whether it can be gone on with."""
        return self._whole and self.length > 0

    @property
    def text(self) -> str:
        """The text."""
        return self._text.getvalue()

    def note(self, data: bytes, events: list[Event] | None = None) -> None:
        """Whole events that were passed on; `events`: the same decoded, where somebody has."""
        if events is None:
            events = self._decode(data)
        begun = self.begun
        begun.first = begun.first or data
        begun.last = data
        for event in events:
            self._take(event)

    def note_alike(self, data: bytes, alike: Alike) -> bool:
        """The same for events that are alike; False, and nothing is noted, where they are not plain text."""
        if alike is not self._alike:
            self._alike = alike
            event = proven(self._decode(alike.samples))
            self._plain = event is not None and not event.choice and not event.data
            self._block = event.index if event is not None else 0
        if not self._plain or not self.length or self._block != self.begun.block:
            return False
        try:
            texts = _read_texts(b'["%b"]' % b'","'.join(alike.texts[1:-1]))
        except ValueError:
            return False
        self.begun.last = data
        if self._whole:
            self.add(repaired("".join(texts)))
        return True

    def add(self, text: str) -> None:
        """More of the text."""
        self._text.write(text)
        self.length += len(text)
        if self.length > MAX_TEXT:
            self.spoil()

    def spoil(self) -> None:
        """It has come to something that cannot be gone on with."""
        self._whole = False
        self._text = StringIO()

    def _take(self, event: Event) -> None:
        kind, begun = event.kind, self.begun
        if kind == "text" and self._whole:
            if event.choice or event.data or (self.length and event.index != begun.block):
                self.spoil()
            else:
                begun.block = event.index
                self.add(event.text)
        elif kind == "start":
            begun.id = begun.id or event.text
            begun.model = begun.model or event.model
        elif kind == "reasoning":
            if self.length:
                self.spoil()
        elif kind not in _SILENT and kind != "finish":
            self.spoil()


def note_of(record: Record, dropped: Iterable[str] = ()) -> bytes:
    """What the last event of an answer says that was put together, or of which so much was left out in translation: as
    a JSON field; b"" for any other."""
    joins = [
        {"target": decision.deployment.partition("#")[0], "how": decision.why}
        for decision in record.decisions
        if decision.what == "resumed"
    ]
    told = {name: what for name, what in (("resumed", joins), ("dropped", list(dropped))) if what}
    return b'"penstock":%b' % msgspec.json.encode(told) if told else b""


def noted(events: bytes, note: bytes) -> bytes:
    """The last of whole events that is an object gets one field more. No client looks for it; all pass over it."""
    at = events.rfind(b"\ndata: {") + 1
    if not note or not (at or events.startswith(b"data: {")):
        return events
    at += len(b"data: {")
    return b"%b%b%b%b" % (events[:at], note, b"" if events.startswith(b"}", at) else b",", events[at:])
