"""The messages of an OpenAI request as the vocabulary's turns.

https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages. Thoughts of earlier turns come in the
fields that vendors of this dialect give them in: `reasoning_content` (DeepSeek, vLLM), `reasoning` (Groq, OpenRouter),
`reasoning_details` (OpenRouter, which keeps signatures), `thinking` parts (Mistral).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from penstock.prompt import Document, Foreign, Image, Part, Reasoning, Refusal, Text, ToolResult, ToolUse, Turn
from penstock.wire.openai_checks import Notes, array, invalid, mapping, missing, text, word, wrong_type
from penstock.wire.openai_media import read_audio, read_cached, read_document_url, read_file, read_image

__all__ = ["read_messages"]

FAMILY = "openai_chat"
_SEALED = "anthropic_messages"  # whose models alone seal their thoughts in this dialect's reach

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_COMMON = frozenset(("role", "content", "name", "cache_control"))
_SPOKEN = _COMMON | {
    "refusal",
    "tool_calls",
    "function_call",
    "audio",
    "annotations",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
}
_ANSWERED = _COMMON | {"tool_call_id"}
_PART = frozenset(
    ("type", "text", "refusal", "thinking", "signature", "cache_control", "document_url", "document_name")
)
_CALL = ("id", "type", "index", "function", "custom")


def read_messages(value: Any, notes: Notes) -> list[Turn]:
    """The turns, in order; what tools gave stands in a user's turn. Raises InvalidRequest."""
    messages = array(value, "messages")
    if not messages:
        raise invalid("messages", "empty array. Expected an array with minimum length 1")
    reader = _Messages(notes)
    for at, message in enumerate(messages):
        reader.take(mapping(message, f"messages[{at}]"), f"messages[{at}]")
    return reader.turns


class _Messages:
    """One conversation being read."""

    def __init__(self, notes: Notes) -> None:
        self.turns: list[Turn] = []
        self._notes = notes
        # Calls whose results have not come yet: names by id, and ids by name. Any number may be open.
        self._open: dict[str, str] = {}
        self._named: dict[str, dict[str, None]] = {}
        self._results = False  # the last turn holds results and nothing else so far

    def take(self, message: dict[str, Any], path: str) -> None:
        """Read the next message."""
        role = word(message.get("role"), f"{path}.role", _ROLES)
        if role == "tool":
            self._tool(message, path)
        elif role == "function":
            self._function(message, path)
        elif role == "assistant":
            self._assistant(message, path)
        else:
            self._told(message, path, role)

    def _told(self, message: dict[str, Any], path: str, role: str) -> None:
        self._notes.rest(message, _COMMON, path)
        if role != "user":
            self._notes.met("system", path)
            self._add("system", self._content(message, path, _SYSTEM_PARTS), message, path)
            return
        parts = self._content(message, path, _USER_PARTS)
        if self._results and not message.get("name"):
            self.turns[-1].parts += parts
            self._results = False
        else:
            self._add("user", parts, message, path)

    def _assistant(self, message: dict[str, Any], path: str) -> None:
        notes = self._notes
        notes.rest(message, _SPOKEN, path)
        parts = _thoughts(message, path, notes)
        parts += self._content(message, path, _ASSISTANT_PARTS)
        if message.get("refusal"):
            parts.append(Refusal(text=text(message["refusal"], f"{path}.refusal")))
        if message.get("annotations"):
            notes.met("citation_history", f"{path}.annotations")
        if message.get("audio"):  # an earlier answer in sound, by its id
            notes.met("foreign_parts", f"{path}.audio")
            parts.append(Foreign(kind="audio", family=FAMILY, value=message["audio"]))
        calls = message.get("tool_calls")
        for at, call in enumerate(array(calls, f"{path}.tool_calls") if calls else ()):
            parts.append(self._call(mapping(call, f"{path}.tool_calls[{at}]"), f"{path}.tool_calls[{at}]", notes))
        old = message.get("function_call")
        if old:
            parts.append(self._opened("", mapping(old, f"{path}.function_call"), f"{path}.function_call"))
        self._add("assistant", parts, message, path)

    def _call(self, call: dict[str, Any], path: str, notes: Notes) -> ToolUse:
        notes.rest(call, _CALL, path)
        kind = word(call.get("type") or "function", f"{path}.type", ("function", "custom"))
        id = "" if call.get("id") is None else text(call["id"], f"{path}.id")
        if kind == "function":
            return self._opened(id, mapping(call.get("function"), f"{path}.function"), f"{path}.function")
        notes.met("custom_tools", path)
        custom = mapping(call.get("custom"), f"{path}.custom")
        return self._opened(id, {**custom, "arguments": custom.get("input")}, f"{path}.custom", custom=True)

    def _opened(self, id: str, call: dict[str, Any], path: str, *, custom: bool = False) -> ToolUse:
        name = text(call.get("name"), f"{path}.name")
        arguments = text(call.get("arguments"), f"{path}.{'input' if custom else 'arguments'}")
        id = id or f"call_{len(self.turns)}_{len(self._open)}"
        if id not in self._open:
            self._open[id] = name
            self._named.setdefault(name, {})[id] = None
        return ToolUse(id=id, name=name, arguments=arguments, custom=custom)

    def _tool(self, message: dict[str, Any], path: str) -> None:
        self._notes.rest(message, _ANSWERED, path)
        id = message.get("tool_call_id")
        if id is None and self._open:  # whoever gave the call no id has none to give here
            id = next(iter(self._open))
        id = text(id, f"{path}.tool_call_id")
        if not id:
            raise missing(f"{path}.tool_call_id")
        self._bring(id, message, path)

    def _function(self, message: dict[str, Any], path: str) -> None:
        """The older form of a result: it names the function and has no id."""
        self._notes.rest(message, _COMMON, path)
        name = text(message.get("name"), f"{path}.name")
        calls = self._named.get(name) or self._open
        self._bring(next(iter(calls), f"call_{len(self.turns)}"), message, path)

    def _bring(self, id: str, message: dict[str, Any], path: str) -> None:
        notes = self._notes
        notes.met("tool_results", path)
        self._close(id)
        parts: list[Any] = self._content(message, path, _TOOL_PARTS, mark=False)
        if any(isinstance(part, Image) for part in parts):
            notes.met("tool_result_images", path)
        result = ToolResult(id=id, parts=parts, cached=read_cached(message, path, notes))
        if self._results:
            self.turns[-1].parts.append(result)
        else:
            self.turns.append(Turn(role="user", parts=[result]))
            self._results = True

    def _close(self, id: str) -> None:
        name = self._open.pop(id, None)
        if name is not None:
            named = self._named[name]
            del named[id]
            if not named:
                del self._named[name]

    def _add(self, role: Any, parts: list[Part], message: dict[str, Any], path: str) -> None:
        name = message.get("name")
        if name is not None and text(name, f"{path}.name"):
            self._notes.met("names", f"{path}.name")
        self.turns.append(Turn(role=role, parts=parts, name=name or None))
        self._results = False

    def _content(
        self, message: dict[str, Any], path: str, kinds: Mapping[str, _Reader], *, mark: bool = True
    ) -> list[Part]:
        content, place, notes = message.get("content"), f"{path}.content", self._notes
        parts: list[Part] = []
        if isinstance(content, str):
            if content:
                notes.met("text", place)
                parts.append(Text(text=content))
        elif isinstance(content, list):
            for at, part in enumerate(content):
                parts.append(_part(mapping(part, f"{place}[{at}]"), f"{place}[{at}]", notes, kinds))
        elif content is not None:
            raise wrong_type(place, "one of a string or array of objects", content)
        elif kinds is not _ASSISTANT_PARTS:
            raise missing(place)
        cached = read_cached(message, path, notes) if mark else None
        if cached is not None and parts and isinstance(parts[-1], Text | Image | Document):
            parts[-1].cached = cached
        return parts


_Reader = Callable[[dict[str, Any], str, Notes], Part]


def _part(part: dict[str, Any], path: str, notes: Notes, kinds: Mapping[str, _Reader]) -> Part:
    kind = text(part.get("type"), f"{path}.type")
    read = kinds.get(kind)
    if read is not None:
        notes.rest(part, _PART | {kind}, path)
        return read(part, path, notes)
    if kind in _USER_PARTS or kinds is not _USER_PARTS:
        word(kind, f"{path}.type", tuple(kinds))  # one that this role does not have
    notes.met("foreign_parts", path)
    return Foreign(kind=kind, family=FAMILY, value=part)


def _text(part: dict[str, Any], path: str, notes: Notes) -> Text:
    notes.met("text", path)
    return Text(text=text(part.get("text"), f"{path}.text"), cached=read_cached(part, path, notes))


def _refusal(part: dict[str, Any], path: str, notes: Notes) -> Refusal:
    return Refusal(text=text(part.get("refusal"), f"{path}.refusal"))


def _thinking(part: dict[str, Any], path: str, notes: Notes) -> Reasoning:
    """Mistral's part, whose thoughts are text parts; or one in Anthropic's form."""
    place = f"{path}.thinking"
    notes.met("thinking_history", path)
    thoughts = part.get("thinking")
    if isinstance(thoughts, list):
        inner = [mapping(thought, f"{place}[{at}]") for at, thought in enumerate(thoughts)]
        thoughts = "".join(text(thought.get("text", ""), f"{place}[{at}].text") for at, thought in enumerate(inner))
    signature = part.get("signature")
    signature = "" if signature is None else text(signature, f"{path}.signature")
    return Reasoning(text=text(thoughts, place), signature=signature, family=_SEALED if signature else FAMILY)


_SYSTEM_PARTS: Mapping[str, _Reader] = {"text": _text}
_ASSISTANT_PARTS: Mapping[str, _Reader] = {"text": _text, "refusal": _refusal, "thinking": _thinking}
_TOOL_PARTS: Mapping[str, _Reader] = {"text": _text, "image_url": read_image, "file": read_file}
_USER_PARTS: Mapping[str, _Reader] = {
    "text": _text,
    "image_url": read_image,
    "input_audio": read_audio,
    "file": read_file,
    "document_url": read_document_url,
}


def _thoughts(message: dict[str, Any], path: str, notes: Notes) -> list[Part]:
    """A turn's thinking: from its details where it has any, else from the one field that holds the bare text."""
    details = message.get("reasoning_details")
    if details:
        place = f"{path}.reasoning_details"
        read = _details([mapping(one, f"{place}[{at}]") for at, one in enumerate(array(details, place))])
        if read:
            notes.met("thinking_history", place)
            return read
    for name in ("reasoning_content", "reasoning"):
        if message.get(name):
            notes.met("thinking_history", f"{path}.{name}")
            return [Reasoning(text=text(message[name], f"{path}.{name}"), family=FAMILY)]
    return []


def _details(details: list[dict[str, Any]]) -> list[Part]:
    """OpenRouter's details. A stream's come in pieces, which clients send back as they got them.

    https://openrouter.ai/docs/use-cases/reasoning-tokens#preserving-reasoning-blocks
    """
    blocks: list[Reasoning] = []
    last: tuple[Any, Any] | None = None
    for detail in details:
        sealed = str(detail.get("format") or "").startswith("anthropic") or "format" not in detail
        said, signature, data = (_word(detail.get(name)) for name in ("text", "signature", "data"))
        said = said or _word(detail.get("summary"))
        here = (detail.get("type"), detail.get("index"))
        if data:
            blocks.append(Reasoning(redacted=data, family=_SEALED if sealed else FAMILY))
            last = None
        elif blocks and here == last and (here[1] is not None or not blocks[-1].signature):
            blocks[-1].text += said
            _seal(blocks[-1], signature if sealed else "")
        elif said or signature:
            blocks.append(Reasoning(text=said, family=FAMILY))
            _seal(blocks[-1], signature if sealed else "")
            last = here
    return list(blocks)


def _seal(block: Reasoning, signature: str) -> None:
    if signature:
        block.signature += signature
        block.family = _SEALED


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""
