"""Watches an Anthropic stream pass: what goes on unchanged, what is left out, and what it amounted to.

Hot, as `openai_stream` is: every event is decoded once, several of one read together, and the bytes go on as they
came, but for events that are not valid, and the error event that a stream without a good end gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.errors import UpstreamError
from penstock.messages import Usage
from penstock.wire.anthropic_errors import classify_body, encode_stream_error
from penstock.wire.anthropic_events import decode_events
from penstock.wire.anthropic_parts import (
    Block,
    Delta,
    Message,
    Piece,
    StreamEvent,
    finish_of,
    indexed,
    plain_pieces,
    read_event,
    size_of,
)
from penstock.wire.anthropic_usage import folded, read_usage
from penstock.wire.openai_usage import estimate, told
from penstock.wire.sse import encode_event, parse, split
from penstock.wire.watching import Watcher

__all__ = ["MessageStream"]


class MessageStream(Watcher):
    """One stream's `StreamReader`. What follows `message_stop` passes, but counts for nothing.

    Args:
        prompt_bytes: size of the request, for the estimate where the provider counts nothing.
    """

    __slots__ = (
        *("_block", "_counts", "_numbered", "_output_told", "_prompt_bytes", "_said_bytes", "_started"),
        "_stop_reason",
    )

    def __init__(self, *, prompt_bytes: int) -> None:
        super().__init__()  # `ended`: message_stop was seen
        self._started = False  # message_start was seen
        self._prompt_bytes = prompt_bytes
        self._counts: dict[str, Any] = {}
        self._block: int | None = -1  # the block begun last, as long as its provider numbers none
        self._numbered: dict[int, bytes] = {}  # by the identity of what came: the same event with its block's number
        self._output_told = False  # the count of the output is the last one, not that of its first token
        self._said_bytes = 0
        self._stop_reason: str | None = None

    @property
    def usage(self) -> Usage:
        """The provider's count; what of it is missing, as of a stream that broke off, is an estimate."""
        guess = estimate(self._prompt_bytes, self._said_bytes)
        usage = read_usage(self._counts)
        if usage is None:
            return guess
        if usage.odd or not (usage.input_tokens or usage.output_tokens):
            return told(usage, self._prompt_bytes, self._said_bytes)
        usage = told(usage, self._prompt_bytes, self._said_bytes if self._output_told else 0)
        if self._output_told or usage.output_tokens >= guess.output_tokens:
            return usage
        return msgspec.structs.replace(usage, output_tokens=guess.output_tokens, estimated=True)

    @property
    def finish_reason(self) -> str | None:
        """The stop reason in the vocabulary's words."""
        return self._stop_reason and finish_of(self._stop_reason)

    @property
    def done(self) -> bool:
        """`message_stop` was seen, or a stop reason; where nothing had begun there is no answer."""
        return (self.ended and self.output) or self._stop_reason is not None

    @property
    def _begun(self) -> bool:
        return self._started

    decode_events = staticmethod(decode_events)
    _classify = staticmethod(classify_body)
    _encode_error = staticmethod(encode_stream_error)

    def feed(self, data: bytes, pieces: Sequence[bytes] = ()) -> bytes:
        """See `StreamReader`. The very object, where it is whole events that all pass."""
        data = self._cut(data)
        if self.error is not None and self._failed:
            return b""
        deltas = plain_pieces(data)
        if deltas is not None:
            self._take_pieces(deltas)
        elif data:
            blocks = split(data)
            kept = self._passing(blocks)
            if self._numbered:
                data = b"".join([self._numbered.get(id(block), block) for block in kept])
                self._numbered = {}
            elif len(kept) < len(blocks):
                data = b"".join(kept)
        if self._framer is not None and self._framer.error is not None:
            self._fail(self._framer.error)
        return data

    def end(self, cause: UpstreamError | None = None) -> bytes:
        """See `StreamReader`."""
        self._block = None  # of an event that broke off nothing is mended
        return super().end(cause)

    def _take_block(self, block: bytes) -> bool:
        """An event in any of its forms. Returns whether it passes."""
        fields = parse(block)
        if fields.error is not None:
            self._fail(classify_body(fields.error))
        data = fields.data
        if data is None:
            return True
        event = read_event(data)
        if event is None and self._block is not None:
            event = self._number(block, data, self._block)
        named = fields.event == b"error"
        if (named or (event is not None and event.type == "error")) and self.error is None:
            self._fail(classify_body(data))
            self._untold = event is None or not named  # clients go by the event's name
        if event is None:
            self.dropped += 1
            self._odd = data
            return False
        if not self.ended:
            self._take_event(event)
        return True

    def _number(self, block: bytes, data: bytes, last: int) -> StreamEvent | None:
        """An event without its block's number, of a server that tells none: it passes with it, which clients need.

        Blocks come one after the other (https://platform.claude.com/docs/en/build-with-claude/streaming).
        """
        whole = indexed(data, last)
        event = None if whole is None else read_event(whole)
        if whole is None or event is None:
            return None
        if event.type == "content_block_start":
            self._block = last + 1
        elif last < 0:
            return None
        self._numbered[id(block)] = encode_event(whole, event.type.encode())
        return event

    def _take_event(self, event: StreamEvent) -> None:
        kind = event.type
        if kind == "content_block_delta" and event.delta is not None:
            self._take_delta(event.delta)
        elif kind == "content_block_start" and event.content_block is not None:
            if event.index != self._block:
                self._block = None
            self._take_start(event.content_block)
        elif kind == "message_start" and event.message is not None:
            self._take_message(event.message)
        elif kind == "message_delta" and event.delta is not None:
            self._take_stop(event.delta.stop_reason)
            if event.usage is not None:
                self._counts = folded(self._counts, event.usage)
                self._output_told = True
        elif kind == "message_stop":
            self.ended, self.output = True, self.output or self._started

    def _take_pieces(self, pieces: list[Piece]) -> None:
        """The same for many deltas at once."""
        if self.ended:
            return
        said = "".join([piece.delta.said for piece in pieces])
        if said:
            self._said_bytes += len(said) if said.isascii() else size_of(said)
            self.output = True

    def _take_delta(self, delta: Delta) -> None:
        kind = delta.type
        if kind == "text_delta":
            self._take_said(delta.text)
        elif kind == "thinking_delta":
            self._take_said(delta.thinking)
        elif kind == "input_json_delta":
            self._take_said(delta.partial_json)
        elif kind != "signature_delta" or delta.signature:
            self.output = True  # citations, and whatever comes with further types of blocks

    def _take_said(self, text: str | None) -> None:
        size = size_of(text)
        self._said_bytes += size
        self.output = self.output or size > 0

    def _take_start(self, block: Block) -> None:
        kind = block.type
        if kind in ("text", "thinking"):
            size = size_of(block.text, block.thinking)
            self._said_bytes += size
            self.output = self.output or bool(size or block.signature or block.citations)
        elif kind == "compaction":
            self.output = self.output or bool(block.content)
        else:
            self._said_bytes += size_of(block.name)
            self.output = True

    def _take_message(self, message: Message) -> None:
        """The beginning, which after a tool was called from the vendor's sandbox holds the rest as well."""
        self._started = True
        self.model = self.model or message.model or None
        if message.usage is not None:
            self._counts = folded(self._counts, message.usage)
        for block in message.content or ():
            self._take_start(block)
        self._take_stop(message.stop_reason)

    def _take_stop(self, stop_reason: str | None) -> None:
        if stop_reason:
            self._stop_reason = stop_reason
            self.output = True
