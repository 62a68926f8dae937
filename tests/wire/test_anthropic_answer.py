"""Answers as Anthropic says them, read back by its own SDK."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import Unavailable, UpstreamRateLimited
from penstock.events import Event, ToolCallDelta
from penstock.usage import Usage
from penstock.wire.anthropic_answer import encode_answer, open_writer
from penstock.wire.anthropic_events import decode_events
from tests.wire.corpus import UNSET, Recording, recordings

USAGE = Usage(input_tokens=100, output_tokens=7, cache_read_tokens=60, cache_write_tokens=30, reasoning_tokens=2)
START = Event("start", "msg_9", model="claude")
END = Event("end")


def text(words: str, **more: Any) -> Event:
    return Event("text", words, **more)


def call(index: int, arguments: str = "", id: str = "", name: str = "", **more: Any) -> Event:
    return Event("tool_call", tool_call=ToolCallDelta(index, id, name, arguments), **more)


def finish(reason: str | None = "stop", **more: Any) -> Event:
    return Event("finish", finish_reason=reason, **more)


def counted(usage: Usage = USAGE) -> Event:
    return Event("usage", usage=usage)


def unary(*events: Event) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(encode_answer(list(events), "r1", 0))
    return value


def streamed(batches: Iterable[list[Event]]) -> bytes:
    writer = open_writer("r1", 0, keep_usage=False)
    return b"".join([*(writer.write(batch) for batch in batches), writer.end()])


def said(stream: bytes) -> list[dict[str, Any]]:
    """The events' data; each is named by its type."""
    found = []
    for block in stream.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        value = json.loads(data.removeprefix("data: "))
        assert name == f"event: {value['type']}"
        found.append(value)
    return found


def client(body: bytes, kind: str) -> anthropic.Anthropic:
    """Anthropic's client, to which nothing but these bytes ever comes."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": kind}, content=body)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    return anthropic.Anthropic(api_key="k", base_url="http://test", max_retries=0, http_client=http)


ASK: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


def accumulated(stream: bytes) -> Message:
    with client(stream, "text/event-stream") as sdk, sdk.messages.stream(**ASK) as answer:
        return answer.get_final_message()


def parsed(body: bytes) -> Message:
    with client(body, "application/json") as sdk:
        message: Message = sdk.messages.create(**ASK)
        return message


def plain(message: Message) -> dict[str, Any]:
    """What matters of a message, as JSON."""
    value = json.loads(message.to_json(exclude_unset=False))
    for block in value["content"]:
        for name in [name for name, inner in block.items() if inner is None or name == "parsed_output"]:
            del block[name]
    names = ("id", "model", "role", "type", "content", "stop_reason", "stop_sequence")
    counts = {name: value["usage"][name] for name in COUNTS}
    return {**{name: value[name] for name in names}, "usage": counts}


COUNTS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")

TOOLS = [call(0, id="call_a", name="f"), call(0, '{"x":'), call(0, "1}"), call(1, '{"y":[2]}', id="call_b", name="g")]
ANSWERS: dict[str, tuple[list[Event], list[dict[str, Any]], str, str | None]] = {
    "text": ([START, text("Hel"), text("lo"), finish()], [{"type": "text", "text": "Hello"}], "end_turn", None),
    "nothing": ([START, finish("length")], [], "max_tokens", None),
    "thinking": (
        [
            Event("reasoning", "Hm"),
            Event("reasoning", "m."),
            Event("reasoning", signature="si"),
            Event("reasoning", signature="g"),
            Event("reasoning", redacted="xyz"),
            text("Yes."),
            finish("end"),
        ],
        [
            {"type": "thinking", "thinking": "Hmm.", "signature": "sig"},
            {"type": "redacted_thinking", "data": "xyz"},
            {"type": "text", "text": "Yes."},
        ],
        "end_turn",
        None,
    ),
    "two thoughts": (
        [Event("reasoning", "A", signature="1"), Event("reasoning", "B"), Event("reasoning", "C", index=1), finish()],
        [
            {"type": "thinking", "thinking": "A", "signature": "1"},
            {"type": "thinking", "thinking": "B", "signature": ""},
            {"type": "thinking", "thinking": "C", "signature": ""},
        ],
        "end_turn",
        None,
    ),
    "tools": (
        [text("I see."), *TOOLS, finish("tool_calls")],
        [
            {"type": "text", "text": "I see."},
            {"type": "tool_use", "id": "call_a", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "call_b", "name": "g", "input": {"y": [2]}},
        ],
        "tool_use",
        None,
    ),
    "mixed tools": (
        [
            call(0, '{"x":"}', id="a", name="f"),
            call(1, '{"y', id="b", name="g"),
            text("Well."),
            call(0, '\\"'),
            call(1, '":2}'),
            call(0, '"}'),
            finish("function_call"),
        ],
        [
            {"type": "tool_use", "id": "a", "name": "f", "input": {"x": '}"'}},
            {"type": "tool_use", "id": "b", "name": "g", "input": {"y": 2}},
            {"type": "text", "text": "Well."},
        ],
        "tool_use",
        None,
    ),
    "no arguments, no id, no reason": (
        [call(0, name="f"), call(3, name="g")],
        [
            {"type": "tool_use", "id": "toolu_r1_0", "name": "f", "input": {}},
            {"type": "tool_use", "id": "toolu_r1_1", "name": "g", "input": {}},
        ],
        "tool_use",
        None,
    ),
    "calls that are all counted as the first": (
        [call(0, "{}", "a", "f"), call(0, '{"x":1}', "b", "f"), finish("tool_calls")],
        [
            {"type": "tool_use", "id": "a", "name": "f", "input": {}},
            {"type": "tool_use", "id": "b", "name": "f", "input": {"x": 1}},
        ],
        "tool_use",
        None,
    ),
    "a call that was demanded by name": (
        [call(0, "{}", "a", "f"), finish("stop")],
        [{"type": "tool_use", "id": "a", "name": "f", "input": {}}],
        "tool_use",
        None,
    ),
    "a late name": (
        [call(0, '{"x"', id="a"), call(0, ":1}", name="f"), finish("tool_calls")],
        [{"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}],
        "tool_use",
        None,
    ),
    "refusal": (
        [Event("refusal", "I "), Event("refusal", "can't."), finish()],
        [{"type": "text", "text": "I can't."}],
        "refusal",
        None,
    ),
    "filter": ([text("So"), finish("content_filter")], [{"type": "text", "text": "So"}], "refusal", None),
    "stop sequence": (
        [text("So"), finish(data={"stop_sequence": "END"})],
        [{"type": "text", "text": "So"}],
        "stop_sequence",
        "END",
    ),
    "other choices": (
        [text("A"), text("B", choice=1), call(0, "{}", choice=1), finish(), finish("length", choice=1)],
        [{"type": "text", "text": "A"}],
        "end_turn",
        None,
    ),
    "citations": (
        [
            text("As "),
            Event("citation", data={"type": "url_citation", "url": "https://x", "title": "X"}),
            Event("citation", data={"type": "of a vendor's own"}),
            text("said."),
            finish(),
        ],
        [
            {
                "type": "text",
                "text": "As said.",
                "citations": [
                    {
                        "type": "web_search_result_location",
                        "url": "https://x",
                        "title": "X",
                        "cited_text": "",
                        "encrypted_index": "",
                    }
                ],
            }
        ],
        "end_turn",
        None,
    ),
    "citations before the text": (
        [Event("citation", data={"type": "url_citation", "url": "https://x", "content": "C"}), text("So."), finish()],
        [
            {
                "type": "text",
                "text": "So.",
                "citations": [
                    {
                        "type": "web_search_result_location",
                        "url": "https://x",
                        "title": None,
                        "cited_text": "C",
                        "encrypted_index": "",
                    }
                ],
            }
        ],
        "end_turn",
        None,
    ),
    "citations after a call": (  # an empty text that held them would be refused when it is sent back
        [
            text("So."),
            call(0, "{}", id="c", name="f"),
            Event("citation", data={"type": "url_citation", "url": "https://x"}),
            finish(),
        ],
        [{"type": "text", "text": "So."}, {"type": "tool_use", "id": "c", "name": "f", "input": {}}],
        "tool_use",
        None,
    ),
    "a call whose id comes late": (
        [call(0, name="f"), call(0, '{"a":', id="c"), call(0, "1}"), finish("tool_calls")],
        [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}],
        "tool_use",
        None,
    ),
    "a call whose name comes in pieces, or again": (
        [
            call(0, id="c", name="get_"),
            call(0, name="weather"),
            call(0, '{"a":1}', id="c", name="get_weather"),
            finish("tool_calls"),
        ],
        [{"type": "tool_use", "id": "c", "name": "get_weather", "input": {"a": 1}}],
        "tool_use",
        None,
    ),
    "a name told with each piece": (
        [call(0, id="c", name="f"), call(0, '{"a":', id="c", name="f"), call(0, "1}", name="f"), finish("tool_calls")],
        [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}],
        "tool_use",
        None,
    ),
    "an input told whole, and once more in pieces": (
        [call(0, '{"a": 1}', id="c", name="f"), call(0, '{"a"'), call(0, ":1}"), finish("tool_calls")],
        [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}],
        "tool_use",
        None,
    ),
    "an empty input and one in the same piece": (
        [call(0, '{}{"a": 1}', id="c", name="f"), finish("tool_calls")],
        [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}],
        "tool_use",
        None,
    ),
    "an empty input, and then one": (
        [call(0, "{}", id="c", name="f"), call(0, '{"a"'), call(0, ":1}"), finish("tool_calls")],
        [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}],
        "tool_use",
        None,
    ),
    "blocks by number": (
        [text("a", index=0), text("b", index=1), text("c", index=1), finish()],
        [{"type": "text", "text": "a"}, {"type": "text", "text": "bc"}],
        "end_turn",
        None,
    ),
    "a server's tool, streamed": (
        [
            Event("other", data={"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, index=1),
            call(1, '{"query":'),
            call(1, '"q"}'),
            call(7, '"of nobody"'),
            Event("other", data={"type": "web_search_tool_result", "tool_use_id": "s", "content": []}, index=2),
            finish(),
        ],
        [
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        ],
        "end_turn",
        None,
    ),
    "a server's tool": (
        [
            Event("other", data={"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}),
            Event("other", data={"type": "audio"}),
            Event("other", data=[1]),
            finish(),
        ],
        [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}],
        "end_turn",
        None,
    ),
}


class TestAnswers:
    @pytest.mark.parametrize("name", ANSWERS)
    def test_whole(self, name: str) -> None:
        events, content, reason, sequence = ANSWERS[name]
        answer = plain(parsed(encode_answer([*events, counted()], "r1", 0)))
        assert answer == {
            "id": "msg_9" if START in events else "msg_r1",
            "type": "message",
            "role": "assistant",
            "model": "claude" if START in events else "",
            "content": content,
            "stop_reason": reason,
            "stop_sequence": sequence,
            "usage": dict(zip(COUNTS, (10, 7, 30, 60), strict=True)),
        }

    @pytest.mark.parametrize("name", ANSWERS)
    def test_streamed(self, name: str) -> None:
        events = [*ANSWERS[name][0], counted(), END]
        whole = plain(parsed(encode_answer(events, "r1", 0)))
        assert plain(accumulated(streamed([[event] for event in events]))) == whole
        assert plain(accumulated(streamed([events]))) == whole

    def test_usage(self) -> None:
        assert unary(finish(), counted())["usage"] == {
            "input_tokens": 10,
            "cache_creation_input_tokens": 30,
            "cache_read_input_tokens": 60,
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 2},
        }
        assert unary(finish(), counted(Usage(5, 1, 9)))["usage"]["input_tokens"] == 0

    @pytest.mark.parametrize(
        ("arguments", "input"),
        [
            ("", {}),
            ("[1]", {"input": [1]}),
            ('{"a', {"input": '{"a'}),
            ('{}{"a": 1}', {"a": 1}),
            ("{}{}", {}),
            ('{"n":12345678901234567890123}', {"n": 12345678901234567890123}),
            ('{"a":"\\udc00"}', {"a": "\ufffd"}),
            ('{"a":1e999}', {"a": None}),
        ],
    )
    def test_arguments_of_a_whole_call(self, arguments: str, input: Any) -> None:
        assert unary(call(0, arguments, "a", "f"))["content"][0]["input"] == input

    def test_arguments_are_streamed_as_they_are(self) -> None:
        events = said(streamed([[call(0, "[1", "a", "f"), call(0, "]"), finish()]]))
        pieces = [event["delta"]["partial_json"] for event in events if event["type"] == "content_block_delta"]
        assert pieces == ["[1", "]"]

    def test_half_a_character_is_mended(self) -> None:
        assert unary(text("a\ud83d"))["content"] == [{"type": "text", "text": "a\ufffd"}]
        assert "a\ufffd".encode() in streamed([[text("a\ud83d")]])


class TestStream:
    def test_events(self) -> None:
        stream = streamed([[START, text("Hi")], [finish()], [counted()], [END]])
        start = {"type": "message_start", "message": {**unary(START), "stop_reason": None}}
        count = unary(counted())["usage"]
        assert said(stream) == [
            start,
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": count},
            {"type": "message_stop"},
        ]

    def test_what_is_told_when(self) -> None:
        writer = open_writer("r1", 0, keep_usage=True)

        def told(*events: Event) -> list[str]:
            return [event["type"] for event in said(writer.write(list(events)))]

        assert told(counted(Usage(input_tokens=3))) == []
        assert told(START) == ["message_start"]
        assert told(text("")) == []
        assert told(text("a")) == ["content_block_start", "content_block_delta"]
        assert told(call(0, id="a")) == ["content_block_stop"]
        assert told(call(0, name="f")) == []  # more of its name may come
        assert told(call(0, "{")) == ["content_block_start", "content_block_delta"]
        assert told(call(1, "{}", "b", "g")) == []
        assert told(call(0, "}")) == [
            *("content_block_delta", "content_block_stop", "content_block_start"),
        ]
        assert told(finish()) == ["content_block_stop"]
        assert told(counted()) == ["message_delta"]
        assert told(END) == ["message_stop"]
        assert told(text("more"), END, Event("error", error=Unavailable("gone"))) == []
        assert writer.end() == b""

    def test_the_count_of_the_input_may_come_first(self) -> None:
        first, *_ = said(streamed([[counted(Usage(input_tokens=3)), START, text("a")]]))
        assert first["message"]["usage"]["input_tokens"] == 3

    def test_a_count_that_grows_is_told_again(self) -> None:
        stream = streamed([[text("a"), finish(), counted(Usage(3, 1)), counted(Usage(3, 2)), END]])
        counts = [event["usage"]["output_tokens"] for event in said(stream) if event["type"] == "message_delta"]
        assert counts == [1, 2]
        assert accumulated(stream).usage.output_tokens == 2

    @pytest.mark.parametrize("ends", [[], [END]])
    def test_without_a_count(self, ends: list[Event]) -> None:
        stream = streamed([[text("a"), finish("length"), *ends]])
        assert [event["type"] for event in said(stream)][-2:] == ["message_delta", "message_stop"]
        assert accumulated(stream).stop_reason == "max_tokens"

    def test_nothing_at_all_is_a_message_too(self) -> None:
        message = accumulated(streamed([]))
        assert (message.content, message.stop_reason, message.id) == ([], "end_turn", "msg_r1")

    def test_an_error_is_the_last_word(self) -> None:
        error = Event("error", error=UpstreamRateLimited("Too many."))
        stream = streamed([[START, text("a"), call(0, '{"x', "a", "f"), error, text("b"), END]])
        assert [event["type"] for event in said(stream)] == [
            "message_start",
            *("content_block_start", "content_block_delta", "content_block_stop"),
            *("content_block_start", "content_block_delta", "content_block_stop"),
            "error",
        ]
        with pytest.raises(anthropic.APIStatusError) as raised:
            accumulated(stream)
        assert "Too many." in str(raised.value)

    def test_an_end_by_error_is_no_end_of_its_own(self) -> None:
        """OpenRouter says `error` as the reason, and the error itself behind it."""
        events = said(streamed([[START, text("a"), finish("error"), Event("error", error=Unavailable("gone"))]]))
        assert [event["type"] for event in events[-2:]] == ["content_block_stop", "error"]

    def test_an_error_before_anything(self) -> None:
        stream = streamed([[Event("error", error=UpstreamRateLimited("Too many."))]])
        assert [event["type"] for event in said(stream)] == ["error"]

    def test_an_error_after_the_end_of_the_answer(self) -> None:
        stream = streamed([[text("a"), finish(), Event("error", error=Unavailable("gone"))]])
        assert [event["type"] for event in said(stream)][-2:] == ["message_delta", "error"]


INDICES = st.integers(0, 2)
PIECES = st.one_of(
    st.builds(text, st.text(max_size=3), index=INDICES),
    st.builds(Event, st.just("reasoning"), st.text(max_size=3), signature=st.text(max_size=2), index=INDICES),
    st.builds(Event, st.just("reasoning"), redacted=st.text(max_size=3)),
    st.builds(Event, st.just("refusal"), st.text(max_size=3)),
    st.builds(call, INDICES, st.sampled_from(["", "{", "}", '{"a":1}', '"', "[", "]", "\\"]), st.text(max_size=1)),
    st.builds(Event, st.just("citation"), data=st.sampled_from([None, {"type": "char_location"}, {"type": 1}])),
    st.builds(Event, st.just("other"), data=st.sampled_from([None, {"type": "x_tool_result"}, {"type": "y"}, {}])),
    st.builds(finish, st.sampled_from([None, "stop", "length", "odd"]), data=st.sampled_from([None, {}, {"a": 1}])),
    st.builds(counted, st.builds(Usage, INDICES, INDICES, INDICES)),
    st.builds(Event, st.just("start"), st.text(max_size=2), model=st.text(max_size=2)),
    st.builds(text, st.text(max_size=3), choice=st.just(1)),
)


def folded(stream: bytes) -> dict[str, Any]:
    """The message that a stream amounts to; blocks follow each other, each begun and ended once."""
    first, *rest = said(stream)
    assert first["type"] == "message_start"
    message: dict[str, Any] = first["message"]
    content, is_open = message["content"], False
    for event in rest[:-1]:
        delta = event.get("delta", {})
        if event["type"] == "content_block_start":
            assert not is_open
            assert event["index"] == len(content)
            content.append({**event["content_block"], "said": []})
            is_open = True
        elif event["type"] == "message_delta":
            message.update(delta)
            message["usage"] = event["usage"]
        else:
            assert is_open
            assert event["index"] == len(content) - 1
            if event["type"] == "content_block_stop":
                is_open = False
            else:
                text = "".join(value for name, value in delta.items() if isinstance(value, str) and name != "type")
                content[-1]["said"].append((delta["type"], text))
    assert rest[-1] == {"type": "message_stop"}
    assert not is_open
    for block in content:
        block["said"] = "".join(text for _, text in block["said"])
    return message


def test_the_message_begins_once_its_model_is_known() -> None:
    """A chunk before the first, such as a remark of the vendor's, has an id of its own and no model."""
    begun = said(streamed([[Event("start", "x")], [START], [text("Hi")], [finish()], [END]]))[0]["message"]
    assert (begun["id"], begun["model"]) == ("msg_9", "claude")
    begun = said(streamed([[Event("start", "x")], [text("Hi")], [START], [finish()], [END]]))[0]["message"]
    assert (begun["id"], begun["model"]) == ("x", "")


@given(st.lists(PIECES, max_size=12), st.sets(st.integers(1, 11)))
def test_the_batches_do_not_matter(events: list[Event], cuts: set[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(events)), len(events)]
    batches = [events[begin:end] for begin, end in itertools.pairwise(edges)]
    assert streamed(batches) == streamed([events])


@given(st.lists(PIECES, max_size=12))
def test_a_stream_amounts_to_the_whole_answer(events: list[Event]) -> None:
    start = [event for event in events if event.kind == "start"][-1:]
    rest = [event for event in events if event.kind != "start"]
    # Text behind the reason and the count begins a block of its own in a stream, since the one before it is told.
    events = start + sorted(rest, key=lambda event: event.kind in ("finish", "usage"))
    stream, whole = folded(streamed([events])), unary(*events)
    told = {block["type"]: block for block in stream["content"]}
    assert [block["type"] for block in stream["content"]] == [block["type"] for block in whole["content"]]
    for streamed_block, block in zip(stream["content"], whole["content"], strict=True):
        if block["type"] == "text":
            assert streamed_block["said"] == block["text"]
        elif block["type"] == "thinking":
            assert streamed_block["said"] == block["thinking"] + block["signature"]
    assert told.keys() == {block["type"] for block in whole["content"]}
    for name in ("id", "model", "stop_reason", "stop_sequence", "usage"):
        assert stream[name] == whole[name]


def answers() -> list[Recording]:
    return [one for one in recordings() if one.path.endswith("/v1/messages") and one.status == 200]


def content(message: Message) -> list[tuple[str, Any]]:
    """The text, the thoughts and the calls."""
    found: list[tuple[str, Any]] = []
    for block in message.content:
        if block.type == "text":
            found.append(("text", block.text))
        elif block.type == "thinking":
            found.append((block.thinking, block.signature))
        elif block.type == "tool_use":
            found.append((block.name, (block.id, block.input)))
    return [one for one in found if one != ("text", "")]


def is_whole(body: bytes) -> bool:
    """One answer with its end; some recordings hold several streams, one after the other."""
    return body.lstrip()[:1] == b"{" or (b"message_stop" in body and body.count(b'"message_start"') == 1)


def reasons(message: Message) -> set[str | None]:
    """What the answer may say why it ended: others have no pause, and do not go on after their calls."""
    called = any(block.type == "tool_use" for block in message.content)
    paused = message.stop_reason == "pause_turn"
    return {"end_turn"} if paused else {message.stop_reason, "tool_use" if called else message.stop_reason}


@pytest.mark.skipif(not recordings(), reason=UNSET)
def test_recorded_answers_stay_what_they_were() -> None:
    compared = 0
    for one in answers():
        events = decode_events(one.body)
        if not is_whole(one.body) or any(event.kind == "error" for event in events):
            continue
        read = accumulated(one.body) if one.streaming else parsed(one.body)
        whole = parsed(encode_answer(events, "r1", 0))
        stream = accumulated(streamed([[event] for event in events]))
        for again in (whole, stream):
            assert content(again) == content(read), one
            assert (again.id, again.model) == (read.id, read.model), one
            assert again.stop_reason in reasons(read), one
            assert again.stop_sequence == read.stop_sequence, one
            if b'"iterations"' not in one.body:  # their sum is what is counted
                for name in COUNTS:
                    assert getattr(again.usage, name) == (getattr(read.usage, name) or 0), (one, name)
        compared += 1
    assert compared > 80
