"""The messages and the system prompt of an Anthropic request as the vocabulary's turns.

https://platform.claude.com/docs/en/api/messages/create. Blocks that only Anthropic itself understands (its servers'
tools and what they gave, compaction, changes of tools) are kept as they are: `Foreign`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import msgspec

from penstock.prompt import Document, Foreign, Image, Part, Reasoning, Text, ToolResult, ToolUse, Turn
from penstock.wire.anthropic_checks import array, flag, invalid, mapping, missing, text, word
from penstock.wire.anthropic_media import read_cached, read_document, read_image, read_search_result
from penstock.wire.openai_checks import Notes

__all__ = ["FAMILY", "read_system", "read_turns"]

FAMILY = "anthropic_messages"
_UNSEALED = "openai_chat"  # thoughts without a seal are no model's of Anthropic

_ROLES = ("user", "assistant", "system")
_MESSAGE = ("role", "content")
_TEXT = ("type", "text", "cache_control", "citations")
_THINKING = ("type", "thinking", "signature")
_REDACTED = ("type", "data")
_USE = ("type", "id", "name", "input", "cache_control", "caller", "toolset_name")
_RESULT = ("type", "tool_use_id", "content", "is_error", "cache_control", "toolset_name")


def read_system(value: Any, notes: Notes) -> list[Turn]:
    """The system prompt as the first turn; none where it is empty. Raises InvalidRequest."""
    if value is None or value == "" or value == []:
        return []
    notes.met("system", "system")
    if not isinstance(value, str | list):
        raise invalid("system", "Input should be a valid string or a valid list")
    return [Turn(role="system", parts=_content(value, "system", _SYSTEM_BLOCKS, notes))]


def read_turns(value: Any, notes: Notes) -> list[Turn]:
    """The turns, in order. Raises InvalidRequest."""
    messages = array(value, "messages")
    if not messages:
        raise invalid("messages", "at least one message is required")
    turns = []
    for at, value in enumerate(messages):
        path = f"messages.{at}"
        message = mapping(value, path)
        notes.rest(message, _MESSAGE, path)
        role = cast('Literal["system", "user", "assistant"]', word(message.get("role"), f"{path}.role", _ROLES))
        if role == "system":
            notes.met("system", path)
        content = message.get("content")
        if not isinstance(content, str | list):
            raise _no_content(content, f"{path}.content")
        if not content and not (role == "assistant" and at == len(messages) - 1):
            raise invalid(
                path, "all messages must have non-empty content except for the optional final assistant message"
            )
        turns.append(Turn(role=role, parts=_content(content, f"{path}.content", _BLOCKS[role], notes)))
    return turns


def _no_content(content: Any, path: str) -> Exception:
    return missing(path) if content is None else invalid(path, "Input should be a valid string or a valid list")


_Reader = Callable[[dict[str, Any], str, Notes], list[Part]]


def _content(content: Any, path: str, kinds: Mapping[str, _Reader], notes: Notes) -> list[Part]:
    if isinstance(content, str):
        if not content:
            return []
        notes.met("text", path)
        return [Text(text=content)]
    parts: list[Part] = []
    for at, value in enumerate(content):
        place = f"{path}.{at}"
        block = mapping(value, place)
        kind = text(block.get("type"), f"{place}.type")
        read = kinds.get(kind)
        if read is not None:
            parts += read(block, place, notes)
        elif kind in _KNOWN:
            raise invalid(f"{place}.type", f"`{kind}` blocks are not allowed here")
        else:
            parts += _foreign(block, place, notes)
    return parts


def _foreign(block: dict[str, Any], path: str, notes: Notes) -> list[Part]:
    notes.met("foreign_parts", path)
    return [Foreign(kind=block["type"], family=FAMILY, value=block)]


def _text(block: dict[str, Any], path: str, notes: Notes) -> list[Part]:
    notes.met("text", path)
    notes.rest(block, _TEXT, path)
    citations = block.get("citations")
    if citations:
        notes.met("citation_history", f"{path}.citations")
        array(citations, f"{path}.citations")
    said = text(block.get("text"), f"{path}.text")
    return [Text(text=said, cached=read_cached(block, path, notes), citations=citations or [])]


def _image(block: dict[str, Any], path: str, notes: Notes) -> list[Part]:
    return [read_image(block, path, notes)]


def _document(block: dict[str, Any], path: str, notes: Notes) -> list[Part]:
    return [*read_document(block, path, notes)]


def _search_result(block: dict[str, Any], path: str, notes: Notes) -> list[Part]:
    return [read_search_result(block, path, notes)]


def _thinking(block: dict[str, Any], path: str, notes: Notes) -> list[Part]:
    notes.met("thinking_history", path)
    notes.rest(block, _THINKING, path)
    said = text(block.get("thinking"), f"{path}.thinking")
    seal = block.get("signature")
    signature = "" if seal is None else text(seal, f"{path}.signature")
    return [Reasoning(text=said, signature=signature, family=FAMILY if signature else _UNSEALED)]


def _redacted(block: dict[str, Any], path: str, notes: Notes) -> list[Part]:
    notes.met("thinking_history", path)
    notes.rest(block, _REDACTED, path)
    return [Reasoning(redacted=text(block.get("data"), f"{path}.data"), family=FAMILY)]


def _tool_use(block: dict[str, Any], path: str, notes: Notes) -> list[Part]:
    notes.rest(block, _USE, path)
    arguments = mapping(block.get("input"), f"{path}.input")
    return [
        ToolUse(
            id=_named(block, "id", path),
            name=_named(block, "name", path),
            arguments=msgspec.json.encode(arguments).decode(),
            cached=read_cached(block, path, notes),
        )
    ]


def _tool_result(block: dict[str, Any], path: str, notes: Notes) -> list[Part]:
    notes.met("tool_results", path)
    notes.rest(block, _RESULT, path)
    content = block.get("content")
    if content is not None and not isinstance(content, str | list):
        raise _no_content(content, f"{path}.content")
    parts = _content(content or [], f"{path}.content", _RESULT_BLOCKS, notes)
    shown: list[Text | Image | Document] = [part for part in parts if isinstance(part, Text | Image | Document)]
    if any(isinstance(part, Image) for part in shown):
        notes.met("tool_result_images", f"{path}.content")
    failed = flag(block.get("is_error"), f"{path}.is_error")
    if failed:
        notes.met("tool_errors", f"{path}.is_error")
    return [
        ToolResult(
            id=_named(block, "tool_use_id", path),
            parts=shown,
            is_error=failed,
            cached=read_cached(block, path, notes),
        )
    ]


def _tool_reference(block: dict[str, Any], path: str, notes: Notes) -> list[Part]:
    """A tool that a search of the caller's own has found. Elsewhere every tool is at hand, so its name says it all.

    https://platform.claude.com/docs/en/agents-and-tools/tool-use/tool-search-tool
    """
    return [Text(text=f"Found the tool {_named(block, 'tool_name', path)}.", cached=read_cached(block, path, notes))]


def _named(block: dict[str, Any], name: str, path: str) -> str:
    value = text(block.get(name), f"{path}.{name}")
    if not value:
        raise invalid(f"{path}.{name}", "String should have at least 1 character")
    return value


_SYSTEM_BLOCKS: Mapping[str, _Reader] = {"text": _text}
_RESULT_BLOCKS: Mapping[str, _Reader] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "tool_reference": _tool_reference,
}
_USER_BLOCKS: Mapping[str, _Reader] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "tool_result": _tool_result,
}
_ASSISTANT_BLOCKS: Mapping[str, _Reader] = {
    "text": _text,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
}
_BLOCKS = {"system": _SYSTEM_BLOCKS, "user": _USER_BLOCKS, "assistant": _ASSISTANT_BLOCKS}
_KNOWN = frozenset((*_RESULT_BLOCKS, *_USER_BLOCKS, *_ASSISTANT_BLOCKS))
