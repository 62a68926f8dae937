"""Chat requests to the simulated provider, read and refused as OpenAI's API reads and refuses them.

Only fields that change the answer are looked at; others ride along unread. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.providers.simulated.failures import ApiError
from penstock.providers.simulated.fields import check_range, invalid, missing, typed, whole, wrong_type

__all__ = ["ChatRequest", "ToolSpec", "begun_in", "read_chat", "text_of"]

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")


class ToolSpec(msgspec.Struct, frozen=True):
    """A function the model may call; `parameters` is a JSON schema."""

    name: str
    parameters: Any


class ChatRequest(msgspec.Struct):
    """A chat request as far as it matters here.

    Attributes:
        tool_choice: none, auto, required, or the name of a tool behind a `=`.
        schema: the JSON schema to answer under; `{"type": "object"}` for JSON mode, None for prose.
        top_logprobs: None without logprobs.
        effort: of reasoning; empty if not asked for.
        tier: what serves it, as the answer tells.
        begun: what the answer has already said: it goes on behind that.
    """

    model: str
    messages: list[dict[str, Any]]
    stream: bool = False
    include_usage: bool = False
    n: int = 1
    stop: list[str] = []
    max_tokens: int | None = None
    tools: list[ToolSpec] = []
    raw_tools: Any = None
    tool_choice: str = "auto"
    parallel: bool = True
    schema: Any = None
    top_logprobs: int | None = None
    effort: str = ""
    tier: str = "default"
    begun: str = ""


def text_of(content: Any) -> str:
    """The text of a message's content, its parts joined."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return " ".join(text for text in texts if isinstance(text, str))


def begun_in(messages: list[Any], *, plain: bool) -> str:
    """The beginning of the answer, where the last message is one: Anthropic's older models go on with any such turn
    (`plain`), others with one that is marked, as Mistral has it: `"prefix": true`."""
    last = messages[-1] if messages else None
    if not isinstance(last, dict) or last.get("role") != "assistant" or last.get("tool_calls"):
        return ""
    return text_of(last.get("content")) if plain or last.get("prefix") is True else ""


def read_chat(fields: Mapping[str, Any], model: str) -> ChatRequest:
    """Check and read a chat request.

    Raises:
        ApiError: 400, naming the parameter.
    """
    request = ChatRequest(model=model, messages=_messages(fields))
    request.begun = begun_in(request.messages, plain=False)
    request.stream = bool(typed(fields, "stream", bool, False))
    options = typed(fields, "stream_options", dict, None)
    if options is not None:
        if not request.stream:
            raise ApiError(
                400,
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
                param="stream_options",
            )
        request.include_usage = bool(options.get("include_usage"))
    request.n = whole(fields, "n", 1, 128) or 1
    request.max_tokens = whole(fields, "max_completion_tokens", 1, 10**9) or whole(fields, "max_tokens", 1, 10**9)
    request.stop = _stop(fields.get("stop"))
    check_range(fields, "temperature", 0, 2)
    check_range(fields, "top_p", 0, 1)
    _read_tools(request, fields)
    request.schema = _schema(fields, request.messages)
    if typed(fields, "logprobs", bool, False):
        request.top_logprobs = whole(fields, "top_logprobs", 0, 20) or 0
    effort = typed(fields, "reasoning_effort", str, "")
    if effort and effort not in _EFFORTS:
        supported = ", ".join(f"'{each}'" for each in _EFFORTS)
        raise invalid("reasoning_effort", f"'{effort}'. Supported values are: {supported}", "invalid_value")
    request.effort = effort or ""
    if fields.get("service_tier") in ("flex", "priority"):
        request.tier = fields["service_tier"]
    return request


def _messages(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] | None = typed(fields, "messages", list, None)
    if messages is None:
        raise missing("messages")
    if not messages:
        raise ApiError(
            400,
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            param="messages",
            code="empty_array",
        )
    calls_before = False
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise wrong_type(where, "an object", message)
        role = message.get("role")
        if role is None:
            raise missing(f"{where}.role")
        if role not in _ROLES:
            supported = ", ".join(f"'{each}'" for each in _ROLES)
            raise invalid(f"{where}.role", f"'{role}'. Supported values are: {supported}", "invalid_value")
        if role == "tool" and not calls_before:
            raise ApiError(
                400,
                f"Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                f"'tool_calls'. (at {where})",
                param=f"{where}.role",
            )
        calls_before = bool(message.get("tool_calls")) or (role == "tool" and calls_before)
        _check_content(message, where)
    return messages


def _check_content(message: Mapping[str, Any], where: str) -> None:
    content = message.get("content")
    if content is None:
        if message["role"] != "assistant":
            raise wrong_type(f"{where}.content", "one of a string or array of objects", None)
    elif isinstance(content, list):
        for index, part in enumerate(content):
            if not isinstance(part, dict):
                raise wrong_type(f"{where}.content[{index}]", "an object", part)
            if "type" not in part:
                raise missing(f"{where}.content[{index}].type")
    elif not isinstance(content, str):
        raise wrong_type(f"{where}.content", "one of a string or array of objects", content)


def _stop(given: Any) -> list[str]:
    stops = [given] if isinstance(given, str) else given or []
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise wrong_type("stop", "one of a string or array of strings", given)
    if len(stops) > 4:
        raise ApiError(
            400,
            f"Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length "
            f"{len(stops)} instead.",
            param="stop",
            code="array_above_max_length",
        )
    return [stop for stop in stops if stop]


def _read_tools(request: ChatRequest, fields: Mapping[str, Any]) -> None:
    tools = typed(fields, "tools", list, None) or []
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict):
            raise missing(f"tools[{index}].function")
        name = function.get("name")
        if not isinstance(name, str) or not name:
            raise missing(f"tools[{index}].function.name")
        request.tools.append(ToolSpec(name, function.get("parameters") or {"type": "object"}))
    request.raw_tools = tools
    request.parallel = typed(fields, "parallel_tool_calls", bool, True) is not False
    choice = fields.get("tool_choice")
    if choice is None:
        request.tool_choice = "auto" if tools else "none"
        return
    if not tools:
        raise ApiError(
            400, "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
            param="tool_choice",
        )  # fmt: skip
    request.tool_choice = _tool_choice(choice, request)


def _tool_choice(choice: Any, request: ChatRequest) -> str:
    if choice in ("none", "auto", "required"):
        return str(choice)
    named = choice.get("function") if isinstance(choice, dict) else None
    name = named.get("name") if isinstance(named, dict) else None
    if name is None:
        raise invalid("tool_choice", "Supported values are: 'none', 'auto', 'required' or a function", "invalid_value")
    if name not in [tool.name for tool in request.tools]:
        raise ApiError(
            400,
            f"Tool choice '{name}' not found in 'tools' parameter.",
            param="tool_choice",
        )
    return f"={name}"


def _schema(fields: Mapping[str, Any], messages: list[dict[str, Any]]) -> Any:
    wanted = typed(fields, "response_format", dict, None)
    kind = wanted.get("type") if wanted is not None else "text"
    if wanted is None or kind == "text":
        return None
    if kind == "json_object":
        if not any("json" in text_of(message.get("content")).lower() for message in messages):
            raise ApiError(
                400,
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
                param="messages",
            )
        return _ANY_OBJECT
    if kind != "json_schema":
        values = "'json_object', 'json_schema', and 'text'"
        raise invalid("response_format.type", f"'{kind}'. Supported values are: {values}", "invalid_value")
    spec = wanted.get("json_schema")
    if not isinstance(spec, dict):
        raise missing("response_format.json_schema")
    if not isinstance(spec.get("name"), str):
        raise missing("response_format.json_schema.name")
    return spec.get("schema") or {"type": "object"}


# What JSON mode answers with, where nobody says which fields.
_ANY_OBJECT = {
    "type": "object",
    "properties": {
        "answer": {"type": "string"},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "items": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
    },
    "required": ["answer"],
}
