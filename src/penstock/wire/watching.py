"""What the watchers of all dialects' streams do alike: cutting after whole events, and the stream's end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from penstock.errors import PenstockError, ProtocolError, StreamInterrupted, UpstreamError
from penstock.events import Alike
from penstock.wire.error_words import decode_error, words_of
from penstock.wire.sse import MAX_EVENT, Framer, parse

__all__ = ["ENDS", "Watcher"]

ENDS = (b"\n\n", b"\r\n\r\n")


class Watcher(ABC):
    """One stream's `StreamReader`, without what a dialect has to say of its events."""

    __slots__ = ("_framer", "_odd", "_untold", "_withheld", "dropped", "ended", "error", "model", "output", "strict")

    _framer: Framer | None  # only while an event is not whole, or has outgrown its limit

    def __init__(self) -> None:
        self.output = False
        self.model: str | None = None
        self.error: UpstreamError | None = None
        self.dropped = 0
        self.ended = False
        self.strict = False
        self._framer = None
        self._withheld = b""
        self._odd = b""  # the last data that were no event of the dialect: they may say why the stream broke off
        self._untold = False  # an error came in a form that clients don't read

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether the answer is complete; usage and the like may still follow."""

    @property
    @abstractmethod
    def _begun(self) -> bool:
        """Whether there is an answer at all."""

    @abstractmethod
    def _take_block(self, block: bytes) -> bool:
        """An event in any of its forms. Returns whether it passes."""

    @staticmethod
    @abstractmethod
    def _classify(body: bytes) -> UpstreamError:
        """What an error object of any shape means."""

    @staticmethod
    @abstractmethod
    def _encode_error(error: PenstockError) -> bytes:
        """The event that the dialect's clients raise on."""

    @abstractmethod
    def feed(self, data: bytes, pieces: Sequence[bytes] = ()) -> bytes:
        """See `StreamReader`."""

    def alike(self, data: bytes) -> Alike | None:
        """See `StreamReader`."""
        return None

    def end(self, cause: UpstreamError | None = None) -> bytes:
        """Take the end of the body, or the error that ended it.

        Returns a last event that was whole but for its blank line, and the error event of a stream whose end was
        not good, unless it has told its reader already.
        """
        framer = self._framer
        out = b"" if framer is None or self._failed else self._take_tail(framer)
        if self.error is None:
            if self.done:
                self.output = True
                return out
            self._fail(cause or self._last_said() or _interrupted(self._begun))
        if self.strict:
            return out + b"\n\n" if out.strip(b"\r\n") else out
        if self.error is None or not self._untold or self.ended:
            return out
        self._untold = False
        if out.strip(b"\r\n"):
            out += b"\n\n"
        return out + self._encode_error(self.error)

    def _last_said(self) -> UpstreamError | None:
        """What a stream says that broke off, where its last words were none of the dialect: FastAPI's `detail`, a list
        of Google's, a sentence of a proxy's."""
        return self._classify(self._odd) if self._odd and words_of(decode_error(self._odd)) else None

    def last_words(self) -> bytes:
        """See `StreamReader`."""
        told = b"" if self.error is None or not self._untold else self._encode_error(self.error)
        return self._withheld + told

    def _passing(self, blocks: list[bytes]) -> list[bytes]:
        """Those that go on; where it is strict nothing does from the first error on, and an event that is not valid is
        one: the answer would have a hole."""
        kept = []
        if not self.strict:
            for block in blocks:
                if self._take_block(block):
                    kept.append(block)
                if self._failed:
                    break
            return kept
        for block in blocks:
            dropped = self.dropped
            passes = self._take_block(block)
            if self.dropped > dropped and not self.done:
                self._fail(ProtocolError("An event of the provider's stream was not valid.", do="Send it again."))
            if self.error is not None and not self.done:
                self._withheld = block if passes else b""
                break
            if passes:
                kept.append(block)
        return kept

    @property
    def _failed(self) -> bool:
        """Whether the answer has ended with an error: it does not go on behind that, whatever still comes."""
        return self.error is not None and not self.done

    def _cut(self, data: bytes) -> bytes:
        """The whole events in what came and what was held back before it; the very object where it is just that."""
        framer = self._framer
        if framer is None:
            if data.endswith(ENDS) and len(data) <= MAX_EVENT:
                return data
            framer = self._framer = Framer()
        data = framer.cut(data)
        if framer.error is None and not framer.pending:
            self._framer = None
        return data

    def _take_tail(self, framer: Framer) -> bytes:
        tail = framer.take_tail()
        event = tail.lstrip(b"\r\n")
        blank = tail[: len(tail) - len(event)]
        fields = parse(event)
        if event[:1] in (b"{", b"["):  # an error's body, behind what was streamed before it
            self._odd = event
        if (fields.data is None and fields.error is None) or not self._take_block(event):
            return blank
        if self.strict and self.error is not None and not self.done:
            self._withheld = event + b"\n\n"
            return blank
        return tail

    def _fail(self, error: UpstreamError) -> None:
        """The first error counts; one that comes this way has not been told in a form that clients read."""
        if self.error is None:
            self.error = error
            self._untold = True


def _interrupted(begun: bool) -> StreamInterrupted:
    what = "before the answer was complete" if begun else "before the answer began"
    return StreamInterrupted(
        f"The provider ended the stream {what}.", do="What came so far is unfinished; send the request again."
    )
