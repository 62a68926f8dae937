"""Chat completions: requests read and written anew, whole answers and what is known of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ContentFiltered, InvalidRequest, PenstockError, ProtocolError, Unavailable, UpstreamError
from penstock.messages import ToolCall, Usage
from penstock.records import LONGEST_NAME, shortened
from penstock.wire.dialects import DIALECTS
from penstock.wire.openai_chat import OpenAIChat

CHAT = OpenAIChat()
COUNTED = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def written(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def answer(message: dict[str, Any] | None = None, finish: Any = "stop", **fields: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **(message or {"content": "Hi."})}, "finish_reason": finish}
    return written(**{"model": "brook-2", "choices": [choice], "usage": COUNTED, **fields})


# --- requests


def test_what_decides_is_read() -> None:
    decoded = CHAT.decode_request(
        b'{"model":"fast","messages":[],"stream":true,"stream_options":{"include_usage":true},"n":null}'
    )
    assert (decoded.model, decoded.stream, decoded.usage_asked) == ("fast", True, True)
    assert list(decoded.fields) == ["model", "messages", "stream", "stream_options", "n"]


@pytest.mark.parametrize(
    ("body", "stream", "asked"),
    [
        (b'{"model":"m"}', False, False),
        (b'{"model":"m","stream":null,"stream_options":null}', False, False),
        (b'{"model":"m","stream":false,"stream_options":{"include_usage":true}}', False, False),
        (b'{"model":"m","stream":true}', True, False),
        (b'{"model":"m","stream":true,"stream_options":{"include_usage":null}}', True, False),
        (b'{"model":"m","stream":false,"stream":true}', True, False),
    ],
)
def test_stream_and_usage(body: bytes, stream: bool, asked: bool) -> None:
    decoded = CHAT.decode_request(body)
    assert (decoded.stream, decoded.usage_asked) == (stream, asked)


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b'{"model":null}', "model", "Invalid type for 'model': expected a string, but got null instead."),
        (b'{"model":3}', "model", "expected a string, but got a number instead."),
        (b'{"model":["m"]}', "model", "expected a string, but got an array instead."),
        (b'{"model":""}', "model", "Invalid 'model': empty string."),
        (b'{"model":"m","stream":"true"}', "stream", "expected a boolean, but got a string instead."),
        (b'{"model":"m","stream":1}', "stream", "expected a boolean, but got a number instead."),
        (b'{"model":"m","stream_options":[]}', "stream_options", "expected an object, but got an array instead."),
        (
            b'{"model":"m","stream_options":{"include_usage":1}}',
            "stream_options.include_usage",
            "expected a boolean, but got a number instead.",
        ),
        (b'{"model":', None, "line 1, column 10 (byte 9)"),
    ],
)
def test_wrong_requests_name_the_field(body: bytes, param: str | None, message: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        CHAT.decode_request(body)
    assert raised.value.param == param
    assert message in str(raised.value)


def test_written_anew_with_the_model_in_its_place() -> None:
    decoded = CHAT.decode_request(b'{"temperature":1.0, "model":"fast", "messages":[ {"role" : "user"} ], "x":1E2}')
    assert (
        CHAT.encode_request(decoded.fields, "vendor/m\u00e4", stream=False)
        == '{"temperature":1.0,"model":"vendor/mä","messages":[ {"role" : "user"} ],"x":1E2}'.encode()
    )
    assert list(decoded.fields) == ["temperature", "model", "messages", "x"]
    assert bytes(decoded.fields["model"]) == b'"fast"'


@pytest.mark.parametrize(
    ("given_", "sent"),
    [
        (b"", b',"stream_options":{"include_usage":true}'),
        (b',"stream_options":null', b',"stream_options":{"include_usage":true}'),
        (b',"stream_options":{"include_usage":false,"x":1.0}', b',"stream_options":{"include_usage":true,"x":1.0}'),
    ],
)
def test_streams_ask_for_usage(given_: bytes, sent: bytes) -> None:
    head = b'{"model":"m","stream":true'
    decoded = CHAT.decode_request(head + given_ + b"}")
    assert CHAT.encode_request(decoded.fields, "m", stream=True) == head + sent + b"}"
    assert CHAT.encode_request(decoded.fields, "m", stream=True, ask_usage=False) == head + given_ + b"}"
    assert CHAT.encode_request(decoded.fields, "m", stream=False) == head + given_ + b"}"


def test_what_policy_read_is_what_the_provider_reads() -> None:
    decoded = CHAT.decode_request(b'{"model":"cheap","n":1,"model":"dear"}')
    assert decoded.model == "dear"
    assert CHAT.encode_request(decoded.fields, "vendor", stream=False) == b'{"model":"vendor","n":1}'


@given(st.binary(max_size=60), st.sampled_from(sorted(DIALECTS)))
def test_any_bytes(body: bytes, name: str) -> None:
    dialect = DIALECTS[name]
    listed = b"[" + body + b"]}"
    for text in (body, b'{"model":"m","stream":' + body + b"}", b'{"choices":' + listed, b'{"data":' + listed):
        for read in (dialect.decode_request, dialect.decode_facts, dialect.decode_response):
            try:
                read(text)
            except PenstockError:
                continue
        dialect.decode_events(text)


def test_without_a_model_the_default_is_asked_for() -> None:
    decoded = CHAT.decode_request(b'{"messages":[]}')
    assert decoded.model == ""
    assert CHAT.encode_request(decoded.fields, "vendor", stream=False) == b'{"messages":[],"model":"vendor"}'


# --- answers

# What is plausible in place of counts that cannot be: by the bytes.
ODD = Usage(10, 1, estimated=True, odd=True)


def test_facts() -> None:
    facts = CHAT.decode_facts(answer())
    assert (facts.usage, facts.model, facts.finish_reason) == (Usage(5, 2), "brook-2", "stop")


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_cache_hit_tokens": 3}, Usage(5, 2, 3)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "cached_tokens": 3}, Usage(5, 2, 3)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}, Usage(5, 2, 3)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cache_write_tokens": 4}}, Usage(5, 1, 0, 4, estimated=True)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "completion_tokens_details": None}, Usage(5, 2)),
        ({"output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}}, Usage(10, 2, 0, 0, 1, estimated=True)),
        ({"input_tokens": 5, "input_tokens_details": {"cached_tokens": 1}}, Usage(5, 1, 1, estimated=True)),
        # reasoning beside the completion, audio beside the prompt: the total tells
        (
            {**COUNTED, "total_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 2}},
            Usage(5, 4, 0, 0, 2),
        ),
        (
            {**COUNTED, "total_tokens": 9, "prompt_tokens_details": {"audio_tokens": 2}},
            Usage(7, 2, input_audio_tokens=2),
        ),
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 8, "reasoning_tokens": 2}, Usage(5, 2, 0, 0, 2)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "\ud800": 1}, Usage(5, 2)),
        ({"prompt_tokens": -1, "completion_tokens": 1e30, "reasoning_tokens": [1]}, ODD),
        ({"prompt_tokens": 5, "completion_tokens": -2, "total_tokens": 3}, ODD),
        ({"prompt_tokens": "5", "completion_tokens": "2"}, Usage(5, 2)),
        ({"prompt_tokens": 5.0, "completion_tokens": "two"}, ODD),
        ({"prompt_tokens": 5.0, "completion_tokens": "9" * 40}, ODD),
        ({"prompt_tokens": 5.0, "completion_tokens": 2}, Usage(5, 2)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, ODD),
        ({"prompt_tokens": None, "completion_tokens": 2}, Usage(10, 2, estimated=True)),
        ({**COUNTED, "prompt_tokens_details": {"cached_tokens": 6}}, Usage(5, 2, 6, odd=True)),
        ({**COUNTED, "reasoning_tokens": 3}, Usage(5, 2, reasoning_tokens=3, odd=True)),
        ({**COUNTED, "prompt_tokens_details": {"cached_tokens": -5}}, Usage(5, 2, odd=True)),
        ({**COUNTED, "prompt_tokens_details": {"cached_tokens": "many"}}, Usage(5, 2, odd=True)),
        ({**COUNTED, "completion_tokens_details": {"reasoning_tokens": -1}}, Usage(5, 2, odd=True)),
        ({"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": -3}, Usage(5, 2, odd=True)),
        ({**COUNTED, "prompt_tokens_details": {"cached_tokens": None}}, Usage(5, 2)),
        ({}, Usage(10, 1, estimated=True)),
        (None, Usage(10, 1, estimated=True)),
        ("many", Usage(10, 1, estimated=True)),
        ([5], Usage(10, 1, estimated=True)),
    ],
)
def test_usage(usage: Any, counted: Usage) -> None:
    assert CHAT.decode_facts(answer(usage=usage), 40).usage == counted


def test_usage_elsewhere() -> None:
    assert CHAT.decode_facts(answer(usage=None, x_groq={"usage": COUNTED})).usage == Usage(5, 2)
    body = written(choices=[{"message": {"content": "x"}, "usage": COUNTED}])
    assert CHAT.decode_facts(body).usage == Usage(5, 2)


def test_numbers_no_float_holds() -> None:
    body = answer().replace(b'"total_tokens": 7', b'"total_tokens": 7e999, "x": ' + b"1" * 400)
    assert CHAT.decode_facts(body).usage == Usage(5, 2)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"error":{"message":"m","code":"content_filter","status":400}}', ContentFiltered),
        (b'{"error":{"message":"m"},"choices":[]}', Unavailable),
        (b'{"error":"gone","choices":null}', Unavailable),
        (b'{"object":"error","message":"m","code":500}', Unavailable),
        (b"<html>sign in</html>", ProtocolError),
        (b"", ProtocolError),
        (b"[]", ProtocolError),
        (b'{"detail":"?"}', ProtocolError),
        (b'{"choices":{}}', ProtocolError),
        (b'{"choices":[1]}', ProtocolError),
        (b'{"choices":[{"message":{"content":"half \xc3"}}]}', ProtocolError),
        (b'{"choices":[{"logprob":NaN}]}', ProtocolError),
        (b'{"choices":[{}],"x":' + b"[" * 100_000, ProtocolError),
    ],
)
def test_a_200_that_is_no_answer(body: bytes, kind: type[UpstreamError]) -> None:
    for read in (CHAT.decode_facts, CHAT.decode_response):
        with pytest.raises(UpstreamError) as raised:
            read(body)
        assert type(raised.value) is kind
        assert raised.value.answer is not None
        assert raised.value.answer.body == body


def test_an_error_beside_an_answer_is_a_remark() -> None:
    assert CHAT.decode_facts(answer(error={"message": "slow"})).finish_reason == "stop"


def test_a_finish_reason_may_be_missing() -> None:
    assert CHAT.decode_facts(answer(finish="")).finish_reason is None
    assert CHAT.decode_facts(answer(finish=None)).finish_reason is None
    assert CHAT.decode_facts(answer(finish=3)).finish_reason is None


def test_a_response() -> None:
    call = {"id": "call_a", "type": "function", "function": {"name": "gauge", "arguments": '{"at":"Ems"}'}}
    message = {"content": "Hi.", "reasoning_content": "Rain?", "tool_calls": [call], "annotations": []}
    body = answer(message, "tool_calls")
    response = CHAT.decode_response(body)
    assert response.text == "Hi."
    assert response.tool_calls == [ToolCall("call_a", "gauge", '{"at":"Ems"}')]
    assert (response.finish_reason, response.model, response.usage) == ("tool_calls", "brook-2", Usage(5, 2))
    assert response.message.reasoning == "Rain?"
    assert response.message.extra == {"annotations": []}
    assert response.raw == json.loads(body)


@pytest.mark.parametrize(
    ("message", "text", "reasoning", "refusal"),
    [
        ({"content": None, "refusal": "No."}, "", "", "No."),
        ({"content": "a", "reasoning": "b", "reasoning_details": [{"text": "b"}]}, "a", "b", ""),
        ({"content": "a", "reasoning_details": [{"text": "b"}, {"summary": "c"}, {"data": "x"}, 1]}, "a", "bc", ""),
        ({"content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "n"}, 7]}, "a", "", "n"),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "b"}]}, "a"]}, "a", "b", ""),
        ({"content": 7}, "", "", ""),
    ],
)
def test_what_a_message_says(message: dict[str, Any], text: str, reasoning: str, refusal: str) -> None:
    response = CHAT.decode_response(answer(message))
    assert (response.text, response.message.reasoning, response.message.refusal) == (text, reasoning, refusal)
    if isinstance(message["content"], list):
        assert response.message.content == message["content"]


def test_choice_0_is_the_response() -> None:
    choices = [{"index": 1, "message": {"content": "b", "x": 1}}, {"index": 0, "message": {"content": "a", "y": 2}}]
    response = CHAT.decode_response(written(choices=choices))
    assert response.text == "a"
    assert response.message.extra == {"y": 2}


def test_an_answer_as_events() -> None:
    events = CHAT.decode_events(answer({"content": "Hi.", "reasoning": "Hm."}))
    assert [event.kind for event in events] == ["start", "reasoning", "text", "finish", "usage"]


@pytest.mark.parametrize("usage", [COUNTED, None])
def test_facts_keep_long_names_short(usage: Any) -> None:
    facts = CHAT.decode_facts(answer(model="m" * 300, finish="f" * 300, usage=usage))
    assert (facts.model, facts.finish_reason) == (shortened("m" * 300), shortened("f" * 300))
    facts = CHAT.decode_facts(answer(model="m" * LONGEST_NAME, finish="f" * LONGEST_NAME, usage=usage))
    assert (facts.model, facts.finish_reason) == ("m" * LONGEST_NAME, "f" * LONGEST_NAME)
