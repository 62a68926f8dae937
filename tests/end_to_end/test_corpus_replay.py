"""Real providers' recorded answers through the whole gateway, byte for byte.

A replay provider serves each recording to the gateway, a raw caller asks for it; what must come out is worked out
from the recording by `expected`, without the package's own reading of it.
"""

from __future__ import annotations

import os
from random import Random

import pytest
import uvloop

from penstock.clock import SystemClock, SystemRandom
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
from tests.end_to_end.cuts import Cut, at_once, changed, in_letters, in_time, judge, simulate, slow_end
from tests.end_to_end.expected import expect_answer, expect_stream
from tests.end_to_end.mutations import ANSWERS, STREAMS, Mutation
from tests.end_to_end.replay import FRAMINGS, Replay, steps_of
from tests.wire.corpus import UNSET, Recording, openai_shaped

if not os.environ.get("PENSTOCK_CORPUS"):
    pytest.skip(UNSET, allow_module_level=True)


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


def test_every_recording_whole() -> None:
    count = simulate(openai_shaped(), in_time, complaints)
    assert count >= int(os.environ.get("PENSTOCK_CORPUS_MIN", "1"))


@pytest.mark.parametrize("seed", [1, 2])
def test_every_recording_torn_anywhere(seed: int) -> None:
    link = Link(chunking="random", latency=0.001)
    simulate(openai_shaped(), at_once, complaints, faults=Faults(up=link, down=link), seed=seed)


def test_small_ones_byte_by_byte() -> None:
    small = openai_shaped(lambda recording: len(recording.body) < 3000)
    simulate(small, at_once, complaints, faults=Faults(down=Link(chunking="bytes")))


def test_every_letter_torn() -> None:
    simulate(openai_shaped(lambda recording: not recording.body.isascii()), in_letters, complaints)


def test_a_pause_before_the_last_events() -> None:
    simulate(openai_shaped(lambda recording: recording.streaming), slow_end, complaints)


def test_a_sample_over_real_sockets() -> None:
    async def play() -> list[str]:
        async with Replay(SystemClock(), SystemRandom()) as replay:
            return (await judge(replay, openai_shaped()[::7], at_once, complaints))[1]

    found = uvloop.run(play())
    assert not found, "\n".join(found)


@pytest.mark.parametrize("mutation", STREAMS, ids=lambda mutation: mutation.__name__)
def test_streams_changed(mutation: Mutation) -> None:
    random = Random(mutation.__name__)
    streams = openai_shaped(lambda recording: recording.streaming and len(recording.body) < 60_000)
    simulate([changed(recording, mutation, random) for recording in streams], at_once, complaints)
    link = Link(chunking="random")
    torn = [changed(recording, mutation, random) for recording in streams[::4]]
    simulate(torn, at_once, complaints, faults=Faults(down=link))


@pytest.mark.parametrize("mutation", ANSWERS.values(), ids=ANSWERS)
def test_answers_changed(mutation: Mutation) -> None:
    answers = openai_shaped(lambda recording: not recording.streaming and error_of(recording) is None)
    simulate([changed(recording, mutation, Random(0)) for recording in answers], at_once, complaints)
