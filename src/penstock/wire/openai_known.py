"""What a stream's events have in common with those of streams before it: how they begin and end, and their cast.

Mostly an id and a time are all that is a stream's own; behind these its first event and its finish are, byte for byte,
what many streams said. So they are judged once, and known by their bytes. What is kept is what bytes mean: it is of no
stream, no caller and no provider.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from penstock.messages import Usage
from penstock.wire.openai_chunk import NOT_YET, Choice, Chunk, plain_chunks, size_of
from penstock.wire.openai_mould import Mould
from penstock.wire.openai_usage import PlainUsage, served_by

__all__ = ["LONGEST", "Beginning", "beginning", "count_alone", "finish", "own_part"]

# Nobody who watches a stream asks for these fields, so an event that begins so says what it says without them.
_OWN = re.compile(rb'data: \{"id":"[\w-]{1,100}",(?:"object":"chat\.completion\.chunk",)?"created":[1-9]\d{0,14},')

# How long an event may be that is kept.
LONGEST = 1024
_KEPT = 64

_CR = 0x0D


class Beginning:
    """A first event that says who answers, and nothing else.

    Attributes:
        model: the one that answers.
        cast: before and behind the text of what came after it the last time, without what is a stream's own. One
            value, so that the two are always of one event.
    """

    __slots__ = ("cast", "model")

    def __init__(self, model: str) -> None:
        self.model = model
        self.cast: tuple[bytes, bytes] | None = None

    def mould(self, own: bytes) -> Mould | None:
        """The mould that a stream's text most likely has; it holds."""
        cast = self.cast
        return None if cast is None else Mould(own + cast[0], cast[1])

    def learn(self, own: bytes, mould: Mould) -> None:
        """So text came behind it; the mould is known to hold."""
        if mould.head.startswith(own):
            self.cast = mould.head[len(own) :], mould.tail


class _Counted(msgspec.Struct, gc=False):
    """A chunk that has the usage alone: what is typed None here must be null or absent, or the decoding fails."""

    choices: tuple[()]
    usage: PlainUsage
    error: None = None
    x_groq: None = None
    service_tier: str | None = None


_read_counted = msgspec.json.Decoder(_Counted).decode


def own_part(data: bytes) -> bytes:
    """How a stream's events begin, by its first one, up to what others say too; b"" where that is not seen."""
    found = _OWN.match(data)
    return found[0] if found is not None else b""


@lru_cache(_KEPT)
def beginning(rest: bytes) -> Beginning | None:
    """A first event's meaning, None where it says more, or the decoder has to be asked.

    Args:
        rest: the event without its stream's own part.
    """
    chunk = _silent(rest)
    if chunk is None or not chunk.model or chunk.choices != [Choice(delta=chunk.choices[0].delta)]:  # type: ignore[index]
        return None
    return Beginning(chunk.model)


@lru_cache(_KEPT)
def finish(rest: bytes) -> str | None:
    """Why the answer ends, where an event says that and nothing else; `rest` as above."""
    chunk = _silent(rest)
    reason = chunk.choices[0].finish_reason if chunk is not None else None  # type: ignore[index]
    return reason if reason and reason != NOT_YET else None


def _silent(rest: bytes) -> Chunk | None:
    """The chunk of the first answer alone, no output and no count in it."""
    chunks = plain_chunks(b"data: {" + rest)
    if chunks is None or len(chunks) != 1:
        return None
    chunk = chunks[0]
    if not chunk.choices or chunk.usage is not None or chunk.x_groq is not None:
        return None
    choice = chunk.choices[0]
    if chunk.choices != [Choice(delta=choice.delta, finish_reason=choice.finish_reason)]:
        return None
    return None if choice.delta is not None and (choice.delta.content or size_of(choice.delta)) else chunk


def count_alone(rest: bytes) -> Usage | None:
    """The count in an event that has nothing else, None where that is not what it is; `rest` as above."""
    if rest.find(b"\n") != len(rest) - 2 or not rest.endswith(b"}\n\n") or _CR in rest or not rest.isascii():
        return None
    try:
        counted = _read_counted(b"{" + rest)
    except ValueError:
        return None
    usage = counted.usage.counts()
    return usage if usage is None or counted.service_tier is None else served_by(counted.service_tier, usage)
