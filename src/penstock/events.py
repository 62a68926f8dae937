"""The vocabulary of streams, and the fold from a stream to a whole answer.

A full answer is a short stream: `collect` makes the same `Response` from events that a unary body gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Protocol

import msgspec

from penstock.errors import UpstreamError
from penstock.messages import Message, Response, ToolCall, Usage

__all__ = [
    "TOLD",
    "Alike",
    "Collector",
    "Event",
    "ToolCallDelta",
    "collect",
    "is_whole_input",
    "merged",
    "more_of_name",
]

Kind = Literal[
    "start",
    "text",
    "reasoning",
    "refusal",
    "tool_call",
    "citation",
    "other",
    "unsaid",
    "usage",
    "finish",
    "error",
    "end",
]
# What a user of the library is told of; the others are for whoever says the answer in another dialect.
TOLD: frozenset[str] = frozenset(("text", "reasoning", "refusal", "tool_call", "usage", "finish"))


class ToolCallDelta(msgspec.Struct):
    """A piece of a tool call: `id` and `name` come with the first piece, `arguments` grows."""

    index: int = 0
    id: str = ""
    name: str = ""
    arguments: str = ""


class Event(msgspec.Struct):
    """One decoded item of a stream. Decoding needs no memory: the same bytes give the same events wherever they stand.

    Attributes:
        kind: start, text, reasoning, refusal, tool_call, citation, other, unsaid, usage, finish, error or end (nothing
            that matters follows); says which field is set.
        text: the piece of text for text, reasoning and refusal. For start the vendor's id of the answer. For unsaid
            where a part of the answer stands for which there is no event.
        usage: the count so far; fields a later event does not repeat keep their earlier value (`merged`).
        finish_reason: in the vocabulary's words (`messages.FinishReason`), or the vendor's own where none fits.
        choice: which of `n` answers it belongs to.
        index: the content block it belongs to, where the dialect numbers them; else 0.
        signature: for reasoning, the vendor's seal on the block (whole or a piece); `redacted`: encrypted thinking.
        data: citation, other: as decoded JSON. For text: its logprobs, if they were asked for. For finish: details
            the vendor gave beside the reason (`stop_sequence`, ...).
        model: for start, the vendor's name of the model.
        error: for error, what the provider said, classified.
    """

    kind: Kind
    text: str = ""
    tool_call: ToolCallDelta | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    choice: int = 0
    index: int = 0
    signature: str = ""
    redacted: str = ""
    data: Any = None
    model: str = ""
    error: UpstreamError | None = None


class Alike(Protocol):
    """Events that are byte for byte the same but for one text each, of which they say more and nothing else that
    their reader looks for.

    Attributes:
        samples: two such events, with "a" and "b" for their text.
        texts: each text as in its JSON, between two quotation marks that come first and last.
        length: how many characters they are.
    """

    texts: list[bytes]
    length: int

    @property
    def samples(self) -> bytes:
        """See above."""
        ...


def merged(earlier: Usage | None, later: Usage) -> Usage:
    """Two counts of one answer: counts only grow, and some vendors tell the input at the start, the output at the end.

    https://platform.claude.com/docs/en/build-with-claude/streaming: counts in `message_delta` are cumulative.
    """
    if earlier is None or earlier.estimated or not any(msgspec.structs.astuple(earlier)):
        return later
    before, after = msgspec.structs.asdict(earlier), msgspec.structs.asdict(later)
    return Usage(**{name: max(count, before[name]) for name, count in after.items()})


def is_whole_input(arguments: str) -> bool:
    """Whether the first piece of a call's arguments is all of them: what comes behind it says them once more.

    Some servers open a block with its whole input and stream that all the same.
    """
    if arguments[:1] != "{" or arguments[-1:] != "}" or arguments == "{}":
        return False
    try:
        msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        return False
    return True


def more_of_name(name: str, piece: str) -> str:
    """What a piece adds to the name of a call that has no arguments yet: nothing where it only repeats it.

    OpenAI's own clients put the pieces together.
    """
    return "" if piece == name else piece


class Collector:
    """Folds events of choice 0 into a `Response`; `response` may be read at any time."""

    def __init__(self) -> None:
        self._parts: dict[str, list[str]] = {"text": [], "reasoning": [], "refusal": []}
        self._calls: list[ToolCall] = []
        self._calls_by_index: dict[int, ToolCall] = {}
        self._whole: set[int] = set()  # calls whose first piece was all of their arguments
        self._usage = Usage()
        self._finish_reason: str | None = None

    def add(self, event: Event) -> None:
        """Take one event in."""
        if event.choice:
            return
        if event.kind in self._parts:
            self._parts[event.kind].append(event.text)
        elif event.tool_call is not None:
            self._add_call(event.tool_call)
        elif event.usage is not None:
            self._usage = merged(self._usage, event.usage)
        elif event.kind == "finish":
            self._finish_reason = event.finish_reason

    def _add_call(self, delta: ToolCallDelta) -> None:
        call = self._calls_by_index.get(delta.index)
        if call is None and not (delta.id or delta.name):
            return  # what a tool is asked that the vendor runs itself
        # Some servers number all calls 0: another id with a name of its own begins another call.
        if call is None or (delta.id and delta.name and call.name and delta.id != call.id):
            call = self._calls_by_index[delta.index] = ToolCall()
            self._calls.append(call)
            self._whole.discard(delta.index)
        call.id = call.id or delta.id
        if delta.name and not (call.name and call.arguments):
            call.name += more_of_name(call.name, delta.name)
        if not call.arguments and is_whole_input(delta.arguments):
            self._whole.add(delta.index)
        elif delta.index in self._whole:
            return
        call.arguments += delta.arguments

    def response(self, raw: Any = None) -> Response:
        """What the events so far amount to."""
        text, reasoning, refusal = ("".join(self._parts[k]) for k in ("text", "reasoning", "refusal"))
        calls = list(self._calls)
        message = Message("assistant", content=text or None, reasoning=reasoning, refusal=refusal, tool_calls=calls)
        return Response(
            text=text, message=message, tool_calls=calls, usage=self._usage, finish_reason=self._finish_reason, raw=raw
        )


def collect(events: Iterable[Event]) -> Response:
    """Fold a stream's events into a whole answer."""
    collector = Collector()
    for event in events:
        collector.add(event)
    return collector.response()
