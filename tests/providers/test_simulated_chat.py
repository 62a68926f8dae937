"""The simulated provider's chat completions: OpenAI's shapes, and answers that fit what was asked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.model import Model

from tests.providers.sim import USER, Said, ask, ask_all, body_of, request, stream
from tests.providers.test_simulated_schema import NODE
from tests.providers.valid import problems

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["C", "F"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "currentTime"}}


def says(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def completion(body: dict[str, Any]) -> ChatCompletion:
    answer = ask(body)
    assert answer.status == 200, answer.body
    assert answer.headers[b"content-type"] == b"application/json"
    return ChatCompletion.model_validate(answer.json, strict=True)


def chunks(answer: Said) -> list[ChatCompletionChunk]:
    assert answer.status == 200, answer.body
    return [ChatCompletionChunk.model_validate(chunk, strict=True) for chunk in answer.chunks]


def test_a_completion_has_openais_shape_to_the_letter() -> None:
    body = ask(body_of()).json
    assert list(body) == ["id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint"]
    assert body["id"].startswith("chatcmpl-")
    assert body["object"] == "chat.completion"
    assert body["created"] == 1_767_225_600  # the virtual clock's 2026-01-01
    choice = body["choices"][0]
    assert list(choice) == ["index", "message", "logprobs", "finish_reason"]
    assert list(choice["message"]) == ["role", "content", "refusal", "annotations"]
    assert "How do turbines work" in choice["message"]["content"]
    usage = completion(body_of()).usage
    assert usage is not None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None


def test_a_stream_says_the_same_as_the_whole_answer() -> None:
    whole = completion(body_of())
    answer = stream(stream_options={"include_usage": True})
    assert answer.headers[b"content-type"].startswith(b"text/event-stream")
    assert answer.payloads[-1] == b"[DONE]"
    events = chunks(answer)
    assert {event.id for event in events} == {whole.id}
    first, *_, finish, usage = events
    assert first.choices[0].delta.role == "assistant"
    assert first.choices[0].delta.content == ""
    assert answer.text == whole.choices[0].message.content
    assert finish.choices[0].finish_reason == "stop"
    assert not usage.choices
    assert usage.usage == whole.usage
    assert all(chunk["usage"] is None for chunk in answer.chunks[:-1])
    assert whole.usage is not None
    assert len(events) == whole.usage.completion_tokens + 3


def test_without_include_usage_no_chunk_speaks_of_it() -> None:
    answer = stream()
    assert not any("usage" in chunk for chunk in answer.chunks)
    assert answer.chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_the_same_request_gives_the_same_bytes() -> None:
    for fields in ({}, {"stream": True}, {"n": 2, "logprobs": True}, {"tools": [WEATHER], "tool_choice": "required"}):
        each = request(body_of(**fields))
        (one,), (other,), (third,) = (ask_all(each, seed=seed) for seed in (1, 1, 2))
        assert one.raw == other.raw != third.raw


def test_another_request_gives_another_answer() -> None:
    one, other = completion(body_of()), completion(body_of(temperature=0.5))
    assert one.id != other.id


def test_several_choices() -> None:
    whole = completion(body_of(n=3))
    texts = [choice.message.content for choice in whole.choices]
    assert len(set(texts)) == 3
    answer = stream(n=3)
    streamed = ["", "", ""]
    for event in chunks(answer):
        for choice in event.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_an_answer_that_is_cut_at_its_limit(field: str) -> None:
    limit: dict[str, Any] = {field: 5}
    whole = completion(body_of(**limit))
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 5
    answer = stream(**limit)
    assert answer.chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert answer.text == whole.choices[0].message.content


def test_stop_sequences() -> None:
    text = completion(body_of()).choices[0].message.content
    assert text is not None
    word = text.split()[3]
    stopped = completion(body_of("small:tokens=60", stop=[word, "\n"])).choices[0]
    assert stopped.finish_reason == "stop"
    assert stopped.message.content is not None
    assert word not in stopped.message.content


def test_the_length_of_an_answer() -> None:
    for tokens in (1, 7, 1000):
        whole = completion(body_of(f"small:tokens={tokens}"))
        assert whole.usage is not None
        assert whole.usage.completion_tokens == tokens
        assert whole.choices[0].finish_reason == "stop"


def test_reasoning_is_thought_first_and_counted() -> None:
    for body in (body_of("reasoner"), body_of("large", reasoning_effort="low")):
        whole = completion(body)
        assert whole.usage is not None
        assert whole.usage.completion_tokens_details is not None
        assert whole.usage.completion_tokens_details.reasoning_tokens
        thought = whole.choices[0].message.model_extra["reasoning_content"]  # type: ignore[index]
        answer = ask(body | {"stream": True})
        deltas = [chunk["choices"][0]["delta"] for chunk in answer.chunks]
        kinds = ["reasoning_content" in delta for delta in deltas if delta.get("content") or len(delta) == 1]
        assert kinds == sorted(kinds, reverse=True)
        assert "".join(delta.get("reasoning_content", "") for delta in deltas) == thought


def test_a_limit_may_leave_nothing_but_reasoning() -> None:
    choice = completion(body_of("reasoner", max_completion_tokens=4)).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("", "length")


def test_logprobs() -> None:
    whole = completion(body_of(logprobs=True, top_logprobs=3)).choices[0]
    assert whole.logprobs is not None
    assert whole.logprobs.content is not None
    assert "".join(each.token for each in whole.logprobs.content) == whole.message.content
    assert {len(each.top_logprobs) for each in whole.logprobs.content} == {3}
    streamed = [
        each
        for event in chunks(stream(logprobs=True, top_logprobs=3))
        for choice in event.choices
        if choice.logprobs is not None
        for each in choice.logprobs.content or ()
    ]
    assert [each.logprob for each in streamed] == [each.logprob for each in whole.logprobs.content]


# Tools


def calls_in(answer: ChatCompletion) -> list[tuple[str, Any]]:
    calls = answer.choices[0].message.tool_calls or []
    return [
        (call.function.name, msgspec.json.decode(call.function.arguments)) for call in calls if call.type == "function"
    ]


@pytest.mark.parametrize(
    ("text", "fields", "called"),
    [
        ("What is the weather in Lima?", {}, ["get_weather"]),
        ("Use get_weather now", {}, ["get_weather"]),
        ("Tell me a story", {}, []),
        (
            "Tell me a story",
            {"tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
            ["get_weather"],
        ),
        ("What is the weather in Lima?", {"tool_choice": "none"}, []),
        ("What weather, and what time is it?", {"tools": [WEATHER, CLOCK]}, ["get_weather", "currentTime"]),
        ("What weather, what time?", {"tools": [WEATHER, CLOCK], "parallel_tool_calls": False}, ["get_weather"]),
    ],
)
def test_which_tools_are_called(text: str, fields: dict[str, Any], called: list[str]) -> None:
    answer = completion({"model": "small", "messages": says(text), "tools": [WEATHER], **fields})
    assert [name for name, _ in calls_in(answer)] == called
    assert (answer.choices[0].message.content is None) == bool(called)


def test_a_tool_is_called_with_arguments_true_to_its_schema() -> None:
    answer = completion({"model": "small", "messages": says("The weather in Lima?"), "tools": [WEATHER]})
    (_, arguments), *_ = calls_in(answer)
    schema: Any = WEATHER["function"]
    assert list(problems(arguments, schema["parameters"])) == []
    assert arguments["city"] == "Lima"
    assert answer.choices[0].finish_reason == "tool_calls"


def test_a_tool_that_must_be_called_is() -> None:
    answer = completion(body_of(tools=[WEATHER, CLOCK], tool_choice="required"))
    assert len(calls_in(answer)) == 1
    assert answer.choices[0].finish_reason == "tool_calls"
    named = body_of(tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "get_weather"}})
    assert completion(named).choices[0].finish_reason == "stop"  # as the real one ends a call forced by name


def test_tool_calls_in_a_stream() -> None:
    body = {"model": "small", "messages": says("weather and time please"), "tools": [WEATHER, CLOCK]}
    whole = completion(body).choices[0].message.tool_calls
    assert whole is not None
    answer = ask(body | {"stream": True})
    pieces: dict[int, dict[str, str]] = {}
    for event in chunks(answer):
        for delta in event.choices[0].delta.tool_calls or ():
            piece = pieces.setdefault(delta.index, {"id": delta.id or "", "name": "", "arguments": ""})
            assert delta.function is not None
            piece["name"] += delta.function.name or ""
            piece["arguments"] += delta.function.arguments or ""
    expected = [(call.id, call.function.name, call.function.arguments) for call in whole if call.type == "function"]
    assert [tuple(pieces[index].values()) for index in sorted(pieces)] == expected
    assert answer.chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert answer.chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_tools_result_is_quoted() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        *says("weather in Lima?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "19 degrees"},
    ]
    answer = completion({"model": "small", "messages": messages, "tools": [WEATHER]}).choices[0]
    assert answer.finish_reason == "stop"
    assert answer.message.content is not None
    assert answer.message.content.startswith('According to get_weather: "19 degrees".')


# Structured answers


def test_an_answer_under_a_json_schema() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "list", "strict": True, "schema": NODE}}
    answer = completion(body_of(response_format=wanted))
    assert answer.choices[0].message.content is not None
    assert list(problems(msgspec.json.decode(answer.choices[0].message.content), NODE)) == []
    assert stream(response_format=wanted).text == answer.choices[0].message.content


def test_json_mode() -> None:
    answer = completion({"model": "small", "messages": says("as JSON"), "response_format": {"type": "json_object"}})
    assert isinstance(msgspec.json.decode(answer.choices[0].message.content or ""), dict)


# What is refused


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        (b'{"model": "small", ', 400, None, None),
        (b"[]", 400, None, None),
        (b"\xff{}", 400, None, None),
        (b'{"model":"small","messages":[{"role":"user","content":NaN}]}', 400, None, None),
        ({"messages": USER}, 400, "model", "missing_required_parameter"),
        ({"model": 7, "messages": USER}, 400, "model", "missing_required_parameter"),
        ({"model": "gpt-9", "messages": USER}, 404, None, "model_not_found"),
        ({"model": "embed", "messages": USER}, 404, "model", None),
        ({"model": "small"}, 400, "messages", "missing_required_parameter"),
        ({"model": "small", "messages": []}, 400, "messages", "empty_array"),
        ({"model": "small", "messages": "hi"}, 400, "messages", "invalid_type"),
        ({"model": "small", "messages": ["hi"]}, 400, "messages[0]", "invalid_type"),
        ({"model": "small", "messages": [{"content": "hi"}]}, 400, "messages[0].role", "missing_required_parameter"),
        ({"model": "small", "messages": [{"role": "boss"}]}, 400, "messages[0].role", "invalid_value"),
        ({"model": "small", "messages": [{"role": "user"}]}, 400, "messages[0].content", "invalid_type"),
        ({"model": "small", "messages": [{"role": "user", "content": 5}]}, 400, "messages[0].content", "invalid_type"),
        (
            {"model": "small", "messages": [{"role": "user", "content": [{"text": "hi"}]}]},
            400,
            "messages[0].content[0].type",
            "missing_required_parameter",
        ),
        ({"model": "small", "messages": [{"role": "tool", "content": "x"}]}, 400, "messages[0].role", None),
        (body_of(n=0), 400, "n", "integer_below_min_value"),
        (body_of(n=1.5), 400, "n", "invalid_type"),
        (body_of(max_tokens=0), 400, "max_tokens", "integer_below_min_value"),
        (body_of(temperature=3), 400, "temperature", "decimal_above_max_value"),
        (body_of(temperature="hot"), 400, "temperature", "invalid_type"),
        (body_of(stop=["a"] * 5), 400, "stop", "array_above_max_length"),
        (body_of(stop=[1]), 400, "stop", "invalid_type"),
        (body_of(stream="yes"), 400, "stream", "invalid_type"),
        (body_of(stream_options={"include_usage": True}), 400, "stream_options", None),
        (body_of(tool_choice="auto"), 400, "tool_choice", None),
        (
            body_of(tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "x"}}),
            400,
            "tool_choice",
            None,
        ),
        (body_of(tools=[{"type": "function"}]), 400, "tools[0].function", "missing_required_parameter"),
        (body_of(reasoning_effort="endless"), 400, "reasoning_effort", "invalid_value"),
        (body_of(response_format={"type": "json_object"}), 400, "messages", None),
        (body_of(response_format={"type": "xml"}), 400, "response_format.type", "invalid_value"),
        (
            body_of(response_format={"type": "json_schema"}),
            400,
            "response_format.json_schema",
            "missing_required_parameter",
        ),
        (
            body_of(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}}}}),
            400,
            "response_format",
            "invalid_json_schema",
        ),
        (
            body_of(
                tools=[{"type": "function", "function": {"name": "f", "parameters": {"enum": []}}}],
                tool_choice="required",
            ),
            400,
            "tools",
            "invalid_function_parameters",
        ),
        ({"model": "small", "messages": says("word " * 130_000)}, 400, "messages", "context_length_exceeded"),
    ],
)
def test_a_wrong_request_gets_openais_error(body: Any, status: int, param: str | None, code: str | None) -> None:
    answer = ask(body)
    assert answer.status == status, answer.body
    assert answer.headers[b"content-type"] == b"application/json"
    error = answer.error
    assert list(error) == ["message", "type", "param", "code"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert error["message"]


def test_lone_surrogates_and_deep_nesting_are_no_traceback() -> None:
    for body in (
        b'{"model":"small","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"small","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ):
        assert ask(body).status in (200, 400)


# Routes and keys


def test_models() -> None:
    listed, one, unknown = ask_all(
        request(b"", path="/v1/models", method="GET"),
        request(b"", path="/any/prefix/models/small", method="GET"),
        request(b"", path="/v1/models/nope", method="GET"),
    )
    assert {Model.model_validate(each, strict=True).id for each in listed.json["data"]} >= {"small", "large", "embed"}
    assert one.json["id"] == "small"
    assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/v1/audio", 404), ("GET", "/v1/chat/completions", 405), ("POST", "/v1/models", 405), ("GET", "/", 404)],
)
def test_other_routes(method: str, path: str, status: int) -> None:
    (answer,) = ask_all(request(body_of(), path=path, method=method))
    assert answer.status == status
    assert answer.error["type"] == "invalid_request_error"


def test_a_prefix_of_the_path_is_nobodys_business() -> None:
    (answer,) = ask_all(request(body_of(), path="/openai/deployments/x/chat/completions"))
    assert answer.status == 200


def test_a_key_that_is_asked_for() -> None:
    asked = body_of()
    none, wrong, right = ask_all(
        request(asked),
        request(asked, authorization="Bearer sk-0123456789abcdef"),
        request(asked, authorization="Bearer right"),
        key="right",
    )
    assert (none.status, none.error["code"]) == (401, None)
    assert (wrong.status, wrong.error["code"]) == (401, "invalid_api_key")
    assert "sk-*****cdef" in wrong.error["message"]
    assert b"0123456789" not in wrong.body
    assert right.status == 200
