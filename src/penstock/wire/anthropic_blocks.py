"""An answer's events put in the order that Anthropic's messages have: whole content blocks, one after the other.

Other dialects let the pieces of several tool calls come mixed. Here a block is begun once the one before it is whole;
what comes for it earlier waits.
"""

from __future__ import annotations

import re
from typing import Any

from penstock.events import Event, ToolCallDelta, is_whole_input, more_of_name
from penstock.wire.tolerant_json import repaired

__all__ = ["Blocks", "Step", "citation_of", "is_own"]

Step = dict[str, Any]  # `content_block_start`, `content_block_delta` or `content_block_stop`, as decoded JSON

_STRUCTURE = re.compile(r'["\\{}\[\]]')
# https://platform.claude.com/docs/en/build-with-claude/citations: what a client of Anthropic knows how to read.
_CITATIONS = frozenset(
    (
        *("char_location", "page_location", "content_block_location"),
        *("web_search_result_location", "search_result_location"),
    )
)


class Blocks:
    """The content of one answer. Pieces of a block that was closed before are left out: it was whole.

    Attributes:
        calls: tools were called.
    """

    def __init__(self, request_id: str) -> None:
        self.calls = False
        self._request_id = request_id
        self._blocks: list[_Block] = []  # begun and not yet closed; the first of them is being told
        self._tools: dict[int, _Block] = {}
        self._told = 0

    def add(self, event: Event) -> list[Step]:
        """Take a text, reasoning, refusal, citation, tool_call or other event in; returns what can be told now."""
        kind = event.kind
        if kind == "tool_call":
            if event.tool_call is not None:
                self._call(event.tool_call)
        elif kind == "text" or kind == "refusal":
            if event.text:
                self._last("text", (kind, event.index)).add({"type": "text_delta", "text": event.text})
        elif kind == "reasoning":
            self._think(event)
        elif kind == "citation":
            self._cite(event)
        elif kind == "other":
            self._pass(event)
        return self._tell()

    def goes_on(self, event: Event) -> int | None:
        """The number of the block at hand, where an event is one more piece of it and that is all there is to tell.

        The piece counts as told then. Else None, and the event is for `add`.
        """
        if len(self._blocks) != 1:
            return None
        block = self._blocks[0]
        piece = event.tool_call
        if not block.begun:
            return None
        if piece is not None:
            if piece.id or piece.name or not piece.arguments or self._tools.get(piece.index) is not block:
                return None
            if block.json is not None and block.json.given:
                return None
            block.note(piece.arguments)
            return self._told
        more = event.text and block.key == (event.kind, event.index)
        return self._told if more and not (event.signature or event.redacted or block.signature) else None

    def go_on_at(self, number: int) -> None:
        """Take it that a text with this number has been begun by somebody else."""
        self._told = number
        self._begin(("text", number), _opening("text")).begun = True

    def close(self) -> list[Step]:
        """Close all blocks: what waited is told."""
        return self._tell(closing=True)

    def _last(self, kind: str, key: Any) -> _Block:
        """The block that goes on, or a new one."""
        if self._blocks and self._blocks[-1].key == key:
            return self._blocks[-1]
        return self._begin(key, _opening(kind))

    def _begin(self, key: Any, opening: dict[str, Any]) -> _Block:
        block = _Block(key, opening)
        self._blocks.append(block)
        return block

    def _think(self, event: Event) -> None:
        if event.redacted:
            self._begin(None, {"type": "redacted_thinking", "data": event.redacted})
        if not event.text and not event.signature:
            return
        block = self._last("thinking", ("reasoning", event.index))
        if event.text and block.signature:  # a seal ends what it seals
            block = self._begin(block.key, _opening("thinking"))
        if event.text:
            block.add({"type": "thinking_delta", "thinking": event.text})
        block.signature += event.signature

    def _cite(self, event: Event) -> None:
        citation = citation_of(event.data)
        last = self._blocks[-1] if self._blocks else None
        # Behind a call it has no text: an empty one would hold it, and is refused when the turn is sent back.
        if citation is not None and (last is None or last.json is None):
            key = last.key if last is not None and last.opening["type"] == "text" else ("text", event.index)
            self._last("text", key).add({"type": "citations_delta", "citation": citation})

    def _pass(self, event: Event) -> None:
        if is_own(event.data):
            self._begin(("other", event.index), event.data)

    def _call(self, piece: ToolCallDelta) -> None:
        block = self._tools.get(piece.index)
        if block is None and not piece.id and not piece.name:
            self._add_input(piece)
            return
        # Some providers count all calls as the first; each comes with an id and a name.
        if block is None or (piece.id and piece.name and block.opening["id"] not in ("", piece.id)):
            opening = {"type": "tool_use", "id": "", "name": "", "input": {}}
            block = self._tools[piece.index] = self._begin(("tool", piece.index), opening)
            block.json = _Json()
            self.calls = True
            if piece.arguments[:2] == "{}":  # nothing, or not yet: an input may follow
                block.note("{}")
                block.json.empty = True
                piece = ToolCallDelta(piece.index, piece.id, piece.name, piece.arguments[2:])
            block.json.given = is_whole_input(piece.arguments)
        elif block.json is not None and block.json.given:
            return
        block.opening["id"] = block.opening["id"] or piece.id
        name = block.opening["name"]
        if piece.name and not (block.begun or (name and block.waiting)):
            block.opening["name"] = name + more_of_name(name, piece.name)
        if piece.arguments:
            block.add({"type": "input_json_delta", "partial_json": piece.arguments})

    def _add_input(self, piece: ToolCallDelta) -> None:
        """Arguments that no call has opened: of the tool that Anthropic itself runs, if that was begun last."""
        last = self._blocks[-1] if self._blocks else None
        if (
            piece.arguments
            and last is not None
            and last.key == ("other", piece.index)
            and last.opening.get("input") == {}
        ):
            last.add({"type": "input_json_delta", "partial_json": piece.arguments})

    def _tell(self, *, closing: bool = False) -> list[Step]:
        steps: list[Step] = []
        while self._blocks:
            block = self._blocks[0]
            whole = closing or (len(self._blocks) > 1 and block.is_whole())
            if not block.begun and (whole or block.ready()):
                self._start(block, steps)
            if block.begun:
                steps += [_delta(self._told, piece) for piece in block.waiting]
                block.waiting = []
            if not whole:
                break
            if block.signature:
                steps.append(_delta(self._told, {"type": "signature_delta", "signature": block.signature}))
            steps.append({"type": "content_block_stop", "index": self._told})
            self._told += 1
            del self._blocks[0]
        return steps

    def _start(self, block: _Block, steps: list[Step]) -> None:
        if block.json is not None and not block.opening["id"]:
            block.opening["id"] = f"toolu_{self._request_id}_{self._told}"
        steps.append({"type": "content_block_start", "index": self._told, "content_block": block.opening})
        block.begun = True


class _Block:
    """One content block.

    Attributes:
        key: pieces with the same one belong to it; None for a block that is whole from the start.
        waiting: pieces that were not told yet.
        signature: told at the end, in one piece: Anthropic's SDKs keep the last one only.
        json: the state of a tool call's arguments.
    """

    __slots__ = ("begun", "json", "key", "opening", "signature", "waiting")

    def __init__(self, key: Any, opening: dict[str, Any]) -> None:
        self.key = key
        self.opening = opening
        self.waiting: list[dict[str, Any]] = []
        self.signature = ""
        self.begun = False
        self.json: _Json | None = None

    def add(self, piece: dict[str, Any]) -> None:
        self.waiting.append(piece)
        if self.json is not None:
            self.note(piece["partial_json"])

    def note(self, arguments: str) -> None:
        """More of a call's arguments."""
        if self.json is not None:
            self.json.pieces.append(arguments)

    def ready(self) -> bool:
        """Whether its opening is complete: a call must have its name, all of which is known once it has arguments."""
        return self.json is None or (bool(self.opening["name"]) and (bool(self.waiting) or self.json.empty))

    def is_whole(self) -> bool:
        """Whether nothing can come for it any more, once another block has begun."""
        return self.json is None or self.json.is_whole()


class _Json:
    """Whether the pieces so far are one whole JSON object; each is looked at once, and only when it is asked.

    Attributes:
        given: the first piece was all of it.
        empty: the first piece was an object without members.
    """

    __slots__ = ("_depth", "_escaped", "_quoted", "_seen", "empty", "given", "pieces")

    def __init__(self) -> None:
        self.given = self.empty = False
        self.pieces: list[str] = []
        self._depth = 0
        self._quoted = False
        self._escaped = False
        self._seen = False

    def is_whole(self) -> bool:
        for piece in self.pieces:
            self._scan(piece)
        self.pieces = []
        return self._seen and self._depth <= 0 and not self._quoted

    def _scan(self, piece: str) -> None:
        skip = 0 if self._escaped else -1  # the character after a backslash says nothing
        self._escaped = False
        for mark in _STRUCTURE.finditer(piece):
            at, sign = mark.start(), mark.group()
            if at == skip:
                continue
            if self._quoted:
                if sign == "\\":
                    skip = at + 1
                    self._escaped = skip == len(piece)
                elif sign == '"':
                    self._quoted = False
            elif sign == '"':
                self._quoted = True
            elif sign in "{[":
                self._seen = True
                self._depth += 1
            elif sign in "}]":
                self._depth -= 1


def _opening(kind: str) -> dict[str, Any]:
    return {"type": "text", "text": ""} if kind == "text" else {"type": "thinking", "thinking": "", "signature": ""}


def _delta(index: int, delta: dict[str, Any]) -> Step:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def is_own(block: Any) -> bool:
    """Whether it is a block that only Anthropic makes, such as a search by its own servers and what was found."""
    kind = block.get("type") if isinstance(block, dict) else None
    return isinstance(kind, str) and (kind.endswith(("_tool_use", "_tool_result")) or kind == "container_upload")


def citation_of(data: Any) -> dict[str, Any] | None:
    """Anthropic's own, or OpenAI's `url_citation` as the one of Anthropic's that names a page; None for others.

    https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool#citations. What of the page is cited
    OpenRouter alone tells, as `content`; the seal by which Anthropic knows a page again has only Anthropic.
    """
    if not isinstance(data, dict):
        return None
    kind = data.get("type")
    if isinstance(kind, str) and kind in _CITATIONS:
        return data
    url, title, content = (data.get(name) for name in ("url", "title", "content"))
    if kind != "url_citation" or not isinstance(url, str) or not url:
        return None
    return {
        "type": "web_search_result_location",
        "url": repaired(url),
        "title": repaired(title) if isinstance(title, str) else None,
        "cited_text": repaired(content) if isinstance(content, str) else "",
        "encrypted_index": "",
    }
