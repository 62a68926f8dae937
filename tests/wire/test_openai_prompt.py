"""OpenAI's chat requests as prompts: every field carried, or noted as a hint or a demand; faults by their place."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import InvalidRequest
from penstock.prompt import (
    Audio,
    Document,
    Foreign,
    Format,
    Image,
    Prompt,
    Reasoning,
    Refusal,
    Source,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from penstock.wire.openai_chat import OpenAIChat
from penstock.wire.translation import FEATURES
from tests.wire.corpus import Recording, openai_shaped

CHAT = OpenAIChat()
HELLO = [{"role": "user", "content": "Hello."}]
PIXEL = "iVBORw0KGgo="


def decoded(**body: Any) -> Prompt:
    written = json.dumps({"model": "m", "messages": HELLO, **body}).encode()
    return CHAT.decode_prompt(CHAT.decode_request(written).fields)


def turns(*messages: dict[str, Any]) -> list[Turn]:
    return decoded(messages=list(messages)).turns


def function(name: str, **rest: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **rest}}


def called(id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


TOOL = function("f", description="d", parameters={"type": "object"})
EMPTY = {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("body", "field", "value", "given_as"),
    [
        ({"temperature": 1.5}, "temperature", 1.5, {"temperature": "temperature"}),
        ({"top_p": 0.5}, "top_p", 0.5, {"top_p": "top_p"}),
        ({"top_k": 40}, "top_k", 40, {"top_k": "top_k"}),
        ({"max_tokens": 7}, "max_output_tokens", 7, {"max_output_tokens": "max_tokens"}),
        ({"max_completion_tokens": 7.0}, "max_output_tokens", 7, {"max_output_tokens": "max_completion_tokens"}),
        (
            {"max_tokens": 7, "max_completion_tokens": 7},
            "max_output_tokens",
            7,
            {"max_output_tokens": "max_completion_tokens"},
        ),
        ({"stop": "END"}, "stop", ["END"], {"stop": "stop"}),
        ({"stop": ["a", "", "b"]}, "stop", ["a", "b"], {"stop": "stop"}),
        ({"stop": []}, "stop", [], {}),
        ({"stream": True}, "stream", True, {"stream": "stream"}),
        ({"verbosity": "low"}, "verbosity", "low", {"verbosity": "verbosity"}),
        ({"user": "u"}, "user", "u", {"user": "user"}),
        ({"safety_identifier": "u"}, "user", "u", {"user": "safety_identifier"}),
        ({"reasoning_effort": "xhigh"}, "thinking", Thinking(effort="xhigh"), {"thinking": "reasoning_effort"}),
        ({"reasoning_effort": "default"}, "thinking", None, {}),
        ({"reasoning": {"effort": "low"}}, "thinking", Thinking(effort="low"), {"thinking": "reasoning"}),
        (
            {"reasoning": {"max_tokens": 2000, "exclude": True}},
            "thinking",
            Thinking(mode="budget", budget=2000, display="omitted"),
            {"thinking": "reasoning", "thinking_display": "reasoning.exclude"},
        ),
        ({"reasoning": {"enabled": True}}, "thinking", Thinking(effort="medium"), {"thinking": "reasoning"}),
        ({"reasoning": {"enabled": False}}, "thinking", Thinking(mode="off"), {"thinking": "reasoning"}),
        ({"reasoning": {}}, "thinking", None, {}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 4000}},
            "thinking",
            Thinking(mode="budget", budget=4000),
            {"thinking": "thinking"},
        ),
        ({"thinking": {"type": "enabled"}}, "thinking", Thinking(mode="adaptive"), {"thinking": "thinking"}),
        ({"thinking": {"type": "disabled"}}, "thinking", Thinking(mode="off"), {"thinking": "thinking"}),
        ({"response_format": {"type": "text"}}, "format", None, {}),
        ({"response_format": {"type": "json_object"}}, "format", Format(), {"json_object": "response_format"}),
        (
            {"response_format": {"type": "json_object", "schema": {"type": "object"}}},
            "format",
            Format(schema={"type": "object"}),
            {"json_schema": "response_format"},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": EMPTY, "strict": True}}},
            "format",
            Format(schema=EMPTY, name="x", strict=True),
            {"json_schema": "response_format"},
        ),
        ({"parallel_tool_calls": False}, "parallel_tool_calls", None, {}),
    ],
)
def test_a_field(body: dict[str, Any], field: str, value: Any, given_as: dict[str, str]) -> None:
    prompt = decoded(**body)
    assert getattr(prompt, field) == value
    assert prompt.given == {"text": "messages[0].content", **given_as}
    assert not prompt.hints
    assert not prompt.demands


@pytest.mark.parametrize(
    ("body", "hints"),
    [
        ({"seed": 1, "metadata": {"a": "b"}}, {"seed": 1, "metadata": {"a": "b"}}),
        ({"store": False, "service_tier": "flex"}, {"store": False, "service_tier": "flex"}),
        ({"presence_penalty": 0, "frequency_penalty": 0.0}, {"presence_penalty": 0, "frequency_penalty": 0}),
        ({"stream_options": {"include_usage": True, "x": 1}}, {"stream_options.x": 1}),
        ({"unheard_of": [1]}, {"unheard_of": [1]}),
        ({"unheard_of": None, "seed": None}, {}),
        ({"n": 1, "logprobs": False, "top_logprobs": 0, "logit_bias": {}, "modalities": ["text"]}, {}),
        ({"top_k": -1}, {"top_k": -1}),
        ({"user": "a", "safety_identifier": "b"}, {"user": "a"}),
        ({"thinking": {"type": "enabled", "clear_thinking": True}}, {"thinking.clear_thinking": True}),
        (
            {"messages": [{"role": "user", "content": "a", "x": 1}, {"role": "user", "content": "b", "x": 2, "y": []}]},
            {"messages[0].x": 1},
        ),
        ({"tools": [{**TOOL, "defer": True}]}, {"tools[0].defer": True}),
    ],
)
def test_hints(body: dict[str, Any], hints: dict[str, Any]) -> None:
    prompt = decoded(**body)
    assert prompt.hints == hints
    assert not prompt.demands


@pytest.mark.parametrize(
    "demand",
    [
        {"n": 2},
        {"logprobs": True},
        {"top_logprobs": 3},
        {"logit_bias": {"50256": -100}},
        {"presence_penalty": 0.5},
        {"frequency_penalty": -1},
        {"modalities": ["text", "audio"]},
        {"audio": {"voice": "alloy", "format": "wav"}},
        {"web_search_options": {}},
    ],
)
def test_demands(demand: dict[str, Any]) -> None:
    prompt = decoded(**demand)
    assert prompt.demands == demand
    assert not prompt.hints


def test_turns_keep_their_places() -> None:
    assert turns(
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi.", "name": "ann"},
        {"role": "assistant", "content": "Hello.", "refusal": None, "annotations": [], "audio": None},
        {"role": "developer", "content": [{"type": "text", "text": "Be long."}]},
        {"role": "user", "content": ""},
    ) == [
        Turn(role="system", parts=[Text(text="Be brief.")]),
        Turn(role="user", parts=[Text(text="Hi.")], name="ann"),
        Turn(role="assistant", parts=[Text(text="Hello.")]),
        Turn(role="system", parts=[Text(text="Be long.")]),
        Turn(role="user", parts=[]),
    ]


PDF = Source(media_type="application/pdf", data="JVBERi0=")


@pytest.mark.parametrize(
    ("part", "read", "feature"),
    [
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL[:4]}\n{PIXEL[4:]}"}},
            Image(source=Source(media_type="image/png", data=PIXEL)),
            "images",
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://a.test/b.png", "detail": "low"}},
            Image(source=Source(url="https://a.test/b.png"), detail="low"),
            "image_detail",
        ),
        ({"type": "image_url", "image_url": "http://a.test/b"}, Image(source=Source(url="http://a.test/b")), "images"),
        (
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
            Audio(data="UklGRg==", format="wav"),
            "audio_in",
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
            Document(source=PDF, title="a.pdf"),
            "document_titles",
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "JVBERi0="}},
            Document(source=PDF, title="a.pdf"),
            "documents",
        ),
        (
            {"type": "file", "file": {"filename": "a.txt", "file_data": "w6Q="}},
            Document(source=Source(media_type="text/plain", text="ä"), title="a.txt"),
            "documents",
        ),
        ({"type": "file", "file": {"file_id": "file-1"}}, Document(source=Source(file_id="file-1")), "files"),
        (
            {"type": "file", "file": {"file_data": "https://a.test/b.pdf"}},
            Document(source=Source(url="https://a.test/b.pdf")),
            "document_urls",
        ),
        (
            {"type": "document_url", "document_url": "https://a.test/b.pdf", "document_name": "b"},
            Document(source=Source(url="https://a.test/b.pdf"), title="b"),
            "document_urls",
        ),
        (
            {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            Text(text="Long.", cached="1h"),
            "cache_markers",
        ),
        (
            {"type": "video_url", "video_url": {"url": "x"}},
            Foreign(kind="video_url", family="openai_chat", value={"type": "video_url", "video_url": {"url": "x"}}),
            "foreign_parts",
        ),
    ],
)
def test_a_part(part: dict[str, Any], read: Any, feature: str) -> None:
    prompt = decoded(messages=[{"role": "user", "content": [part]}])
    assert prompt.turns == [Turn(role="user", parts=[read])]
    assert prompt.given[feature].startswith("messages[0].content[0]")


def test_a_marker_on_a_message_is_its_last_parts() -> None:
    prompt = decoded(messages=[{"role": "user", "content": "Hi.", "cache_control": {"type": "ephemeral"}}])
    assert prompt.turns[0].parts == [Text(text="Hi.", cached="")]
    assert prompt.given["cache_markers"] == "messages[0].cache_control"


def test_calls_and_results() -> None:
    prompt = decoded(
        messages=[
            {"role": "assistant", "content": None, "tool_calls": [called("a"), called("b", "g", '{"x":1}')]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {
                "role": "tool",
                "tool_call_id": "b",
                "content": [
                    {"type": "text", "text": "2"},
                    {"type": "image_url", "image_url": {"url": "https://a.test"}},
                ],
            },
            {"role": "user", "content": "And now?"},
            {"role": "user", "content": "Well?"},
        ]
    )
    image = Image(source=Source(url="https://a.test"))
    assert prompt.turns == [
        Turn(
            role="assistant",
            parts=[ToolUse(id="a", name="f", arguments="{}"), ToolUse(id="b", name="g", arguments='{"x":1}')],
        ),
        Turn(
            role="user",
            parts=[
                ToolResult(id="a", parts=[Text(text="1")]),
                ToolResult(id="b", parts=[Text(text="2"), image]),
                Text(text="And now?"),
            ],
        ),
        Turn(role="user", parts=[Text(text="Well?")]),
    ]
    assert prompt.given["tool_results"] == "messages[1]"
    assert prompt.given["tool_result_images"] == "messages[2]"


def test_calls_without_ids_get_their_results() -> None:
    """Older functions have none, and some servers give none to calls."""
    assistant, result = turns(
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    )
    use, answer = assistant.parts[0], result.parts[0]
    assert isinstance(use, ToolUse)
    assert isinstance(answer, ToolResult)
    assert use.id == answer.id != ""
    nameless = [{"function": {"name": "f", "arguments": "{}"}}, {"function": {"name": "f", "arguments": "{}"}}]
    assistant, results = turns(
        {"role": "assistant", "tool_calls": nameless},
        {"role": "tool", "content": "1"},
        {"role": "tool", "content": "2"},
    )
    ids = [part.id for part in assistant.parts if isinstance(part, ToolUse)]
    assert len(set(ids)) == 2
    assert [part.id for part in results.parts if isinstance(part, ToolResult)] == ids


def test_custom_tools() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}}
    prompt = decoded(
        tools=[{"type": "custom", "custom": {"name": "sql", "format": grammar}}],
        tool_choice={"type": "custom", "custom": {"name": "sql"}},
        messages=[
            {
                "role": "assistant",
                "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "sql", "input": "x"}}],
            },
            {"role": "tool", "tool_call_id": "a", "content": "1"},
        ],
    )
    assert prompt.tools == [Tool(name="sql", kind="custom", grammar=grammar)]
    assert prompt.tool_choice == ToolChoice(mode="tool", name="sql")
    assert prompt.turns[0].parts == [ToolUse(id="a", name="sql", arguments="x", custom=True)]
    assert prompt.given["custom_tools"] in ("tools[0]", "messages[0].tool_calls[0]")


@pytest.mark.parametrize(
    ("tool", "read", "features"),
    [
        (TOOL, Tool(name="f", description="d", schema={"type": "object"}), {"tools"}),
        (function("f", strict=True), Tool(name="f", schema=EMPTY, strict=True), {"tools", "tool_strict"}),
        (function("f", strict=False), Tool(name="f", schema=EMPTY, strict=False), {"tools"}),
        ({"function": {"name": "f"}}, Tool(name="f", schema=EMPTY), {"tools"}),
        (
            {**function("f"), "cache_control": {"type": "ephemeral"}},
            Tool(name="f", schema=EMPTY, cached=""),
            {"tools", "cache_markers"},
        ),
        (
            {"type": "openrouter:web_search", "parameters": {}},
            Tool(
                name="openrouter:web_search",
                kind="server",
                value={"type": "openrouter:web_search", "parameters": {}},
            ),
            {"server_tools"},
        ),
    ],
)
def test_a_tool(tool: dict[str, Any], read: Tool, features: set[str]) -> None:
    prompt = decoded(tools=[tool])
    assert prompt.tools == [read]
    assert set(prompt.given) == {"text", *features}


def test_functions_were_called_one_at_a_time() -> None:
    assert decoded(functions=[{"name": "f"}]).parallel_tool_calls is False
    assert decoded(functions=[{"name": "f"}], parallel_tool_calls=True).parallel_tool_calls is True
    assert decoded(functions=[{"name": "f"}], tools=[TOOL]).parallel_tool_calls is None


def test_older_functions() -> None:
    prompt = decoded(functions=[{"name": "f"}], function_call={"name": "f"})
    assert prompt.tools == [Tool(name="f", schema=EMPTY)]
    assert prompt.tool_choice == ToolChoice(mode="tool", name="f")
    assert prompt.given["tool_choice"] == "function_call"


ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [function("f")]}}


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        ("auto", ToolChoice(mode="auto")),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="required")),
        ("any", ToolChoice(mode="required")),
        (function("f"), ToolChoice(mode="tool", name="f")),
        (ALLOWED, ToolChoice(mode="required", allowed=["f"])),
    ],
)
def test_a_choice_of_tools(choice: Any, read: ToolChoice) -> None:
    prompt = decoded(tools=[TOOL], tool_choice=choice, parallel_tool_calls=False)
    assert prompt.tool_choice == read
    assert prompt.parallel_tool_calls is False
    assert ("allowed_tools" in prompt.given) == bool(read.allowed)


def test_a_choice_without_tools_says_nothing() -> None:
    assert decoded(tool_choice="auto").tool_choice is None
    assert decoded(tool_choice="none", tools=[]).tool_choice is None


SEALED = {"format": "anthropic-claude-v1", "index": 0, "type": "reasoning.text"}


@pytest.mark.parametrize(
    ("message", "read"),
    [
        ({"reasoning_content": "Hm."}, [Reasoning(text="Hm.", family="openai_chat")]),
        ({"reasoning": "Hm."}, [Reasoning(text="Hm.", family="openai_chat")]),
        (
            {"reasoning": "Hm.", "reasoning_details": [{**SEALED, "text": "Hm.", "signature": "S"}]},
            [Reasoning(text="Hm.", signature="S", family="anthropic_messages")],
        ),
        (
            {
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "H", "index": 0},
                    {"type": "reasoning.text", "text": "m.", "index": 0},
                    {**SEALED, "signature": "S"},
                    {**SEALED, "signature": "T"},
                    {**SEALED, "index": 1, "text": "Ah.", "signature": "U"},
                    {"type": "reasoning.encrypted", "data": "X", "format": "anthropic-claude-v1", "index": 2},
                ]
            },
            [
                Reasoning(text="Hm.", signature="ST", family="anthropic_messages"),
                Reasoning(text="Ah.", signature="U", family="anthropic_messages"),
                Reasoning(redacted="X", family="anthropic_messages"),
            ],
        ),
        (
            {
                "reasoning_details": [
                    {"type": "reasoning.text", "format": "google-gemini-v1", "text": "Hm.", "signature": "S"}
                ]
            },
            [Reasoning(text="Hm.", family="openai_chat")],
        ),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]},
            [Reasoning(text="Hm.", family="openai_chat")],
        ),
        (
            {"content": [{"type": "thinking", "thinking": "Hm.", "signature": "S"}]},
            [Reasoning(text="Hm.", signature="S", family="anthropic_messages")],
        ),
    ],
)
def test_earlier_thoughts(message: dict[str, Any], read: list[Reasoning]) -> None:
    prompt = decoded(messages=[*HELLO, {"role": "assistant", **message}])
    assert prompt.turns[1].parts == read
    assert prompt.given["thinking_history"].startswith("messages[1].")


def test_what_else_an_answer_held() -> None:
    prompt = decoded(
        messages=[
            {"role": "assistant", "content": None, "refusal": "No.", "audio": {"id": "a"}, "annotations": [{"x": 1}]},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        ]
    )
    assert prompt.turns[0].parts == [
        Refusal(text="No."),
        Foreign(kind="audio", family="openai_chat", value={"id": "a"}),
    ]
    assert prompt.turns[1].parts == [Refusal(text="No.")]
    assert prompt.given == {"citation_history": "messages[0].annotations", "foreign_parts": "messages[0].audio"}


def said(content: Any, role: str = "user", **rest: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content, **rest}]}


@pytest.mark.parametrize(
    ("body", "param", "what"),
    [
        ({"messages": None}, "messages", "Missing required"),
        ({"messages": []}, "messages", "empty array"),
        ({"messages": "x"}, "messages", "expected an array, but got a string"),
        ({"messages": [1]}, "messages[0]", "expected an object, but got an integer"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "Missing required"),
        (said("x", "robot"), "messages[0].role", "'tool' and 'function'"),
        (said(None), "messages[0].content", "Missing required"),
        (said(7), "messages[0].content", "one of a string or array of objects"),
        (said(["x"]), "messages[0].content[0]", "expected an object"),
        (said([{"text": "x"}]), "messages[0].content[0].type", "Missing required"),
        (said([{"type": "text"}]), "messages[0].content[0].text", "Missing required"),
        (said([{"type": "image_url", "image_url": {}}]), "messages[0].content[0].image_url.url", "Missing"),
        (
            said([{"type": "image_url", "image_url": {"url": "gs://x"}}]),
            "messages[0].content[0].image_url.url",
            "http(s) URL",
        ),
        (
            said([{"type": "image_url", "image_url": {"url": "data:x,y"}}]),
            "messages[0].content[0].image_url.url",
            "data URL",
        ),
        (said([{"type": "file", "file": {}}]), "messages[0].content[0].file.file_data", "Missing"),
        (
            said([{"type": "file", "file": {"filename": "a.txt", "file_data": "/w=="}}]),
            "messages[0].content[0].file.file_data",
            "UTF-8",
        ),
        (
            said([{"type": "image_url", "image_url": {"url": "https://a.test"}}], "system"),
            "messages[0].content[0].type",
            "Supported values are: 'text'",
        ),
        (
            said([{"type": "text", "text": "x", "cache_control": "yes"}]),
            "messages[0].content[0].cache_control",
            "expected an object",
        ),
        (said("x", "tool"), "messages[0].tool_call_id", "Missing"),
        (said("x", "tool", tool_call_id=""), "messages[0].tool_call_id", "Missing"),
        (said("x", "assistant", tool_calls=[{"id": "a"}]), "messages[0].tool_calls[0].function", "Missing"),
        (
            said("x", "assistant", tool_calls=[{"id": "a", "function": {"name": "f", "arguments": {}}}]),
            "messages[0].tool_calls[0].function.arguments",
            "expected a string, but got an object",
        ),
        ({"temperature": 2.5}, "temperature", "<= 2, but got 2.5"),
        ({"temperature": True}, "temperature", "expected a decimal, but got a boolean"),
        ({"top_p": -1}, "top_p", ">= 0"),
        ({"max_tokens": 0}, "max_tokens", ">= 1"),
        ({"max_tokens": 1.5}, "max_tokens", "expected an integer, but got a decimal"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens", "at the same time"),
        ({"stop": 3}, "stop", "one of a string or array of strings"),
        ({"stop": [3]}, "stop[0]", "expected a string"),
        ({"stream": "yes"}, "stream", "a boolean"),
        ({"n": 0}, "n", ">= 1"),
        ({"reasoning_effort": "huge"}, "reasoning_effort", "'xhigh' and 'max'"),
        ({"reasoning": {"max_tokens": 0}}, "reasoning.max_tokens", ">= 1"),
        ({"thinking": {"type": "sometimes"}}, "thinking.type", "Supported values"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "Supported values"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "Missing"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
            "response_format.json_schema.name",
            "Missing",
        ),
        ({"tools": {}}, "tools", "expected an array"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "Missing"),
        ({"tools": [function("")]}, "tools[0].function.name", "Missing"),
        ({"tools": [function("f", parameters=[])]}, "tools[0].function.parameters", "expected an object"),
        ({"tools": [TOOL], "tool_choice": function("g")}, "tool_choice", "'g' not found"),
        ({"tools": [TOOL], "tool_choice": "always"}, "tool_choice", "Supported values"),
        ({"tools": [TOOL], "tool_choice": 1}, "tool_choice", "one of a string or object"),
        ({"tool_choice": "required"}, "tool_choice", "only allowed when 'tools'"),
        ({"verbosity": "epic"}, "verbosity", "Supported values"),
        ({"x" * 5: json.loads("[" * 3 + "]" * 3), "user": 5}, "user", "expected a string"),
    ],
)
def test_a_fault_is_told_with_its_place(body: dict[str, Any], param: str, what: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(what)) as caught:
        decoded(**body)
    assert caught.value.param == param
    assert caught.value.status == 400


def test_a_number_beyond_all_bounds() -> None:
    body = b'{"messages":[{"role":"user","content":"x"}],"temperature":1e999}'
    with pytest.raises(InvalidRequest) as caught:
        CHAT.decode_prompt(CHAT.decode_request(body).fields)
    assert caught.value.param == "temperature"


NAMES = st.sampled_from(
    [
        *("role", "content", "type", "text", "name", "tool_calls", "function", "custom", "arguments", "input", "id"),
        *(
            "tool_call_id",
            "image_url",
            "url",
            "detail",
            "file",
            "file_data",
            "filename",
            "input_audio",
            "data",
            "format",
        ),
        *(
            "cache_control",
            "ttl",
            "reasoning_details",
            "reasoning",
            "signature",
            "index",
            "refusal",
            "thinking",
            "mode",
        ),
        *("tools", "allowed_tools", "parameters", "strict", "effort", "max_tokens", "enabled", "json_schema", "schema"),
        *("include_usage", "function_call", "audio", "annotations", "budget_tokens"),
    ]
)
WORDS = st.one_of(
    st.sampled_from(
        [
            *("user", "assistant", "tool", "system", "function", "custom", "text", "image_url", "file", "input_audio"),
            *("allowed_tools", "json_schema", "auto", "required", "none", "refusal", "thinking", "enabled", "", "low"),
            *("data:image/png;base64,AAAA", "data:text/plain;base64,//8=", "https://a.test", "reasoning.text", "a.txt"),
        ]
    ),
    st.text(max_size=4),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), WORDS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=25,
)
ROLES = st.sampled_from(["user", "assistant", "tool", "system", "function", "developer"])
MESSAGES = st.lists(
    st.builds(lambda role, rest: {**rest, "role": role}, ROLES, st.dictionaries(NAMES, VALUES, max_size=4)), max_size=3
)
FIELDS = st.sampled_from(
    [
        *("tools", "tool_choice", "functions", "function_call", "response_format", "reasoning", "thinking", "stop"),
        *("temperature", "top_p", "top_k", "max_tokens", "n", "logit_bias", "modalities", "user", "stream_options"),
        *("safety_identifier", "reasoning_effort", "verbosity", "parallel_tool_calls", "presence_penalty", "other"),
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(FIELDS, VALUES, max_size=4), st.one_of(MESSAGES, VALUES))
def test_any_json_is_read_or_refused(fields: dict[str, Any], messages: Any) -> None:
    body = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in {**fields, "messages": messages}.items()}
    outcome = outcome_of(body)
    if isinstance(outcome, InvalidRequest):
        assert outcome.param
        assert len(outcome.message) < 600
    else:
        assert set(outcome.given) <= set(FEATURES)
        assert outcome.turns


def outcome_of(body: dict[str, msgspec.Raw]) -> Prompt | InvalidRequest:
    try:
        return CHAT.decode_prompt(body)
    except InvalidRequest as error:
        return error


def test_deep_nesting_is_refused() -> None:
    deep = msgspec.Raw(b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(InvalidRequest, match="nested") as caught:
        CHAT.decode_prompt({"messages": deep})
    assert caught.value.param == "messages"


GOOD = openai_shaped(
    lambda recording: (
        recording.path.endswith("/chat/completions")
        and isinstance(recording.request, dict)
        and isinstance(recording.request.get("model"), str)
        and recording.status == 200
    )
)


@pytest.mark.parametrize("recording", GOOD, ids=repr)
def test_what_a_vendor_accepted_is_read(recording: Recording) -> None:
    body = recording.request
    prompt = CHAT.decode_prompt(CHAT.decode_request(json.dumps(body).encode()).fields)
    parts = [part for turn in prompt.turns for part in turn.parts]
    calls = [call for message in body["messages"] for call in message.get("tool_calls") or ()]
    assert sum(isinstance(part, ToolUse) for part in parts) == len(calls)
    results = [message for message in body["messages"] if message["role"] == "tool"]
    assert sum(isinstance(part, ToolResult) for part in parts) == len(results)
    assert len(prompt.tools) == len(body.get("tools") or ())
    assert prompt.stream == bool(body.get("stream"))
