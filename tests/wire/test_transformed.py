"""The same answer said otherwise is the same answer: to callers of its own dialect, of the other, and in the log.

What a golden case or a recording amounts to is compared with what it amounts to once it is transformed
(`transformed.py`): words, thoughts, calls, reasons and citations of every choice, the count, the model, the class of an
error; read as it comes, as a stream of the other dialect, and as a whole answer of the other dialect.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec import structs

from penstock.errors import UpstreamError
from penstock.events import Event, collect
from penstock.usage import Usage
from penstock.wire.dialects import CHAT
from tests.wire.corpus import Recording, anthropic_shaped, openai_shaped
from tests.wire.transformed import ANTHROPIC, OPENAI, OPENAI_STREAMS, Change, transform_body, transform_stream

CASES = Path(__file__).parent / "cases"

Transform = Callable[[bytes, bool], bytes]
"""An answer's bytes, and whether they are a stream's, to its bytes said otherwise."""


def _of_each(make: Callable[[], Change]) -> Transform:
    return lambda body, stream: (transform_stream if stream else transform_body)(body, make())


def _of_streams(change: Callable[[bytes], bytes]) -> Transform:
    return lambda body, stream: change(body) if stream else body


TRANSFORMS: dict[str, dict[str, Transform]] = {
    "openai_chat": {name: _of_each(make) for name, make in OPENAI.items()}
    | {name: _of_streams(change) for name, change in OPENAI_STREAMS.items()},
    "anthropic_messages": {name: _of_each(make) for name, make in ANTHROPIC.items()},
}
EVERY = [(dialect, name) for dialect, transforms in TRANSFORMS.items() for name in transforms]

# What is known to differ, and may.
APART = {
    # The estimate, where nobody counted, is made of the bytes that came: here of names that came again and again.
    ("ids_and_names_again", "tools"),
    # Of an event that is read leniently, as its types are wrong, an object is measured; beside new fields, as it is.
    ("unknown_fields", "arguments_object"),
    # Numbers beyond any count, which become others as floats.
    ("usage_as_floats", "usage_wild"),
}


def _plain(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def _said(events: list[Event]) -> dict[int, Any]:
    """What each choice says."""
    found = {}
    for choice in {event.choice for event in events}:
        told = collect([structs.replace(event, choice=0) for event in events if event.choice == choice])
        calls = [(call.name, _plain(call.arguments)) for call in told.tool_calls]
        words = (told.text, told.message.reasoning, told.message.refusal, calls, told.finish_reason)
        if any(words):
            found[choice] = words
    return found


def _amount(events: list[Event]) -> dict[str, Any]:
    cited = [event.data for event in events if event.kind == "citation" and isinstance(event.data, dict)]
    return {
        "said": _said(events),
        "usage": collect(events).usage,
        "errors": [event.error.code for event in events if event.error is not None],
        "cited": [[each.get(name) for name in ("url", "cited_text", "document_index")] for each in cited],
        "seals": [(event.signature, event.redacted) for event in events if event.signature or event.redacted],
        "models": {event.model for event in events if event.kind == "start" and event.model},
    }


def _facts(usage: Usage, *more: object) -> dict[str, Any]:
    return {"usage": (usage.estimated or usage), "more": more}


def amounts(dialect: str, body: bytes, *, stream: bool) -> dict[str, Any]:
    """All that it amounts to, by name of the one who reads it."""
    reading = CHAT[dialect]
    found: dict[str, Any] = {}
    if stream:
        reader = reading.open_stream(keep_usage=True, prompt_bytes=40)
        passed = reader.feed(body) + reader.end()
        error = None if reader.error is None else reader.error.code
        found["facts"] = _facts(reader.usage, reader.model, reader.finish_reason, reader.done, reader.output, error)
        found["same bytes"] = reader.dropped or passed.startswith(body)
        events = reading.decode_events(passed)
    else:
        try:
            facts = reading.decode_facts(body, 40)
        except UpstreamError as error:
            return {"error": (error.code, error.message)}
        found["facts"] = _facts(facts.usage, facts.model, facts.finish_reason)
        events = reading.decode_events(body)
    found["events"] = _amount(events)
    for other in CHAT:
        if other != dialect:
            writer = CHAT[other].open_writer("r", 1, keep_usage=True)
            found["stream across"] = _amount(CHAT[other].decode_events(writer.write(events) + writer.end()))
            found["answer across"] = _amount(CHAT[other].decode_events(CHAT[other].encode_answer(events, "r", 1)))
    return found


def differences(
    dialect: str, transform: Transform, body: bytes, *, stream: bool, mended: bool = False
) -> Iterator[str]:
    """Where the transformed answer amounts to something else."""
    was, now = (amounts(dialect, each, stream=stream) for each in (body, transform(body, stream)))
    if "facts" in was and "facts" in now and was["facts"]["more"][0] and not now["facts"]["more"][0]:
        pytest.fail("the model is lost")
    for name, value in was.items():
        if name != "same bytes" and value != now.get(name):
            yield f"{name}: {value} became {now.get(name)}"
    if not mended and not now.get("same bytes", True):
        yield "the bytes did not pass as they are"


@pytest.mark.parametrize(("dialect", "name"), EVERY)
def test_golden_cases(dialect: str, name: str) -> None:
    found = []
    for path in sorted((CASES / dialect).glob("*.sse")):
        if not path.stem.endswith(".out") and (name, path.stem) not in APART:
            mended = path.with_suffix(".out.sse").exists()  # of its events some pass otherwise than they came
            differ = differences(dialect, TRANSFORMS[dialect][name], path.read_bytes(), stream=True, mended=mended)
            found += [f"{path.stem}: {each}" for each in differ]
    assert not found, "\n".join(found)


RECORDED: dict[str, list[Recording]] = {
    "openai_chat": openai_shaped(lambda each: each.path.endswith("/chat/completions") and each.status == 200),
    "anthropic_messages": anthropic_shaped(lambda each: each.path.endswith("/messages") and each.status == 200),
}


@pytest.mark.parametrize(("dialect", "name"), EVERY if all(RECORDED.values()) else [])
def test_recordings(dialect: str, name: str) -> None:
    """A third of them, another one for each transform."""
    recordings, found = RECORDED[dialect], []
    for recording in Random(name).sample(recordings, len(recordings) // 3 + 1):
        differ = differences(dialect, TRANSFORMS[dialect][name], recording.body, stream=recording.streaming)
        found += [f"{recording.id}: {each}" for each in differ]
    assert not found, "\n".join(each[:1500] for each in found)
