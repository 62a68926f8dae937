"""Whether a translated stream or answer has the form that its dialect's own vendor gives it; and a request's contents.

https://platform.claude.com/docs/en/build-with-claude/streaming: a message is begun, its blocks come one after the
other, each whole; then its delta and its stop. https://platform.openai.com/docs/api-reference/chat-streaming: every
chunk has the answer's id; the first has the role; a usage chunk comes last, before `[DONE]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.end_to_end.gist import events_of

__all__ = ["Contents", "check_form", "contents_of"]

_DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
}


def check_form(body: bytes, *, anthropic: bool, good: bool) -> Iterator[str]:
    """A stream's. `good`: its end was; else an error event is its last."""
    events = list(events_of(body))
    if anthropic:
        yield from _check_messages(events, good)
    else:
        yield from _check_chunks(events, good)


def _check_messages(events: list[tuple[str, Any]], good: bool) -> Iterator[str]:
    kinds = [value["type"] for _, value in events]
    if [name for name, _ in events] != kinds:
        yield "an event's name is not its type"
    if kinds[0] != "message_start" or kinds.count("message_start") != 1:
        yield f"it begins with {kinds[:2]}"
    if kinds[-1] != ("message_stop" if good else "error"):
        yield f"it ends with {kinds[-1]}"
    if good and kinds[-2:] != ["message_delta", "message_stop"]:
        yield f"it ends with {kinds[-3:]}"
    open_block, count = "", 0
    for _, value in events:
        kind = value["type"]
        if kind.startswith("content_block") and value["index"] != count:
            yield f"{kind} {value['index']} where {count} is due"
        if kind == "content_block_start":
            if open_block:
                yield "a block in a block"
            open_block = value["content_block"]["type"]
        elif kind == "content_block_delta" and value["delta"]["type"] not in _DELTAS.get(open_block, ()):
            yield f"{value['delta']['type']} in a block of {open_block or 'nothing'}"
        elif kind == "content_block_stop":
            open_block, count = "", count + 1
        elif kind in ("message_delta", "message_stop") and open_block:
            yield f"{kind} in a block"


def _check_chunks(events: list[tuple[str, Any]], good: bool) -> Iterator[str]:
    chunks = [value for _, value in events if value != "[DONE]"]
    if good != (events[-1][1] == "[DONE]") or good == ("error" in chunks[-1]):
        yield f"it ends with {events[-1]}"
    said = [chunk for chunk in chunks if "error" not in chunk]
    heads = {(chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in said}
    if len(heads) > 1 or any(not chunk["id"] or chunk["object"] != "chat.completion.chunk" for chunk in said):
        yield f"chunks of several answers: {heads}"
    begun: dict[int, str | None] = {}
    for chunk in said:
        for choice in chunk["choices"]:
            at, delta = choice["index"], choice["delta"]
            if at not in begun and delta.get("role") != "assistant":
                yield f"choice {at} begins with {delta}"
            if begun.get(at):
                yield f"choice {at} goes on after its end with {choice}"
            begun[at] = choice["finish_reason"]
        if not chunk["choices"] and (not chunk.get("usage") or chunk is not said[-1]):
            yield f"a chunk of nothing: {chunk}"
    if good and None in begun.values():
        yield f"no finish reason: {begun}"


# Said beside the contents, where the other dialect has a block for it: images of tool results, references to tools.
_ASIDES = re.compile(r"Fromtheresultofthetoolcall\w+:|Foundthetool\w+\.")


class Contents:
    """What of a request must be the same after it was said in another dialect and back.

    Attributes:
        text: without white space, which stands between texts that were parts of one message; the system's first.
    """

    def __init__(self) -> None:
        self.text = ""
        self.tools: list[str] = []
        self.calls: list[tuple[str, Any]] = []
        self.media = 0

    def differences(self, other: Contents) -> Iterator[str]:
        """What differs in the other."""
        for name, value in vars(self).items():
            if value != vars(other)[name]:
                yield f"the request's {name} is {vars(other)[name]!r}, not {value!r}"


def contents_of(fields: dict[str, Any], *, anthropic: bool) -> Contents:
    """Of a request in either dialect; thoughts are left out."""
    found = Contents()
    system, text = _text(fields.get("system")) if anthropic else "", ""
    found.tools = [tool.get("name") or tool["function"]["name"] for tool in fields.get("tools") or ()]
    found.tools += [function["name"] for function in fields.get("functions") or ()]
    for message in fields["messages"]:
        content = message.get("content")
        if message["role"] in ("system", "developer"):
            system += _text(content)
            continue
        text += _text(content)
        found.media += _media(content)
        for call in message.get("tool_calls") or ():
            function = call["function"]
            found.calls.append((function["name"], json.loads(function["arguments"] or "{}")))
        for block in content if isinstance(content, list) else ():
            if block["type"] == "tool_use":
                found.calls.append((block["name"], block["input"]))
    found.text = _ASIDES.sub("", "".join((system + text).split()))
    return found


def _text(content: Any) -> str:
    if not isinstance(content, list):
        return content or ""
    texts = [block if isinstance(block, str) else block.get("text") or "" for block in content]
    texts += [_text(block.get("content")) for block in content if block.get("type") == "tool_result"]
    return "".join(texts)


def _media(content: Any) -> int:
    """Images and documents."""
    if not isinstance(content, list):
        return 0
    kinds = [block.get("type") for block in content]
    inner = sum(_media(block.get("content")) for block in content if block.get("type") == "tool_result")
    return sum(kind in ("image", "image_url", "document", "document_url", "file") for kind in kinds) + inner
