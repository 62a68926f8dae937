"""`POST /v1/generate`: requests read, answers told whole, and errors in the same shape."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidRequest, NotAvailable, PenstockError, UnknownModel, UpstreamRateLimited
from penstock.events import Event, ToolCallDelta
from penstock.prompt import Format, Image, Prompt, Text, ToolResult, ToolUse, Turn
from penstock.usage import Usage
from penstock.wire.dialect import InboundChat
from penstock.wire.generate import Generate, Told
from penstock.wire.generate_prompt import KNOWN

GENERATE = Generate()
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TOOL = {"type": "function", "function": {"name": "gauge", "parameters": {"type": "object"}}}
SHAPE = [
    *("contract", "request_id", "status", "text", "data", "validation", "model", "prompt_version", "finish_reason"),
    *("usage", "cost_usd", "latency_ms", "attempts", "fallback_used", "warnings"),
    *("reasoning", "refusal", "tool_calls", "message", "error"),
]
COUNTS = ["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "estimated"]
ANSWER = [
    Event("start", "id-1", model="brook-2"),
    Event("usage", usage=Usage(input_tokens=12)),
    Event("text", "It is "),
    Event("text", "high."),
    Event("finish", finish_reason="stop"),
    Event("usage", usage=Usage(output_tokens=4)),
    Event("end"),
]


def prompt_of(**fields: Any) -> Prompt:
    return GENERATE.decode_prompt(GENERATE.decode_request(json.dumps(fields).encode()).fields)


def told(events: list[Event], **facts: Any) -> dict[str, Any]:
    if "output_schema" in facts:
        facts["output_schema"] = msgspec.Raw(json.dumps(facts["output_schema"]).encode())
    answer: dict[str, Any] = json.loads(GENERATE.encode_result(events, Told(request_id="r1", **facts)))
    assert list(answer) == SHAPE
    assert list(answer["usage"]) == COUNTS
    return answer


# --- requests


def test_it_is_the_callers_side_of_a_dialect() -> None:
    dialect: InboundChat = GENERATE
    assert (dialect.name, dialect.path) == ("generate", b"/generate")


def test_a_prompt() -> None:
    decoded = GENERATE.decode_request(b'{"prompt": "Hi", "model": "fast", "stream": true}')
    assert (decoded.model, decoded.stream) == ("fast", True)
    prompt = GENERATE.decode_prompt(decoded.fields)
    assert prompt == Prompt(
        turns=[Turn(role="user", parts=[Text(text="Hi")])], stream=True, given={"stream": "stream", "text": "prompt"}
    )


def test_everything() -> None:
    prompt = prompt_of(
        prompt="Hi",
        system="Be brief.",
        model="fast",
        user="u1",
        task="summary",
        temperature=0.5,
        stop="x",
        tools=[TOOL],
        tool_choice="required",
        output_schema=SCHEMA,
        budget={"max_output_tokens": 300, "max_cost_usd": None},
        stream=False,
    )
    assert [turn.role for turn in prompt.turns] == ["system", "user"]
    assert (prompt.user, prompt.temperature, prompt.stop, prompt.max_output_tokens) == ("u1", 0.5, ["x"], 300)
    assert [tool.name for tool in prompt.tools] == ["gauge"]
    assert prompt.tool_choice is not None
    assert prompt.tool_choice.mode == "required"
    assert prompt.format == Format(schema=SCHEMA, name="output")
    assert (prompt.hints, prompt.demands) == ({}, {})
    assert prompt.given == {
        "system": "system",
        "text": "prompt",
        "tools": "tools",
        "tool_choice": "tool_choice",
        "temperature": "temperature",
        "stop": "stop",
        "max_output_tokens": "budget.max_output_tokens",
        "user": "user",
        "json_schema": "output_schema",
    }


def test_messages_are_those_of_openai() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "gauge", "arguments": "{}"}}
    messages = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "3 m"},
    ]
    turns = prompt_of(messages=messages, system="Be brief.").turns
    assert [turn.role for turn in turns] == ["system", "system", "user", "assistant", "user"]
    assert [type(turn.parts[0]) for turn in turns] == [Text, Text, Image, ToolUse, ToolResult]


def test_null_says_nothing() -> None:
    later = {"prompt_id": None, "tags": None, "deadline": None}
    prompt = prompt_of(prompt="Hi", messages=None, system=None, budget=None, tools=None, stream=None, **later)
    assert prompt == prompt_of(prompt="Hi")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt_id": "support/answer@production"}, "prompt_id"),
        ({"prompt_id": "a", "variables": {}}, "prompt_id"),
        ({"prompt": "Hi", "variables": {}}, "variables"),
        ({"prompt": "Hi", "cache": "no-store"}, "cache"),
    ],
)
def test_a_field_of_a_later_version_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(NotAvailable) as caught:
        prompt_of(**fields)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "not_available", param)


@pytest.mark.parametrize(
    ("fields", "param", "do"),
    [
        ({"promt": "Hi"}, "promt", "Did you mean 'prompt'?"),
        ({"prompt": "Hi", "Temperature": 1}, "Temperature", "Did you mean 'temperature'?"),
        ({"prompt": "Hi", "deadlin": "1s"}, "deadlin", "Did you mean 'deadline'?"),
        ({"prompt": "Hi", "max_tokens": 9}, "max_tokens", "Did you mean 'budget.max_output_tokens'?"),
        ({"prompt": "Hi", "response_format": {}}, "response_format", "Did you mean 'output_schema'?"),
        ({"prompt": "Hi", "qqqq": None}, "qqqq", "The fields are: prompt, messages,"),
        ({"prompt": "Hi", "budget": {"max_output_token": 1}}, "budget.max_output_token", "'budget.max_output_tokens'"),
        ({}, "prompt", "Send one of them."),
        ({"prompt": None}, "prompt", "Send one of them."),
        ({"prompt": "Hi", "messages": []}, "messages", "Send one of them."),
    ],
)
def test_a_field_nobody_has_is_refused_with_the_nearest(fields: dict[str, Any], param: str, do: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        prompt_of(**fields)
    assert caught.value.param == param
    assert do in caught.value.do


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": 7}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "queen", "content": "b"}]}, "messages[1].role"),
        ({"system": ["a"]}, "system"),
        ({"model": 7}, "model"),
        ({"model": ""}, "model"),
        ({"user": 7}, "user"),
        ({"task": "gr\u00fc\u00dfen"}, "task"),
        ({"task": "a\nb"}, "task"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"stop": 7}, "stop"),
        ({"stop": ["a", 7]}, "stop[1]"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"output_schema": "object"}, "output_schema"),
        ({"output_schema": {"type": "nope"}}, "output_schema"),
        ({"output_schema": {"$ref": "https://example.com/a"}}, "output_schema"),
        ({"budget": 7}, "budget"),
        ({"budget": {"max_output_tokens": 0}}, "budget.max_output_tokens"),
        ({"budget": {"max_output_tokens": 1.5}}, "budget.max_output_tokens"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_a_wrong_value_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    if "messages" not in fields:
        fields = {"prompt": "Hi", **fields}
    with pytest.raises(InvalidRequest) as caught:
        prompt_of(**fields)
    assert caught.value.param == param


def test_a_number_out_of_range_is_refused() -> None:
    fields = GENERATE.decode_request(b'{"prompt": "Hi", "temperature": 1e999}').fields
    with pytest.raises(InvalidRequest) as caught:
        GENERATE.decode_prompt(fields)
    assert caught.value.param == "temperature"


def test_the_task_is_read() -> None:
    assert GENERATE.read_task(GENERATE.decode_request(b'{"prompt": "Hi", "task": "search"}').fields) == "search"
    assert GENERATE.read_task(GENERATE.decode_request(b'{"prompt": "Hi"}').fields) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from((*KNOWN, "prompt_id", "tags", "max_tokens"))


@given(fields=st.dictionaries(NAMES, JSON) | st.dictionaries(st.text(), JSON))
def test_any_json_is_read_or_refused(fields: dict[str, Any]) -> None:
    try:
        assert prompt_of(**fields).turns
    except (InvalidRequest, NotAvailable) as error:
        assert error.message  # noqa: PT017 -- which of the two, and whether at all, is not the point


# --- answers


def test_a_whole_answer() -> None:
    facts = {"attempts": 1, "latency_ms": 812, "model": "fast"}
    answer = told(ANSWER, **facts)
    message = answer.pop("message")
    assert answer == {
        "contract": "1",
        "request_id": "r1",
        "status": "ok",
        "text": "It is high.",
        "data": None,
        "validation": "none",
        "model": "brook-2",
        "prompt_version": None,
        "finish_reason": "stop",
        "usage": dict(zip(COUNTS, (12, 4, 0, 0, 0, False), strict=True)),
        "cost_usd": None,
        "latency_ms": 812,
        "attempts": 1,
        "fallback_used": False,
        "warnings": [],
        "reasoning": "",
        "refusal": None,
        "tool_calls": [],
        "error": None,
    }
    assert message["role"] == "assistant"
    assert message["content"] == "It is high."


def test_what_the_record_knows_wins() -> None:
    counted = Usage(input_tokens=3, output_tokens=1, estimated=True, tier="flex")
    answer = told(ANSWER, usage=counted)
    assert answer["usage"] == dict(zip(COUNTS, (3, 1, 0, 0, 0, True), strict=True))
    assert told([Event("text", "Hi")], model="fast")["model"] == "fast"


def test_what_it_cost() -> None:
    answer = told(ANSWER, cost=lambda usage: usage.input_tokens * 10)
    assert (answer["cost_usd"], answer["warnings"]) == ("0.000000120", [])
    assert told(ANSWER, usage=Usage(2), cost=lambda usage: usage.input_tokens)["cost_usd"] == "0.000000002"


def test_an_unknown_price_is_null_and_flagged() -> None:
    answer = told(ANSWER, cost=lambda usage: None)
    assert answer["cost_usd"] is None
    assert [warning["code"] for warning in answer["warnings"]] == ["unknown_price"]
    assert told([Event("text", "Hi")], cost=lambda usage: None)["warnings"] == []


def test_tool_calls_reasoning_and_the_message_to_send_back() -> None:
    events = [
        Event("reasoning", "Hm", index=0),
        Event("reasoning", signature="seal", index=0),
        Event("tool_call", index=1, tool_call=ToolCallDelta(1, "c1", "gauge", '{"a"')),
        Event("tool_call", index=1, tool_call=ToolCallDelta(1, arguments=":1}")),
        Event("tool_call", index=2, tool_call=ToolCallDelta(2, "", "gauge", "{}")),
        Event("finish", finish_reason="tool_calls"),
    ]
    answer = told(events, output_schema=SCHEMA)
    first, second = answer["tool_calls"]
    assert first == {"id": "c1", "name": "gauge", "arguments": '{"a":1}'}
    assert second["id"]
    assert (answer["reasoning"], answer["finish_reason"], answer["validation"]) == ("Hm", "tool_calls", "none")
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "3 m"} for call in answer["tool_calls"]]
    turns = prompt_of(messages=[{"role": "user", "content": "?"}, answer["message"], *results]).turns
    assert [getattr(part, "id", None) or part for part in turns[1].parts][1:] == [first["id"], second["id"]]
    assert getattr(turns[1].parts[0], "signature", "") == "seal"


def test_a_refusal() -> None:
    answer = told([Event("refusal", "No."), Event("finish", finish_reason="content_filter")])
    assert (answer["text"], answer["refusal"], answer["finish_reason"]) == ("", "No.", "content_filter")


@pytest.mark.parametrize(
    ("text", "status", "validation", "data", "warnings"),
    [
        (' {"n": 1}\n', "ok", "valid", {"n": 1}, []),
        ('{"n": "1"}', "degraded", "invalid", None, ["invalid_output"]),
        ("no", "degraded", "invalid", None, ["invalid_output"]),
        ("", "degraded", "invalid", None, ["invalid_output"]),
    ],
)
def test_an_answer_is_held_against_its_schema(
    text: str, status: str, validation: str, data: Any, warnings: list[str]
) -> None:
    answer = told([Event("text", text), Event("finish", finish_reason="stop")], output_schema=SCHEMA)
    assert (answer["status"], answer["validation"], answer["data"]) == (status, validation, data)
    assert [warning["code"] for warning in answer["warnings"]] == warnings
    assert answer["text"] == text


def test_without_a_schema_nothing_is_checked() -> None:
    assert told([Event("text", "no")], output_schema=None)["validation"] == "none"
    assert told([Event("text", "no")])["data"] is None


def test_losses_are_warnings_and_a_fallback_degrades() -> None:
    answer = told(ANSWER, dropped=["user"], clamped=["temperature"], fallback_used=True)
    assert [(warning["code"], warning["message"].split()[0]) for warning in answer["warnings"]] == [
        ("dropped", "'user'"),
        ("clamped", "'temperature'"),
    ]
    assert (answer["status"], answer["fallback_used"]) == ("degraded", True)


# --- errors


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            NotAvailable("'tags' is not in this version.", do="Leave it out.", param="tags"),
            ("not_available", False, None, "Leave it out.", "tags"),
        ),
        (
            UpstreamRateLimited("Full.", do="Wait.", retry_after=2.5),
            ("upstream_rate_limited", True, 2.5, "Wait.", None),
        ),
        (UnknownModel("no model named '\ud800'"), ("unknown_model", False, None, "", None)),
    ],
)
def test_an_error_is_a_failed_answer(error: PenstockError, expected: tuple[Any, ...]) -> None:
    answer = json.loads(GENERATE.encode_error(error, "r1"))
    assert list(answer) == SHAPE
    assert (answer["status"], answer["request_id"], answer["text"]) == ("failed", "r1", "")
    failure = answer["error"]
    assert list(failure) == ["code", "message", "retryable", "retry_after", "do", "param"]
    assert tuple(failure[name] for name in ("code", "retryable", "retry_after", "do", "param")) == expected


def test_an_error_in_a_stream_is_the_event_error() -> None:
    written = GENERATE.encode_stream_error(UpstreamRateLimited("Full."))
    head, data, blank, end = written.split(b"\n")
    assert (head, blank, end) == (b"event: error", b"", b"")
    assert json.loads(data.removeprefix(b"data: "))["error"]["code"] == "upstream_rate_limited"


TEXTS = st.text() | st.just("\ud800") | st.just('{"n": 1}')
EVENTS = st.lists(
    st.builds(Event, st.sampled_from(("start", "text", "reasoning", "refusal")), TEXTS, model=TEXTS, signature=TEXTS)
    | st.builds(Event, st.just("tool_call"), tool_call=st.builds(ToolCallDelta, st.integers(0, 2), TEXTS, TEXTS, TEXTS))
    | st.builds(Event, st.just("usage"), usage=st.builds(Usage, st.integers(0, 9), st.integers(0, 9)))
    | st.builds(Event, st.just("finish"), finish_reason=st.none() | TEXTS, choice=st.integers(0, 1))
    | st.builds(Event, st.sampled_from(("citation", "other")), data=st.just({"url": "https://example.com"})),
    max_size=8,
)


@given(events=EVENTS)
def test_any_events_are_an_answer(events: list[Event]) -> None:
    answer = told(events, output_schema=SCHEMA)
    assert answer["status"] in ("ok", "degraded")
