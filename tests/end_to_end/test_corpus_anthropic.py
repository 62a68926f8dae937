"""Anthropic's recorded answers through the whole gateway to a caller of its own API, byte for byte.

As `test_corpus_replay` does with OpenAI's; what must come out is worked out by `expected_messages`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import uvloop

from penstock.clock import SystemClock, SystemRandom
from penstock.transport.link import Faults, Link
from tests.end_to_end.asked import Asked
from tests.end_to_end.checks import (
    OURS,
    check_failure,
    check_headers_down,
    check_line,
    check_request,
    check_unbegun,
    check_whole,
    difference,
    error_of,
)
from tests.end_to_end.cuts import Cut, at_once, changed, in_letters, in_time, judge, simulate, slow_end
from tests.end_to_end.expected import Expected
from tests.end_to_end.expected_messages import expect_count, expect_message, expect_messages
from tests.end_to_end.gist import anthropic_gist
from tests.end_to_end.mutations import ANSWERS, MESSAGES_STREAMS, Mutation
from tests.end_to_end.replay import FRAMINGS, Replay, steps_of
from tests.end_to_end.sdk_reading import AnthropicSdk
from tests.end_to_end.verdict import check_envelope, check_event, last_error
from tests.stage import Answer
from tests.wire.corpus import UNSET, Recording, anthropic_shaped

if not os.environ.get("PENSTOCK_CORPUS"):
    pytest.skip(UNSET, allow_module_level=True)

_STOP = b"event: message_stop"


async def complaints(replay: Replay, recording: Recording, number: int, cut: Cut) -> list[str]:
    """Run one exchange and judge it."""
    asked = Asked(recording, number)
    code = error_of(recording)
    expected = _expected(recording, asked) if code is None else None
    lead = (expected.lead or 0) if expected is not None else 0
    framing = FRAMINGS[number % 3] if b"transfer-encoding" not in recording.headers else "chunked"
    answer, line = await replay.exchange(asked, steps_of(recording, cut(recording.body, lead), framing))
    found = list(check_request(asked, replay))
    if answer.headers.get("request-id") != line["id"]:
        found.append("request-id is not the log line's")
    if expected is None:
        return found + list(_check_failure(recording, answer, line, code or ""))
    if recording.streaming and expected.lead is None:
        return found + list(check_unbegun(recording, expected, answer, line))
    check = _check_stream if recording.streaming else check_whole
    found += [*check(recording, expected, answer, line), *check_line(asked, expected, answer, line)]
    if cut is in_time and recording.streaming and not 999 <= line.get("first_output_ms", 0) < 1999:
        found.append(f"first output after {line.get('first_output_ms')} ms, not after a second")
    return found


def _expected(recording: Recording, asked: Asked) -> Expected:
    if asked.operation == "messages/count_tokens":
        return expect_count(recording.body)
    return expect_messages(recording.body) if recording.streaming else expect_message(recording.body)


def _check_stream(recording: Recording, expected: Expected, answer: Answer, line: dict[str, Any]) -> Iterator[str]:
    """A stream that began."""
    yield from check_headers_down(recording, answer, line)
    body, wanted = answer.body, expected.body
    if answer.status != 200 or not answer.whole:
        yield f"status {answer.status}, whole: {answer.whole}: {body[:200]!r}"
    elif body[: len(wanted)] != wanted or (body != wanted and not expected.broken):
        yield f"the body differs: {difference(wanted, body)}"
    elif expected.broken:
        rest = body[len(wanted) :]
        if not re.fullmatch(rb"(\r?\n)*event: error\ndata: \{[^\n]*\}\n\n", rest):
            yield f"no error event at the end, but {rest[:300]!r}"
        else:
            yield from check_event(last_error(rest.lstrip(), anthropic=True), None, None, anthropic=True)


def _check_failure(recording: Recording, answer: Answer, line: dict[str, Any], code: str) -> Iterator[str]:
    """An error of the provider's: as it came, unless it is about our account, or nothing a client can read."""
    if code not in OURS and recording.body:
        yield from check_failure(recording, answer, line)
        return
    yield from check_envelope(recording, answer, code, anthropic=True)
    if line.get("error") != code or line["status"] != answer.status:
        yield f"the log says {line.get('error')}, {line['status']}"


def test_every_recording_whole() -> None:
    count = simulate(anthropic_shaped(), in_time, complaints, kind="anthropic")
    assert count >= (100 if "PENSTOCK_CORPUS_MIN" in os.environ else 1)


def test_the_sdk_reads_what_passes() -> None:
    sdk = AnthropicSdk()

    async def read(replay: Replay, recording: Recording, number: int, cut: Cut) -> list[str]:
        stream = recording.streaming
        asked = Asked(recording, number)
        answer, _ = await replay.exchange(asked, steps_of(recording, cut(recording.body, 0), FRAMINGS[number % 3]))
        if answer.status != 200:
            return list(sdk.complaints(answer, stream=stream))
        said, got = anthropic_gist(recording.body, stream=stream), sdk.read(answer, stream=stream, typed=False)
        same = (got.text, got.thoughts, got.finish, got.id) == (said.text, said.thoughts, said.finish, said.id)
        calls = [(call.name, call.value) for call in got.calls] == [(call.name, call.value) for call in said.calls]
        return [] if same and calls else [f"the SDK sees {got}"]

    whole = anthropic_shaped(lambda one: one.path.endswith("/messages") and one.body.count(_STOP) < 2)
    simulate(whole, at_once, read, kind="anthropic")


@pytest.mark.parametrize("seed", [1, 2])
def test_every_recording_torn_anywhere(seed: int) -> None:
    link = Link(chunking="random", latency=0.001)
    simulate(anthropic_shaped(), at_once, complaints, kind="anthropic", faults=Faults(up=link, down=link), seed=seed)


def test_small_ones_byte_by_byte() -> None:
    small = anthropic_shaped(lambda recording: len(recording.body) < 3000)
    simulate(small, at_once, complaints, kind="anthropic", faults=Faults(down=Link(chunking="bytes")))


def test_every_letter_torn() -> None:
    letters = anthropic_shaped(lambda recording: not recording.body.isascii())
    simulate(letters, in_letters, complaints, kind="anthropic")


def test_a_pause_before_the_last_events() -> None:
    # Some were recorded as two answers in one body: what follows an answer's end is not waited for.
    streams = anthropic_shaped(lambda recording: recording.streaming and recording.body.count(_STOP) < 2)
    simulate(streams, slow_end, complaints, kind="anthropic")


def test_a_sample_over_real_sockets() -> None:
    async def play() -> list[str]:
        async with Replay(SystemClock(), SystemRandom(), "anthropic") as replay:
            return (await judge(replay, anthropic_shaped()[::5], at_once, complaints))[1]

    found = uvloop.run(play())
    assert not found, "\n".join(found)


@pytest.mark.parametrize("mutation", MESSAGES_STREAMS, ids=lambda mutation: mutation.__name__)
def test_streams_changed(mutation: Mutation) -> None:
    random = Random(mutation.__name__)
    streams = anthropic_shaped(lambda recording: recording.streaming and len(recording.body) < 60_000)
    simulate([changed(recording, mutation, random) for recording in streams], at_once, complaints, kind="anthropic")


@pytest.mark.parametrize("mutation", ANSWERS.values(), ids=ANSWERS)
def test_answers_changed(mutation: Mutation) -> None:
    answers = anthropic_shaped(
        lambda recording: recording.path.endswith("/messages") and not recording.streaming and not error_of(recording)
    )
    twins = [changed(recording, mutation, Random(0)) for recording in answers]
    simulate(twins, at_once, complaints, kind="anthropic")
