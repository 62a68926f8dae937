"""The vocabulary's turns as OpenAI's messages.

Text that stands alone is one string, which every server of this dialect takes; the array of parts is for pictures,
sound and files. Parts that the dialect cannot say are left out here: `encode_prompt` has named or refused them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.prompt import (
    Audio,
    Document,
    Image,
    Part,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    ToolResult,
    ToolUse,
    Turn,
)
from penstock.wire.dialect import ModelFacts
from penstock.wire.openai_media import write_document, write_image
from penstock.wire.translation import Losses

__all__ = ["write_messages"]

_FAMILY = "openai_chat"
_SEE_BELOW = "(The result is in the next message.)"


def write_messages(prompt: Prompt, facts: ModelFacts, losses: Losses) -> list[dict[str, Any]]:
    """The messages. A result's pictures and files come in the user's message after it, since `tool` holds only text.

    Raises:
        InvalidRequest: the model reads no pictures, files or sound, and one of the turns holds some.
    """
    writer = _Messages(prompt, facts, losses)
    for turn in prompt.turns:
        if turn.role == "system":
            writer.system(turn)
        elif turn.role == "user":
            writer.user(turn)
        else:
            writer.assistant(turn)
    return writer.messages


class _Messages:
    """One conversation being written."""

    def __init__(self, prompt: Prompt, facts: ModelFacts, losses: Losses) -> None:
        self.messages: list[dict[str, Any]] = []
        self._given = prompt.given
        self._facts = facts
        self._losses = losses

    def add(self, role: str, content: Any, turn: Turn) -> dict[str, Any]:
        """One message more."""
        message: dict[str, Any] = {"role": role, "content": content}
        if turn.name:
            message["name"] = turn.name
        self.messages.append(message)
        return message

    def system(self, turn: Turn) -> None:
        """Instructions, where the caller put them."""
        text = _joined(turn.parts, "\n")
        if text:
            self.add("system", text, turn)

    def user(self, turn: Turn) -> None:
        """The results of tools first, as they must follow the calls; then what the user says."""
        results = [part for part in turn.parts if isinstance(part, ToolResult)]
        parts = [part for part in turn.parts if not isinstance(part, ToolResult)]
        shown: list[dict[str, Any]] = []
        for result in results:
            shown += self._result(result)
        if not shown and all(isinstance(part, Text) for part in parts):
            if parts or not results:
                self.add("user", _joined(parts, "\n"), turn)
            return
        for part in parts:
            shown += self._part(part)
        if shown or not results:
            self.add("user", shown or "", turn)

    def assistant(self, turn: Turn) -> None:
        """Text, refusal, calls and, where the model takes them back, thoughts; nothing where none of them is left."""
        texts = _joined(turn.parts, "")  # pieces of one answer, cut where a citation begins or ends
        refusal = "".join(part.text for part in turn.parts if isinstance(part, Refusal))
        calls = [_call(part) for part in turn.parts if isinstance(part, ToolUse)]
        thoughts = self._thoughts(turn.parts)
        if not (texts or refusal or calls):
            return
        message = self.add("assistant", texts or None, turn)
        if refusal:
            message["refusal"] = refusal
        if thoughts:
            message[self._facts.earlier_thinking] = thoughts
        if calls:
            message["tool_calls"] = calls

    def _thoughts(self, parts: list[Part]) -> str:
        kept = []
        for part in parts:
            if isinstance(part, Reasoning):
                if part.family == _FAMILY and part.text and self._facts.earlier_thinking:
                    kept.append(part.text)
                else:
                    self._losses.lose("thinking_history", self._given.get("thinking_history", "thinking"))
        return "".join(kept)

    def _result(self, result: ToolResult) -> list[dict[str, Any]]:
        """Write the `tool` message; returns the parts of the result that have no place in it."""
        texts, shown = [], []
        for part in result.parts:
            if isinstance(part, Text):
                texts.append(part.text)
                continue
            for written in self._part(part):
                if written["type"] == "text" and isinstance(part, Document) and part.source.text is not None:
                    texts.append(written["text"])
                else:
                    shown.append(written)
        text = "\n".join(texts)
        if result.is_error and "error" not in text.lstrip().partition(" ")[0].lower():
            text = f"Error: {text}".rstrip()
        if shown:
            text = text or _SEE_BELOW
            shown.insert(0, {"type": "text", "text": f"From the result of the tool call {result.id}:"})
        self.messages.append({"role": "tool", "tool_call_id": result.id, "content": text})
        return shown

    def _part(self, part: Part) -> list[dict[str, Any]]:
        if isinstance(part, Text):
            return [{"type": "text", "text": part.text}]
        if isinstance(part, Image):
            image = write_image(part) if self._reads("images", self._facts.images) else None
            return [] if image is None else [image]
        if isinstance(part, Document):
            plain = part.source.text is not None
            return write_document(part) if plain or self._reads("documents", self._facts.documents) else []
        if isinstance(part, Audio) and self._reads("audio_in", self._facts.audio):
            return [{"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}]
        return []

    def _reads(self, feature: str, can: bool) -> bool:
        if not can:
            name = self._given.get(feature, feature)
            self._losses.refuse(name, "the model that answers does not read it")
        return can


def _joined(parts: Sequence[Part], between: str) -> str:
    return between.join([part.text for part in parts if isinstance(part, Text) and part.text])


def _call(part: ToolUse) -> dict[str, Any]:
    if part.custom:
        return {"id": part.id, "type": "custom", "custom": {"name": part.name, "input": part.arguments}}
    function = {"name": part.name, "arguments": part.arguments or "{}"}
    return {"id": part.id, "type": "function", "function": function}
