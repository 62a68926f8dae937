"""Recorded answers as pieces in time, and what plays them through a gateway in virtual time."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterable
from random import Random

from penstock.testing import SeededRandom, SimLoop, run
from penstock.transport.link import Faults
from tests.end_to_end.expected import blocks_of
from tests.end_to_end.mutations import Mutation
from tests.end_to_end.replay import Beat, Replay
from tests.wire.corpus import Recording

__all__ = ["Cut", "Judge", "at_once", "changed", "in_letters", "in_time", "judge", "simulate", "slow_end"]

Cut = Callable[[bytes, int], list[Beat]]
"""A body, and where its first output begins, as pieces in time."""

Judge = Callable[[Replay, Recording, int, Cut], Awaitable[list[str]]]
"""Runs one exchange, by its number, and says what was wrong with it."""


def at_once(body: bytes, lead: int) -> list[Beat]:
    return [(0.0, body)]


def in_time(body: bytes, lead: int) -> list[Beat]:
    """What comes before the first output at once, its event after a second, the rest after another."""
    first = next(blocks_of(body[lead:]), b"")
    return [(0.0, body[:lead]), (1.0, first), (0.5, body[lead + len(first) :])]


def slow_end(body: bytes, lead: int) -> list[Beat]:
    """Three seconds before each of the last events: the end of the answer, the count, the last word."""
    blocks = list(blocks_of(body))
    return [(0.0, b"".join(blocks[:-3])), *((3.0, block) for block in blocks[-3:])]


def in_letters(body: bytes, lead: int) -> list[Beat]:
    """A millisecond's pause inside every character of more than a byte."""
    pieces, start = [], 0
    for at, byte in enumerate(body):
        if byte >= 0xC0:
            pieces.append((0.001, body[start : at + 1]))
            start = at + 1
    return [*pieces, (0.001, body[start:])]


async def judge(replay: Replay, recordings: Iterable[Recording], cut: Cut, complaints: Judge) -> tuple[int, list[str]]:
    """Run them all; how many ran, and what was wrong with which."""
    count, found = 0, []
    for number, recording in enumerate(recordings):
        try:
            wrong = await complaints(replay, recording, number, cut)
        except Exception as error:  # noqa: BLE001 - one broken exchange must not hide the others
            replay.hang_up()
            wrong = [f"raised {error!r}"]
        found += [f"{recording.id}: {text}" for text in wrong]
        count += 1
    return count, found


def simulate(
    recordings: Iterable[Recording],
    cut: Cut,
    complaints: Judge,
    *,
    kind: str = "openai",
    faults: Faults | None = None,
    seed: int = 0,
) -> int:
    """Run them in virtual time; how many ran. `kind`: whose model is the default."""

    async def play(loop: SimLoop) -> tuple[int, list[str]]:
        async with Replay(loop.clock, SeededRandom(seed), kind) as replay:
            count, found = await judge(replay, recordings, cut, complaints)
            assert replay.gateway.upstream_busy == 0, replay.gateway
            return count, found

    count, found = run(play, seed, faults=faults, leak_free=True, max_steps=50_000_000, max_seconds=1e7)
    assert not found, "\n".join(found)
    return count


def changed(recording: Recording, mutation: Mutation, random: Random) -> Recording:
    """The recording with another body."""
    twin = copy.copy(recording)
    twin.body = mutation(recording.body, random)
    return twin
