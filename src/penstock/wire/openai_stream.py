"""Watches an OpenAI chat stream pass: what goes on unchanged, what is left out, and what it amounted to.

The hottest code of the data plane. Every event is decoded once into a typed chunk; the bytes go on as they came,
but for usage chunks nobody asked for, events that are not valid, and the error event that a stream without a good
end gets.
"""

from __future__ import annotations

from typing import Any

from penstock.errors import StreamInterrupted, UpstreamError
from penstock.messages import Usage
from penstock.wire.openai_chunk import Choice, Chunk, plain_chunks, plain_text, read_chunk, size_of
from penstock.wire.openai_errors import classify_body, encode_stream_error
from penstock.wire.openai_events import decode_events
from penstock.wire.openai_usage import estimate, read_usage
from penstock.wire.sse import MAX_EVENT, Framer, parse, split
from penstock.wire.tolerant_json import decode_tolerant

__all__ = ["ChatStream"]

_ENDS = (b"\n\n", b"\r\n\r\n")
_DONE = b"data: [DONE]\n\n"


class ChatStream:
    """One stream's `StreamReader`.

    Args:
        keep_usage: the caller asked for the usage chunk, so it passes.
        prompt_bytes: size of the request, for the estimate where the provider counts nothing.
    """

    __slots__ = (
        "_ends",
        "_framer",
        "_keep_usage",
        "_plain",
        "_prompt_bytes",
        "_said_bytes",
        "_untold",
        "_usage",
        "dropped",
        "ended",
        "error",
        "model",
        "output",
    )

    def __init__(self, *, keep_usage: bool, prompt_bytes: int) -> None:
        self.output = False
        self.model: str | None = None
        self.error: UpstreamError | None = None
        self.dropped = 0
        self._keep_usage = keep_usage
        self._plain = False  # one choice has begun to speak, so that more text changes nothing but the count
        self._prompt_bytes = prompt_bytes
        self._framer = Framer()
        self._usage: Usage | None = None
        self._said_bytes = 0
        self._ends: dict[int, str | None] = {}  # finish reasons of the choices begun
        self.ended = False  # [DONE] was seen
        self._untold = False  # an error came in a form that clients don't read

    @property
    def usage(self) -> Usage:
        """The provider's last count; else an estimate of what has passed so far."""
        return self._usage or estimate(self._prompt_bytes, self._said_bytes)

    @property
    def finish_reason(self) -> str | None:
        """That of choice 0, else the first one given."""
        return self._ends.get(0) or next((reason for reason in self._ends.values() if reason), None)

    @property
    def done(self) -> bool:
        """`[DONE]` was seen, or a finish reason for every choice begun."""
        return self.ended or (bool(self._ends) and None not in self._ends.values())

    decode_events = staticmethod(decode_events)

    def feed(self, data: bytes) -> bytes:
        """Take what the socket gave; returns whole events. The very object, where it is whole events that all pass."""
        framer = self._framer
        if framer.pending or not data.endswith(_ENDS) or len(data) > MAX_EVENT or framer.error is not None:
            data = framer.cut(data)
        if self._plain:
            size = plain_text(data)
            if size is not None:
                self._said_bytes += size
                return data
        last = b""
        if data.endswith(_DONE) and len(data) > len(_DONE):
            data, last = data[: -len(_DONE)], _DONE
        chunks = plain_chunks(data)
        if chunks is not None:
            self._take_answers(chunks)
            if not chunks[-1].choices and not self._keep_usage:
                data = _without_last(data)
            if last:
                self.ended = self.output = True
                data += last
        elif data:
            data += last
            blocks = split(data)
            kept = [block for block in blocks if self._take_block(block)]
            if len(kept) < len(blocks):
                data = b"".join(kept)
        if framer.error is not None:
            self._fail(framer.error)
        self._plain = self.output and self.model is not None and self.error is None and self._ends == {0: None}
        return data

    def end(self, cause: UpstreamError | None = None) -> bytes:
        """Take the end of the body, or the error that ended it.

        Returns a last event that was whole but for its blank line, and the error event of a stream whose end was
        not good, unless it has told its reader already.
        """
        out = self._take_tail()
        if self.error is None:
            if self.done:
                self.output = True
                return out
            self._fail(cause or _interrupted(bool(self._ends)))
        if self.error is None or not self._untold or self.ended:
            return out
        self._untold = False
        if out.strip(b"\r\n"):
            out += b"\n\n"
        return out + encode_stream_error(self.error)

    def _take_tail(self) -> bytes:
        tail = self._framer.take_tail()
        event = tail.lstrip(b"\r\n")
        blank = tail[: len(tail) - len(event)]
        fields = parse(event)
        if (fields.data is None and fields.error is None) or not self._take_block(event):
            return blank
        return tail

    def _take_block(self, block: bytes) -> bool:
        """An event in any of its forms. Returns whether it passes."""
        fields = parse(block)
        if fields.error is not None:
            # GPUStack ends a broken stream with a line `error: {...}`, which by SSE's rules nobody hears.
            self._fail(classify_body(fields.error))
        if fields.data is None:
            return True
        if fields.event == b"error" and self.error is None:
            self.error = classify_body(fields.data)
            self._untold = not _is_heard(fields.data)
        return self._take_data(fields.data)

    def _take_data(self, data: bytes) -> bool:
        chunk = read_chunk(data)
        if chunk is None:
            return self._take_no_chunk(data)
        self._take_answers([chunk])
        choices = chunk.choices
        if chunk.error:
            # OpenRouter ends a broken stream with an error beside a choice that says so; else it is a remark.
            if self.error is None and (not choices or any(choice.finish_reason == "error" for choice in choices)):
                self.error = classify_body(data)
            return True
        if choices is None and _is_bare_error(data):
            self._fail(classify_body(data))
            return True
        return bool(choices) or not chunk.usage or self._keep_usage

    def _take_answers(self, chunks: list[Chunk]) -> None:
        """What chunks say, errors apart. One loop for many: a call for each would cost as much as the work."""
        ends = self._ends
        size = 0
        if self.model is None:
            self.model = next((chunk.model for chunk in chunks if chunk.model), None)
        for chunk in chunks:
            if chunk.x_groq is not None:
                self._note_usage(chunk.x_groq.get("usage"))
            if chunk.usage is not None:
                self._note_usage(chunk.usage)
            for choice in chunk.choices or ():
                if choice.finish_reason or choice.index not in ends:
                    self._take_turn(choice)
                delta = choice.delta
                if delta is not None:
                    text = delta.content
                    plain = text.__class__ is str and text and text.isascii()
                    size += len(text) if plain else size_of(delta)  # type: ignore[arg-type]
        if size:
            self._said_bytes += size
            self.output = True

    def _take_turn(self, choice: Choice) -> None:
        """A choice begins or ends."""
        if choice.finish_reason:
            self._ends[choice.index] = choice.finish_reason
            self.output = True
        else:
            self._ends[choice.index] = None
        if choice.usage is not None:
            self._note_usage(choice.usage)

    def _take_no_chunk(self, data: bytes) -> bool:
        if data.strip() == b"[DONE]":
            self.ended = self.output = True
            return True
        self.dropped += 1
        return False

    def _note_usage(self, value: Any) -> None:
        usage = read_usage(value)
        if usage is not None:
            self._usage = usage

    def _fail(self, error: UpstreamError) -> None:
        if self.error is None:
            self.error = error
            self._untold = True


def _without_last(data: bytes) -> bytes:
    """Whole events without the last of them."""
    if b"\r" in data:
        return b"".join(split(data)[:-1])
    return data[: data.rfind(b"\n\n", 0, -2) + 2] if data.count(b"\n\n") > 1 else b""


def _interrupted(begun: bool) -> StreamInterrupted:
    what = "before the answer was complete" if begun else "before the answer began"
    return StreamInterrupted(
        f"The provider ended the stream {what}.", do="What came so far is unfinished; send the request again."
    )


def _is_heard(data: bytes) -> bool:
    """Clients raise on `error` in an event's data, and on nothing else."""
    chunk = read_chunk(data)
    return chunk is not None and bool(chunk.error)


def _is_bare_error(data: bytes) -> bool:
    """An error without the envelope, as older vLLM sends it: clients take it for an empty chunk."""
    value = decode_tolerant(data)
    return "error" in (value.get("object"), value.get("type"))
