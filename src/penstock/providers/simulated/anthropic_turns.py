"""The conversation of a messages request: checked as Anthropic checks it, in the shape the composer reads. Pure.

https://platform.claude.com/docs/en/api/messages/create
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from penstock.providers.simulated.anthropic_answer import signature_of
from penstock.providers.simulated.anthropic_failures import invalid

__all__ = ["read_system", "read_turns"]

Turn = dict[str, Any]

# Kinds of blocks beside those that are looked into below: carried along unread.
_OTHERS = frozenset((
    "redacted_thinking", "search_result", "server_tool_use", "web_search_tool_result", "web_fetch_tool_result",
    "code_execution_tool_result", "bash_code_execution_tool_result", "text_editor_code_execution_tool_result",
    "tool_search_tool_result", "mcp_tool_use", "mcp_tool_result", "container_upload", "compaction",
    "advisor_tool_result", "tool_addition", "tool_removal", "mcp_tool_listing", "fallback",
))  # fmt: skip
_BY_ROLE: Mapping[str, frozenset[str]] = {
    "user": frozenset(("text", "image", "document", "tool_result")) | _OTHERS,
    "assistant": frozenset(("text", "thinking", "tool_use")) | _OTHERS,
    # https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
    "system": frozenset(("text",)),
}
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_SOURCES: Mapping[str, tuple[str, ...]] = {
    "image": ("base64", "url", "file"),
    "document": ("base64", "text", "content", "url", "file"),
}
_ID = re.compile(r"[a-zA-Z0-9_-]+")


def read_system(system: Any) -> list[Turn]:
    """The `system` field as a turn of its own. Raises MessagesError."""
    if system is None or system == "":
        return []
    if isinstance(system, str):
        return [{"role": "system", "content": system}]
    if not isinstance(system, list):
        raise invalid("system: Input should be a valid string or list")
    for index, block in enumerate(system):
        if not isinstance(block, dict) or block.get("type") != "text" or not isinstance(block.get("text"), str):
            raise invalid(f"system.{index}.type: Input should be 'text'")
        _check_text(block["text"], "system")
    return [{"role": "system", "content": system}] if system else []


def read_turns(messages: list[Any]) -> list[Turn]:
    """The `messages` field. Raises MessagesError."""
    turns: list[Turn] = []
    called: list[str] = []
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        if not isinstance(message, dict):
            raise invalid(f"{where}: Input does not match the expected shape.")
        role = message.get("role")
        if not isinstance(role, str) or role not in _BY_ROLE:
            missing = "Field required" if role is None else "Input should be 'user', 'assistant' or 'system'"
            raise invalid(f"{where}.role: {missing}")
        if role == "system" and index == 0:
            raise invalid('messages: Unexpected role "system". The Messages API accepts a top-level `system` '
                          'parameter, not "system" as the first message\'s role.')  # fmt: skip
        for extra in message.keys() - {"role", "content"}:
            raise invalid(f"{where}.{extra}: Extra inputs are not permitted")
        blocks = _blocks(message, where)
        if not blocks and (role != "assistant" or index < len(messages) - 1):
            raise invalid(f"{where}: all messages must have non-empty content except for the optional final "
                          "assistant message")  # fmt: skip
        for number, block in enumerate(blocks):
            _check_block(block, role, f"{where}.content.{number}")
        _check_results(blocks, called, where)
        called = [block["id"] for block in blocks if block["type"] == "tool_use"]
        turns += _said(blocks) if role == "assistant" else _asked(blocks, role)
    return turns


def _blocks(message: Mapping[str, Any], where: str) -> list[Turn]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if content is None:
        raise invalid(f"{where}.content: Field required")
    if not isinstance(content, list):
        raise invalid(f"{where}.content: Input should be a valid list")
    for number, block in enumerate(content):
        if not isinstance(block, dict):
            raise invalid(f"{where}.content.{number}: Input should be a valid dictionary")
    return content


def _check_block(block: Turn, role: str, where: str) -> None:
    kind = block.get("type")
    if kind is None:
        raise invalid(f"{where}.type: Field required")
    if not isinstance(kind, str) or kind not in _BY_ROLE[role]:
        known = ", ".join(f"'{each}'" for each in sorted(_BY_ROLE[role]))
        raise invalid(
            f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {known}"
        )
    if kind == "text":
        if not isinstance(block.get("text"), str):
            raise invalid(f"{where}.text.text: Field required")
        _check_text(block["text"], "messages")
    elif kind == "thinking":
        _check_thinking(block, where)
    elif kind == "tool_use":
        _check_id(block.get("id"), f"{where}.tool_use.id")
        if not isinstance(block.get("name"), str) or not isinstance(block.get("input"), dict):
            raise invalid(f"{where}.tool_use.input: Input should be a valid dictionary")
    elif kind == "tool_result":
        _check_id(block.get("tool_use_id"), f"{where}.tool_result.tool_use_id")
    elif kind in _SOURCES:
        _check_source(block.get("source"), kind, f"{where}.{kind}.source")


def _check_text(text: str, where: str) -> None:
    if not text:
        raise invalid(f"{where}: text content blocks must be non-empty")


def _check_thinking(block: Turn, where: str) -> None:
    if not isinstance(block.get("thinking"), str) or not isinstance(block.get("signature"), str):
        raise invalid(f"{where}.thinking.signature: Field required")
    if block["signature"] != signature_of(block["thinking"]):
        raise invalid(f"{where}: Invalid `signature` in `thinking` block")


def _check_id(given: Any, where: str) -> None:
    if not isinstance(given, str):
        raise invalid(f"{where}: Field required")
    if _ID.fullmatch(given) is None:
        raise invalid(f"{where}: String should match pattern '^[a-zA-Z0-9_-]+$'")


def _check_source(source: Any, kind: str, where: str) -> None:
    if not isinstance(source, dict):
        raise invalid(f"{where}: Field required")
    if source.get("type") not in _SOURCES[kind]:
        known = ", ".join(f"'{each}'" for each in _SOURCES[kind])
        raise invalid(f"{where}: Input tag '{source.get('type')}' found using 'type' does not match any of the "
                      f"expected tags: {known}")  # fmt: skip
    if source["type"] == "base64":
        if not isinstance(source.get("data"), str):
            raise invalid(f"{where}.base64.data: Field required")
        known_types = _IMAGES if kind == "image" else ("application/pdf",)
        if source.get("media_type") not in known_types:
            known = ", ".join(f"'{each}'" for each in known_types)
            raise invalid(f"{where}.base64.media_type: Input should be {known}")


def _check_results(blocks: list[Turn], called: list[str], where: str) -> None:
    """Every call of the turn before has its result in this one, and no result is of another call."""
    answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    for id in answered:
        if id not in called:
            raise invalid(
                f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must "
                "have a corresponding `tool_use` block in the previous message."
            )
    missing = [id for id in called if id not in answered]
    if missing:
        raise invalid(
            f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}. "
            "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
        )


def _said(blocks: list[Turn]) -> list[Turn]:
    calls = [
        {"id": block["id"], "type": "function", "function": {"name": block["name"], "arguments": block["input"]}}
        for block in blocks
        if block["type"] == "tool_use"
    ]
    turn: Turn = {"role": "assistant", "content": [_part(block) for block in blocks if block["type"] != "tool_use"]}
    return [turn | {"tool_calls": calls}] if calls else [turn]


def _asked(blocks: list[Turn], role: str) -> list[Turn]:
    results = [block for block in blocks if block["type"] == "tool_result"]
    turns: list[Turn] = [
        {"role": "tool", "tool_call_id": block["tool_use_id"], "content": _result(block)} for block in results
    ]
    rest = [_part(block) for block in blocks if block["type"] != "tool_result"]
    return [*turns, {"role": role, "content": rest}] if rest else turns


def _result(block: Turn) -> Any:
    content = block.get("content")
    return [_part(each) for each in content if isinstance(each, dict)] if isinstance(content, list) else content or ""


def _part(block: Turn) -> Turn:
    kind = block.get("type")
    if kind == "image":
        return {"type": "image_url"}
    if kind == "document":
        source = block["source"] if isinstance(block.get("source"), dict) else {}
        return {"type": "text", "text": source.get("data")} if source.get("type") == "text" else {"type": "file"}
    return {"type": "text", "text": block.get("text") or block.get("thinking")} if kind in ("text", "thinking") else {}
