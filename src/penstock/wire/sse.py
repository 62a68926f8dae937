"""Server-sent events: whole events out of any chunking, nothing decoded before it is whole.

Rules: WHATWG HTML, section 9.2.6 "Interpreting an event stream". Lines end with LF, CRLF or CR; an event ends
with a blank line. Blocks keep every byte, so blocks joined are the stream.
"""

from __future__ import annotations

import re

from penstock.errors import ProtocolError

__all__ = ["MAX_EVENT", "Fields", "Framer", "encode_event", "parse", "split"]

MAX_EVENT = 4 * 1024 * 1024

# The end of a line and the blank line after it, for all three line ends: CRLF CRLF contains LF CRLF.
_END = re.compile(rb"\n\n|\n\r\n?|\r\r\n?")
_ENDS = (b"\n\n", b"\n\r\n", b"\n\r", b"\r\r\n", b"\r\r")
_BLANK = re.compile(rb"[\r\n]+")
_CR = 0x0D
_BOM = b"\xef\xbb\xbf"


class Framer:
    """Cuts a byte stream after whole events.

    Attributes:
        pending: the bytes of an event that is not whole yet.
        error: set once an event has outgrown `limit` bytes; the framer then ignores all further input.
    """

    __slots__ = ("_limit", "_scanned", "error", "pending")

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self.pending = bytearray()
        self.error: ProtocolError | None = None
        self._limit = limit
        self._scanned = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Whole event blocks, each with its blank line; further blank lines are blocks of their own."""
        return split(self.cut(data))

    def cut(self, data: bytes) -> bytes:
        """The same blocks in one piece, b"" if none is whole yet.

        What ends with CR waits for the next byte, which may be the LF that belongs to it.
        """
        if self.error is not None:
            return b""
        buffer = self.pending
        buffer += data
        end = self._last_end()
        whole = b""
        if end:
            whole = bytes(buffer[:end])
            del buffer[:end]
            if end > self._limit:
                whole = self._within_limit(whole)
        if len(buffer) > self._limit:
            self._overflow()
        return whole

    def take_tail(self) -> bytes:
        """What is left at the end of the stream; the framer is empty afterwards."""
        tail = bytes(self.pending)
        self.pending.clear()
        self._scanned = 0
        return tail

    def _last_end(self) -> int:
        buffer = self.pending
        stop = len(buffer)
        if stop and buffer[-1] == _CR:
            stop -= 1
        start = max(0, self._scanned - 3)  # an end may have begun in what was seen before
        if buffer.find(_CR, start) < 0:
            at = buffer.rfind(b"\n\n", start)
            end = at + 2 if at >= 0 else 0
        else:
            end = 0
            for mark in _ENDS:
                at = buffer.rfind(mark, start, stop)
                end = max(end, at + len(mark) if at >= 0 else 0)
        self._scanned = len(buffer) - end
        return end

    def _within_limit(self, whole: bytes) -> bytes:
        kept: list[bytes] = []
        for block in split(whole):
            if len(block) > self._limit:
                self._overflow()
                break
            kept.append(block)
        return b"".join(kept)

    def _overflow(self) -> None:
        self.error = ProtocolError(
            f"The provider sent an event of more than {self._limit} bytes.",
            do="Try again; if it stays, look at what the provider sends.",
        )
        self.pending.clear()


def split(whole: bytes) -> list[bytes]:
    """The blocks of which `whole` consists; blank lines between them are blocks of their own."""
    blocks: list[bytes] = []
    start = 0
    while start < len(whole):
        ending = _BLANK.match(whole, start) or _END.search(whole, start)
        end = len(whole) if ending is None else ending.end()
        blocks.append(whole[start:end])
        start = end
    return blocks


class Fields:
    """An event's fields.

    Attributes:
        event: the event's type, b"" if it has none.
        data: the data lines joined by LF; None if there are none.
        error: the value of an `error:` line, which SSE doesn't know but some servers send; else None.
    """

    __slots__ = ("data", "error", "event")

    def __init__(self, event: bytes, data: bytes | None, error: bytes | None) -> None:
        self.event = event
        self.data = data
        self.error = error


def parse(block: bytes) -> Fields:
    """Read one block's lines. Comments and fields that mean nothing here are passed over."""
    event, error = b"", None
    lines: list[bytes] = []
    for line in block.removeprefix(_BOM).splitlines():
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            lines.append(value)
        elif name == b"event":
            event = value
        elif name == b"error":
            error = value
    return Fields(event, b"\n".join(lines) if lines else None, error)


def encode_event(data: bytes, event: bytes = b"") -> bytes:
    """One event; `data` may hold several lines, ended by LF."""
    head = b"event: " + event + b"\n" if event else b""
    return head + b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"
