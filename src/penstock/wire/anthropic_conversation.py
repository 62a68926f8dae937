"""The vocabulary's turns as Anthropic's system prompt and messages.

https://platform.claude.com/docs/en/api/openai-sdk: as in Anthropic's own layer for OpenAI's clients, system messages
are gathered at the top, wherever they stood. Turns of one role that follow each other become one message, as the API
itself would combine them; the results of tools come first in theirs, where it expects them.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from penstock.prompt import Document, Image, Part, Prompt, Reasoning, Refusal, Text, ToolResult, ToolUse
from penstock.wire.anthropic_media import mark, write_document, write_image
from penstock.wire.anthropic_turns import FAMILY
from penstock.wire.dialect import ModelFacts
from penstock.wire.plain_json import plain
from penstock.wire.tolerant_json import decode_tolerant
from penstock.wire.translation import Losses

__all__ = ["in_tool_loop", "tool_input", "write_conversation"]

_ID = re.compile(r"[^a-zA-Z0-9_-]")
_THOUGHTS = ("thinking", "redacted_thinking")


def write_conversation(
    prompt: Prompt, facts: ModelFacts, losses: Losses
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The blocks of the system prompt and the messages. What has nothing but a system prompt is asked by it.

    Raises:
        InvalidRequest: the model reads no pictures or files, and one of the turns holds some.
    """
    writer = _Conversation(prompt, facts, losses)
    system: list[dict[str, Any]] = []
    for turn in prompt.turns:
        if turn.role == "system":
            system += [block for part in turn.parts for block in writer.part(part)]
        else:
            writer.add(turn.role, [block for part in turn.parts for block in writer.part(part)])
    for message in writer.messages:
        _put_results_first(message["content"])
    if not writer.messages and system:
        return [], [{"role": "user", "content": system}]
    if writer.messages and writer.messages[-1]["role"] == "assistant":
        _trim(writer.messages[-1]["content"])
    return system, writer.messages


def in_tool_loop(messages: list[dict[str, Any]]) -> bool:
    """Whether the last assistant's turn called tools without having thought, or is itself to be continued.

    To a model with a budget for thinking that is no turn in which to think:
    https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks
    """
    if messages and messages[-1]["role"] == "assistant":
        return True
    for message in reversed(messages):
        if message["role"] == "assistant":
            kinds = [block["type"] for block in message["content"]]
            return "tool_use" in kinds and kinds[0] not in _THOUGHTS
    return False


def tool_input(arguments: str) -> Any:
    """A call's arguments as the object that Anthropic wants: what is none becomes the field `input` of one.

    Some servers begin with an empty object and put the arguments behind it (Venice, by OpenRouter).
    """
    while arguments[:2] == "{}":
        arguments = arguments[2:]
    if not arguments.strip():
        return {}
    try:
        if isinstance(msgspec.json.decode(arguments), dict):
            return msgspec.Raw(arguments.encode())  # numbers stay as they were written
    except (ValueError, RecursionError):
        pass
    try:
        value = decode_tolerant(arguments.encode("utf-8", "surrogatepass"))
    except ValueError:
        value = arguments
    return plain(value if isinstance(value, dict) else {"input": value})


class _Conversation:
    """One conversation being written."""

    def __init__(self, prompt: Prompt, facts: ModelFacts, losses: Losses) -> None:
        self.messages: list[dict[str, Any]] = []
        self._given = prompt.given
        self._facts = facts
        self._losses = losses
        self._ids: dict[str, str] = {}
        self._used: dict[str, int] = {}  # with how often each was wanted again

    def add(self, role: str, blocks: list[dict[str, Any]]) -> None:
        """One message more, or more of the last one; none for a turn of which nothing is left but thoughts."""
        if all(block["type"] in _THOUGHTS for block in blocks):
            if blocks:
                self._lose_thoughts()
            return
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"] += blocks
        else:
            self.messages.append({"role": role, "content": blocks})

    def part(self, part: Part) -> list[dict[str, Any]]:
        """The blocks of one part: one, or none for what cannot be said, which is named or refused elsewhere."""
        if isinstance(part, Text):
            return self._text(part)
        if isinstance(part, Image | Document):
            return self._medium(part)
        if isinstance(part, ToolUse):
            use = {
                "type": "tool_use",
                "id": self._open(part.id),
                "name": part.name,
                "input": tool_input(part.arguments),
            }
            return [mark(use, part.cached)]
        if isinstance(part, ToolResult):
            return [self._result(part)]
        if isinstance(part, Reasoning):
            return self._thoughts(part)
        if isinstance(part, Refusal):
            return self._text(Text(text=part.text))
        return []

    def _text(self, part: Text) -> list[dict[str, Any]]:
        if not part.text.strip():  # "text content blocks must contain non-whitespace text"
            return []
        block: dict[str, Any] = {"type": "text", "text": part.text}
        if part.citations:
            block["citations"] = part.citations
        return [mark(block, part.cached)]

    def _medium(self, part: Image | Document) -> list[dict[str, Any]]:
        if isinstance(part, Image):
            can, feature, block = self._facts.images, "images", write_image(part)
        else:
            # A text is read by every model.
            can, feature = self._facts.documents or part.source.text is not None, "documents"
            block = write_document(part)
            if part.source.text is not None and not part.source.text.strip():
                return []
        name = self._given.get(feature, feature)
        if not can:
            self._losses.refuse(name, "the model that answers does not read it")
            return []
        if block is None and part.source.data is not None:
            self._losses.refuse(name, "the model that answers reads PDF and plain text, and nothing else")
        return [] if block is None else [block]

    def _thoughts(self, part: Reasoning) -> list[dict[str, Any]]:
        if part.family == FAMILY and part.redacted:
            return [{"type": "redacted_thinking", "data": part.redacted}]
        if part.family == FAMILY and part.signature:
            return [{"type": "thinking", "thinking": part.text, "signature": part.signature}]
        self._lose_thoughts()
        return []

    def _lose_thoughts(self) -> None:
        self._losses.lose("thinking_history", self._given.get("thinking_history", "thinking"))

    def _result(self, result: ToolResult) -> dict[str, Any]:
        blocks = [block for part in result.parts for block in self.part(part)]
        id = self._ids.get(result.id) or _ID.sub("_", result.id) or "toolu_0"
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": id}
        if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
            block["content"] = blocks[0]["text"]
        elif blocks:
            block["content"] = blocks
        if result.is_error:
            block["is_error"] = True
        return mark(block, result.cached)

    def _open(self, id: str) -> str:
        """An id that Anthropic takes (letters, digits, _ and -), another one for each call of the conversation."""
        clean = _ID.sub("_", id) or f"toolu_{len(self._used)}"
        written = clean
        while written in self._used:
            self._used[clean] += 1  # not from 2 on each time: one id may stand in any number of calls
            written = f"{clean}_{self._used[clean]}"
        self._used[written] = 1
        self._ids[id] = written
        return written


def _put_results_first(blocks: list[dict[str, Any]]) -> None:
    blocks.sort(key=lambda block: block["type"] != "tool_result")


def _trim(blocks: list[dict[str, Any]]) -> None:
    """ "final assistant content cannot end with trailing whitespace"."""
    if blocks[-1]["type"] == "text":
        blocks[-1]["text"] = blocks[-1]["text"].rstrip()
