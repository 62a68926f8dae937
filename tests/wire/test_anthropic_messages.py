"""Anthropic's messages and counts of tokens: requests read and written anew, whole answers, what is known of them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidRequest, ProtocolError, Unavailable, UpstreamError
from penstock.messages import ToolCall, Usage
from penstock.records import shortened
from penstock.wire.anthropic_count_tokens import AnthropicCountTokens, estimate_body
from penstock.wire.anthropic_messages import AnthropicMessages
from penstock.wire.openai_chat import OpenAIChat

MESSAGES, COUNT = AnthropicMessages(), AnthropicCountTokens()
COUNTED = {"input_tokens": 5, "output_tokens": 2}


def written(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def answer(*blocks: Any, stop: Any = "end_turn", **fields: Any) -> bytes:
    content = list(blocks) or [{"type": "text", "text": "Hi."}]
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "heron-3"}
    return written(**{**head, "content": content, "stop_reason": stop, "usage": COUNTED, **fields})


# --- requests


def test_what_decides_is_read() -> None:
    decoded = MESSAGES.decode_request(b'{"model":"fast","max_tokens":5,"messages":[],"stream":true}')
    assert (decoded.model, decoded.stream, decoded.usage_asked) == ("fast", True, True)
    assert list(decoded.fields) == ["model", "max_tokens", "messages", "stream"]


@pytest.mark.parametrize(
    ("body", "model", "stream"),
    [
        (b'{"model":"m"}', "m", False),
        (b'{"stream":null}', "", False),
        (b'{"model":"m","stream":false}', "m", False),
        (b'{"model":"a","model":"b","stream":false,"stream":true}', "b", True),
    ],
)
def test_model_and_stream(body: bytes, model: str, stream: bool) -> None:
    decoded = MESSAGES.decode_request(body)
    assert (decoded.model, decoded.stream, decoded.usage_asked) == (model, stream, stream)


@pytest.mark.parametrize("dialect", [MESSAGES, COUNT])
@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b'{"model":3}', "model", "model: Input should be a valid string"),
        (b'{"model":["m"]}', "model", "model: Input should be a valid string"),
        (b'{"model":null}', "model", "model: Field required"),
        (b'{"model":""}', "model", "model: String should have at least 1 character"),
        (b'{"model":', None, "line 1, column 10 (byte 9)"),
    ],
)
def test_wrong_requests_name_the_field(dialect: Any, body: bytes, param: str | None, message: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        dialect.decode_request(body)
    assert raised.value.param == param
    assert message in str(raised.value)


@pytest.mark.parametrize("value", [b'"true"', b"1", b"[]", b"{}"])
def test_stream_is_a_boolean(value: bytes) -> None:
    with pytest.raises(InvalidRequest, match="stream: Input should be a valid boolean"):
        MESSAGES.decode_request(b'{"model":"m","stream":' + value + b"}")


def test_written_anew_with_the_model_in_its_place() -> None:
    decoded = MESSAGES.decode_request(b'{"max_tokens":1E1, "model":"fast", "system":[ {"type" : "text"} ]}')
    for stream in (False, True):
        assert (
            MESSAGES.encode_request(decoded.fields, "vendor/m\u00e4", stream=stream)
            == '{"max_tokens":1E1,"model":"vendor/mä","system":[ {"type" : "text"} ]}'.encode()
        )
    assert COUNT.encode_request(decoded.fields, "m").startswith(b'{"max_tokens":1E1,"model":"m"')


# --- whole answers


def test_facts() -> None:
    facts = MESSAGES.decode_facts(answer())
    assert (facts.usage, facts.model, facts.finish_reason) == (Usage(5, 2), "heron-3", "stop")


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("tired", "tired"),
        (None, None),
        (7, None),
    ],
)
def test_finish_reasons(stop: Any, reason: str | None) -> None:
    assert MESSAGES.decode_facts(answer(stop=stop)).finish_reason == reason
    assert MESSAGES.decode_response(answer(stop=stop)).finish_reason == reason
    ends = [event for event in MESSAGES.decode_events(answer(stop=stop)) if event.kind == "finish"]
    assert [event.finish_reason for event in ends] == ([] if reason is None else [reason])


@pytest.mark.parametrize(
    ("details", "why"),
    [
        ({"type": "refusal", "category": "cyber", "explanation": "This was stopped."}, "This was stopped."),
        ({"type": "refusal", "category": "cyber", "explanation": None}, ""),
        ({"explanation": 7}, ""),
        ({}, ""),
        ("odd", ""),
        (None, ""),
    ],
)
def test_why_it_was_refused(details: Any, why: str) -> None:
    """Told with the end, it is what the other dialect has as the refusal's text, whole and streamed."""
    whole, said = answer(stop="refusal", stop_details=details), "Hi."
    response = MESSAGES.decode_response(whole)
    assert (response.text, response.message.refusal, response.finish_reason) == (said, why, "content_filter")
    written = json.loads(OpenAIChat().encode_answer(MESSAGES.decode_events(whole), "r", 1))["choices"][0]
    assert (written["message"]["content"], written["message"]["refusal"] or "") == (said, why)
    told = {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_details": details}}
    events = MESSAGES.decode_events(f"event: message_delta\ndata: {json.dumps(told)}\n\n".encode())
    assert [event.kind for event in events] == (["refusal", "finish"] if why else ["finish"])
    assert "".join(event.text for event in events if event.kind == "refusal") == why


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"input_tokens": 2, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 400}, (432, 1, 30, 400, 0)),
        ({"input_tokens": 2, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 6}}, (2, 9, 0, 0, 6)),
        ({"input_tokens": 2, "output_tokens": 9, "output_tokens_details": None}, (2, 9, 0, 0, 0)),
        (
            {
                "input_tokens": 2,
                "output_tokens": 9,
                "iterations": [
                    {"type": "message", "input_tokens": 2, "output_tokens": 9},
                    {"type": "compaction", "input_tokens": 50, "output_tokens": 4, "cache_read_input_tokens": 7},
                    {"type": "advisor_message", "input_tokens": 10, "output_tokens": 1},
                    "odd",
                ],
            },
            (69, 14, 7, 0, 0),
        ),
    ],
)
def test_usage(usage: dict[str, Any], counts: tuple[int, int, int, int, int]) -> None:
    told = MESSAGES.decode_facts(answer(usage=usage)).usage
    assert told == Usage(*counts, estimated="output_tokens" not in usage)
    # As the provider said it, where a caller reads it.
    assert MESSAGES.decode_response(answer(usage=usage)).usage.input_tokens == counts[0]


@pytest.mark.parametrize("usage", [None, {}, [], {"server_tool_use": {}}])
def test_an_answer_without_a_count_is_estimated(usage: Any) -> None:
    tool = {"type": "tool_use", "id": "t", "name": "gauge", "input": {"a": 1}}
    body = answer({"type": "text", "text": "Grüße"}, tool, usage=usage)
    size = len("Grüße".encode()) + len("gauge") + len('{"a": 1}')
    assert MESSAGES.decode_facts(body, 41).usage == Usage(11, -(-size // 4), estimated=True)


def test_response() -> None:
    body = answer(
        {"type": "thinking", "thinking": "Rain.", "signature": "c2VhbA=="},
        {"type": "redacted_thinking", "data": "ZW5j"},
        {"type": "text", "text": "I ", "citations": [{"type": "char_location", "cited_text": "x"}]},
        {"type": "text", "text": "look."},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "tool_use", "id": "toolu_1", "name": "gauge", "input": {"at": "Ems"}},
        {"type": "tool_use", "id": "toolu_2", "name": "all", "input": {}},
        stop="tool_use",
    )
    response = MESSAGES.decode_response(body)
    calls = [ToolCall("toolu_1", "gauge", '{"at": "Ems"}'), ToolCall("toolu_2", "all", "{}")]
    assert response.tool_calls == response.message.tool_calls == calls
    assert (response.text, response.message.reasoning, response.model) == ("I look.", "Rain.", "heron-3")
    assert response.raw == json.loads(body)
    seal = {"format": "anthropic-claude-v1", "index": 0}
    assert response.message.extra["reasoning_details"] == [
        {"type": "reasoning.text", "text": "Rain.", "signature": "c2VhbA==", **seal},
        {"type": "reasoning.encrypted", "data": "ZW5j", **seal, "index": 1},
    ]


def test_events_of_a_whole_answer() -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
    cited = {"type": "web_search_result_location", "url": "https://a.example/"}
    events = MESSAGES.decode_events(answer(search, {"type": "text", "text": "Hi.", "citations": [cited]}))
    assert [event.kind for event in events] == ["start", "other", "text", "citation", "finish", "usage"]
    assert (events[0].text, events[0].model) == ("msg_1", "heron-3")
    assert events[1].data == search
    assert (events[3].data, events[3].index) == (cited, 1)


def test_events_tell_what_stopped_it() -> None:
    (event,) = (
        event
        for event in MESSAGES.decode_events(answer(stop="stop_sequence", stop_sequence="END"))
        if event.kind == "finish"
    )
    assert event.data == {"stop_sequence": "END"}


def test_a_whole_answer_with_half_a_surrogate_pair() -> None:
    body = answer(
        {"type": "text", "text": "a\ud83c"}, {"type": "tool_use", "id": "t", "name": "g", "input": {"a": "\ud83c"}}
    )
    response = MESSAGES.decode_response(body)
    assert response.text == "a\ufffd"
    assert MESSAGES.decode_facts(body).model == "heron-3"
    assert json.loads(response.tool_calls[0].arguments) == {"a": "\ud83c"}


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"content":"text"}', b'{"content":[1]}', b'{"content":null}', b"\xff"]
)
def test_a_200_that_is_no_answer(body: bytes) -> None:
    for read in (MESSAGES.decode_facts, MESSAGES.decode_response):
        with pytest.raises(ProtocolError) as raised:
            read(body)
        assert raised.value.answer is not None
        assert raised.value.answer.body == body


def test_an_error_instead_of_an_answer() -> None:
    body = written(type="error", error={"type": "overloaded_error", "message": "Overloaded"})
    for read in (MESSAGES.decode_facts, MESSAGES.decode_response, COUNT.decode_facts, COUNT.decode_response):
        with pytest.raises(Unavailable) as raised:
            read(body)
        assert raised.value.status == 529
    (event,) = MESSAGES.decode_events(body)
    assert isinstance(event.error, Unavailable)


@given(st.binary(max_size=60), st.sampled_from([MESSAGES, COUNT]))
def test_any_bytes(body: bytes, dialect: Any) -> None:
    listed = b"[" + body + b"]}"
    for text in (body, b'{"model":' + body + b"}", b'{"content":' + listed, b'{"input_tokens":' + body + b"}"):
        for read in (dialect.decode_request, dialect.decode_facts, dialect.decode_response):
            with contextlib.suppress(InvalidRequest, UpstreamError):
                read(text)
        dialect.decode_events(text)


# --- counts


def test_a_count() -> None:
    body = b'{"input_tokens":1581}'
    facts = COUNT.decode_facts(body)
    assert (facts.usage, facts.model, facts.finish_reason) == (Usage(1581), None, None)
    assert COUNT.decode_response(body).usage == Usage(1581)
    assert [event.usage for event in COUNT.decode_events(body)] == [Usage(1581)]
    assert COUNT.decode_events(b"{}") == COUNT.decode_events(b"x") == []


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"input_tokens":"5"}', b'{"input_tokens":null}', b'{"input_tokens":true}']
)
def test_no_count(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="not a count of tokens"):
        COUNT.decode_facts(body)


def test_a_count_is_no_stream() -> None:
    with pytest.raises(ProtocolError):
        COUNT.open_stream(keep_usage=False, prompt_bytes=0)


def estimated(**fields: Any) -> int:
    told = json.loads(estimate_body(COUNT.decode_request(written(model="m", **fields)).fields))
    assert told == {"input_tokens": told["input_tokens"], "estimated": True}
    return int(told["input_tokens"])


def turn(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 90_000}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "A" * 200_000}}


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({}, 1),
        ({"messages": []}, 1),
        ({"messages": [{"role": "user", "content": "x" * 400}]}, 100),
        ({"messages": turn({"type": "text", "text": "ü" * 200}), "system": "x" * 40}, 110),
        ({"messages": turn({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}})}, 1),
        ({"system": [{"type": "text", "text": "x" * 80}]}, 20),
        ({"messages": turn({"type": "tool_result", "tool_use_id": "toolu_1", "content": [IMAGE]})}, 1600),
        ({"messages": turn(PDF)}, 6000),
        ({"messages": turn({"type": "document", "source": {"type": "url", "url": "https://a.example/"}})}, 2000),
        ({"messages": turn({"type": "document", "source": {"type": "text", "data": "x" * 44}})}, 11),
        ({"messages": turn({"type": "tool_use", "name": "gauge", "input": {"at": "Ems"}, "id": "toolu_1"})}, 2),
        ({"max_tokens": 5, "metadata": {"user_id": "x" * 100}, "messages": 7}, 1),
    ],
)
def test_an_estimate(fields: dict[str, Any], tokens: int) -> None:
    assert estimated(**fields) == tokens


def test_tools_count_as_they_are_written() -> None:
    tools = [{"name": "gauge", "input_schema": {"type": "object"}}]
    assert estimated(tools=tools) == -(-len(json.dumps(tools)) // 4)


def test_the_estimate_is_within_reach_of_the_dialect() -> None:
    fields = COUNT.decode_request(b'{"model":"m","system":"abcdefgh"}').fields
    assert COUNT.estimate_body(fields) == estimate_body(fields) == b'{"input_tokens":2,"estimated":true}'


def test_facts_keep_long_names_short() -> None:
    facts = MESSAGES.decode_facts(answer(model="m" * 300, stop="f" * 300))
    assert (facts.model, facts.finish_reason) == (shortened("m" * 300), shortened("f" * 300))
