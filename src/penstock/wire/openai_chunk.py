"""OpenAI's chat chunks and messages as typed values: what is said in them, and by which of the vendors' fields.

A message of a whole answer has the shape of a stream's delta, so both are read here. Types are those of the
dialect; `read_chunk` falls back to a reading that forgives wrong ones.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Literal

import msgspec

from penstock.wire.tolerant_json import decode_tolerant, repaired

__all__ = [
    "NOT_YET",
    "Choice",
    "Chunk",
    "Custom",
    "Delta",
    "Function",
    "ToolPiece",
    "chunk_of",
    "delta_of",
    "plain_chunks",
    "plain_content",
    "plain_text",
    "read_chunk",
    "read_strict",
    "said",
    "size_of",
]


class Function(msgspec.Struct, gc=False):
    """A function call's name and arguments, or pieces of them."""

    name: str | None = None
    arguments: str | None = None


class Custom(msgspec.Struct, gc=False):
    """A custom tool's call: its input is free text."""

    name: str | None = None
    input: str | None = None


class ToolPiece(msgspec.Struct, gc=False):
    """A tool call, or a piece of one."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    custom: Custom | None = None


class Delta(msgspec.Struct, gc=False):
    """What a choice says. `reasoning_content` is DeepSeek's and vLLM's, `reasoning` Groq's and OpenRouter's."""

    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolPiece] | None = None
    refusal: str | None = None
    reasoning_details: list[Any] | None = None
    function_call: Function | None = None
    audio: dict[str, Any] | None = None


class Choice(msgspec.Struct, gc=False):
    """One answer's part of a chunk. Moonshot puts the usage here; `text` is that of older completions."""

    index: int = 0
    delta: Delta | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    text: str | None = None


class Chunk(msgspec.Struct, gc=False):
    """One event's data."""

    choices: list[Choice] | None = None
    usage: dict[str, Any] | None = None
    model: str | None = None
    error: Any = None
    x_groq: dict[str, Any] | None = None
    service_tier: str | None = None


# Alibaba's own word for null, which some that stand before it pass on: the answer goes on.
NOT_YET = "null"

_CR = 0x0D

# As the dialect has it, or ValueError. Looks into no field it doesn't know, so the UTF-8 must have been checked.
_DECODER = msgspec.json.Decoder(Chunk)
read_strict = _DECODER.decode
read_lines = _DECODER.decode_lines


class _TextDelta(msgspec.Struct, gc=False):
    """More text and nothing else: what is typed None here must be null or absent, or the decoding fails."""

    content: str
    reasoning_content: None = None
    reasoning: None = None
    tool_calls: None = None
    refusal: None = None
    reasoning_details: None = None
    function_call: None = None
    audio: None = None


class _TextChoice(msgspec.Struct, gc=False):
    delta: _TextDelta
    index: Literal[0] = 0
    finish_reason: None = None
    usage: None = None


class _TextChunk(msgspec.Struct, gc=False):
    choices: tuple[_TextChoice]
    usage: None = None
    error: None = None
    x_groq: None = None


_read_texts = msgspec.json.Decoder(_TextChunk).decode_lines


def _lines(data: bytes) -> bytes | None:
    """Whole events' data, a line each, where each event is one line `data: {...}`; else None.

    Where each begins with a brace and ends with one, and there are as many values as lines, each is a value of its
    own: inside a value no brace may follow a closing one. So one decode serves them all.
    """
    if _CR in data:
        data = data.replace(b"\r\n", b"\n")
    if data[:7] != b"data: {" or data[-2:] != b"\n\n" or _CR in data:
        return None
    try:
        if not data.isascii():
            str(data, "utf-8")
    except ValueError:
        return None
    return data[6:].replace(b"}\n\ndata: {", b"}\n{")


def _count(lines: bytes) -> int:
    """How many lines, each of which is a value, the last one before a blank one."""
    return len(BytesIO(lines).readlines()) - 1  # looks for their ends by memchr; `count` by a loop over all bytes


def plain_text(data: bytes) -> int | None:
    """How many bytes of text whole events say, where they are the only choice's and say nothing else; else None.

    What most of a stream consists of, judged by the decoder alone.
    """
    text = plain_content(data)
    if text is None:
        return None
    return len(text) if text.isascii() else _utf8(text)


def plain_content(data: bytes) -> str | None:
    """The text itself, as `plain_text` judges it."""
    lines = _lines(data)
    if lines is None:
        return None
    try:
        chunks = _read_texts(lines)
    except (ValueError, RecursionError):
        return None
    if len(chunks) != _count(lines):
        return None
    return "".join([chunk.choices[0].delta.content for chunk in chunks])


def plain_chunks(data: bytes) -> list[Chunk] | None:
    """The chunks in whole events, where each is one line `data: {...}` with an answer in it; else None.

    The last may hold the usage alone.
    """
    lines = _lines(data)
    if lines is None:
        return None
    try:
        chunks = read_lines(lines)
    except (ValueError, RecursionError):
        return None
    if len(chunks) != _count(lines):
        return None
    for chunk in chunks:
        if chunk.error is not None:
            return None
        # Without `choices`, not even none of them, it may be an error without an envelope.
        if not (chunk.choices or (chunk.usage and chunk.choices is not None and chunk is chunks[-1])):
            return None
    return chunks


def read_chunk(data: bytes) -> Chunk | None:
    """An event's data, None where it is no JSON object with the dialect's structure."""
    try:
        if not data.isascii():
            str(data, "utf-8")  # msgspec skips over unknown fields without looking at their UTF-8
        return read_strict(data)
    except (ValueError, RecursionError):
        pass
    try:
        return chunk_of(decode_tolerant(data))
    except ValueError:
        return None


def chunk_of(value: Any) -> Chunk | None:
    """A chunk from decoded JSON, fields of a wrong type left out; None where the structure is another."""
    if not isinstance(value, dict):
        return None
    choices = value.get("choices")
    if choices is not None:
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            return None
        choices = [_choice_of(choice) for choice in choices]
    return Chunk(
        *(choices, _dict(value, "usage"), _str(value, "model"), value.get("error"), _dict(value, "x_groq")),
        _str(value, "service_tier"),
    )


def delta_of(value: dict[str, Any]) -> Delta:
    """A delta or message from decoded JSON, fields of a wrong type left out."""
    content = value.get("content")
    calls = value.get("tool_calls")
    return Delta(
        content=content if isinstance(content, str | list) else None,
        reasoning_content=_str(value, "reasoning_content"),
        reasoning=_str(value, "reasoning"),
        tool_calls=[_tool_of(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else None,
        refusal=_str(value, "refusal"),
        reasoning_details=_list(value, "reasoning_details"),
        function_call=_function_of(value.get("function_call")),
        audio=_dict(value, "audio"),
    )


def said(delta: Delta) -> tuple[str, str, str]:
    """The text, reasoning and refusal in a delta, "" for what it has not."""
    text, thought, refusal = "", "", delta.refusal or ""
    if isinstance(delta.content, str):
        text = delta.content
    elif delta.content is not None:
        text, thought, refused = _parts(delta.content)
        refusal = refusal or refused
    # Several vendors say the same thing in two of these fields, so only one is heard.
    reasoning = delta.reasoning_content or delta.reasoning or thought or _details(delta.reasoning_details)
    return repaired(text), repaired(reasoning), repaired(refusal)


def size_of(delta: Delta) -> int:
    """Bytes of output in a delta as UTF-8: text, reasoning, refusal, tool calls, what audio says."""
    content = delta.content
    if (
        content.__class__ is list
        or delta.refusal
        or delta.reasoning_details
        or delta.function_call is not None
        or delta.audio is not None
    ):
        size = _rare_size(delta)
    else:
        size = 0
        if content:
            size = len(content) if content.isascii() else _utf8(content)  # type: ignore[union-attr,arg-type]
        reasoning = delta.reasoning_content or delta.reasoning
        if reasoning:
            size += len(reasoning) if reasoning.isascii() else _utf8(reasoning)
    if delta.tool_calls:
        for call in delta.tool_calls:
            if call.function is not None:
                size += _function_size(call.function)
            elif call.custom is not None:
                size += _utf8(call.custom.name or "") + _utf8(call.custom.input or "")
    return size


def _rare_size(delta: Delta) -> int:
    size = sum(_utf8(text) for text in said(delta))
    if delta.function_call is not None:
        size += _function_size(delta.function_call)
    if delta.audio is not None:
        transcript = delta.audio.get("transcript")
        size += _utf8(transcript) if isinstance(transcript, str) else bool(delta.audio.get("data"))
    return size


def _function_size(function: Function) -> int:
    return _utf8(function.name or "") + _utf8(function.arguments or "")


def _utf8(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _parts(parts: list[Any]) -> tuple[str, str, str]:
    """Content as a list: Mistral's thinking and text parts, OpenAI's text and refusal parts."""
    found: dict[str, list[str]] = {"text": [], "thinking": [], "refusal": []}
    for part in parts:
        if isinstance(part, str):
            found["text"].append(part)
        elif isinstance(part, dict):
            for name, texts in found.items():
                value = part.get(name)
                if isinstance(value, str):
                    texts.append(value)
                elif isinstance(value, list):
                    texts.append(_parts(value)[0])
    text, thought, refusal = ("".join(texts) for texts in found.values())
    return text, thought, refusal


def _details(details: list[Any] | None) -> str:
    """OpenRouter's reasoning_details: text and summaries; what is encrypted says nothing."""
    texts = []
    for detail in details or ():
        if isinstance(detail, dict):
            value = detail.get("text") or detail.get("summary")
            if isinstance(value, str):
                texts.append(value)
    return "".join(texts)


def _choice_of(value: dict[str, Any]) -> Choice:
    index = value.get("index")
    delta = value.get("delta")
    return Choice(
        index=index if isinstance(index, int) else 0,
        delta=delta_of(delta) if isinstance(delta, dict) else None,
        finish_reason=_str(value, "finish_reason"),
        usage=_dict(value, "usage"),
        text=_str(value, "text"),
    )


def _tool_of(value: dict[str, Any]) -> ToolPiece:
    index = value.get("index")
    custom = value.get("custom")
    return ToolPiece(
        index=index if isinstance(index, int) else None,
        id=_str(value, "id"),
        function=_function_of(value.get("function")),
        custom=Custom(_str(custom, "name"), _str(custom, "input")) if isinstance(custom, dict) else None,
    )


def _function_of(value: Any) -> Function | None:
    if not isinstance(value, dict):
        return None
    arguments = value.get("arguments")
    if isinstance(arguments, dict):  # an object where the dialect has its JSON text
        arguments = msgspec.json.encode(arguments).decode()
    return Function(_str(value, "name"), arguments if isinstance(arguments, str) else None)


def _str(value: dict[str, Any], name: str) -> str | None:
    field = value.get(name)
    return field if isinstance(field, str) else None


def _dict(value: dict[str, Any], name: str) -> dict[str, Any] | None:
    field = value.get(name)
    return field if isinstance(field, dict) else None


def _list(value: dict[str, Any], name: str) -> list[Any] | None:
    field = value.get(name)
    return field if isinstance(field, list) else None
