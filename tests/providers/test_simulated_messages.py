"""The simulated provider's messages: Anthropic's shapes, and answers that fit what was asked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.providers.sim import USER, Said, ask_all, message, message_body, message_request, message_stream
from tests.providers.test_simulated_schema import NODE
from tests.providers.valid import problems

WEATHER = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["C", "F"]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
}
CLOCK = {"name": "currentTime", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
THINKING = {"type": "enabled", "budget_tokens": 1024}
PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}


def says(text: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def whole(body: dict[str, Any]) -> dict[str, Any]:
    answer = message(body)
    assert answer.status == 200, answer.body
    assert answer.headers[b"content-type"] == b"application/json"
    body_of_answer: dict[str, Any] = answer.json
    return body_of_answer


def folded(answer: Said) -> dict[str, Any]:
    """The message that a stream's events add up to."""
    assert answer.status == 200, answer.body
    built: dict[str, Any] = {}
    partial = ""
    for name, data in answer.events:
        event = msgspec.json.decode(data)
        assert event["type"] == name
        if name == "message_start":
            built = event["message"]
        elif name == "content_block_start":
            assert event["index"] == len(built["content"])
            built["content"].append(event["content_block"])
            partial = ""
        elif name == "content_block_delta":
            delta, block = event["delta"], built["content"][event["index"]]
            if delta["type"] == "input_json_delta":
                partial += delta["partial_json"]
                continue
            field = delta["type"].removesuffix("_delta")
            block[field] += delta[field]
        elif name == "content_block_stop" and partial:
            built["content"][event["index"]]["input"] = msgspec.json.decode(partial)
        elif name == "message_delta":
            built |= event["delta"]
            built["usage"] |= event["usage"]
    return built


def text_in(answer: dict[str, Any]) -> str:
    return "".join(block["text"] for block in answer["content"] if block["type"] == "text")


def test_a_message_has_anthropics_shape_to_the_letter() -> None:
    answer = message(message_body())
    body = answer.json
    assert list(body) == ["model", "id", "type", "role", "content", "stop_reason", "stop_sequence", "usage"]
    assert (body["type"], body["role"], body["model"]) == ("message", "assistant", "small")
    assert body["id"].startswith("msg_")
    assert [block["type"] for block in body["content"]] == ["text"]
    assert "How do turbines work" in text_in(body)
    assert (body["stop_reason"], body["stop_sequence"]) == ("end_turn", None)
    usage = body["usage"]
    assert (usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]) == (0, 0)
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > 0
    assert answer.headers[b"request-id"].startswith(b"req_")
    assert b"x-request-id" not in answer.headers


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"thinking": THINKING, "max_tokens": 2000},
        {"model": "reasoner"},
        {"tools": [WEATHER, CLOCK], "messages": says("weather and time please")},
        {"model": "reasoner", "tools": [WEATHER], "messages": says("the weather in Lima?")},
        {"max_tokens": 5},
        {"model": "reasoner", "max_tokens": 3},
        {"output_config": {"format": {"type": "json_schema", "schema": NODE}}},
    ],
)
def test_a_stream_says_the_same_as_the_whole_answer(fields: dict[str, Any]) -> None:
    answer = message(message_body(**fields) | {"stream": True})
    assert answer.headers[b"content-type"].startswith(b"text/event-stream")
    names = [name for name, _ in answer.events]
    assert names[0] == "message_start"
    assert names[2] == "ping"
    assert names[-2:] == ["message_delta", "message_stop"]
    assert folded(answer) == whole(message_body(**fields))


def test_the_same_request_gives_the_same_bytes() -> None:
    for fields in ({}, {"stream": True}, {"tools": [WEATHER], "tool_choice": {"type": "any"}}):
        each = message_request(message_body(**fields))
        (one,), (other,), (third,) = (ask_all(each, seed=seed) for seed in (1, 1, 2))
        assert one.raw == other.raw != third.raw


def test_the_limit_of_the_output() -> None:
    answer = whole(message_body(max_tokens=5))
    assert (answer["stop_reason"], answer["usage"]["output_tokens"]) == ("max_tokens", 5)


def test_a_call_that_is_cut_has_no_arguments() -> None:
    answer = whole(message_body(max_tokens=4, tools=[WEATHER], tool_choice={"type": "any"}))
    assert answer["stop_reason"] == "max_tokens"
    assert [block["input"] for block in answer["content"]] == [{}]


def test_stop_sequences_are_named() -> None:
    stops = ["nowhere", "turbines"]  # the answer begins with the question
    stopped = whole(message_body(stop_sequences=stops))
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", "turbines")
    assert text_in(stopped).endswith("How do ")
    assert folded(message_stream(stop_sequences=stops))["stop_sequence"] == "turbines"
    assert whole(message_body(stop_sequences=["nowhere"]))["stop_sequence"] is None


@pytest.mark.parametrize(
    ("fields", "thinks"),
    [
        ({}, False),
        ({"thinking": {"type": "disabled"}}, False),
        ({"thinking": THINKING, "max_tokens": 2000}, True),
        ({"thinking": {"type": "adaptive"}}, True),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, True),
        ({"model": "reasoner"}, True),
        ({"model": "reasoner", "thinking": {"type": "disabled"}}, False),
    ],
)
def test_thinking_comes_first_with_its_signature(fields: dict[str, Any], thinks: bool) -> None:
    answer = whole(message_body(**fields))
    kinds = [block["type"] for block in answer["content"]]
    assert kinds == (["thinking", "text"] if thinks else ["text"])
    if thinks:
        assert answer["content"][0]["thinking"].startswith("Let me think.")
        assert answer["content"][0]["signature"]
        assert answer["usage"]["output_tokens_details"]["thinking_tokens"] < answer["usage"]["output_tokens"]


def test_more_effort_thinks_longer() -> None:
    lengths = []
    for effort in ("low", "medium", "high", "xhigh", "max"):
        answer = whole(message_body(thinking={"type": "adaptive"}, output_config={"effort": effort}))
        lengths.append(len(answer["content"][0]["thinking"]))
    assert lengths == sorted(lengths)
    assert len(set(lengths)) == 5


# Tools


def calls_in(answer: dict[str, Any]) -> list[str]:
    return [block["name"] for block in answer["content"] if block["type"] == "tool_use"]


@pytest.mark.parametrize(
    ("text", "fields", "called"),
    [
        ("What is the weather in Lima?", {}, ["get_weather"]),
        ("Tell me a story", {}, []),
        ("Tell me a story", {"tool_choice": {"type": "tool", "name": "get_weather"}}, ["get_weather"]),
        ("Tell me a story", {"tool_choice": {"type": "any"}}, ["get_weather"]),
        ("What is the weather in Lima?", {"tool_choice": {"type": "none"}}, []),
        ("Search the web", {"tools": [SEARCH]}, []),
        ("What weather, and what time is it?", {"tools": [WEATHER, CLOCK]}, ["get_weather", "currentTime"]),
        (
            "What weather, and what time is it?",
            {"tools": [WEATHER, CLOCK], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            ["get_weather"],
        ),
    ],
)
def test_which_tools_are_called(text: str, fields: dict[str, Any], called: list[str]) -> None:
    answer = whole({**message_body(messages=says(text), tools=[WEATHER]), **fields})
    assert calls_in(answer) == called
    assert answer["stop_reason"] == ("tool_use" if called else "end_turn")


def test_a_tool_is_called_with_arguments_true_to_its_schema() -> None:
    (block,) = whole(message_body(messages=says("The weather in Lima?"), tools=[WEATHER]))["content"]
    assert list(block) == ["type", "id", "name", "input"]
    assert block["id"].startswith("toolu_")
    schema: Any = WEATHER["input_schema"]
    assert list(problems(block["input"], schema)) == []
    assert block["input"]["city"] == "Lima"


def turn_of_calls() -> list[dict[str, Any]]:
    """A conversation up to the answer that calls tools, its thinking included."""
    messages = says("weather and time please")
    body = message_body("reasoner", messages=messages, tools=[WEATHER, CLOCK])
    return [*messages, {"role": "assistant", "content": whole(body)["content"]}]


def results(turns: list[dict[str, Any]], content: Any = "19 degrees") -> list[dict[str, Any]]:
    used = [block["id"] for block in turns[-1]["content"] if block["type"] == "tool_use"]
    return [{"type": "tool_result", "tool_use_id": id, "content": content} for id in used]


@pytest.mark.parametrize("content", ["19 degrees", [{"type": "text", "text": "19 degrees"}, PIXEL]])
def test_a_tools_result_is_quoted(content: Any) -> None:
    turns = turn_of_calls()
    answer = whole(message_body(messages=[*turns, *says(results(turns, content))], tools=[WEATHER, CLOCK]))
    assert text_in(answer).startswith('According to get_weather: "19 degrees". According to currentTime: "19 degrees".')
    assert answer["stop_reason"] == "end_turn"


# What is accepted, and counted


def test_images_documents_and_system_prompts_count() -> None:
    texts = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "word " * 50}}
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
    plain = counted(messages=says([{"type": "text", "text": "hi"}]))
    for more in (PIXEL, texts, pdf, {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}):
        assert counted(messages=says([{"type": "text", "text": "hi"}, more])) > plain + 40
    assert counted(messages=says("hi"), system="Be brief, always.") > plain
    assert counted(messages=says("hi"), system=[{"type": "text", "text": "Be brief."}], tools=[WEATHER]) > plain + 20


def counted(**fields: Any) -> int:
    """The tokens of a request, by both routes."""
    body = {"model": "small", **fields}
    count, said = ask_all(
        message_request(body, path="/v1/messages/count_tokens"), message_request(body | {"max_tokens": 9})
    )
    assert count.status == said.status == 200, count.body
    assert list(count.json) == ["input_tokens"]
    assert count.json["input_tokens"] == said.json["usage"]["input_tokens"]
    tokens: int = count.json["input_tokens"]
    return tokens


def test_a_system_message_within_the_conversation() -> None:
    turns = [*says("hi"), {"role": "system", "content": "Be brief."}]
    assert "hi" in text_in(whole(message_body(messages=turns)))


def test_an_answer_under_a_json_schema() -> None:
    wanted = {"type": "json_schema", "schema": NODE}
    new = whole(message_body(output_config={"format": wanted}))
    old = whole(message_body(output_format=wanted))
    for answer in (new, old):
        assert list(problems(msgspec.json.decode(text_in(answer)), NODE)) == []


# What is refused

TEXT = {"type": "text", "text": "hi"}
USE = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}


def answered(*blocks: Any) -> list[dict[str, Any]]:
    return [*says("hi"), {"role": "assistant", "content": list(blocks)}]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"model": "small", ', "not valid JSON"),
        (b"[]", "not valid JSON"),
        ({"max_tokens": 9, "messages": USER}, "model: Field required"),
        ({"model": "small", "messages": USER}, "max_tokens: Field required"),
        (message_body(max_tokens=0), "max_tokens: Input should be greater than or equal to 1"),
        (message_body(max_tokens=True), "max_tokens: Input should be a valid integer"),
        (message_body(stream="yes"), "stream: Input should be a valid boolean"),
        (message_body(n=2), "n: Extra inputs are not permitted"),
        (message_body(temperature=1.5), "temperature: range: 0..1"),
        (message_body(top_p="x"), "top_p: Input should be a valid number"),
        (message_body(stop_sequences=["a", 1]), "stop_sequences.1: Input should be a valid string"),
        (message_body(stop_sequences=["\n"]), "stop_sequences: each stop sequence must contain non-whitespace"),
        (message_body(system=[PIXEL]), "system.0.type: Input should be 'text'"),
        (message_body(system=[{"type": "text", "text": ""}]), "system: text content blocks must be non-empty"),
        (message_body(system=5), "system: Input should be a valid string or list"),
        ({"model": "small", "max_tokens": 9}, "messages: Field required"),
        (message_body(messages=[]), "messages: at least one message is required"),
        (message_body(messages=["hi"]), "messages.0: Input does not match the expected shape."),
        (message_body(messages=[{"content": "hi"}]), "messages.0.role: Field required"),
        (message_body(messages=[{"role": "tool", "content": "x"}]), "messages.0.role: Input should be"),
        (message_body(messages=[{"role": "system", "content": "x"}]), 'messages: Unexpected role "system"'),
        (message_body(messages=[{"role": "user"}]), "messages.0.content: Field required"),
        (message_body(messages=says("")), "messages.0: all messages must have non-empty content"),
        (message_body(messages=says(5)), "messages.0.content: Input should be a valid list"),
        (message_body(messages=says(["hi"])), "messages.0.content.0: Input should be a valid dictionary"),
        (message_body(messages=says([{"text": "hi"}])), "messages.0.content.0.type: Field required"),
        (message_body(messages=says([{"type": "image_url"}])), "messages.0.content.0: Input tag 'image_url'"),
        (message_body(messages=says([{"type": ["text"]}])), "messages.0.content.0: Input tag"),
        (message_body(messages=says([{"type": "text"}])), "messages.0.content.0.text.text: Field required"),
        (message_body(messages=says([{"type": "text", "text": ""}])), "text content blocks must be non-empty"),
        (message_body(messages=says([{"type": "image"}])), "messages.0.content.0.image.source: Field required"),
        (
            message_body(messages=says([{"type": "image", "source": {"type": "base64", "data": ""}}])),
            "messages.0.content.0.image.source.base64.media_type: Input should be 'image/jpeg'",
        ),
        (message_body(messages=says([{**TEXT, "name": "x"}, USE])), "messages.0.content.1: Input tag 'tool_use'"),
        (message_body(messages=[{"role": "user", "content": "hi", "name": "x"}]), "messages.0.name: Extra inputs"),
        (message_body(messages=says([RESULT])), "messages.0: unexpected `tool_use_id` found in `tool_result` blocks"),
        (
            message_body(messages=[*answered(USE), *says("and?")], tools=[WEATHER]),
            "messages.2: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1",
        ),
        (message_body(messages=answered(USE | {"id": "a.b"})), "tool_use.id: String should match pattern"),
        (message_body(messages=answered(USE | {"input": "{}"})), "tool_use.input: Input should be a valid dictionary"),
        (
            message_body(messages=answered({"type": "thinking", "thinking": "x", "signature": "mine"})),
            "messages.1.content.0: Invalid `signature` in `thinking` block",
        ),
        (message_body(thinking={"type": "on"}), "thinking: Input tag 'on'"),
        (message_body(thinking={"type": "enabled"}), "thinking.enabled.budget_tokens: Field required"),
        (message_body(thinking={"type": "enabled", "budget_tokens": 9}), "greater than or equal to 1024"),
        (message_body(thinking=THINKING), "`max_tokens` must be greater than `thinking.budget_tokens`."),
        (message_body(thinking={"type": "adaptive"}, temperature=0.5), "`temperature` may only be set to 1"),
        (message_body(thinking={"type": "adaptive"}, top_k=5), "`top_k` must be unset"),
        (
            message_body(thinking={"type": "adaptive"}, tools=[CLOCK], tool_choice={"type": "any"}),
            "Thinking may not be enabled when tool_choice forces tool use.",
        ),
        (message_body(output_config={"effort": "minimal"}), "output_config.effort: Input should be 'low'"),
        (message_body(output_config={"format": {"type": "json_object"}}), "output_config.format.type: Input should be"),
        (message_body(output_config={"format": {"type": "json_schema"}}), "format.schema: Field required"),
        (
            message_body(output_config={"format": {"type": "json_schema", "schema": {"not": {}}}}),
            "output_config.format.schema: Invalid schema",
        ),
        (message_body(tools=["x"]), "tools.0: Input should be a valid dictionary"),
        (message_body(tools=[{"type": "function", "function": {}}]), "tools.0.custom.name: Field required"),
        (message_body(tools=[{"name": "f"}]), "tools.0.custom.input_schema: Field required"),
        (message_body(tools=[{"name": "f", "input_schema": {}}]), "tools.0.custom.input_schema.type: Input should be"),
        (message_body(tool_choice={"type": "auto"}), "tool_choice may only be specified while providing tools."),
        (message_body(tools=[CLOCK], tool_choice={"type": "required"}), "tool_choice: Input tag 'required'"),
        (message_body(tools=[CLOCK], tool_choice={"type": "tool", "name": "x"}), "Tool 'x' not found"),
        (message_body(messages=says("word " * 130_000)), "tokens > 128000 maximum"),
        (message_body("small:nonsense=1"), "model: Unknown key 'nonsense' in the fault script"),
    ],
)  # fmt: skip
def test_a_wrong_request_gets_anthropics_error(body: Any, words: str) -> None:
    answer = message(body)
    assert answer.status == 400, answer.body
    assert list(answer.json) == ["type", "error", "request_id"]
    assert answer.json["type"] == "error"
    assert list(answer.error) == ["type", "message"]
    assert answer.error["type"] == "invalid_request_error"
    assert words in answer.error["message"]
    assert answer.json["request_id"].encode() == answer.headers[b"request-id"]
    assert answer.headers[b"x-should-retry"] == b"false"


def test_no_conversation_is_kept() -> None:
    answer = message(message_body(thread={"type": "create"}))
    assert answer.status == 400
    # By this the SDK knows that it has to send the whole of it.
    assert answer.error["details"] == {"error_code": "thread_unsupported_request"}


NAMES = ("type", "role", "content", "text", "source", "id", "name", "input", "tool_use_id", "schema", "data", "format")
WORDS = (
    "text", "image", "document", "tool_use", "tool_result", "thinking", "base64", "url", "json_schema", "enabled",
    "adaptive", "tool", "any", "object", "toolu_1", "",
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.just(0.5) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
        | st.builds(lambda kind, rest: {**rest, "type": kind}, st.sampled_from(WORDS), st.dictionaries(
            st.sampled_from(NAMES), inner, max_size=3))
    ),
    max_leaves=12,
)  # fmt: skip
FIELDS = ("messages", "system", "tools", "tool_choice", "thinking", "output_config", "stop_sequences", "temperature")


@settings(max_examples=60, deadline=None)
@given(
    field=st.sampled_from(
        ("messages", "system", "tools", "tool_choice", "thinking", "output_config", "stop_sequences")
    ),
    value=VALUES,
    role=st.sampled_from(("user", "assistant", "system")),
)
def test_no_json_is_a_traceback(field: str, value: Any, role: str) -> None:
    bodies = [message_body(**{field: value}), message_body(messages=[*says("hi"), {"role": role, "content": [value]}])]
    for answer in ask_all(*(message_request(body) for body in bodies), patience=1.0):
        assert answer.status in (200, 400)


# Routes and keys


def test_models() -> None:
    listed, one, unknown, embed = ask_all(
        message_request(b"", path="/v1/models", method="GET"),
        message_request(b"", path="/any/prefix/models/small", method="GET"),
        message_request(b"", path="/v1/models/nope", method="GET"),
        message_request(b"", path="/v1/models/embed", method="GET"),
    )
    assert list(listed.json) == ["data", "has_more", "first_id", "last_id"]
    assert [each["id"] for each in listed.json["data"]] == ["small", "large", "reasoner"]
    assert one.json == listed.json["data"][0]
    assert (one.json["type"], one.json["created_at"]) == ("model", "2025-01-01T00:00:00Z")
    for missing, name in ((unknown, "nope"), (embed, "embed")):
        assert missing.status == 404
        assert missing.error == {"type": "not_found_error", "message": f"model: {name}"}


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("POST", "/v1/complete", 404, "not_found_error"),
        ("GET", "/v1/messages", 405, "invalid_request_error"),
        ("GET", "/v1/messages/count_tokens", 405, "invalid_request_error"),
        ("POST", "/v1/models", 405, "invalid_request_error"),
    ],
)
def test_other_routes(method: str, path: str, status: int, kind: str) -> None:
    (answer,) = ask_all(message_request(message_body(), path=path, method=method))
    assert (answer.status, answer.error["type"]) == (status, kind)


def test_the_version_must_be_sent() -> None:
    (answer,) = ask_all(message_request(message_body(), anthropic_version=""))
    assert answer.status == 200  # the header is there
    head, _, body = message_request(message_body()).partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"anthropic-version")]
    (answer,) = ask_all(b"\r\n".join(lines) + b"\r\n\r\n" + body)
    assert (answer.status, answer.error["message"]) == (400, "anthropic-version: header is required")


def test_openais_routes_are_openais_whatever_the_header() -> None:
    (answer,) = ask_all(message_request({"model": "small", "messages": USER}, path="/v1/chat/completions"))
    assert answer.json["object"] == "chat.completion"


def test_a_key_that_is_asked_for() -> None:
    body = message_body()
    none, wrong, bearer, right, other = ask_all(
        message_request(body),
        message_request(body, x_api_key="sk-0123456789"),
        message_request(body, authorization="Bearer wrong"),
        message_request(body, x_api_key="right"),
        message_request(body, authorization="Bearer right"),
        key="right",
    )
    assert [each.error["message"] for each in (none, wrong, bearer)] == [
        "x-api-key header is required",
        "invalid x-api-key",
        "Invalid bearer token",
    ]
    assert {each.status for each in (none, wrong, bearer)} == {401}
    assert {each.error["type"] for each in (none, wrong, bearer)} == {"authentication_error"}
    assert b"0123456789" not in wrong.body
    assert (right.status, other.status) == (200, 200)


# --- an answer that has begun


def test_it_goes_on_with_what_it_would_have_said() -> None:
    asked = says("Where is the weir?")
    text = whole(message_body(messages=asked, max_tokens=200))["content"][0]["text"]
    for at in (1, len(text) // 3, len(text) - 5):
        begun = text[:at].rstrip()
        turns = [*asked, {"role": "assistant", "content": begun}]
        rest = whole(message_body(messages=turns, max_tokens=120))["content"][0]["text"]
        assert begun + rest == text


def test_what_it_would_not_have_said_it_goes_on_with_all_the_same() -> None:
    turns = [*says("Where is the weir?"), {"role": "assistant", "content": "Somewhere else: it"}]
    rest = whole(message_body(messages=turns, max_tokens=200))["content"][0]["text"]
    assert rest
    assert not rest.startswith("Somewhere")


@pytest.mark.parametrize(
    ("model", "begun", "told"),
    [
        ("small:no_prefill", "The", "This model does not support assistant message prefill."),
        ("small", "The ", "cannot end with trailing whitespace"),
    ],
)
def test_a_beginning_may_be_refused(model: str, begun: str, told: str) -> None:
    turns = [*says("Where?"), {"role": "assistant", "content": begun}]
    answer = message(message_body(model=model, messages=turns, max_tokens=200))
    assert answer.status == 400
    assert told in answer.json["error"]["message"]
