"""One answer on its way into OpenAI's words: tool calls numbered anew, thoughts and citations put in their places."""

from __future__ import annotations

from typing import Any

from penstock.events import Event, ToolCallDelta, is_whole_input, more_of_name
from penstock.wire.ends import plain_end
from penstock.wire.tolerant_json import repaired

__all__ = ["Call", "Choice", "annotation_of"]

_WORDS = frozenset(("stop", "length", "tool_calls", "content_filter", "function_call"))
_FORMAT = "anthropic-claude-v1"  # OpenRouter's name for thoughts with such a seal


class Call:
    """A tool call of an answer.

    Attributes:
        begun: some of its arguments have come.
        whole: all of them have, in the first piece of them.
        invented: its id was made up here.
    """

    __slots__ = ("begun", "id", "invented", "name", "whole")

    def __init__(self, id: str, name: str, *, invented: bool) -> None:
        self.id = id
        self.name = name
        self.begun = self.whole = False
        self.invented = invented

    def grow(self, delta: ToolCallDelta) -> dict[str, Any]:
        """Take a further piece in; returns what of its function is new."""
        function: dict[str, Any] = {}
        if delta.id and self.invented:  # a whole answer still has the right one
            self.id, self.invented = repaired(delta.id), False
        if delta.name and not (self.name and self.begun):
            name = more_of_name(self.name, repaired(delta.name))
            if name:
                self.name, function["name"] = self.name + name, name
        if delta.arguments and not self.whole:
            function["arguments"] = repaired(delta.arguments)
            self.whole = not self.begun and is_whole_input(delta.arguments)
        return function


class Choice:
    """What has to be remembered of one of the answers while it is said.

    Args:
        prefix: what the ids of calls begin with that the provider gave none.
        old: the first call is told as `function_call`, the predecessor of tool calls. There was one in a turn; what
            comes beside it is told as tool calls.

    Attributes:
        calls: those begun, in the order of their numbers.
        finished: its end has been told.
    """

    __slots__ = (
        "_blocks",
        "_calls_by_index",
        "_citations",
        "_prefix",
        "_said",
        "_sealed",
        "_thought",
        "_thoughts",
        "calls",
        "finished",
        "old",
    )

    def __init__(self, prefix: str, *, old: bool = False) -> None:
        self.old = old
        self._prefix = prefix
        self.calls: list[Call] = []
        self.finished = False
        self._calls_by_index: dict[int, int] = {}
        self._said = 0
        self._blocks: dict[int, tuple[int, int]] = {}  # where a block's text begins and ends in the message
        self._citations: list[Event] = []
        self._thought: int | None = None  # the block of the thought at hand
        self._thoughts = -1  # its number
        self._sealed = False

    def note_text(self, event: Event, length: int) -> None:
        """Text goes on in the event's block, by so many characters: citations speak of its place."""
        begin = self._blocks.get(event.index, (self._said, 0))[0]
        self._said += length
        self._blocks[event.index] = (begin, self._said)

    def cite(self, event: Event) -> None:
        """Keep a citation until the block it belongs to is whole."""
        self._citations.append(event)

    def annotations(self) -> list[dict[str, Any]]:
        """The citations that hold a URL."""
        found = (
            annotation_of(event.data, *self._blocks.get(event.index, (0, self._said))) for event in self._citations
        )
        return [annotation for annotation in found if annotation is not None]

    def think(self, event: Event) -> list[dict[str, Any]]:
        """Take a piece of a thought in; returns it as the dialect has it."""
        pieces: list[dict[str, Any]] = []
        if event.text or event.signature:
            if self._thought != event.index or (self._sealed and event.text):
                self._thought, self._thoughts, self._sealed = event.index, self._thoughts + 1, False
            piece: dict[str, Any] = {"type": "reasoning.text", "index": self._thoughts}
            if event.text:
                piece["text"] = repaired(event.text)
            if event.signature:
                self._sealed = True
                piece["signature"], piece["format"] = repaired(event.signature), _FORMAT
            pieces.append(piece)
        if event.redacted:
            self._thought, self._thoughts = None, self._thoughts + 1
            data = {"data": repaired(event.redacted), "format": _FORMAT}
            pieces.append({"type": "reasoning.encrypted", "index": self._thoughts, **data})
        return pieces

    def call(self, delta: ToolCallDelta) -> dict[str, Any] | None:
        """Take a piece of a tool call in; returns it as the dialect has it, None where it says nothing new."""
        at = self._calls_by_index.get(delta.index)
        call = None if at is None else self.calls[at]
        if call is None and not (delta.id or delta.name):
            return None  # what a tool is asked that the vendor runs itself
        # Some servers number all calls 0: another id with a name of its own begins another call.
        if call is None or (delta.id and delta.name and call.name and delta.id != call.id):
            at = self._calls_by_index[delta.index] = len(self.calls)
            id = repaired(delta.id) or f"call_{self._prefix}_{at}"
            call = Call(id, repaired(delta.name), invented=not delta.id)
            call.whole = is_whole_input(delta.arguments)
            self.calls.append(call)
            function = {"name": call.name, "arguments": repaired(delta.arguments)}
            piece: dict[str, Any] = {"index": at, "id": call.id, "type": "function", "function": function}
        else:
            function = call.grow(delta)
            piece = {"index": at, "function": function}
        call.begun = call.begun or bool(delta.arguments)
        return piece if function else None

    def named(self, piece: dict[str, Any]) -> dict[str, Any]:
        """A piece of a call as a delta."""
        if self.old and not piece["index"]:
            return {"function_call": piece["function"]}
        return {"tool_calls": [piece]}

    def ending(self, reason: str | None) -> str:
        """Why it ended, in OpenAI's words; where nobody said why, what was said tells."""
        if reason not in _WORDS:
            reason = plain_end(reason or "") or ("tool_calls" if self.calls else "stop")
        if reason == "tool_calls" and self.old and self.calls:
            return "function_call"
        return reason


def annotation_of(data: Any, begin: int, end: int) -> dict[str, Any] | None:
    """A citation with a URL, which may stand as the source of a search result; None for one of a document."""
    if not isinstance(data, dict):
        return None
    url, title, source = (data.get(name) for name in ("url", "title", "source"))
    if not url and isinstance(source, str) and source.startswith(("http://", "https://")):
        url = source
    if not isinstance(url, str) or not url:
        return None
    places = (data.get("start_index"), data.get("end_index"))
    if all(place.__class__ is int for place in places):
        begin, end = places  # type: ignore[assignment]
    title = repaired(title) if isinstance(title, str) else ""
    cited = {"url": repaired(url), "title": title, "start_index": begin, "end_index": end}
    return {"type": "url_citation", "url_citation": cited}
