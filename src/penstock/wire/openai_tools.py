"""Tools and the choice among them in OpenAI's words, both ways, with the older `functions` they replaced.

https://platform.openai.com/docs/api-reference/chat/create: `tools`, `tool_choice`, `functions`, `function_call`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.errors import InvalidRequest
from penstock.prompt import Prompt, Tool, ToolChoice
from penstock.wire.openai_checks import Notes, array, flag, mapping, missing, text, word, wrong_type
from penstock.wire.openai_media import read_cached
from penstock.wire.openai_schema import fits_strict
from penstock.wire.translation import Losses

__all__ = ["read_choice", "read_tools", "write_choice", "write_tools"]

_FUNCTION = ("name", "description", "parameters", "strict", "cache_control")
_CUSTOM = ("name", "description", "format", "cache_control")


def read_tools(values: dict[str, Any], notes: Notes) -> list[Tool]:
    """The tools under `tools`, and those under `functions`. Raises InvalidRequest."""
    tools = []
    for at, value in enumerate(array(values["tools"], "tools") if "tools" in values else ()):
        tools.append(_tool(mapping(value, f"tools[{at}]"), f"tools[{at}]", notes))
    for at, value in enumerate(array(values["functions"], "functions") if "functions" in values else ()):
        notes.met("tools", "functions")
        tools.append(_function(mapping(value, f"functions[{at}]"), f"functions[{at}]", notes))
    return tools


def read_choice(values: dict[str, Any], tools: list[Tool], notes: Notes) -> ToolChoice | None:
    """What `tool_choice` or the older `function_call` says; None where it says nothing.

    Raises:
        InvalidRequest: also where a tool is named that is not among `tools`.
    """
    name = "tool_choice" if "tool_choice" in values else "function_call"
    value = values.get(name)
    if value is None:
        return None
    choice = _named(value, name) if isinstance(value, dict) else _mode(value, name)
    if not tools:
        if choice.mode in ("auto", "none"):
            return None
        raise InvalidRequest(
            f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.",
            do="Send the tools, or leave it out.",
            param=name,
        )
    names = {tool.name for tool in tools}
    for wanted in (choice.name, *choice.allowed):
        if wanted and wanted not in names:
            raise InvalidRequest(
                f"Invalid '{name}': tool '{wanted[:64]}' not found in 'tools'.", do="Mend the request.", param=name
            )
    notes.met("tool_choice", name)
    if choice.allowed:
        notes.met("allowed_tools", name)
    return choice


def write_tools(prompt: Prompt, losses: Losses) -> list[dict[str, Any]]:
    """The tools, without those that another vendor runs. A schema that strict mode refuses is asked for without it."""
    written: list[dict[str, Any]] = []
    for tool in prompt.tools:
        inner: dict[str, Any] = {"name": tool.name}
        if tool.description is not None:
            inner["description"] = tool.description
        if tool.kind == "custom":
            if tool.grammar is not None:
                inner["format"] = tool.grammar
            written.append({"type": "custom", "custom": inner})
        elif tool.kind == "function":
            inner["parameters"] = tool.schema
            if tool.strict is not None:
                if not tool.strict or fits_strict(tool.schema):
                    inner["strict"] = tool.strict
                else:
                    losses.drop(prompt.given.get("tool_strict", "strict"))
            written.append({"type": "function", "function": inner})
    return written


def write_choice(prompt: Prompt) -> Any:
    """What `tool_choice` says, None for nothing."""
    choice = prompt.tool_choice
    if choice is None:
        return None
    kinds = {tool.name: tool.kind for tool in prompt.tools if tool.kind != "server"}
    if choice.mode == "tool":
        return _reference(choice.name, kinds)
    if choice.allowed:
        tools = [_reference(name, kinds) for name in choice.allowed if name in kinds]
        mode = "required" if choice.mode == "required" else "auto"
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}
    return choice.mode


def _reference(name: str, kinds: Mapping[str, str]) -> dict[str, Any]:
    kind = kinds.get(name, "function")
    return {"type": kind, kind: {"name": name}}


def _tool(value: dict[str, Any], path: str, notes: Notes) -> Tool:
    kind = value.get("type")
    if kind is None and "function" in value:  # Mistral and others let it be left out
        kind = "function"
    kind = text(kind, f"{path}.type")
    if kind == "function":
        notes.met("tools", "tools")
        notes.rest(value, ("type", "function", "cache_control"), path)
        tool = _function(mapping(value.get("function"), f"{path}.function"), f"{path}.function", notes)
        if tool.cached is None:
            tool.cached = read_cached(value, path, notes)
        return tool
    if kind != "custom":
        notes.met("server_tools", path)
        return Tool(name=kind, kind="server", value=value)
    notes.met("custom_tools", path)
    notes.rest(value, ("type", "custom"), path)
    place = f"{path}.custom"
    custom = mapping(value.get("custom"), place)
    notes.rest(custom, _CUSTOM, place)
    return Tool(
        name=_name(custom, place),
        description=_description(custom, place),
        kind="custom",
        grammar=custom.get("format"),
        cached=read_cached(custom, place, notes),
    )


def _function(value: dict[str, Any], path: str, notes: Notes) -> Tool:
    notes.rest(value, _FUNCTION, path)
    schema = value.get("parameters")
    strict = value.get("strict")
    if strict is not None and flag(strict, f"{path}.strict"):
        notes.met("tool_strict", f"{path}.strict")
    return Tool(
        name=_name(value, path),
        description=_description(value, path),
        # "Omitting `parameters` defines a function with an empty parameter list."
        schema={"type": "object", "properties": {}} if schema is None else mapping(schema, f"{path}.parameters"),
        strict=strict,
        cached=read_cached(value, path, notes),
    )


def _name(value: dict[str, Any], path: str) -> str:
    name = text(value.get("name"), f"{path}.name")
    if not name:
        raise missing(f"{path}.name")
    return name


def _description(value: dict[str, Any], path: str) -> str | None:
    description = value.get("description")
    return None if description is None else text(description, f"{path}.description")


def _mode(value: Any, path: str) -> ToolChoice:
    if not isinstance(value, str):
        raise wrong_type(path, "one of a string or object", value)
    if value == "any":  # Mistral's word for it
        return ToolChoice(mode="required")
    mode = word(value, path, ("none", "auto", "required") if path == "tool_choice" else ("none", "auto"))
    return ToolChoice(mode="required" if mode == "required" else "none" if mode == "none" else "auto")


def _named(value: dict[str, Any], path: str) -> ToolChoice:
    if path == "function_call":
        return ToolChoice(mode="tool", name=_name(value, path))
    kind = word(value.get("type", "function"), f"{path}.type", ("function", "custom", "allowed_tools"))
    place = f"{path}.{kind}"
    inner = mapping(value.get(kind), place)
    if kind != "allowed_tools":
        return ToolChoice(mode="tool", name=_name(inner, place))
    mode = word(inner.get("mode"), f"{place}.mode", ("auto", "required"))
    allowed = []
    for at, reference in enumerate(array(inner.get("tools"), f"{place}.tools")):
        where = f"{place}.tools[{at}]"
        kind = word(mapping(reference, where).get("type", "function"), f"{where}.type", ("function", "custom"))
        allowed.append(_name(mapping(reference.get(kind), f"{where}.{kind}"), f"{where}.{kind}"))
    if not allowed:
        raise missing(f"{place}.tools")
    return ToolChoice(mode="required" if mode == "required" else "auto", allowed=allowed)
