"""Every golden stream in every other dialect: a case is one file in `cases/<dialect>/`, and no more is needed.

What the provider's reader lets pass is decoded, said anew, and read by the other dialect's own reader: the same words,
calls, reason and count, and an error where there was one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.events import Event, collect
from penstock.messages import Response, Usage
from penstock.wire.dialect import ChatDialect
from penstock.wire.dialects import CHAT

CASES = Path(__file__).parent / "cases"
EVERY = [
    (path.parent.name, path.stem, other)
    for path in sorted(CASES.glob("*/*.sse"))
    if not path.stem.endswith(".out") and path.parent.name in CHAT
    for other in CHAT
    if other != path.parent.name
]


# What a whole stream is not: two answers in one body, of which a translation has the first.
EVERY.remove(("anthropic_messages", "two_messages", "openai_chat"))

_WORDS = ("stop", "length", "tool_calls", "content_filter")


class Read:
    """A stream as its dialect's own reader and decoder have it."""

    def __init__(self, dialect: ChatDialect, body: bytes) -> None:
        reader = dialect.open_stream(keep_usage=True, prompt_bytes=40)
        passed = reader.feed(body) + reader.end()
        self.events: list[Event] = dialect.decode_events(passed)
        self.reader = reader
        self.response: Response = collect(self.events)

    @property
    def calls(self) -> list[tuple[str, Any]]:
        return [(call.name, _plain(call.arguments)) for call in self.response.tool_calls]


def finish_of(response: Response) -> str:
    """The reason in words that both have; a turn that calls tools, or refuses in words, has not just stopped."""
    reason = response.finish_reason if response.finish_reason in _WORDS else "stop"
    if reason == "stop" and response.message.refusal:
        return "content_filter"
    return "tool_calls" if reason == "stop" and response.tool_calls else reason


def counts(usage: Usage) -> tuple[int, ...]:
    """All but the reasoning, of which Anthropic's count has no part of its own."""
    return usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens


def _plain(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def across(here: str, name: str, there: str) -> tuple[Read, Read, bytes]:
    """The case as it is, and as it is once said in the other dialect."""
    read = Read(CHAT[here], (CASES / here / f"{name}.sse").read_bytes())
    writer = CHAT[there].open_writer("01a1", 1, keep_usage=True)
    said = b"".join(writer.write([event]) for event in read.events) + writer.end()
    return read, Read(CHAT[there], said), said


@pytest.mark.parametrize(("here", "name", "there"), EVERY)
def test_a_case_in_the_other_dialect(here: str, name: str, there: str) -> None:
    theirs, ours, said = across(here, name, there)
    assert ours.reader.dropped == 0, said
    assert (ours.reader.error is None) == (theirs.reader.error is None), said
    was, now = theirs.response, ours.response
    # Anthropic has no word for a refusal's text: it is the text of a turn that ended in one.
    assert now.text + now.message.refusal == was.text + was.message.refusal
    assert now.message.reasoning == was.message.reasoning
    assert ours.calls == theirs.calls
    if theirs.reader.error is None:  # nothing is told after an error, the count neither
        assert now.finish_reason == finish_of(was)
        assert counts(now.usage) == counts(was.usage)
