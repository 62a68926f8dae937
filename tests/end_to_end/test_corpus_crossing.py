"""Real providers' recorded answers through the whole gateway to a caller of the other dialect.

Every answer of Anthropic's to a caller of OpenAI's API, and the other way round. What was said, how it ended and what
it cost are read from the recording and from what the caller got by `gist`, without the package's own reading.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from penstock.transport.link import Faults, Link
from tests.end_to_end.checks import check_address, check_usage_asked, error_of
from tests.end_to_end.crossing import TO_ANTHROPIC, Across, check_said, gist_of, wanted_by
from tests.end_to_end.cuts import Cut, Judge, at_once, changed, in_letters, in_time, simulate
from tests.end_to_end.expected import Expected, expect_answer, expect_stream
from tests.end_to_end.expected_messages import expect_message, expect_messages
from tests.end_to_end.form import check_form, contents_of
from tests.end_to_end.gist import Gist
from tests.end_to_end.mutations import ANSWERS, MESSAGES_STREAMS, STREAMS, Mutation
from tests.end_to_end.replay import FRAMINGS, Replay, steps_of
from tests.end_to_end.sdk_reading import AnthropicSdk, OpenAISdk, Sdk
from tests.end_to_end.verdict import check_envelope, check_event, last_error
from tests.stage import Answer
from tests.wire.corpus import UNSET, Recording, anthropic_shaped, openai_shaped

if not os.environ.get("PENSTOCK_CORPUS"):
    pytest.skip(UNSET, allow_module_level=True)


def complaints(sdk: Sdk | None = None) -> Judge:
    """A judge of exchanges, which may ask an SDK too."""

    async def judge(replay: Replay, recording: Recording, number: int, cut: Cut) -> list[str]:
        asked = Across(recording, number)
        code = error_of(recording)
        expected = _expected(recording, asked) if code is None else None
        lead = (expected.lead or 0) if expected is not None else 0
        framing = FRAMINGS[number % 3] if b"transfer-encoding" not in recording.headers else "chunked"
        answer, line = await replay.exchange(asked, steps_of(recording, cut(recording.body, lead), framing))
        found = [*_check_request(asked, recording, replay), *_check_line(asked, answer, line)]
        good = expected is not None and not (expected.broken or expected.told)
        if sdk is not None and good:
            found += _check_read(asked, recording, sdk.read(answer, stream=recording.streaming))
        elif sdk is not None:
            found += sdk.complaints(answer, stream=recording.streaming)
        if expected is None or (recording.streaming and expected.lead is None):
            found += _check_failure(asked, recording, answer, line, code)
        elif answer.status != 200 or not answer.whole:
            found.append(f"status {answer.status}, whole: {answer.whole}: {answer.body[:300]!r}")
        else:
            found += _check_answer(asked, recording, expected, answer)
        return found

    return judge


def _expected(recording: Recording, asked: Across) -> Expected:
    if not recording.streaming:
        return (expect_message if asked.from_anthropic else expect_answer)(recording.body)
    return expect_messages(recording.body) if asked.from_anthropic else expect_stream(recording.body, usage_asked=True)


def _check_request(asked: Across, recording: Recording, replay: Replay) -> Iterator[str]:
    """What reached the provider."""
    if len(replay.provider.requests) != 1:
        yield f"{len(replay.provider.requests)} requests reached the provider"
        return
    request = replay.provider.requests[0]
    yield from check_address(asked, request)
    fields = json.loads(request.body)
    if fields["model"] != asked.model or bool(fields.get("stream")) != recording.streaming:
        yield f"asked {fields['model']}, stream {fields.get('stream')}"
    if recording.streaming and not asked.from_anthropic:
        yield from check_usage_asked(asked, fields)
    if asked.translated:
        yield from contents_of(recording.request, anthropic=asked.from_anthropic).differences(
            contents_of(fields, anthropic=asked.from_anthropic)
        )


def _check_line(asked: Across, answer: Answer, line: dict[str, Any]) -> Iterator[str]:
    if line["status"] != answer.status or (line["bytes_out"] != len(answer.body) and not line.get("error")):
        yield f"the log says {line['status']}, {line['bytes_out']} bytes"
    if answer.headers.get("x-request-id") != line["id"]:
        yield "x-request-id is not the log line's"


def _check_failure(
    asked: Across, recording: Recording, answer: Answer, line: dict[str, Any], code: str | None
) -> Iterator[str]:
    """An error instead of an answer."""
    anthropic = not asked.from_anthropic
    if code is None:  # a stream that failed before it said anything
        if answer.status < 400 or not line.get("error") or answer.headers.get("content-type") != "application/json":
            yield f"status {answer.status}, the log says {line.get('error')}"
        yield from check_event(answer.json(), answer.status, line.get("error"), anthropic=anthropic)
        return
    if line.get("error") != code:
        yield f"the log says {line.get('error')}, the recording {code}"
    yield from check_envelope(recording, answer, code, anthropic=anthropic)


def _check_answer(asked: Across, recording: Recording, expected: Expected, answer: Answer) -> Iterator[str]:
    anthropic, stream = not asked.from_anthropic, recording.streaming
    kind = "text/event-stream" if stream else "application/json"
    if answer.headers.get("content-type") != kind:
        yield f"content-type {answer.headers.get('content-type')}"
    good = not (expected.broken or expected.told)
    wanted = wanted_by(asked, gist_of(recording.body, anthropic=asked.from_anthropic, stream=stream))
    got = gist_of(answer.body, anthropic=anthropic, stream=stream)
    if stream:
        yield from check_form(answer.body, anthropic=anthropic, good=good)
    if good:
        yield from check_said(asked, wanted, got)
        if stream and not got.ended:
            yield "no last word"
    else:
        if got.ended or got.text != wanted.text or got.thoughts != wanted.thoughts:
            yield f"a broken stream: ended {got.ended}, text {got.text!r}, not {wanted.text!r}"
        yield from check_event(last_error(answer.body, anthropic=anthropic), None, None, anthropic=anthropic)


def _check_read(asked: Across, recording: Recording, got: Gist) -> Iterator[str]:
    """What an SDK sees; thoughts are no field of OpenAI's."""
    said = gist_of(recording.body, anthropic=asked.from_anthropic, stream=recording.streaming)
    wanted = wanted_by(asked, said)
    wanted.thoughts = "" if asked.from_anthropic else wanted.thoughts
    for complaint in check_said(asked, wanted, got):
        yield f"the SDK: {complaint}"


def _messages() -> list[Recording]:
    return anthropic_shaped(lambda recording: recording.path.endswith("/messages"))


def _chats(keep: Callable[[Recording], bool] = lambda recording: True) -> list[Recording]:
    return openai_shaped(lambda recording: recording.path.endswith("/chat/completions") and keep(recording))


def test_anthropics_answers_to_callers_of_openai() -> None:
    count = simulate(_messages(), in_time, complaints(), kind="anthropic")
    assert count >= (100 if "PENSTOCK_CORPUS_MIN" in os.environ else 1)


def test_openais_answers_to_callers_of_anthropic() -> None:
    count = simulate(_chats(), in_time, complaints(), kind="openai")
    assert count >= int(os.environ.get("PENSTOCK_CORPUS_MIN", "1"))


@pytest.mark.parametrize("seed", [1, 2])
def test_torn_anywhere(seed: int) -> None:
    link = Link(chunking="random", latency=0.001)
    faults = Faults(up=link, down=link)
    simulate(_messages(), at_once, complaints(), kind="anthropic", faults=faults, seed=seed)
    simulate(_chats(), at_once, complaints(), kind="openai", faults=faults, seed=seed)


def test_the_sdks_read_what_their_callers_get() -> None:
    simulate(_messages(), at_once, complaints(OpenAISdk()), kind="anthropic")
    simulate(_chats(), at_once, complaints(AnthropicSdk()), kind="openai")


def test_what_cannot_be_said_exactly_is_rare() -> None:
    """Of all answers in the other dialect; each kind of exception has its reason."""
    found: Counter[str] = Counter()
    for recording in _chats(lambda recording: error_of(recording) is None):
        said = gist_of(recording.body, anthropic=False, stream=recording.streaming)
        found.update(name for name, oddity in TO_ANTHROPIC.items() if oddity.loses and oddity.applies(said))
    assert found.total() <= 0.02 * (len(_messages()) + len(_chats())), found


@pytest.mark.parametrize("mutation", STREAMS, ids=lambda mutation: mutation.__name__)
def test_openais_streams_changed(mutation: Mutation) -> None:
    random = Random(mutation.__name__)
    streams = _chats(lambda recording: recording.streaming and len(recording.body) < 60_000)
    simulate([changed(recording, mutation, random) for recording in streams], at_once, complaints())


@pytest.mark.parametrize("mutation", MESSAGES_STREAMS, ids=lambda mutation: mutation.__name__)
def test_anthropics_streams_changed(mutation: Mutation) -> None:
    random = Random(mutation.__name__)
    streams = [recording for recording in _messages() if recording.streaming and len(recording.body) < 60_000]
    simulate([changed(recording, mutation, random) for recording in streams], at_once, complaints(), kind="anthropic")


@pytest.mark.parametrize("mutation", ANSWERS.values(), ids=ANSWERS)
def test_answers_changed(mutation: Mutation) -> None:
    for recordings, kind in ((_messages(), "anthropic"), (_chats(), "openai")):
        answers = [one for one in recordings if not one.streaming and error_of(one) is None]
        simulate([changed(answer, mutation, Random(0)) for answer in answers], at_once, complaints(), kind=kind)


def test_every_letter_torn() -> None:
    torn = [recording for recording in _messages() if not recording.body.isascii()]
    simulate(torn, in_letters, complaints(), kind="anthropic")
    simulate(_chats(lambda recording: not recording.body.isascii()), in_letters, complaints(), kind="openai")
