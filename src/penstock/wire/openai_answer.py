"""A whole answer's body, and the chunks of a streamed one, in OpenAI's words.

https://platform.openai.com/docs/api-reference/chat/object, .../chat-streaming. Thoughts come as `reasoning_content`
(DeepSeek's field, which most clients know) and once more, with their seals, as OpenRouter's `reasoning_details`, whose
pieces with one index belong together (https://openrouter.ai/docs/use-cases/reasoning-tokens): clients send those back.
What OpenAI has no place for (results of a vendor's own tools, citations without a URL) is left out, and named.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.events import Event, merged
from penstock.usage import Usage
from penstock.wire.dialect import NO_FIELDS, Fields
from penstock.wire.openai_choice import Call, Choice, annotation_of
from penstock.wire.openai_errors import encode_stream_error
from penstock.wire.openai_fields import asks_for_functions
from penstock.wire.tolerant_json import repaired

__all__ = ["OpenAIWriter", "encode_answer", "left_out", "open_writer"]

_DONE = b"data: [DONE]\n\n"
_NULL = b"null"
_string = msgspec.json.Encoder().encode
_ROLE = b'{"role":"assistant","content":"","refusal":null}'


def encode_answer(events: list[Event], request_id: str, created: int, fields: Fields = NO_FIELDS) -> bytes:
    """The body of a whole answer. `request_id` serves as its id where the provider gave none; `created`: Unix time.

    Who asked with `functions` is answered with `function_call`, which is all that clients of that time read.
    """
    old = asks_for_functions(fields)
    id, model, usage = "", "", None
    answers: dict[int, _Answer] = {}
    for event in events:
        if event.kind == "start":
            id, model = id or event.text, model or event.model
        elif event.kind == "usage" and event.usage is not None:
            usage = merged(usage, event.usage)
        elif event.kind in _SAID:
            if event.choice not in answers:
                answers[event.choice] = _Answer(f"{request_id}_{event.choice}", old=old)
            answers[event.choice].take(event)
    if not answers:
        answers[0] = _Answer("")
    body: dict[str, Any] = {
        "id": repaired(id) or request_id,
        "object": "chat.completion",
        "created": created,
        "model": repaired(model),
        "choices": [answers[at].choice(at) for at in sorted(answers)],
    }
    if usage is not None:
        body["usage"] = _usage(usage)
    body["system_fingerprint"] = None  # OpenRouter's client takes no answer without
    return msgspec.json.encode(body)


def left_out(event: Event, *, behind_call: bool = False) -> str:
    """The name of what an event brings and these answers have no place for; "" for what is said."""
    if event.kind == "unsaid":
        return event.text
    if event.kind == "other":
        kind = event.data.get("type") if isinstance(event.data, dict) else None
        return f"content[].{kind}"
    return "content[].citations" if event.kind == "citation" and annotation_of(event.data, 0, 0) is None else ""


def open_writer(request_id: str, created: int, *, keep_usage: bool, fields: Fields = NO_FIELDS) -> OpenAIWriter:
    """A writer for one stream; with `keep_usage` it ends with the usage chunk that the caller asked for."""
    return OpenAIWriter(request_id, created, keep_usage=keep_usage, old=asks_for_functions(fields))


class OpenAIWriter:
    """One stream's `AnswerWriter`. Id and model are those of the first `start`, and stay."""

    __slots__ = (
        "_choices",
        "_created",
        "_head",
        "_id",
        "_keep_usage",
        "_model",
        "_old",
        "_over",
        "_request_id",
        "_tail",
        "_usage",
    )

    def __init__(self, request_id: str, created: int, *, keep_usage: bool, old: bool = False) -> None:
        self._old = old
        self._request_id = self._id = request_id
        self._model = ""
        self._created = created
        self._keep_usage = keep_usage
        self._tail = b'}],"usage":null}\n\n' if keep_usage else b"}]}\n\n"
        self._head = b""  # made with the first chunk
        self._choices: dict[int, Choice] = {}
        self._usage: Usage | None = None
        self._over = False

    def write(self, events: list[Event]) -> bytes:
        """The chunks these become, b"" if they are held back for now. `end` and `error` end the stream."""
        out: list[bytes] = []
        for event in events:
            if event.kind == "text" and event.text and event.data is None and not self._over:
                choice = self._choices.get(event.choice)
                if choice is not None:  # what most of a stream consists of
                    choice.note_text(event, len(event.text))
                    head, tail = self._around(event.choice)
                    out.append(head + _string(repaired(event.text))[1:-1] + tail)
                    continue
            elif event.kind == "start" and self._head:
                continue  # each chunk of an OpenAI stream says it anew
            out += self._chunks(event)
        return b"".join(out)

    def go_on(self, event: Event, texts: list[bytes], length: int) -> bytes | None:
        """More text of a choice that has begun to speak, a chunk for each; None where something else is to be said."""
        choice = self._choices.get(event.choice)
        if choice is None or self._over or event.data:
            return None
        choice.note_text(event, length)
        head, tail = self._around(event.choice)
        return head + (tail + head).join(texts) + tail

    def end(self) -> bytes:
        """The last of the stream: what is held back, the usage chunk if it is wanted, and `[DONE]`."""
        if self._over:
            return b""
        self._over = True
        out = [chunk for at in sorted(self._choices) for chunk in self._finish(at, None)]
        if self._keep_usage and self._usage is not None:
            usage = msgspec.json.encode(_usage(self._usage))
            out.append(b'data: %b[],"usage":%b}\n\n' % (self._start(), usage))
        return b"".join((*out, _DONE))

    def _around(self, at: int) -> tuple[bytes, bytes]:
        """What stands around the JSON of a choice's text."""
        head = b'data: %b[{"index":%d,"delta":{"content":"' % (self._head, at)
        return head, b'"},"logprobs":null,"finish_reason":null' + self._tail

    def _chunks(self, event: Event) -> Iterator[bytes]:
        kind = event.kind
        if self._over:
            return
        if kind == "start":
            if not self._head:
                self._id = repaired(event.text) or self._id
                self._model = repaired(event.model)
                yield from self._begin(0)
        elif kind == "usage":
            if event.usage is not None:
                self._usage = merged(self._usage, event.usage)
        elif kind == "finish":
            yield from self._begin(event.choice)
            if event.finish_reason != "error":  # OpenRouter: the error itself follows, and OpenAI has no such end
                yield from self._finish(event.choice, event.finish_reason)
        elif kind == "end":
            yield self.end()
        elif kind == "error":
            self._over = True
            if event.error is not None:
                yield encode_stream_error(event.error)
        elif kind in _SAID:
            yield from self._begin(event.choice)
            yield from self._say(event)

    def _begin(self, at: int) -> Iterator[bytes]:
        if at not in self._choices:
            self._choices[at] = Choice(f"{self._request_id}_{at}", old=self._old)
            yield self._chunk(at, _ROLE)

    def _say(self, event: Event) -> Iterator[bytes]:
        at, choice = event.choice, self._choices[event.choice]
        kind = event.kind
        if kind == "text":
            choice.note_text(event, len(event.text))
            logprobs = _logprobs(event.data)
            if event.text or logprobs is not None:
                yield self._delta(at, {"content": repaired(event.text)}, logprobs)
        elif kind == "reasoning":
            details = choice.think(event)
            if event.text:
                yield self._delta(at, {"reasoning_content": repaired(event.text), "reasoning_details": details})
            elif details:
                yield self._delta(at, {"reasoning_details": details})
        elif kind == "refusal":
            yield self._delta(at, {"refusal": repaired(event.text)})
        elif kind == "citation":
            choice.cite(event)
        elif event.tool_call is not None:
            piece = choice.call(event.tool_call)
            if piece is not None:
                yield self._delta(at, choice.named(piece))

    def _finish(self, at: int, reason: str | None) -> Iterator[bytes]:
        choice = self._choices[at]
        if choice.finished:
            return
        choice.finished = True
        cited = choice.annotations()
        if cited:
            yield self._delta(at, {"annotations": cited})
        for number, call in enumerate(choice.calls):
            if not call.begun:  # clients decode the arguments, and "" is no JSON
                yield self._delta(at, choice.named({"index": number, "function": {"arguments": "{}"}}))
        yield self._chunk(at, b"{}", finish=b'"%b"' % choice.ending(reason).encode())

    def _delta(self, at: int, delta: dict[str, Any], logprobs: bytes | None = None) -> bytes:
        return self._chunk(at, msgspec.json.encode(delta), logprobs or _NULL)

    def _chunk(self, at: int, delta: bytes, logprobs: bytes = _NULL, finish: bytes = _NULL) -> bytes:
        head = self._head or self._start()
        return b'data: %b[{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":%b%b' % (
            *(head, at, delta),
            *(logprobs, finish, self._tail),
        )

    def _start(self) -> bytes:
        if not self._head:
            head = {
                "id": self._id,
                "object": "chat.completion.chunk",
                "created": self._created,
                "model": self._model,
                "choices": None,
            }
            self._head = msgspec.json.encode(head)[: -len(b"null}")]
        return self._head


class _Answer:
    """One of the answers, gathered whole."""

    __slots__ = ("_arguments", "_choice", "_details", "_finish", "_logprobs", "_said")

    def __init__(self, prefix: str, *, old: bool = False) -> None:
        self._choice = Choice(prefix, old=old)
        self._said: dict[str, list[str]] = {"text": [], "reasoning": [], "refusal": []}
        self._details: dict[int, dict[str, Any]] = {}
        self._logprobs: dict[str, list[Any]] = {}
        self._arguments: list[list[str]] = []  # of each call
        self._finish: str | None = None

    def take(self, event: Event) -> None:
        if event.kind in self._said:
            self._said[event.kind].append(event.text)
        if event.kind == "reasoning":
            for piece in self._choice.think(event):
                self._note_thought(piece)
        elif event.kind == "text":
            self._choice.note_text(event, len(event.text))
            self._note_logprobs(event.data)
        elif event.kind == "citation":
            self._choice.cite(event)
        elif event.kind == "finish":
            self._finish = self._finish or event.finish_reason
        elif event.tool_call is not None:
            self._note_call(self._choice.call(event.tool_call))

    def choice(self, at: int) -> dict[str, Any]:
        choice = self._choice
        text, reasoning, refusal = (repaired("".join(said)) for said in self._said.values())
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": refusal or None}
        if not text and (refusal or choice.calls):
            message["content"] = None
        if reasoning:
            message["reasoning_content"] = reasoning
        if any("format" in detail for detail in self._details.values()):  # without a seal they say nothing more
            message["reasoning_details"] = list(self._details.values())
        cited = choice.annotations()
        if cited:
            message["annotations"] = cited
        if choice.calls:
            said = zip(choice.calls, self._arguments, strict=True)
            calls = [_whole(call, "".join(arguments)) for call, arguments in said]
            if choice.old:
                message["function_call"] = calls.pop(0)["function"]
            if calls:
                message["tool_calls"] = calls
        logprobs = msgspec.Raw(_logprobs(self._logprobs) or _NULL)
        return {"index": at, "message": message, "logprobs": logprobs, "finish_reason": choice.ending(self._finish)}

    def _note_thought(self, piece: dict[str, Any]) -> None:
        detail = self._details.setdefault(piece["index"], piece)
        if detail is not piece:
            for name in ("text", "signature"):
                if name in piece:
                    detail[name] = detail.get(name, "") + piece[name]
            if "format" in piece:
                detail["format"] = piece["format"]

    def _note_call(self, piece: dict[str, Any] | None) -> None:
        if piece is not None:
            if piece["index"] == len(self._arguments):
                self._arguments.append([])
            self._arguments[piece["index"]].append(piece["function"].get("arguments", ""))

    def _note_logprobs(self, data: Any) -> None:
        if isinstance(data, dict):
            for name, tokens in data.items():
                if isinstance(tokens, list):
                    self._logprobs.setdefault(name, []).extend(tokens)


_SAID = frozenset(("text", "reasoning", "refusal", "tool_call", "citation", "finish"))


def _whole(call: Call, arguments: str) -> dict[str, Any]:
    function = {"name": call.name, "arguments": arguments or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def _usage(usage: Usage) -> dict[str, Any]:
    """Counts in OpenAI's places; writes to a cache and sound, which few of its models count, where there were any."""
    prompt = {"cached_tokens": usage.cache_read_tokens}
    if usage.cache_write_tokens:
        prompt["cache_write_tokens"] = usage.cache_write_tokens
    completion = {"reasoning_tokens": usage.reasoning_tokens}
    if usage.input_audio_tokens:
        prompt["audio_tokens"] = usage.input_audio_tokens
    if usage.output_audio_tokens:
        completion["audio_tokens"] = usage.output_audio_tokens
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": completion,
    }


def _logprobs(data: Any) -> bytes | None:
    """Logprobs as JSON, None where there are none or they cannot be written."""
    if not data or not isinstance(data, dict):
        return None
    try:
        return msgspec.json.encode({"content": None, "refusal": None, **data})
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
