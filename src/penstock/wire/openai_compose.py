"""A request's top-level fields from typed arguments: how the library says in OpenAI's words what its user typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.errors import InvalidRequest
from penstock.messages import Message, ToolCall
from penstock.wire.openai_schema import fits_strict
from penstock.wire.splice import raw

__all__ = ["ChatArguments", "compose_chat", "compose_embeddings"]


class ChatArguments(msgspec.Struct, kw_only=True):
    """What a call of the library says. None leaves a field out.

    Attributes:
        prompt: text, or messages in OpenAI form; `Message` values may stand among them.
        system: put before the messages.
        max_tokens: the most the answer may take, reasoning included.
        output_schema: a JSON schema that the answer shall follow.
        extra: further fields of the body, as they are; they win over what the others made.
    """

    prompt: str | Sequence[Any]
    model: str
    system: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    tools: Sequence[Any] | None = None
    tool_choice: Any = None
    output_schema: Mapping[str, Any] | None = None
    user: str | None = None
    stop: str | Sequence[str] | None = None
    stream: bool = False
    extra: Mapping[str, Any] = {}


def compose_chat(arguments: ChatArguments) -> dict[str, msgspec.Raw]:
    """The body's fields. Raises InvalidRequest for what cannot be written as JSON."""
    schema = arguments.output_schema
    fields: dict[str, Any] = {
        "model": arguments.model,
        "messages": _messages(arguments.prompt, arguments.system),
        "temperature": arguments.temperature,
        "max_completion_tokens": arguments.max_tokens,
        "tools": arguments.tools,
        "tool_choice": arguments.tool_choice,
        "response_format": None if schema is None else _format(schema),
        "user": arguments.user,
        "stop": arguments.stop,
        "stream": arguments.stream or None,
    }
    return _written(fields, arguments.extra)


def compose_embeddings(
    texts: str | Sequence[Any], model: str, dimensions: int | None = None, extra: Mapping[str, Any] | None = None
) -> dict[str, msgspec.Raw]:
    """The body's fields. Raises InvalidRequest for what cannot be written as JSON."""
    return _written({"model": model, "input": texts, "dimensions": dimensions}, extra or {})


def _written(fields: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, msgspec.Raw]:
    given = {name: value for name, value in fields.items() if value is not None}
    return {name: raw(value) for name, value in {**given, **extra}.items()}


def _messages(prompt: str | Sequence[Any], system: str | None) -> list[Any]:
    messages: list[Any] = [] if system is None else [{"role": "system", "content": system}]
    if isinstance(prompt, str):
        messages.append({"role": "user", "content": prompt})
    elif isinstance(prompt, Sequence) and not isinstance(prompt, bytes | bytearray):
        messages += [_message(message) if isinstance(message, Message) else message for message in prompt]
    else:
        raise InvalidRequest(
            "The prompt must be text or a list of messages.", do="Pass a string or a list.", param="messages"
        )
    return messages


def _message(message: Message) -> dict[str, Any]:
    """A turn in OpenAI form. Its reasoning is left out: no vendor of this dialect takes it back as text."""
    written: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.refusal:
        written["refusal"] = message.refusal
    if message.tool_calls:
        written["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        written["tool_call_id"] = message.tool_call_id
    return {**written, **message.extra}


def _tool_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _format(schema: Mapping[str, Any]) -> dict[str, Any]:
    wanted: dict[str, Any] = {"name": "output", "schema": schema}
    if fits_strict(schema):
        wanted["strict"] = True
    return {"type": "json_schema", "json_schema": wanted}
