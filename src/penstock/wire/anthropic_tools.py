"""Tools and the choice among them in Anthropic's words, both ways.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools. A tool with a `type` of Anthropic's own is
one that only its models know how to use, whoever runs it.
"""

from __future__ import annotations

from typing import Any

from penstock.prompt import Prompt, Tool, ToolChoice
from penstock.wire.anthropic_checks import array, flag, invalid, mapping, maybe_text, text, word
from penstock.wire.anthropic_media import mark, read_cached
from penstock.wire.anthropic_schema import fits, input_schema
from penstock.wire.openai_checks import Notes
from penstock.wire.translation import Losses

__all__ = ["is_forced", "read_choice", "read_tools", "write_choice", "write_tools"]

_TOOL = ("type", "name", "description", "input_schema", "strict", "cache_control")
_MODES = {"auto": "auto", "any": "required", "tool": "tool", "none": "none"}
_WORDS = {mode: kind for kind, mode in _MODES.items()}


def read_tools(value: Any, notes: Notes) -> list[Tool]:
    """The tools. Raises InvalidRequest."""
    if value is None:
        return []
    return [_tool(mapping(tool, f"tools.{at}"), f"tools.{at}", notes) for at, tool in enumerate(array(value, "tools"))]


def read_choice(value: Any, tools: list[Tool], notes: Notes) -> tuple[ToolChoice | None, bool | None]:
    """What `tool_choice` says, and whether tools may be called in parallel; None for what it doesn't say.

    Raises:
        InvalidRequest: also where a tool is named that is not among `tools`.
    """
    if value is None:
        return None, None
    choice = mapping(value, "tool_choice")
    mode: Any = _MODES[word(choice.get("type"), "tool_choice.type", tuple(_MODES))]
    notes.rest(choice, ("type", "name", "disable_parallel_tool_use"), "tool_choice")
    name = text(choice.get("name"), "tool_choice.name") if mode == "tool" else ""
    alone = choice.get("disable_parallel_tool_use")
    if alone is not None:
        flag(alone, "tool_choice.disable_parallel_tool_use")
    if not tools:
        if mode in ("required", "tool"):
            raise invalid("tool_choice", "may only be specified while providing `tools`")
        return None, None
    if name and name not in {tool.name for tool in tools}:
        raise invalid("tool_choice.name", f"Tool '{name[:64]}' not found in provided tools")
    notes.met("tool_choice", "tool_choice")
    if alone is not None:
        notes.met("parallel_tool_calls", "tool_choice.disable_parallel_tool_use")
    return ToolChoice(mode=mode, name=name), None if alone is None else not alone


def write_tools(prompt: Prompt, losses: Losses) -> list[dict[str, Any]]:
    """The tools that Anthropic's models can call; where only some are allowed, those. `strict` where it is taken."""
    choice = prompt.tool_choice
    allowed = set(choice.allowed) if choice is not None else set()
    written = []
    for tool in prompt.tools:
        if tool.kind != "function" or (allowed and tool.name not in allowed):
            continue
        one: dict[str, Any] = {"name": tool.name, "input_schema": input_schema(tool.schema)}
        if tool.description:
            one["description"] = tool.description
        if tool.strict:
            if fits(one["input_schema"]):
                one["strict"] = True
            else:
                losses.lose("tool_strict", prompt.given.get("tool_strict", "strict"))
        written.append(mark(one, tool.cached))
    return written


def write_choice(prompt: Prompt, tools: list[dict[str, Any]], losses: Losses) -> dict[str, Any] | None:
    """What `tool_choice` says, None for nothing. Raises InvalidRequest for a tool that cannot be asked for here."""
    choice = prompt.tool_choice
    alone = prompt.parallel_tool_calls is False
    if choice is None:
        return {"type": "auto", "disable_parallel_tool_use": True} if alone else None
    written: dict[str, Any] = {"type": _WORDS[choice.mode]}
    if choice.mode == "tool":
        if choice.name not in [tool["name"] for tool in tools]:
            losses.refuse(prompt.given.get("tool_choice", "tool_choice"))
            return None
        written["name"] = choice.name
    if alone and choice.mode != "none":
        written["disable_parallel_tool_use"] = True
    return written


def is_forced(choice: dict[str, Any] | None) -> bool:
    """Whether it makes the model call a tool."""
    return choice is not None and choice["type"] in ("any", "tool")


def _tool(value: dict[str, Any], path: str, notes: Notes) -> Tool:
    kind = maybe_text(value.get("type"), f"{path}.type") or "custom"
    if kind != "custom":
        notes.met("server_tools", path)
        return Tool(name=maybe_text(value.get("name"), f"{path}.name") or kind, kind="server", value=value)
    notes.met("tools", "tools")
    notes.rest(value, _TOOL, path)
    name = text(value.get("name"), f"{path}.name")
    if not name:
        raise invalid(f"{path}.name", "String should have at least 1 character")
    strict = value.get("strict")
    if strict is not None and flag(strict, f"{path}.strict"):
        notes.met("tool_strict", f"{path}.strict")
    return Tool(
        name=name,
        description=maybe_text(value.get("description"), f"{path}.description"),
        schema=mapping(value.get("input_schema"), f"{path}.input_schema"),
        strict=strict,
        cached=read_cached(value, path, notes),
    )
