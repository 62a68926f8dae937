"""An answer's events as Anthropic says them: the body of a `message`, or the events of a stream.

https://platform.claude.com/docs/en/api/messages, https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from penstock.events import Event, merged
from penstock.usage import Usage
from penstock.wire.anthropic_blocks import Blocks, Step, citation_of, is_own
from penstock.wire.anthropic_conversation import tool_input
from penstock.wire.anthropic_errors import encode_stream_error
from penstock.wire.dialect import NO_FIELDS, Fields
from penstock.wire.ends import plain_end
from penstock.wire.plain_json import encode_plain
from penstock.wire.sse import encode_event

__all__ = ["AnthropicWriter", "encode_answer", "left_out", "open_writer"]

# https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons. Whatever else it was is an end of a turn.
_REASONS = {
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_APART = frozenset(("start", "finish", "usage", "end"))
# What stands around a piece in the most frequent event of all: the block's number, the type and the field's name.
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":"'
_DELTA_END = b'"}}\n\n'
_DELTAS = {
    "text": (b"text_delta", b"text"),
    "refusal": (b"text_delta", b"text"),
    "reasoning": (b"thinking_delta", b"thinking"),
    "tool_call": (b"input_json_delta", b"partial_json"),
}
_MORE_TEXT = _DELTA.replace(b"%b", b"text_delta", 1).replace(b"%b", b"text")
_CONTENT = frozenset(("text", "reasoning", "refusal", "tool_call", "citation", "other"))


def encode_answer(events: list[Event], request_id: str, created: int, fields: Fields = NO_FIELDS) -> bytes:
    """A whole answer's body. `created` is of no use: Anthropic's messages bear no time."""
    state = _State(request_id)
    content = _text_alone(events, state)
    if content is None:
        content = []
        for event in events:
            _fold(content, state.take(event))
        _fold(content, state.blocks.close())
        for block in content:
            if isinstance(block.get("input"), str):
                block["input"] = tool_input(block["input"])
    message = state.message(content)
    message["stop_reason"], message["stop_sequence"], _ = state.ending()
    return encode_plain(message)


def left_out(event: Event, *, behind_call: bool = False) -> str:
    """The name of what an event brings and these answers have no place for; "" for what is said."""
    if event.kind == "unsaid":
        return event.text
    if event.kind == "citation" and (behind_call or citation_of(event.data) is None):
        return "message.annotations"
    return "content[]" if event.kind == "other" and not is_own(event.data) else ""


def _text_alone(events: list[Event], state: _State) -> list[dict[str, Any]] | None:
    """The content of an answer that is one text and its end, as most are; else None, and nothing was learnt."""
    texts = [event for event in events if event.kind == "text"]
    if len(texts) != 1 or texts[0].choice or not texts[0].text:
        return None
    others = [event for event in events if event.kind != "text"]
    if any(event.kind not in _APART or event.choice for event in others):
        return None
    for event in others:
        state.take(event)
    return [{"type": "text", "text": texts[0].text}]


def open_writer(request_id: str, created: int, *, keep_usage: bool, fields: Fields = NO_FIELDS) -> AnthropicWriter:
    """A writer for one stream. Usage is always told: no caller of Anthropic has to ask for it."""
    return AnthropicWriter(request_id)


class AnthropicWriter:
    """Says one answer as a stream. `message_delta` waits for the count, which other dialects tell after the end."""

    __slots__ = ("_begun", "_ended", "_state", "_told")

    def __init__(self, request_id: str) -> None:
        self._state = _State(request_id)
        self._begun = False
        self._ended = False
        self._told: _Ending | None = None  # what the last `message_delta` told

    def go_on_at(self, block: int, *, closed: bool) -> None:
        """Take it that the stream was said up to and into the text that is this block, which may have been closed."""
        self._begun = True
        self._state.blocks.go_on_at(block)
        if closed:
            self._state.blocks.close()

    def write(self, events: list[Event]) -> bytes:
        """The SSE events these become. Never raises; gives nothing after the end or an error."""
        said: list[bytes] = []
        state = self._state
        for event in events:
            if self._ended:
                break
            if event.kind in _DELTAS:
                more = self._more(event)
                if more:
                    said.append(more)
                    continue
            elif event.kind == "start" and self._begun:
                continue  # each chunk of an OpenAI stream says it anew
            self._say(said, state.take(event))
            if event.kind == "usage":
                if state.finished and self._told is None:
                    self._tell_delta(said)
            elif event.kind == "error":
                self._fail(said, event)
            elif event.kind == "end":
                said.append(self.end())
            elif event.kind == "start" and event.model:  # a chunk before the first may lack it
                self._begin(said)
        return b"".join(said)

    def go_on(self, event: Event, texts: list[bytes], length: int) -> bytes | None:
        """More text of the block at hand, a delta for each; None where something else is to be said."""
        number = None if self._ended or event.choice else self._state.blocks.goes_on(event)
        if number is None:
            return None
        head = _MORE_TEXT % number
        return head + (_DELTA_END + head).join(texts) + _DELTA_END

    def end(self) -> bytes:
        """What is held, and `message_stop`; b"" where the stream has ended already."""
        if self._ended:
            return b""
        said: list[bytes] = []
        self._begin(said)
        self._say(said, self._state.blocks.close())
        if self._told != self._state.ending():
            self._tell_delta(said)
        said.append(_event({"type": "message_stop"}))
        self._ended = True
        return b"".join(said)

    def _more(self, event: Event) -> bytes | None:
        """More of the block at hand; None where something else is to be said."""
        number = None if event.choice else self._state.blocks.goes_on(event)
        if number is None:
            return None
        piece = event.text if event.tool_call is None else event.tool_call.arguments
        return _DELTA % (number, *_DELTAS[event.kind]) + encode_plain(piece)[1:-1] + _DELTA_END

    def _begin(self, said: list[bytes]) -> None:
        if not self._begun:
            self._begun = True
            said.append(_event({"type": "message_start", "message": self._state.message([])}))

    def _say(self, said: list[bytes], steps: Iterable[Step]) -> None:
        for step in steps:
            self._begin(said)
            said.append(_event(step))

    def _tell_delta(self, said: list[bytes]) -> None:
        self._begin(said)
        self._say(said, self._state.blocks.close())
        self._told = self._state.ending()
        reason, sequence, usage = self._told
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        said.append(_event({"type": "message_delta", "delta": delta, "usage": _usage(usage)}))

    def _fail(self, said: list[bytes], event: Event) -> None:
        """The error, after what was held: that had been said before it."""
        if self._begun:
            self._say(said, self._state.blocks.close())
            if self._state.finished and self._told is None:
                self._tell_delta(said)
        if event.error is not None:
            said.append(encode_stream_error(event.error))
        self._ended = True


class _Ending(NamedTuple):
    """`stop_reason` and `stop_sequence`, and the count."""

    reason: str
    sequence: str | None
    usage: Usage


class _State:
    """What is known of one answer so far.

    Attributes:
        usage: the count.
        finished: the reason for the end was told.
        blocks: the content.
    """

    __slots__ = ("_id", "_model", "_reason", "_refused", "_sequence", "blocks", "finished", "usage")

    def __init__(self, request_id: str) -> None:
        self._id = f"msg_{request_id}"
        self._model = ""
        self._reason: str | None = None
        self._sequence: str | None = None
        self._refused = False
        self.usage = Usage()
        self.finished = False
        self.blocks = Blocks(request_id)

    def take(self, event: Event) -> list[Step]:
        """Learn from an event, and give the steps of the content that it brings."""
        if event.kind == "usage" and event.usage is not None:
            self.usage = merged(self.usage, event.usage)
        elif event.kind == "start":
            self._id = event.text or self._id
            self._model = event.model or self._model
        elif event.choice:
            return []
        elif event.kind == "finish" and event.finish_reason == "error":
            return self.blocks.close()  # OpenRouter: the error itself follows
        elif event.kind == "finish":
            self.finished = True
            self._reason = event.finish_reason or self._reason
            sequence = event.data.get("stop_sequence") if isinstance(event.data, dict) else None
            self._sequence = sequence if isinstance(sequence, str) else None
            return self.blocks.close()
        elif event.kind in _CONTENT:
            self._refused |= event.kind == "refusal"
            return self.blocks.add(event)
        return []

    def message(self, content: list[dict[str, Any]]) -> dict[str, Any]:
        """A `message` with this content, not ended yet."""
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": content,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(self.usage),
        }

    def ending(self) -> _Ending:
        """How it ended, as far as that is known."""
        ended = plain_end(self._reason or "") or "stop"
        if self._sequence is not None and ended == "stop":
            return _Ending("stop_sequence", self._sequence, self.usage)
        if self._refused and ended == "stop":
            reason = "refusal"
        elif ended == "stop":
            # OpenAI says `stop` of a call that was demanded by name; clients run tools on `tool_use` alone.
            # https://developers.openai.com/api/docs/guides/function-calling
            reason = "tool_use" if self.blocks.calls else "end_turn"
        else:
            reason = _REASONS[ended]
        return _Ending(reason, None, self.usage)


def _fold(content: list[dict[str, Any]], steps: Iterable[Step]) -> None:
    """Take the steps of a stream into the whole content; a call's input is left as the text it came in."""
    for step in steps:
        if step["type"] == "content_block_start":
            block = dict(step["content_block"])
            if block.get("input") == {}:
                block["input"] = ""
            content.append(block)
        elif step["type"] == "content_block_delta":
            delta, block = step["delta"], content[-1]
            if delta["type"] == "citations_delta":
                block.setdefault("citations", []).append(delta["citation"])
            else:
                into, piece = _PIECES[delta["type"]]
                block[into] += delta[piece]


_PIECES = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
    "input_json_delta": ("input", "partial_json"),
}


def _usage(usage: Usage) -> dict[str, Any]:
    """Anthropic counts what was read from and written to a cache beside the input, not in it."""
    beside = usage.cache_read_tokens + usage.cache_write_tokens
    written: dict[str, Any] = {
        "input_tokens": max(0, usage.input_tokens - beside),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        written["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    if usage.cache_write_1h_tokens:
        longer = min(usage.cache_write_1h_tokens, usage.cache_write_tokens)
        shorter = usage.cache_write_tokens - longer
        written["cache_creation"] = {"ephemeral_1h_input_tokens": longer, "ephemeral_5m_input_tokens": shorter}
    if usage.web_searches:
        written["server_tool_use"] = {"web_search_requests": usage.web_searches, "web_fetch_requests": 0}
    return written


def _event(value: dict[str, Any]) -> bytes:
    return encode_event(encode_plain(value), value["type"].encode())
