"""Real providers' recorded answers through the whole gateway, byte for byte.

A replay provider serves each recording to the gateway, a raw caller asks for it; what must come out is worked out
from the recording by `expected`, without the package's own reading of it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable
from random import Random

import pytest
import uvloop

from penstock.clock import SystemClock, SystemRandom
from penstock.testing import SeededRandom, SimLoop, run
from penstock.transport.link import Faults, Link
from tests.end_to_end.asked import Asked
from tests.end_to_end.checks import (
    check_failure,
    check_line,
    check_request,
    check_stream,
    check_unbegun,
    check_whole,
    error_of,
)
from tests.end_to_end.expected import blocks_of, expect_answer, expect_stream
from tests.end_to_end.mutations import ANSWERS, STREAMS, Mutation
from tests.end_to_end.replay import FRAMINGS, Beat, Replay, steps_of
from tests.wire.corpus import UNSET, Recording, openai_shaped

if not os.environ.get("PENSTOCK_CORPUS"):
    pytest.skip(UNSET, allow_module_level=True)

Cut = Callable[[bytes, int], list[Beat]]
"""A body, and where its first output begins, as pieces in time."""


def at_once(body: bytes, lead: int) -> list[Beat]:
    return [(0.0, body)]


def in_time(body: bytes, lead: int) -> list[Beat]:
    """What comes before the first output at once, its event after a second, the rest after another."""
    first = next(blocks_of(body[lead:]), b"")
    return [(0.0, body[:lead]), (1.0, first), (0.5, body[lead + len(first) :])]


def slow_end(body: bytes, lead: int) -> list[Beat]:
    """Three seconds before each of the last events: the end of the answer, the count, `[DONE]`."""
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


async def complaints(replay: Replay, recording: Recording, number: int, cut: Cut) -> list[str]:
    """Run one exchange and judge it."""
    asked = Asked(recording, number)
    if recording.streaming:
        expected = expect_stream(recording.body, usage_asked=asked.usage_asked)
    elif error_of(recording) is None:
        expected = expect_answer(recording.body)
    else:
        expected = None
    lead = expected.lead if expected is not None and expected.lead is not None else 0
    framing = FRAMINGS[number % 3] if b"transfer-encoding" not in recording.headers else "chunked"
    answer, line = await replay.exchange(asked, steps_of(recording, cut(recording.body, lead), framing))
    found = list(check_request(asked, replay))
    if expected is None:
        return found + list(check_failure(recording, answer, line))
    if recording.streaming and expected.lead is None:
        return found + list(check_unbegun(recording, expected, answer, line))
    check = check_stream if recording.streaming else check_whole
    found += [*check(recording, expected, answer, line), *check_line(asked, expected, answer, line)]
    if cut is in_time and recording.streaming and not 999 <= line.get("first_output_ms", 0) < 1999:
        found.append(f"first output after {line.get('first_output_ms')} ms, not after a second")
    return found


async def judge(replay: Replay, recordings: Iterable[Recording], cut: Cut) -> tuple[int, list[str]]:
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


def simulate(recordings: Iterable[Recording], cut: Cut, faults: Faults | None = None, seed: int = 0) -> int:
    """Run them in virtual time; how many ran."""

    async def play(loop: SimLoop) -> tuple[int, list[str]]:
        async with Replay(loop.clock, SeededRandom(seed)) as replay:
            count, found = await judge(replay, recordings, cut)
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


def test_every_recording_whole() -> None:
    count = simulate(openai_shaped(), in_time)
    assert count >= int(os.environ.get("PENSTOCK_CORPUS_MIN", "1"))


@pytest.mark.parametrize("seed", [1, 2])
def test_every_recording_torn_anywhere(seed: int) -> None:
    link = Link(chunking="random", latency=0.001)
    simulate(openai_shaped(), at_once, Faults(up=link, down=link), seed)


def test_small_ones_byte_by_byte() -> None:
    small = openai_shaped(lambda recording: len(recording.body) < 3000)
    simulate(small, at_once, Faults(down=Link(chunking="bytes")))


def test_every_letter_torn() -> None:
    simulate(openai_shaped(lambda recording: not recording.body.isascii()), in_letters)


def test_a_pause_before_the_last_events() -> None:
    simulate(openai_shaped(lambda recording: recording.streaming), slow_end)


def test_a_sample_over_real_sockets() -> None:
    async def play() -> list[str]:
        async with Replay(SystemClock(), SystemRandom()) as replay:
            return (await judge(replay, openai_shaped()[::7], at_once))[1]

    found = uvloop.run(play())
    assert not found, "\n".join(found)


@pytest.mark.parametrize("mutation", STREAMS, ids=lambda mutation: mutation.__name__)
def test_streams_changed(mutation: Mutation) -> None:
    random = Random(mutation.__name__)
    streams = openai_shaped(lambda recording: recording.streaming and len(recording.body) < 60_000)
    simulate([changed(recording, mutation, random) for recording in streams], at_once)
    link = Link(chunking="random")
    simulate([changed(recording, mutation, random) for recording in streams[::4]], at_once, Faults(down=link))


@pytest.mark.parametrize("mutation", ANSWERS.values(), ids=ANSWERS)
def test_answers_changed(mutation: Mutation) -> None:
    answers = openai_shaped(lambda recording: not recording.streaming and error_of(recording) is None)
    simulate([changed(recording, mutation, Random(0)) for recording in answers], at_once)
