"""Watches an OpenAI chat stream pass: what goes on unchanged, what is left out, and what it amounted to.

The hottest code of the data plane. Every event is decoded once into a typed chunk; the bytes go on as they came,
but for usage chunks nobody asked for, events that are not valid, and the error event that a stream without a good
end gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.messages import Usage
from penstock.wire.openai_chunk import NOT_YET, Choice, Chunk, Delta, plain_chunks, plain_text, read_chunk, size_of
from penstock.wire.openai_errors import classify_body, encode_stream_error
from penstock.wire.openai_events import decode_events
from penstock.wire.openai_known import LONGEST, Beginning, beginning, count_alone, finish, own_part
from penstock.wire.openai_mould import QUOTE, Mould, cast_of, mould_of, read_string
from penstock.wire.openai_usage import read_usage, served_by, told
from penstock.wire.sse import MAX_EVENT, parse, split
from penstock.wire.tolerant_json import decode_tolerant
from penstock.wire.watching import ENDS, Watcher

__all__ = ["ChatStream"]

_DONE = b"data: [DONE]\n\n"
_SILENT = Delta()

# How many moulds may serve for nothing before the stream's events are taken to differ in more than their text.
_MOULDS = 2


class ChatStream(Watcher):
    """One stream's `StreamReader`.

    Args:
        keep_usage: the caller asked for the usage chunk, so it passes.
        prompt_bytes: size of the request, for the estimate where the provider counts nothing.
    """

    __slots__ = (
        "_alike",
        "_beginnings",
        "_ends",
        "_keep_usage",
        "_known",
        "_mould",
        "_moulds",
        "_own",
        "_plain",
        "_prompt_bytes",
        "_said_bytes",
        "_speaks",
        "_usage",
    )

    def __init__(self, *, keep_usage: bool, prompt_bytes: int) -> None:
        super().__init__()  # `ended`: [DONE] was seen
        self._keep_usage = keep_usage
        self._plain = False  # one choice has begun to speak, so that more text changes nothing but the count
        self._mould: Mould | None = None
        self._moulds = self._beginnings = _MOULDS
        self._alike: bytes | None = None  # the last events that were of the mould, None where it has not served yet
        self._known: Beginning | None = None  # how it began, where others began so too
        self._own = b""  # and how each of its events begins
        self._prompt_bytes = prompt_bytes
        self._usage: Usage | None = None
        self._said_bytes = 0
        self._speaks = True  # what came last was text, as far as that is known
        self._ends: dict[int, str | None] = {}  # finish reasons of the choices begun

    @property
    def usage(self) -> Usage:
        """The provider's last count; else an estimate of what has passed so far."""
        return told(self._usage, self._prompt_bytes, self._said_bytes)

    @property
    def finish_reason(self) -> str | None:
        """That of choice 0, else the first one given."""
        return self._ends.get(0) or next((reason for reason in self._ends.values() if reason), None)

    @property
    def done(self) -> bool:
        """`[DONE]` was seen, or a finish reason for every choice begun; where none had begun there is no answer."""
        ends = self._ends
        return bool(ends) and (self.ended or None not in ends.values())

    @property
    def _begun(self) -> bool:
        return bool(self._ends)

    decode_events = staticmethod(decode_events)
    _classify = staticmethod(classify_body)
    _encode_error = staticmethod(encode_stream_error)

    def feed(self, data: bytes, pieces: Sequence[bytes] = ()) -> bytes:
        """See `StreamReader`. The very object, where it is whole events that all pass."""
        mould = self._mould
        if mould is not None and pieces and self._framer is None:
            # As `Mould.measure` has it, of the pieces, which are an event each. Not called: it is done for each read.
            quoted = [QUOTE, *map(mould.text_of, pieces), QUOTE]
            joined = mould.between.join(quoted)
            if joined.startswith(data, mould.skip) and len(joined) == len(data) + mould.more:
                try:
                    text = read_string(b" ".join(quoted))
                except ValueError:
                    pass
                else:
                    mould.texts, mould.length = quoted, len(text) - len(pieces) - 1
                    self._said_bytes += mould.length if text.isascii() else len(text.encode()) - len(pieces) - 1
                    self._alike = data
                    return data
        if self._framer is not None or len(data) > MAX_EVENT:
            return self._take(self._cut(data))
        return self._take(data if data.endswith(ENDS) else self._cut(data))

    def alike(self, data: bytes) -> Mould | None:
        """See `StreamReader`."""
        return self._mould if self._alike is data else None

    def _take(self, data: bytes) -> bytes:
        """Whole events of any kind. Returns those that pass."""
        mould = self._mould
        if mould is not None and data:
            at = data.rfind(mould.tail)
            alike = data[: at + len(mould.tail)]
            size = mould.measure(alike) if at >= 0 else None
            if size is not None:
                self._said_bytes += size
                self._alike = alike
                return data if alike is data else alike + self._take_other(data[len(alike) :])
            self._moulds = self._moulds - 1 if self._alike is None else _MOULDS
            self._alike = None
            if not self._moulds:
                self._mould = None
        if self._plain:
            if mould is None or data.endswith(mould.tail):
                size = plain_text(data)
                if size is not None:
                    self._said_bytes += size
                    self._make_mould(data)
                    return data
        elif self._beginnings and self._take_beginning(data):
            return data
        return self._take_other(data)

    def _take_other(self, data: bytes) -> bytes:
        """Whole events that are not text alone."""
        last = b""
        if self._failed:
            return b""
        if data.endswith(_DONE):
            data, last = data[: -len(_DONE)], _DONE
        if self._plain and self._framer is None:
            ending = self._take_ending(data)
            if ending is not None:
                self.ended = self.ended or bool(last)
                return ending + last
        chunks = plain_chunks(data) if data else []
        if chunks is not None:
            self._take_answers(chunks)
            if chunks and not chunks[-1].choices and not self._keep_usage:
                data = _without_last(data)
            if last:
                self.ended, self.output = True, self.output or bool(self._ends)
                data += last
        else:
            data += last
            blocks = split(data)
            kept = self._passing(blocks)
            if len(kept) < len(blocks):
                data = b"".join(kept)
        if self._framer is not None and self._framer.error is not None:
            self._fail(self._framer.error)
        if self.error is not None:
            self._mould, self._moulds, self._beginnings = None, 0, 0
        self._settle()
        return data

    def _take_beginning(self, data: bytes) -> bool:
        """Anything and then text, where that is what it is; of the text no more is decoded than proves its mould."""
        at, known = 0, self._known
        if known is None and not self._ends:
            own = own_part(data)
            end = data.find(b"\n\n", len(own)) + 2
            known = beginning(data[len(own) : end]) if own and end <= LONGEST else None
            if known is not None:
                at, self._own, self._known, self.model = end, own, known, known.model
                self._ends[0], self._speaks = None, False
                if at == len(data):
                    return True
        mould = known.mould(self._own) if known is not None else None
        size = mould.measure(data[at:]) if mould is not None and data.startswith(mould.head, at) else None
        if not size:
            mould = cast_of(data)
            size = self._take_first(data, mould) if mould is not None else None
            if not size:
                return False
            if known is not None and mould is not None:
                known.learn(self._own, mould)
        self._ends.setdefault(0, None)
        self._said_bytes += size
        self.output = self._speaks = True
        self._settle()
        if self._plain:
            self._mould = mould
        return True

    def _take_first(self, data: bytes, mould: Mould) -> int | None:
        """What comes before text of a mould that is not judged yet. Returns the text's size, None where it is none."""
        self._beginnings -= 1
        at = 0
        while not data.startswith(mould.head, at):  # one search for all of it would cost more
            at = data.find(b"\n\n", at) + 2
            if at < 2:
                return None
        chunks = plain_chunks(data[:at] + mould.samples)
        if chunks is None or not mould.holds(chunks):
            return None
        size = mould.measure(data[at:])
        if not size:
            return None
        if len(chunks) > 2:  # without the samples, of which nothing more is to be known
            self._take_answers(chunks[:-2])
        if self.model is None:
            self.model = chunks[-1].model or None
        return size

    def _take_ending(self, data: bytes) -> bytes | None:
        """A finish like those of others before, behind which the count may come. Returns what of them passes; None
        where it is anything else."""
        own = self._own
        at = data.find(b"\n\n") + 2
        if not own or not data.startswith(own) or at > LONGEST:
            return None
        reason = finish(data[len(own) : at])
        if reason is None:
            return None
        if at < len(data):
            usage = count_alone(data[at + len(own) :]) if data.startswith(own, at) else None
            if usage is None:
                return None
            self._usage = usage
            if not self._keep_usage:
                data = data[:at]
        self._ends[0] = reason
        self._plain = self._speaks = False
        return data

    def _settle(self) -> None:
        """Whether more text is what comes, and it changes nothing but the count."""
        speaks = self._speaks and self.output and self.model is not None and self.error is None
        self._plain = speaks and self._ends == {0: None}

    def _make_mould(self, data: bytes) -> None:
        """For what is to come, from the last event of plain text. Where each tells the time, it serves for a second."""
        if self._moulds:
            mould = mould_of(data)
            if mould is None:
                self._moulds -= 1
            else:
                self._mould = mould

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
        if choices is None and not chunk.usage:
            self._odd = data
        return bool(choices) or not chunk.usage or self._keep_usage

    def _take_answers(self, chunks: list[Chunk]) -> None:
        """What chunks say, errors apart. One loop for many: a call for each would cost as much as the work."""
        ends = self._ends
        size, text = 0, None
        if self.model is None:
            for chunk in chunks:
                if chunk.model:
                    self.model = chunk.model
                    break
        for chunk in chunks:
            if chunk.x_groq is not None:
                self._note_usage(chunk.x_groq.get("usage"))
            if chunk.usage is not None:
                self._note_usage(chunk.usage, chunk.service_tier)
            for choice in chunk.choices or ():
                if choice.finish_reason or choice.index not in ends:
                    self._take_turn(choice)
                delta = choice.delta
                if delta is not None and delta != _SILENT:
                    text = delta.content
                    plain = text.__class__ is str and text and text.isascii()
                    size += len(text) if plain else size_of(delta)  # type: ignore[arg-type]
                elif delta is None and choice.text:  # as completions have it
                    size += len(choice.text.encode("utf-8", "surrogatepass"))
        if chunks:
            self._speaks = bool(text)
        if size:
            self._said_bytes += size
            self.output = True

    def _take_turn(self, choice: Choice) -> None:
        """A choice begins or ends."""
        if choice.finish_reason and choice.finish_reason != NOT_YET:
            self._ends[choice.index] = choice.finish_reason
            self.output = True
        else:
            self._ends.setdefault(choice.index, None)
        if choice.usage is not None:
            self._note_usage(choice.usage)

    def _take_no_chunk(self, data: bytes) -> bool:
        if data.strip() == b"[DONE]":
            self.ended, self.output = True, self.output or bool(self._ends)
            return True
        self.dropped += 1
        self._odd = data
        return False

    def _note_usage(self, value: Any, tier: str | None = None) -> None:
        usage = read_usage(value)
        if usage is not None:
            self._usage = served_by(tier, usage)


def _without_last(data: bytes) -> bytes:
    """Whole events without the last of them."""
    if b"\r" in data:
        return b"".join(split(data)[:-1])
    at = data.rfind(b"\n\n", 0, -2)
    return data[: at + 2] if at >= 0 else b""


def _is_heard(data: bytes) -> bool:
    """Clients raise on `error` in an event's data, and on nothing else."""
    chunk = read_chunk(data)
    return chunk is not None and bool(chunk.error)


def _is_bare_error(data: bytes) -> bool:
    """An error without the envelope, as older vLLM sends it: clients take it for an empty chunk."""
    value = decode_tolerant(data)
    return "error" in (value.get("object"), value.get("type"))
