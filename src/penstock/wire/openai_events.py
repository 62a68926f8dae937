"""OpenAI's chat answers as the vocabulary's events: a stream's, or the one body of a whole answer.

Every chunk tells the answer's id and model, and gives a `start`; what reads the events takes the first one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.events import Event, ToolCallDelta, collect
from penstock.messages import Response
from penstock.wire.openai_chunk import NOT_YET, Chunk, Delta, ToolPiece, chunk_of, delta_of, said
from penstock.wire.openai_errors import classify_body
from penstock.wire.openai_usage import read_usage, served_by
from penstock.wire.signals import relayed
from penstock.wire.sse import Framer, parse
from penstock.wire.tolerant_json import BEFORE, decode_tolerant, repaired

__all__ = ["decode_events", "decode_message"]

# Parts of an answer for which there are no events. A message has pictures (OpenRouter), sound (OpenAI), what was found
# in the caller's own data (Azure), tools that the vendor ran (Groq). Beside it: where it was found (Perplexity, xAI).
_UNSAID = ("images", "audio", "context", "executed_tools")
_UNSAID_BESIDE = ("citations", "search_results", "images", "related_questions")
# What of a message is read into the vocabulary; everything else is kept in its `extra`.
_READ = frozenset(
    ("role", "content", "reasoning", "reasoning_content", "refusal", "tool_calls", "function_call", "tool_call_id")
)


class _Delta(Delta, gc=False):
    annotations: list[Any] | None = None
    images: Any = None
    context: Any = None
    executed_tools: Any = None


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    logprobs: dict[str, Any] | None = None
    text: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    """One event's data or a whole body: `openai_chunk.Chunk` with what only a translation needs."""

    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    model: str | None = None
    error: Any = None
    x_groq: dict[str, Any] | None = None
    id: str | None = None
    object: str | None = None
    type: str | None = None
    service_tier: str | None = None
    citations: Any = None
    search_results: Any = None
    images: Any = None
    related_questions: Any = None


_DECODER = msgspec.json.Decoder(_Chunk)
_read_lines = _DECODER.decode_lines
_DONE = b"data: [DONE]\n\n"


def decode_events(data: bytes) -> list[Event]:
    """The events in whole SSE events, or in the body of a whole answer; what is neither gives none."""
    if data.lstrip(BEFORE)[:1] == b"{":
        chunk = _read(data)
        return [] if chunk is None else list(_chunk_events(chunk, data, whole=True))
    plain = _plain_events(data)
    if plain is not None:
        return plain
    events: list[Event] = []
    payloads = _lines(data)
    if payloads is not None:
        for payload in payloads:
            _add(events, payload)
        return events
    framer = Framer()
    for block in (*framer.feed(data), framer.take_tail()):
        fields = parse(block)
        if fields.error is not None:  # GPUStack's way to end a broken stream
            events.append(_error_event(fields.error))
        if fields.data is None:
            continue
        before = len(events)
        _add(events, fields.data)
        if fields.event == b"error" and not any(event.kind == "error" for event in events[before:]):
            events.append(_error_event(fields.data))
    return events


def _plain_events(data: bytes) -> list[Event] | None:
    """The same for events that are one line `data: {...}` each, in the dialect's types and no errors; else None.

    Where each begins with a brace and ends with one, and there are as many values as lines, each is a value of its
    own: inside a value no brace may follow a closing one. So one decode serves them all.
    """
    ended = data.endswith(_DONE)
    if ended:
        data = data[: -len(_DONE)]
    if data[:7] != b"data: {" or data[-3:] != b"}\n\n" or b"\r" in data:
        return None
    lines = data[6:].replace(b"}\n\ndata: {", b"}\n{")
    try:
        if not data.isascii():
            str(data, "utf-8")  # msgspec skips over unknown fields without looking at their UTF-8
        chunks = _read_lines(lines)
    except (ValueError, RecursionError):
        return None
    if len(chunks) != lines.count(b"\n") - 1:
        return None
    events: list[Event] = []
    start = Event("start")
    for chunk in chunks:
        if chunk.error is not None or chunk.choices is None:
            return None
        id, model = chunk.id or "", chunk.model or ""
        if id or model:
            if start.text != id or start.model != model:
                start = Event("start", id, model=model)
            events.append(start)
        if not _add_plain(events, chunk):
            events.extend(_said_events(chunk, b"", whole=False))
    if ended:
        events.append(Event("end"))
    return events


def _add_plain(events: list[Event], chunk: _Chunk) -> bool:
    """Add what one choice says, where that is more text or thought, as of nearly all; False for everything else."""
    choices = chunk.choices
    if choices is None or len(choices) != 1 or chunk.usage is not None or chunk.x_groq is not None:
        return False
    choice = choices[0]
    delta = choice.delta
    if delta is None or choice.finish_reason or choice.usage is not None:
        return False
    said_here = _plain_said(delta, choice)
    if said_here is None:
        return False
    events += said_here
    return True


def _plain_said(delta: _Delta, choice: _Choice) -> list[Event] | None:
    """What a delta or message says that holds text and thoughts alone; None for others."""
    text = delta.content
    if (
        (text is not None and text.__class__ is not str)
        or delta.tool_calls
        or delta.refusal
        or delta.reasoning_details
        or delta.function_call
        or delta.annotations
        or choice.logprobs
        or delta.images
        or delta.audio
        or delta.context
        or delta.executed_tools
    ):
        return None
    thought = delta.reasoning_content or delta.reasoning
    found = [Event("reasoning", repaired(thought), choice=choice.index)] if thought else []
    if text:
        found.append(Event("text", repaired(text), choice=choice.index))
    return found


def _lines(data: bytes) -> list[bytes] | None:
    """The events' data where each event is one line `data: ...`, as nearly all are; else None."""
    if not data.startswith(b"data: ") or not data.endswith(b"\n\n") or b"\r" in data:
        return None
    payloads = data[6:-2].split(b"\n\ndata: ")
    return payloads if data.count(b"\n") == 2 * len(payloads) else None


def _add(events: list[Event], payload: bytes) -> None:
    """The events of one event's data."""
    chunk = _read(payload)
    if chunk is not None:
        events.extend(_chunk_events(chunk, payload))
    elif payload.strip() == b"[DONE]":
        events.append(Event("end"))


def decode_message(value: dict[str, Any]) -> Response:
    """A whole answer, decoded: choice 0 as a `Response`, fields of its message that have no place kept in `extra`."""
    response = collect(_answer_events(value))
    response.raw = value
    model = value.get("model")
    response.model = model if isinstance(model, str) else ""
    message = _message(value)
    if isinstance(message.get("content"), list):
        response.message.content = message["content"]
    response.message.extra = {name: field for name, field in message.items() if name not in _READ and field is not None}
    return response


def _message(value: dict[str, Any]) -> dict[str, Any]:
    choices = value.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and isinstance(choice.get("message"), dict) and not choice.get("index"):
            message: dict[str, Any] = choice["message"]
            return message
    return {}


def _answer_events(value: dict[str, Any]) -> Iterator[Event]:
    chunk = _chunk_of(value)
    return iter(()) if chunk is None else _chunk_events(chunk, b"", whole=True)


def _read(data: bytes) -> _Chunk | None:
    """An event's data or a body, None where it is no JSON object with the dialect's structure."""
    try:
        if not data.isascii():
            str(data, "utf-8")  # msgspec skips over unknown fields without looking at their UTF-8
        return _DECODER.decode(data)
    except (ValueError, RecursionError):
        pass
    try:
        return _chunk_of(decode_tolerant(data))
    except ValueError:
        return None


def _chunk_of(value: Any) -> _Chunk | None:
    """The same from decoded JSON, fields of a wrong type left out."""
    plain: Chunk | None = chunk_of(value)
    if plain is None:
        return None
    words = {name: field for name in ("id", "object", "type") if isinstance(field := value.get(name), str)}
    rest = {name: value.get(name) for name in ("service_tier", *_UNSAID_BESIDE)}
    rest["service_tier"] = plain.service_tier
    chunk = _Chunk(None, plain.usage, plain.model, plain.error, plain.x_groq, **words, **rest)
    if plain.choices is None:
        return chunk
    chunk.choices = []
    for choice, written in zip(plain.choices, value["choices"], strict=True):
        logprobs = written.get("logprobs")
        chunk.choices.append(
            _Choice(
                index=choice.index,
                delta=_delta_of(written.get("delta")),
                message=_delta_of(written.get("message")),
                finish_reason=choice.finish_reason,
                usage=choice.usage,
                logprobs=logprobs if isinstance(logprobs, dict) else None,
                text=choice.text,
            )
        )
    return chunk


def _delta_of(value: Any) -> _Delta | None:
    if not isinstance(value, dict):
        return None
    plain, annotations = delta_of(value), value.get("annotations")
    fields = {name: getattr(plain, name) for name in plain.__struct_fields__}
    rest = {name: value.get(name) for name in _UNSAID if name not in fields}
    return _Delta(**fields, **rest, annotations=annotations if isinstance(annotations, list) else None)


def _chunk_events(chunk: _Chunk, payload: bytes, *, whole: bool = False) -> Iterator[Event]:
    """`whole`: messages count. In a stream some tell all that was said so far, beside what is new (Perplexity); where
    nothing stands beside it, a message is all that is said."""
    if chunk.id or chunk.model:
        yield Event("start", chunk.id or "", model=chunk.model or "")
    yield from _said_events(chunk, payload, whole=whole)


def _said_events(chunk: _Chunk, payload: bytes, *, whole: bool) -> Iterator[Event]:
    """What follows the start."""
    usages = [chunk.x_groq.get("usage")] if chunk.x_groq else []
    if chunk.citations or chunk.search_results or chunk.images or chunk.related_questions:
        yield from (Event("unsaid", name) for name in _UNSAID_BESIDE if getattr(chunk, name))
    for choice in chunk.choices or ():
        delta = (choice.message or choice.delta) if whole else (choice.delta or choice.message)
        if delta is not None:
            plain = _plain_said(delta, choice)
            yield from _delta_events(delta, choice) if plain is None else plain
        elif choice.text:  # as completions have it, with which some servers answer a chat
            yield Event("text", repaired(choice.text), choice=choice.index)
        if choice.finish_reason and choice.finish_reason != NOT_YET:
            yield Event("finish", finish_reason=choice.finish_reason, choice=choice.index)
        if choice.usage is not None:
            usages.append(choice.usage)
    if chunk.usage is not None:
        usages.append(chunk.usage)
    if usages:
        # What cannot be a count is told by nobody: the estimate in its place is.
        counted = [usage for usage in map(read_usage, usages) if usage is not None and not usage.odd]
        if counted:
            yield Event("usage", usage=served_by(chunk.service_tier, counted[-1]))
    if (chunk.error or chunk.choices is None) and _is_error(chunk):
        yield _error_event(payload)


def _is_error(chunk: _Chunk) -> bool:
    """Beside choices an error is a remark, unless one of them says that it ended with it (OpenRouter)."""
    if chunk.error:
        return not chunk.choices or any(choice.finish_reason == "error" for choice in chunk.choices)
    return chunk.choices is None and "error" in (chunk.object, chunk.type)


def _error_event(payload: bytes) -> Event:
    return Event("error", error=relayed(classify_body(payload), payload))


def _delta_events(delta: _Delta, choice: _Choice) -> Iterator[Event]:
    text, reasoning, refusal = said(delta)
    logprobs = choice.logprobs
    event = functools.partial(Event, choice=choice.index)
    for name in _UNSAID:
        value = getattr(delta, name)
        if any(value.values()) if value.__class__ is dict else value:  # Snowflake sends a sound without anything in it
            yield event("unsaid", f"message.{name}")
    for kind in _unsaid_parts(delta.content) if delta.content.__class__ is list else ():
        yield event("unsaid", f"message.content[].{kind}")
    if delta.reasoning_details and (seals := _seals(delta.reasoning_details)):
        yield from _sealed_events(reasoning, seals, choice.index)
    elif reasoning:
        yield event("reasoning", reasoning)
    if text or (logprobs and not refusal and logprobs.get("content")):
        yield event("text", text, data=logprobs or None)
    if refusal:
        yield event("refusal", refusal)
    for annotation in delta.annotations or ():
        cited = annotation.get("url_citation") if isinstance(annotation, dict) else None
        if isinstance(cited, dict):
            yield event("citation", data={"type": "url_citation", **cited})
        elif annotation:
            yield event("unsaid", "message.annotations")
    for at, call in enumerate(delta.tool_calls or ()):
        yield event("tool_call", tool_call=_tool_call(call, at))
    old = delta.function_call  # the predecessor of tool calls; Snowflake sends an empty one beside them
    if old is not None and (old.name or old.arguments):
        yield event("tool_call", tool_call=_tool_call(ToolPiece(function=old), 0))


def _unsaid_parts(parts: list[Any]) -> Iterator[str]:
    """The types of a content's parts in which there are no words (Mistral's references, pictures)."""
    for part in parts:
        if isinstance(part, dict) and not any(name in part for name in ("text", "thinking", "refusal")):
            yield repaired(str(part.get("type")))


def _seals(details: list[Any]) -> list[Event]:
    """OpenRouter's details of Anthropic's thoughts as events, [] where none of them is sealed.

    Others' seals are left out: nobody but their maker, in a dialect of its own, could take them back.
    """
    events = []
    for detail in details:
        if isinstance(detail, dict) and str(detail.get("format")).startswith("anthropic"):
            text, seal, data = (field if isinstance(field := detail.get(name), str) else "" for name in _DETAIL)
            index = detail.get("index")
            index = index if index.__class__ is int else 0
            events.append(Event("reasoning", repaired(text), index=index, signature=seal, redacted=data))
    return events if any(event.signature or event.redacted for event in events) else []


_DETAIL = ("text", "signature", "data")


def _sealed_events(reasoning: str, seals: list[Event], choice: int) -> Iterator[Event]:
    """Each thought with its seal. Where the plain field says something else, that is heard, and the seals after it."""
    if reasoning != "".join(seal.text for seal in seals):
        yield Event("reasoning", reasoning, choice=choice, index=seals[0].index)
        for seal in seals:
            seal.text = ""
    for seal in seals:
        if seal.text or seal.signature or seal.redacted:
            seal.choice = choice
            yield seal


def _tool_call(call: ToolPiece, at: int) -> ToolCallDelta:
    index = call.index if call.index is not None else at
    function, custom = call.function, call.custom
    if custom is not None and (custom.name or custom.input or function is None):  # Snowflake sends an empty one beside
        return ToolCallDelta(index, call.id or "", custom.name or "", custom.input or "")
    if function is None:
        return ToolCallDelta(index, call.id or "")
    return ToolCallDelta(index, call.id or "", function.name or "", function.arguments or "")
