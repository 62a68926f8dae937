"""The rest of an answer: how each dialect asks for it and tells it, what can be gone on with, and strict readers."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ProtocolError, StreamInterrupted, UpstreamError
from penstock.events import Event
from penstock.records import Decision, Record
from penstock.usage import Usage, added
from penstock.wire.dialect import Begun, ChatDialect
from penstock.wire.dialects import CALLERS, CHAT
from penstock.wire.said import MAX_TEXT, Said, note_of, noted
from penstock.wire.splice import decode_object

OPENAI, ANTHROPIC = CHAT["openai_chat"], CHAT["anthropic_messages"]


def fields(**values: Any) -> dict[str, msgspec.Raw]:
    return decode_object(json.dumps(values).encode())


def plain(written: dict[str, msgspec.Raw] | None) -> Any:
    assert written is not None
    return {name: json.loads(bytes(value)) for name, value in written.items()}


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    event = {"id": "c1", "object": "chat.completion.chunk", "created": 17, "model": "m-1", "choices": [choice]}
    return b"data: %b\n\n" % json.dumps(event).encode()


def event(kind: str, **values: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **values}).encode())


def told(data: bytes) -> list[dict[str, Any]]:
    lines = [line[6:] for line in data.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line) for line in lines]


# --- asking for it

USER = {"role": "user", "content": "Where?"}


@pytest.mark.parametrize("dialect", CHAT.values(), ids=list(CHAT))
def test_the_conversation_ends_with_what_was_said(dialect: ChatDialect) -> None:
    asked = fields(model="m", messages=[USER], max_tokens=100, temperature=0)
    written = plain(dialect.begin_answer(asked, "By the", 30))
    assert written["messages"] == [USER, {"role": "assistant", "content": "By the"}]
    assert written["max_tokens"] == 70
    assert written["temperature"] == 0
    assert plain(dialect.begin_answer(asked, "By the", 300))["max_tokens"] == 1


@pytest.mark.parametrize("dialect", CHAT.values(), ids=list(CHAT))
def test_what_the_caller_had_begun_itself_stays_at_its_beginning(dialect: ChatDialect) -> None:
    asked = fields(messages=[USER, {"role": "assistant", "content": "It is"}], max_tokens=9)
    written = plain(dialect.begin_answer(asked, " by the", 1))
    assert written["messages"] == [USER, {"role": "assistant", "content": "It is by the"}]


def test_blocks_that_were_begun() -> None:
    block = {"type": "text", "text": "It is", "cache_control": {"type": "ephemeral"}}
    written = plain(
        ANTHROPIC.begin_answer(fields(messages=[USER, {"role": "assistant", "content": [block]}]), " by", 1)
    )
    assert written["messages"][-1]["content"] == [{**block, "text": "It is by"}]
    image = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
    assert ANTHROPIC.begin_answer(fields(messages=[USER, {"role": "assistant", "content": [image]}]), "x", 1) is None


def test_limits_of_openais() -> None:
    written = plain(OPENAI.begin_answer(fields(messages=[USER], max_completion_tokens=50), "x", 20))
    assert written["max_completion_tokens"] == 30
    assert "max_tokens" not in written


@pytest.mark.parametrize(
    ("dialect", "values"),
    [
        (ANTHROPIC, {"messages": [USER], "thinking": {"type": "enabled", "budget_tokens": 2000}}),
        (ANTHROPIC, {"messages": [USER], "thinking": {"type": "adaptive"}}),
        (ANTHROPIC, {"messages": "no list"}),
        (OPENAI, {"messages": 7}),
        (OPENAI, {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]}]}),
        (OPENAI, {"messages": [USER, {"role": "assistant", "content": [{"type": "text", "text": "a"}]}]}),
        (CALLERS["generate"], {"prompt": "x"}),
    ],
)
def test_what_cannot_be_begun(dialect: Any, values: dict[str, Any]) -> None:
    assert dialect.begin_answer(fields(**values), "said", 5) is None


def test_the_last_message_is_marked() -> None:
    body = json.dumps({"model": "m", "messages": [USER, {"role": "assistant", "content": "a"}]}).encode()
    marked = json.loads(OPENAI.mark_begun(body, "prefix"))
    assert marked["messages"] == [USER, {"role": "assistant", "content": "a", "prefix": True}]
    assert ANTHROPIC.mark_begun(body, "prefix") is body


@pytest.mark.parametrize(
    ("name", "values", "may"),
    [
        ("openai_chat", {}, True),
        ("openai_chat", {"n": 1, "logprobs": False, "response_format": {"type": "text"}}, True),
        ("openai_chat", {"n": None, "logprobs": None, "response_format": None}, True),
        ("openai_chat", {"n": 2}, False),
        ("openai_chat", {"logprobs": True}, False),
        ("openai_chat", {"modalities": ["text", "audio"]}, False),
        ("openai_chat", {"response_format": {"type": "json_schema", "json_schema": {}}}, False),
        ("anthropic_messages", {}, True),
        ("anthropic_messages", {"output_config": {"effort": "low"}}, True),
        ("anthropic_messages", {"output_config": {"format": {"type": "json_schema"}}}, False),
        ("anthropic_messages", {"output_config": 7}, False),
        ("anthropic_messages", {"output_format": {"type": "json_schema"}}, False),
        ("generate", {}, True),
        ("generate", {"output_schema": None}, True),
        ("generate", {"output_schema": {}}, False),
    ],
)
def test_what_may_be_joined(name: str, values: dict[str, Any], may: bool) -> None:
    assert CALLERS[name].may_join(fields(**values)) is may


# --- telling it


def test_openais_rest_has_the_stamp_of_the_first() -> None:
    begun = Begun("c1", "m-1", first=b": hi\n\n" + chunk({"role": "assistant", "content": ""}))
    writer = OPENAI.open_rest(begun, keep_usage=True)
    said = writer.write([Event("text", "more"), Event("finish", finish_reason="stop")])
    said += writer.write([Event("usage", usage=Usage(3, 4)), Event("end")])
    events = told(said)
    assert {(one["id"], one["created"], one["model"]) for one in events} == {("c1", 17, "m-1")}
    assert [one["choices"][0]["delta"] for one in events[:-1]] == [{"content": "more"}, {}]
    assert events[-1]["usage"]["completion_tokens"] == 4
    assert said.endswith(b"data: [DONE]\n\n")


def test_anthropics_rest_goes_on_in_its_block() -> None:
    delta = event("content_block_delta", index=1, delta={"type": "text_delta", "text": "a"})
    writer = ANTHROPIC.open_rest(Begun("msg_1", "m", 1, b"", delta + event("ping")), keep_usage=True)
    said = writer.write([Event("text", "more", index=1)])
    said += writer.write([Event("finish", finish_reason="stop"), Event("usage", usage=Usage(3, 4)), Event("end")])
    events = told(said)
    assert [one["type"] for one in events] == [
        "content_block_delta", "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert events[0]["index"] == events[1]["index"] == 1
    assert events[2]["usage"]["output_tokens"] == 4


def test_anthropics_rest_behind_a_block_that_was_closed_is_a_block_of_its_own() -> None:
    begun = Begun("msg_1", "m", 0, b"", event("content_block_stop", index=0) + event("ping"))
    writer = ANTHROPIC.open_rest(begun, keep_usage=True)
    events = told(writer.write([Event("text", "more", index=0), Event("finish", finish_reason="stop"), Event("end")]))
    assert [one["type"] for one in events] == [
        "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert events[0]["index"] == 1
    silent = ANTHROPIC.open_rest(begun, keep_usage=True)
    events = told(silent.write([Event("finish", finish_reason="stop"), Event("end")]))
    assert [one["type"] for one in events] == ["message_delta", "message_stop"]


# --- what was said

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), min_size=1, max_size=12)


@given(TEXTS, st.lists(st.integers(0, 12)))
def test_it_is_the_same_at_any_cutting(texts: list[str], cuts: list[int]) -> None:
    blocks = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": text}) for text in texts)]
    edges = sorted({0, len(blocks), *(min(cut, len(blocks)) for cut in cuts)})
    said = Said(OPENAI.decode_events)
    for start, stop in pairwise(edges):
        data = b"".join(blocks[start:stop])
        said.note(data)
    assert said.joinable
    assert said.text == "".join(texts)
    assert said.length == len(said.text)
    assert (said.begun.id, said.begun.model) == ("c1", "m-1")


@given(TEXTS, st.integers(1, 9))
def test_it_is_the_same_where_events_are_known_to_be_alike(texts: list[str], several: int) -> None:
    reader = OPENAI.open_stream(keep_usage=True, prompt_bytes=10)
    said, plain = Said(OPENAI.decode_events), Said(OPENAI.decode_events)
    events = [chunk({"content": text}) for text in ["One ", "two ", *texts, *texts]]
    for at in range(0, len(events), several):
        data = reader.feed(b"".join(events[at : at + several]))
        alike = reader.alike(data)
        if alike is None or not said.note_alike(data, alike):
            said.note(data)
        plain.note(data)
    assert said.text == plain.text == "One two " + 2 * "".join(texts)
    assert said.length == plain.length
    assert said.begun.last == plain.begun.last


A = Event("text", "a")


@pytest.mark.parametrize(
    ("events", "joinable"),
    [
        ([A], True),
        ([Event("start", "i"), Event("reasoning", "hm"), A, Event("usage", usage=Usage())], True),
        ([], False),
        ([Event("reasoning", "hm")], False),
        ([A, Event("reasoning", "hm")], False),
        ([A, Event("tool_call")], False),
        ([A, Event("refusal", "no")], False),
        ([A, Event("citation", data={})], False),
        ([A, Event("other", data={})], False),
        ([A, Event("text", "b", choice=1)], False),
        ([A, Event("text", "b", index=1)], False),
        ([Event("text", "a", data={"content": []})], False),
        ([Event("text", "x" * MAX_TEXT), A], False),
    ],
)
def test_what_can_be_gone_on_with(events: list[Event], joinable: bool) -> None:
    said = Said(lambda _: events)
    said.note(b"x")
    assert said.joinable is joinable


# --- the note


def record(*decisions: Decision) -> Record:
    made = Record("id", "chat", 0.0, 0.0)
    made.decisions = list(decisions)
    return made


def test_the_last_event_says_that_it_was_put_together() -> None:
    note = note_of(record(Decision("chosen", "p/m", "", 0.0), Decision("resumed", "p/m#key", "matched", 1.0)))
    data = chunk({"content": "\ndata: {"}) + chunk({}, "stop") + b"data: [DONE]\n\n"
    events = told(noted(data, note))
    assert [one.pop("penstock", None) for one in events] == [None, {"resumed": [{"target": "p/m", "how": "matched"}]}]
    assert events == told(data)
    assert told(noted(b"event: x\ndata: {}\n\n", note)) == [
        {"penstock": {"resumed": [{"target": "p/m", "how": "matched"}]}}
    ]


def test_no_note_where_nothing_was() -> None:
    assert note_of(record(Decision("chosen", "p/m", "", 0.0))) == b""
    data = chunk({}, "stop")
    assert noted(data, b"") is data
    assert noted(b": comment\n\n", b'"a":1') == b": comment\n\n"


def test_usage_adds_up() -> None:
    one, other = (
        Usage(1, 2, 3, 4, 5, cache_write_1h_tokens=6, tier="flex"),
        Usage(10, 20, estimated=True, web_searches=2),
    )
    assert added(one, other) == Usage(
        11, 22, 3, 4, 5, estimated=True, cache_write_1h_tokens=6, web_searches=2, tier=""
    )  # fmt: skip


# --- strict readers

BEGINNINGS = {
    "openai_chat": chunk({"role": "assistant", "content": "One "}) + chunk({"content": "two "}),
    "anthropic_messages": event("message_start", message={"id": "m1", "model": "m", "content": [], "usage": {}})
    + event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + event("content_block_delta", index=0, delta={"type": "text_delta", "text": "One two "}),
}
MORE = {
    "openai_chat": chunk({"content": "three"}),
    "anthropic_messages": event("content_block_delta", index=0, delta={"type": "text_delta", "text": "three"}),
}
ERRORS = {
    "openai_chat": b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n',
    "anthropic_messages": event("error", error={"type": "overloaded_error", "message": "Overloaded"}),
}
GARBAGE = b"data: {not json\n\n"


def read_strictly(name: str, data: bytes, size: int) -> tuple[bytes, UpstreamError | None, bytes]:
    reader = CHAT[name].open_stream(keep_usage=True, prompt_bytes=10)
    reader.strict = True
    out = b""
    for at in range(0, len(data), size):
        out += reader.feed(data[at : at + size])
        if reader.error is not None:
            break
    out += reader.end()
    return out, reader.error, reader.last_words()


@pytest.mark.parametrize("size", [1, 7, 50, 10_000])
@pytest.mark.parametrize("name", CHAT)
def test_nothing_passes_behind_an_event_that_is_not_valid(name: str, size: int) -> None:
    out, error, last = read_strictly(name, BEGINNINGS[name] + GARBAGE + MORE[name], size)
    assert out == BEGINNINGS[name]
    assert isinstance(error, ProtocolError)
    assert last == CHAT[name].encode_stream_error(error)


@pytest.mark.parametrize("size", [1, 7, 50, 10_000])
@pytest.mark.parametrize("name", CHAT)
def test_the_providers_error_is_kept_back(name: str, size: int) -> None:
    out, error, last = read_strictly(name, BEGINNINGS[name] + ERRORS[name] + MORE[name], size)
    assert out == BEGINNINGS[name]
    assert error is not None
    assert last == ERRORS[name]


@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize("name", CHAT)
def test_an_error_without_its_last_blank_line_is_kept_back_too(name: str, size: int) -> None:
    out, error, last = read_strictly(name, BEGINNINGS[name] + ERRORS[name].rstrip(b"\n"), size)
    assert (out, last) == (BEGINNINGS[name], ERRORS[name])
    assert error is not None


@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize("name", CHAT)
def test_an_event_that_was_whole_but_for_its_blank_line_is_made_whole(name: str, size: int) -> None:
    out, error, last = read_strictly(name, BEGINNINGS[name] + MORE[name].rstrip(b"\n"), size)
    assert out == BEGINNINGS[name] + MORE[name]
    assert isinstance(error, StreamInterrupted)
    assert last == CHAT[name].encode_stream_error(error)


@pytest.mark.parametrize("name", CHAT)
def test_a_lenient_reader_drops_and_counts_it(name: str) -> None:
    reader = CHAT[name].open_stream(keep_usage=True, prompt_bytes=10)
    assert reader.feed(BEGINNINGS[name] + GARBAGE + MORE[name]) == BEGINNINGS[name] + MORE[name]
    assert (reader.dropped, reader.error) == (1, None)
