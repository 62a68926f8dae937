"""Answers said in OpenAI's words: whole and streamed, in any pieces, as its own SDK reads them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from penstock.errors import UpstreamRateLimited
from penstock.events import Event, ToolCallDelta, collect
from penstock.messages import Response
from penstock.usage import Usage
from penstock.wire.dialect import AnswerWriter, ChatDialect
from penstock.wire.openai_chat import OpenAIChat
from penstock.wire.sse import Framer
from tests.wire.corpus import Recording, openai_shaped

CHAT: ChatDialect = OpenAIChat()
START = Event("start", "msg_1", model="claude-x")
DONE = b"data: [DONE]\n\n"
SEAL = "anthropic-claude-v1"


def text(said: str, index: int = 0, **rest: Any) -> Event:
    return Event("text", said, index=index, **rest)


def call(index: int, id: str = "", name: str = "", arguments: str = "") -> Event:
    return Event("tool_call", tool_call=ToolCallDelta(index, id, name, arguments))


def finish(reason: str = "stop") -> Event:
    return Event("finish", finish_reason=reason)


def whole(*events: Event) -> Any:
    """The body, which the SDK's type must take."""
    body = CHAT.encode_answer(list(events), "req_1", 5)
    ChatCompletion.model_validate_json(body, strict=True)
    return json.loads(body)


def message(*events: Event) -> Any:
    return whole(*events)["choices"][0]["message"]


def streamed(*events: Event, keep_usage: bool = False) -> bytes:
    writer = CHAT.open_writer("req_1", 5, keep_usage=keep_usage)
    return writer.write(list(events)) + writer.end()


def chunks(stream: bytes) -> list[Any]:
    """The chunks before `[DONE]`, each of which the SDK's type must take."""
    assert stream.endswith(DONE)
    found = []
    for block in Framer().feed(stream[: -len(DONE)]):
        assert block.startswith(b"data: ")
        ChatCompletionChunk.model_validate_json(block[6:], strict=True)
        found.append(json.loads(block[6:]))
    return found


def deltas(*events: Event) -> list[Any]:
    return [chunk["choices"][0]["delta"] for chunk in chunks(streamed(*events))]


def gathered(stream: bytes) -> Any:
    """What the SDK's own helper makes of a stream."""
    state = ChatCompletionStreamState()
    for chunk in chunks(stream):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return state.current_completion_snapshot  # the final one raises where an answer was cut short


ROLE = {"role": "assistant", "content": "", "refusal": None}


def test_a_whole_answer() -> None:
    assert whole(START, text("Hel"), text("lo."), finish("length"), Event("usage", usage=Usage(9, 3, 4, 2, 1))) == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 5,
        "model": "claude-x",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello.", "refusal": None},
                "logprobs": None,
                "finish_reason": "length",
            }
        ],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 3,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
        "system_fingerprint": None,
    }


def test_a_stream() -> None:
    head = {"id": "msg_1", "object": "chat.completion.chunk", "created": 5, "model": "claude-x"}
    events = (START, text("Hel"), text("lo."), finish(), Event("usage", usage=Usage(9, 3)), Event("end"))

    def chunk(delta: Any, reason: str | None = None) -> Any:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**head, "choices": [choice]}

    said = [chunk(ROLE), chunk({"content": "Hel"}), chunk({"content": "lo."}), chunk({}, "stop")]
    assert chunks(streamed(*events)) == said
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 3,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    asked = chunks(streamed(*events, keep_usage=True))
    assert asked == [*({**one, "usage": None} for one in said), {**head, "choices": [], "usage": usage}]


def test_counts_told_in_two_places_are_one() -> None:
    counts = [Event("usage", usage=Usage(input_tokens=9, cache_read_tokens=4)), Event("usage", usage=Usage(0, 3))]
    assert whole(*counts)["usage"]["total_tokens"] == 12
    assert chunks(streamed(*counts, keep_usage=True))[-1]["usage"] == whole(*counts)["usage"]


@pytest.mark.parametrize("events", [(START, text("a")), (text("a"), START), (text("a"), Event("start", "other"))])
def test_the_id_stays(events: tuple[Event, ...]) -> None:
    ids = {(chunk["id"], chunk["model"]) for chunk in chunks(streamed(*events))}
    assert ids == {("msg_1", "claude-x")} if events[0] is START else {("req_1", "")}


def test_a_later_start_says_nothing_new() -> None:
    again = Event("start", "msg_2", model="m")
    assert streamed(START, again, text("a"), again) == streamed(START, text("a"))
    assert whole(START, again, text("a")) == whole(START, text("a"))


def test_without_an_id_it_is_the_requests() -> None:
    assert whole(text("a"))["id"] == "req_1"
    assert whole(Event("start", model="m"))["id"] == "req_1"


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        *((word, word) for word in ("stop", "length", "tool_calls", "content_filter")),
        ("eos", "stop"),
        ("error", "stop"),
    ],
)
def test_the_reason_it_ended(reason: str, said: str) -> None:
    assert whole(START, text("a"), finish(reason))["choices"][0]["finish_reason"] == said
    assert chunks(streamed(START, text("a"), finish(reason)))[-1]["choices"][0]["finish_reason"] == said


def test_an_end_without_a_reason_gets_one() -> None:
    assert whole(START, text("a"))["choices"][0]["finish_reason"] == "stop"
    assert chunks(streamed(START, text("a")))[-1]["choices"][0]["finish_reason"] == "stop"
    assert whole(START, call(0, "a", "f"))["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks(streamed(START, call(0, "a", "f")))[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_it_ends_once() -> None:
    writer = CHAT.open_writer("req_1", 5, keep_usage=False)
    out = writer.write([START, text("a"), finish(), finish("length"), Event("end")])
    assert out.count(b"[DONE]") == 1
    assert out.count(b'"finish_reason":"') == 1
    assert writer.write([text("b"), Event("end")]) == writer.end() == b""


def test_calls_are_numbered_anew() -> None:
    events = (
        START,
        text("I look."),
        call(1, "a", "f"),
        call(1, arguments='{"x"'),
        call(4, "b", "g", "{}"),
        call(1, arguments=":1}"),
        call(4),
        call(7, name="h"),
        finish("tool_calls"),
    )
    said = [delta["tool_calls"] for delta in deltas(*events) if "tool_calls" in delta]
    made_up = said[4][0]["id"]
    assert said == [
        [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}],
        [{"index": 0, "function": {"arguments": '{"x"'}}],
        [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}],
        [{"index": 0, "function": {"arguments": ":1}"}}],
        [{"index": 2, "id": made_up, "type": "function", "function": {"name": "h", "arguments": ""}}],
        [{"index": 2, "function": {"arguments": "{}"}}],
    ]
    assert "req_1" in made_up
    assert message(*events) == {
        "role": "assistant",
        "content": "I look.",
        "refusal": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            {"id": made_up, "type": "function", "function": {"name": "h", "arguments": "{}"}},
        ],
    }
    read = gathered(streamed(*events)).choices[0].message
    assert [(one.id, one.function.arguments) for one in read.tool_calls] == [
        ("a", '{"x":1}'),
        ("b", "{}"),
        (made_up, "{}"),
    ]


def test_calls_that_share_a_number_are_told_apart() -> None:
    """Gemini's compatible route gives each whole call alone and without a number; vLLM repeats a call's id anew."""
    calls = message(call(0, "a", "f", "{}"), call(0, "b", "f", "{}"), call(0, "c", "", " "))["tool_calls"]
    assert [(one["id"], one["function"]["arguments"]) for one in calls] == [("a", "{}"), ("b", "{} ")]


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        ([call(0, "", "f"), call(0, "c", "", '{"a":'), call(0, "", "", "1}")], ("c", "f")),
        ([call(0, "c", "get_"), call(0, "", "weather"), call(0, "", "", '{"a":1}')], ("c", "get_weather")),
        ([call(0, "c", "f"), call(0, "c", "f", '{"a":'), call(0, "", "f", "1}")], ("c", "f")),
        ([call(0, "c", "f", '{"a": 1}'), call(0, "", "", '{"a":1}')], ("c", "f")),
    ],
    ids=["a late id", "a name in pieces", "a name again", "an input again"],
)
def test_odd_pieces_of_a_call(pieces: list[Event], told: tuple[str, str]) -> None:
    id, name = told
    (made,) = message(START, *pieces, finish("tool_calls"))["tool_calls"]
    assert (made["id"], made["function"]["name"], json.loads(made["function"]["arguments"])) == (id, name, {"a": 1})
    (read,) = gathered(streamed(START, *pieces, finish("tool_calls"))).choices[0].message.tool_calls
    assert (read.function.name, json.loads(read.function.arguments)) == (name, {"a": 1})
    (kept,) = collect([START, *pieces, finish("tool_calls")]).tool_calls
    assert (kept.id, kept.name, json.loads(kept.arguments)) == (id, name, {"a": 1})


def test_a_call_without_text_has_no_content() -> None:
    assert message(call(0, "a", "f"))["content"] is None
    assert message(Event("refusal", "No."))["content"] is None
    assert message(finish())["content"] == ""


def test_a_refusal() -> None:
    assert message(Event("refusal", "N"), Event("refusal", "o."))["refusal"] == "No."
    assert deltas(Event("refusal", "No."))[1] == {"refusal": "No."}


THOUGHTS = (
    START,
    Event("reasoning", "H", index=0),
    Event("reasoning", "m.", index=0),
    Event("reasoning", index=0, signature="S"),
    Event("reasoning", index=1, redacted="X"),
    Event("reasoning", "Ah.", index=2, signature="T"),
    text("Yes.", 3),
    finish(),
)


def test_thoughts_keep_their_seals() -> None:
    assert message(*THOUGHTS) == {
        "role": "assistant",
        "content": "Yes.",
        "refusal": None,
        "reasoning_content": "Hm.Ah.",
        "reasoning_details": [
            {"type": "reasoning.text", "index": 0, "text": "Hm.", "signature": "S", "format": SEAL},
            {"type": "reasoning.encrypted", "index": 1, "data": "X", "format": SEAL},
            {"type": "reasoning.text", "index": 2, "text": "Ah.", "signature": "T", "format": SEAL},
        ],
    }
    assert [delta for delta in deltas(*THOUGHTS) if "reasoning_details" in delta] == [
        {"reasoning_content": "H", "reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "H"}]},
        {"reasoning_content": "m.", "reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "m."}]},
        {"reasoning_details": [{"type": "reasoning.text", "index": 0, "signature": "S", "format": SEAL}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "index": 1, "data": "X", "format": SEAL}]},
        {
            "reasoning_content": "Ah.",
            "reasoning_details": [
                {"type": "reasoning.text", "index": 2, "text": "Ah.", "signature": "T", "format": SEAL}
            ],
        },
    ]


@pytest.mark.parametrize("kept", ["whole", "pieces", "sdk"])
def test_what_a_client_sends_back_is_what_was_thought(kept: str) -> None:
    """Whether it keeps the whole answer's message, the stream's pieces as they came, or what the SDK made of them."""
    turn = {"role": "assistant", **message(*THOUGHTS)}
    if kept == "pieces":
        turn["reasoning_details"] = [
            detail for delta in deltas(*THOUGHTS) for detail in delta.get("reasoning_details", ())
        ]
    elif kept == "sdk":
        turn = gathered(streamed(*THOUGHTS)).choices[0].message.to_dict(exclude_none=True)
    body = json.dumps({"messages": [turn, {"role": "user", "content": "Go on."}]}).encode()
    first = CHAT.decode_prompt(CHAT.decode_request(body).fields).turns[0]
    found = [(part.text, part.signature, part.redacted, part.family) for part in first.parts[:3]]  # type: ignore[union-attr]
    family = "anthropic_messages"
    assert found == [("Hm.", "S", "", family), ("", "", "X", family), ("Ah.", "T", "", family)]


def test_thoughts_without_a_seal_are_said_once_in_a_whole_answer() -> None:
    assert "reasoning_details" not in message(Event("reasoning", "Hm."), text("Yes."))


PAGE = {"type": "web_search_result_location", "url": "https://a.test", "title": "A", "cited_text": "purr"}
CITED = (
    START,
    text("Look: ", 0),
    Event("citation", index=1, data=PAGE),
    text("cats ", 1),
    text("purr", 1),
    Event("citation", index=1, data={"type": "char_location", "document_index": 0}),
    Event("citation", index=1, data={"type": "search_result_location", "source": "https://b.test", "title": None}),
    Event("citation", index=1, data={"url": "https://c.test", "title": "C", "start_index": 1, "end_index": 2}),
    text(".", 2),
    Event("other", index=3, data={"type": "web_search_tool_result"}),
    finish(),
)


def test_citations_with_a_url_are_annotations() -> None:
    places = [("https://a.test", "A", 6, 15), ("https://b.test", "", 6, 15), ("https://c.test", "C", 1, 2)]
    annotations = [
        {"type": "url_citation", "url_citation": {"url": url, "title": title, "start_index": begin, "end_index": end}}
        for url, title, begin, end in places
    ]
    said = message(*CITED)
    assert said == {"role": "assistant", "content": "Look: cats purr.", "refusal": None, "annotations": annotations}
    assert said["content"][6:15] == "cats purr"
    assert deltas(*CITED)[-2:] == [{"annotations": annotations}, {}]


@pytest.mark.parametrize("data", [None, "x", {}, {"url": 5}, {"url": ""}, {"source": "a file"}, [PAGE]])
def test_other_citations_are_left_out(data: Any) -> None:
    assert "annotations" not in message(text("a"), Event("citation", data=data))


def test_logprobs_come_with_their_text() -> None:
    one = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}
    events = (text("a", data={"content": [one], "refusal": None}), text("b", data={"content": [one]}), finish())
    assert whole(*events)["choices"][0]["logprobs"] == {"content": [one, one], "refusal": None}
    said = [chunk["choices"][0]["logprobs"] for chunk in chunks(streamed(*events))]
    assert said == [None, {"content": [one], "refusal": None}, {"content": [one], "refusal": None}, None]


def test_more_text_of_the_same_kind() -> None:
    writer = CHAT.open_writer("r", 5, keep_usage=False)
    assert writer.go_on(text("a"), [b"b"], 1) is None  # not begun
    writer.write([START, text("a")])
    more = writer.go_on(text("a"), [b"b", rb"\n"], 2)
    assert more is not None
    assert [chunk["choices"][0]["delta"] for chunk in chunks(more + DONE)] == [{"content": "b"}, {"content": "\n"}]
    assert writer.go_on(text("a", data={"content": [LOGPROB]}), [b"b"], 1) is None
    last = chunks(writer.write([Event("citation", data=PAGE), finish()]) + writer.end())
    cited = last[0]["choices"][0]["delta"]["annotations"][0]["url_citation"]
    assert (cited["start_index"], cited["end_index"]) == (0, 3)
    assert writer.go_on(text("a"), [b"b"], 1) is None


def test_several_answers() -> None:
    events = [
        START,
        Event("text", "b", choice=1),
        Event("text", "a"),
        Event("finish", finish_reason="length", choice=1),
        Event("finish", finish_reason="stop"),
    ]
    said = [(one["index"], one["message"]["content"], one["finish_reason"]) for one in whole(*events)["choices"]]
    assert said == [(0, "a", "stop"), (1, "b", "length")]
    places = [(chunk["choices"][0]["index"], chunk["choices"][0]["delta"]) for chunk in chunks(streamed(*events))]
    assert places == [(0, ROLE), (1, ROLE), (1, {"content": "b"}), (0, {"content": "a"}), (1, {}), (0, {})]


def test_an_error_ends_a_stream_without_done() -> None:
    error = UpstreamRateLimited("The provider's rate limit is reached.", do="Wait and try again.")
    writer = CHAT.open_writer("req_1", 5, keep_usage=True)
    out = writer.write([START, text("a"), finish("error"), Event("error", error=error), text("b"), Event("end")])
    assert out.endswith(CHAT.encode_stream_error(error))
    assert b'"finish_reason":"' not in out
    assert writer.end() == b""


def test_half_a_surrogate_pair_is_written_all_the_same() -> None:
    lone = "a\ud83d"
    events = (
        Event("start", lone, model=lone),
        Event("reasoning", lone, signature=lone, redacted=lone),
        text(lone, data={"content": [lone]}),
        Event("refusal", lone),
        call(0, lone, lone, lone),
        Event("citation", data={"url": lone, "title": lone}),
        finish(lone),
    )
    assert message(*events)["content"] == "a�"
    assert gathered(streamed(*events)).choices[0].message.content == "a�"


LOGPROB = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
NUMBERS = st.integers(0, 3)
SCRAPS = st.text(max_size=5)


def behind_the_end(event: Event, earlier: list[Event]) -> bool:
    """Whether it goes on with a call of an answer that has ended: a call without input was given an empty one then."""
    ended = (each.choice for each in earlier if each.kind == "finish")
    return event.kind == "tool_call" and event.choice in ended


EVENTS = st.lists(
    st.one_of(
        st.builds(Event, st.just("start"), SCRAPS, model=SCRAPS),
        st.builds(
            Event,
            st.sampled_from(["text", "reasoning", "refusal"]),
            SCRAPS,
            index=NUMBERS,
            choice=NUMBERS,
            signature=st.sampled_from(["", "", "S"]),
            redacted=st.sampled_from(["", "", "X"]),
            data=st.sampled_from([None, {"content": [LOGPROB]}, 5]),
        ),
        st.builds(
            Event,
            st.just("tool_call"),
            choice=NUMBERS,
            tool_call=st.builds(ToolCallDelta, NUMBERS, SCRAPS, SCRAPS, SCRAPS),
        ),
        st.builds(Event, st.just("citation"), index=NUMBERS, data=st.one_of(st.just(PAGE), SCRAPS)),
        st.builds(Event, st.just("usage"), usage=st.builds(Usage, *[st.integers(0, 99)] * 5)),
        st.builds(Event, st.just("finish"), choice=NUMBERS, finish_reason=st.one_of(st.none(), SCRAPS)),
        st.builds(Event, st.just("other"), data=SCRAPS),
    ),
    max_size=12,
).map(lambda events: [event for at, event in enumerate(events) if not behind_the_end(event, events[:at])])


def writing(writer: AnswerWriter, events: list[Event], sizes: list[int]) -> bytes:
    out, at, turn = b"", 0, 0
    while at < len(events):
        size = sizes[turn % len(sizes)]
        out += writer.write(events[at : at + size])
        at, turn = at + size, turn + 1
    return out + writer.end()


@settings(max_examples=80, deadline=None)
@given(EVENTS, st.lists(st.integers(1, 4), min_size=1, max_size=4), st.booleans())
def test_any_events_in_any_pieces(events: list[Event], sizes: list[int], keep_usage: bool) -> None:
    stream = writing(CHAT.open_writer("r", 5, keep_usage=keep_usage), events, sizes)
    assert stream == writing(CHAT.open_writer("r", 5, keep_usage=keep_usage), events, [len(events) + 1])
    found = chunks(stream)
    assert len({(chunk["id"], chunk["model"]) for chunk in found}) <= 1
    reader = CHAT.open_stream(keep_usage=keep_usage, prompt_bytes=0)
    assert reader.feed(stream) + reader.end() == stream
    # Where nobody has said anything there is no answer, whatever its last word.
    said = any(chunk["choices"] for chunk in found)
    assert (reader.error is None, reader.dropped) == (said, 0)
    body = CHAT.encode_answer(events, "r", 5)
    ChatCompletion.model_validate_json(body)
    assert kept(CHAT.decode_response(body)) == kept(collect(CHAT.decode_events(stream)))  # type: ignore[arg-type]


def kept(response: Response) -> tuple[Any, ...]:
    """What must survive, in OpenAI's words; arguments of nothing are an empty object."""
    calls = [(call.name, call.arguments or "{}") for call in response.tool_calls]
    return response.text, response.message.reasoning, response.message.refusal, calls


def counted(response: Response) -> Usage:
    """What OpenAI's `usage` has a place for; searches and the tier, which others tell there, are for the price."""
    return structs.replace(response.usage, web_searches=0, tier="")


def reason_of(response: Response) -> str:
    known = response.finish_reason in ("stop", "length", "tool_calls", "content_filter", "function_call")
    if known:
        return response.finish_reason or ""
    return "tool_calls" if response.tool_calls and response.finish_reason is None else "stop"


ANSWERED = openai_shaped(
    lambda recording: (
        recording.path.endswith("/chat/completions")
        and recording.status == 200
        and not {"error_in_200", "mid_stream_error"} & set(recording.features)
    )
)


@pytest.mark.parametrize("recording", ANSWERED, ids=repr)
def test_recorded_answers_keep_what_they_say(recording: Recording) -> None:
    events = CHAT.decode_events(recording.body)
    expected = collect(events)
    body = CHAT.encode_answer(events, "req_1", 5)
    ChatCompletion.model_validate_json(body)
    again = CHAT.decode_response(body)
    assert isinstance(again, Response)
    failed = any(event.kind == "error" for event in events)
    stream = streamed(*events, keep_usage=True)
    read = collect(CHAT.decode_events(stream))
    assert kept(again) == kept(read) == kept(expected)
    assert counted(again) == counted(expected)
    assert again.finish_reason == reason_of(expected)
    if not failed:
        assert counted(read) == counted(expected)
        assert read.finish_reason == reason_of(expected)
        assert gathered(stream).choices[0].message.content in (expected.text, None)


# --- who asks with `functions`, as before there were tools

OLD = {"functions": msgspec.Raw(b'[{"name":"weather"}]')}


@pytest.mark.parametrize(
    ("fields", "old"),
    [
        (OLD, True),
        ({**OLD, "tools": msgspec.Raw(b"null")}, True),
        ({**OLD, "tools": msgspec.Raw(b"[]")}, False),
        ({"functions": msgspec.Raw(b"null")}, False),
        ({}, False),
    ],
)
def test_functions_are_answered_with_a_function_call(fields: dict[str, msgspec.Raw], old: bool) -> None:
    events = [START, call(0, "t1", "weather"), call(0, "", "", '{"city":'), call(0, "", "", '"Rome"}')]
    events.append(finish("tool_calls"))
    body = CHAT.encode_answer(events, "req_1", 5, fields)
    ChatCompletion.model_validate_json(body, strict=True)
    choice = json.loads(body)["choices"][0]
    said = {"name": "weather", "arguments": '{"city":"Rome"}'}
    assert choice["finish_reason"] == ("function_call" if old else "tool_calls")
    assert choice["message"].get("function_call") == (said if old else None)
    assert ("tool_calls" in choice["message"]) is not old

    writer = CHAT.open_writer("req_1", 5, keep_usage=False, fields=fields)
    told = [chunk["choices"][0] for chunk in chunks(writer.write(events) + writer.end())]
    pieces = [choice["delta"]["function_call"] for choice in told if "function_call" in choice["delta"]]
    assert [piece.get("name") for piece in pieces] == (["weather", None, None] if old else [])
    assert "".join(piece["arguments"] for piece in pieces) == (said["arguments"] if old else "")
    assert told[-1]["finish_reason"] == choice["finish_reason"]


def test_a_function_call_without_arguments_and_one_beside_it() -> None:
    events = [START, call(0, "t1", "now"), call(1, "t2", "weather", "{}"), finish("tool_calls")]
    message = json.loads(CHAT.encode_answer(events, "r", 5, OLD))["choices"][0]["message"]
    assert message["function_call"] == {"name": "now", "arguments": "{}"}
    assert [each["function"]["name"] for each in message["tool_calls"]] == ["weather"]
    writer = CHAT.open_writer("r", 5, keep_usage=False, fields=OLD)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(writer.write(events) + writer.end())]
    assert [delta["function_call"] for delta in deltas if "function_call" in delta] == [
        {"name": "now", "arguments": ""},
        {"arguments": "{}"},
    ]
    assert [delta["tool_calls"][0]["function"]["name"] for delta in deltas if "tool_calls" in delta] == ["weather"]
