"""Messages requests to the simulated provider, read and refused as Anthropic's API reads and refuses them. Pure.

A conversation is turned into the shape that the composer of answers reads (OpenAI's), so that one composer serves
both. Unlike OpenAI's side this one is strict: Anthropic refuses what it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.providers.simulated.anthropic_failures import MessagesError, invalid
from penstock.providers.simulated.anthropic_turns import read_system, read_turns
from penstock.providers.simulated.request import ChatRequest, ToolSpec, begun_in

__all__ = ["read_counted", "read_messages"]

# https://platform.claude.com/docs/en/api/messages/create, beta fields included.
_FIELDS = frozenset((
    "model", "messages", "max_tokens", "system", "stream", "stop_sequences", "temperature", "top_k", "top_p", "tools",
    "tool_choice", "thinking", "output_config", "output_format", "metadata", "service_tier", "cache_control",
    "container", "context_management", "inference_geo", "mcp_servers", "speed", "user_profile_id", "diagnostics",
    "billing_policy", "compaction", "fallback_credit_token", "fallbacks", "thread",
))  # fmt: skip
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_LEAST_BUDGET = 1024
_KINDS: Mapping[type, str] = {int: "integer", bool: "boolean", str: "string", list: "list", dict: "dictionary"}


def read_messages(fields: Mapping[str, Any], model: str) -> ChatRequest:
    """Check and read a request for a message.

    Raises:
        MessagesError: 400, naming the field.
    """
    most = _typed(fields, "max_tokens", int)
    if most is None:
        raise invalid("max_tokens: Field required")
    if most < 1:
        raise invalid("max_tokens: Input should be greater than or equal to 1")
    request = read_counted(fields, model)
    request.max_tokens = most
    request.stream = bool(_typed(fields, "stream", bool))
    _read_sampling(request, fields)
    _read_thinking(request, fields, most)
    return request


def read_counted(fields: Mapping[str, Any], model: str) -> ChatRequest:
    """Check and read what counts as input: the conversation, the tools and the schema.

    Raises:
        MessagesError: 400, naming the field.
    """
    for name in fields:
        if name not in _FIELDS:
            raise invalid(f"{name}: Extra inputs are not permitted")
    if fields.get("thread") is not None:
        raise _unthreaded()
    messages = _typed(fields, "messages", list)
    if messages is None:
        raise invalid("messages: Field required")
    if not messages:
        raise invalid("messages: at least one message is required")
    request = ChatRequest(model=model, messages=read_system(fields.get("system")) + read_turns(messages))
    request.begun = begun_in(messages, plain=True)
    _read_tools(request, fields)
    request.schema = _schema(fields)
    return request


def _unthreaded() -> MessagesError:
    """No conversation is kept here. https://platform.claude.com/docs/en/build-with-claude/message-threads"""
    error = invalid("thread: message threads are not available for this organization")
    error.details = {"error_code": "thread_unsupported_request"}
    return error


def _typed(fields: Mapping[str, Any], name: str, kind: type) -> Any:
    value = fields.get(name)
    if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise invalid(f"{name}: Input should be a valid {_KINDS[kind]}")
    return value


def _read_sampling(request: ChatRequest, fields: Mapping[str, Any]) -> None:
    for name in ("temperature", "top_p"):
        value = fields.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise invalid(f"{name}: Input should be a valid number")
        if not 0 <= value <= 1:
            raise invalid(f"{name}: range: 0..1")
    stops = _typed(fields, "stop_sequences", list) or []
    for index, stop in enumerate(stops):
        if not isinstance(stop, str):
            raise invalid(f"stop_sequences.{index}: Input should be a valid string")
        if not stop.strip():
            raise invalid("stop_sequences: each stop sequence must contain non-whitespace")
    request.stop = stops


def _read_thinking(request: ChatRequest, fields: Mapping[str, Any], most: int) -> None:
    effort = (_typed(fields, "output_config", dict) or {}).get("effort")
    if effort is not None and effort not in _EFFORTS:
        raise invalid("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    thinking = _typed(fields, "thinking", dict)
    if thinking is None:
        return
    kind = thinking.get("type")
    if kind in ("disabled", "between_tools"):
        request.effort = "none"
        return
    if kind == "adaptive":
        request.effort = effort or "high"
    elif kind == "enabled":
        request.effort = _budget(thinking.get("budget_tokens"), most)
    else:
        raise invalid(f"thinking: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
                      "'adaptive', 'between_tools', 'disabled', 'enabled'")  # fmt: skip
    # https://platform.claude.com/docs/en/build-with-claude/extended-thinking#feature-compatibility
    if fields.get("temperature") not in (None, 1):
        raise invalid("`temperature` may only be set to 1 when thinking is enabled.")
    if fields.get("top_k") is not None:
        raise invalid("`top_k` must be unset when thinking is enabled.")
    if request.tool_choice == "required" or request.tool_choice.startswith("="):
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")


def _budget(tokens: Any, most: int) -> str:
    if isinstance(tokens, bool) or not isinstance(tokens, int):
        raise invalid("thinking.enabled.budget_tokens: Field required")
    if tokens < _LEAST_BUDGET:
        raise invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if tokens >= most:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")
    return "low" if tokens <= 2048 else "medium" if tokens <= 8192 else "high"


def _read_tools(request: ChatRequest, fields: Mapping[str, Any]) -> None:
    tools = _typed(fields, "tools", list) or []
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise invalid(f"tools.{index}: Input should be a valid dictionary")
        if not isinstance(tool.get("name"), str) and tool.get("type") != "mcp_toolset":
            raise invalid(f"tools.{index}.custom.name: Field required")
        if tool.get("type") not in (None, "custom"):
            continue  # a tool that Anthropic runs, or whose schema it knows: never called here
        if not isinstance(tool.get("input_schema"), dict):
            raise invalid(f"tools.{index}.custom.input_schema: Field required")
        if tool["input_schema"].get("type") != "object":
            raise invalid(f"tools.{index}.custom.input_schema.type: Input should be 'object'")
        request.tools.append(ToolSpec(tool["name"], tool["input_schema"]))
    request.raw_tools = tools
    choice = _typed(fields, "tool_choice", dict)
    request.tool_choice = "auto" if tools else "none"
    if choice is not None:
        if not tools:
            raise invalid("tool_choice may only be specified while providing tools.")
        request.parallel = choice.get("disable_parallel_tool_use") is not True
        request.tool_choice = _tool_choice(choice, [tool.get("name") for tool in tools])


def _tool_choice(choice: Mapping[str, Any], names: list[Any]) -> str:
    kind = choice.get("type")
    if kind in ("auto", "none"):
        return str(kind)
    if kind == "any":
        return "required"
    if kind != "tool":
        raise invalid(f"tool_choice: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
                      "'auto', 'any', 'tool', 'none'")  # fmt: skip
    if choice.get("name") not in names:
        raise invalid(f"Tool '{choice.get('name')}' not found in provided tools")
    return f"={choice['name']}"


def _schema(fields: Mapping[str, Any]) -> Any:
    where = "output_config.format"
    wanted = (_typed(fields, "output_config", dict) or {}).get("format")
    if wanted is None:
        where, wanted = "output_format", _typed(fields, "output_format", dict)
    if wanted is None:
        return None
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        raise invalid(f"{where}.type: Input should be 'json_schema'")
    if not isinstance(wanted.get("schema"), dict):
        raise invalid(f"{where}.schema: Field required")
    return wanted["schema"]
