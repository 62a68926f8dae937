"""Anthropic requests into the vocabulary."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidRequest
from penstock.prompt import (
    Document,
    Foreign,
    Format,
    Image,
    Prompt,
    Reasoning,
    Source,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from penstock.wire.anthropic_prompt import decode_prompt
from penstock.wire.splice import decode_object
from penstock.wire.translation import FEATURES
from tests.wire.corpus import UNSET, Recording, recordings

ASK: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"name": "weather", "description": "Of a city.", "input_schema": SCHEMA}


def decode(body: dict[str, Any]) -> Prompt:
    return decode_prompt(decode_object(msgspec.json.encode(body)))


def asked(*blocks: Any, role: str = "user", **more: Any) -> Prompt:
    content = [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]
    messages = [{"role": role, "content": content}]
    if role != "user":
        messages.insert(0, {"role": "user", "content": "hi"})
    return decode({**ASK, "messages": messages, **more})


def last(prompt: Prompt) -> Any:
    (part,) = prompt.turns[-1].parts
    return part


class TestTurns:
    def test_strings_and_system(self) -> None:
        prompt = decode({**ASK, "system": "Be brief.", "stream": True})
        assert prompt.turns == [
            Turn(role="system", parts=[Text(text="Be brief.")]),
            Turn(role="user", parts=[Text(text="hi")]),
        ]
        assert prompt.stream
        assert prompt.max_output_tokens == 5
        assert prompt.given == {
            "stream": "stream",
            "system": "system",
            "text": "system",
            "max_output_tokens": "max_tokens",
        }

    def test_system_blocks_keep_their_markers(self) -> None:
        block = {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
        prompt = decode({**ASK, "system": [{"type": "text", "text": "You are."}, block]})
        assert prompt.turns[0].parts == [Text(text="You are."), Text(text="Long.", cached="1h")]
        assert prompt.given["cache_markers"] == "system.1.cache_control"

    @pytest.mark.parametrize("system", [None, "", []])
    def test_no_system(self, system: Any) -> None:
        assert [turn.role for turn in decode({**ASK, "system": system}).turns] == ["user"]

    def test_system_amid_the_messages(self) -> None:
        block = {"type": "text", "text": "Now in French.", "cache_control": {"type": "ephemeral"}}
        messages = [*ASK["messages"], {"role": "system", "content": [block]}]
        prompt = decode({**ASK, "messages": messages})
        assert prompt.turns[1] == Turn(role="system", parts=[Text(text="Now in French.", cached="")])
        assert prompt.given["system"] == "messages.1"

    def test_thoughts(self) -> None:
        prompt = asked(
            {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
            {"type": "thinking", "thinking": "Of another.", "signature": ""},
            {"type": "redacted_thinking", "data": "xyz"},
            {"type": "text", "text": "Yes.", "citations": [{"type": "char_location", "cited_text": "y"}]},
            role="assistant",
        )
        assert prompt.turns[1].parts == [
            Reasoning(text="Hm.", signature="sig", family="anthropic_messages"),
            Reasoning(text="Of another.", family="openai_chat"),
            Reasoning(redacted="xyz", family="anthropic_messages"),
            Text(text="Yes.", citations=[{"type": "char_location", "cited_text": "y"}]),
        ]
        assert prompt.given["thinking_history"] == "messages.1.content.0"
        assert prompt.given["citation_history"] == "messages.1.content.3.citations"

    def test_tool_round(self) -> None:
        use = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bern"}}
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain", "is_error": True}
        messages = [
            *ASK["messages"],
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [{**result, "cache_control": {"type": "ephemeral"}}]},
        ]
        prompt = decode({**ASK, "messages": messages, "tools": [WEATHER]})
        assert prompt.turns[1].parts == [ToolUse(id="toolu_1", name="weather", arguments='{"city":"Bern"}')]
        assert last(prompt) == ToolResult(id="toolu_1", parts=[Text(text="rain")], is_error=True, cached="")
        assert prompt.given["tool_errors"] == "messages.2.content.0.is_error"

    def test_a_results_blocks(self) -> None:
        content = [
            {"type": "text", "text": "See:"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
            {"type": "search_result", "source": "https://x", "title": "X", "content": [{"type": "text", "text": "a"}]},
            {"type": "tool_reference", "tool_name": "mail"},
        ]
        prompt = asked({"type": "tool_result", "tool_use_id": "t", "content": content})
        assert last(prompt).parts == [
            Text(text="See:"),
            Image(source=Source(media_type="image/png", data="QUJD")),
            Document(source=Source(media_type="text/plain", text="a"), title="X", context="Source: https://x"),
            Text(text="Found the tool mail."),
        ]
        assert prompt.given["tool_result_images"] == "messages.0.content.0.content"

    def test_a_result_without_content(self) -> None:
        assert last(asked({"type": "tool_result", "tool_use_id": "t"})) == ToolResult(id="t", parts=[])


SOURCES: dict[str, tuple[dict[str, Any], Source, str]] = {
    "base64": (
        {"type": "base64", "media_type": "image/jpeg", "data": "QU\nJD"},
        Source(media_type="image/jpeg", data="QUJD"),
        "images",
    ),
    "url": ({"type": "url", "url": "https://x/y.png"}, Source(url="https://x/y.png"), "images"),
    "file": ({"type": "file", "file_id": "file_1"}, Source(file_id="file_1"), "files"),
}


class TestMedia:
    @pytest.mark.parametrize("case", SOURCES.values(), ids=SOURCES)
    def test_images(self, case: tuple[dict[str, Any], Source, str]) -> None:
        written, source, feature = case
        prompt = asked({"type": "image", "source": written})
        assert last(prompt) == Image(source=source)
        assert prompt.given == {feature: "messages.0.content.0", "max_output_tokens": "max_tokens"}

    @pytest.mark.parametrize(
        ("written", "source", "feature"),
        [
            (
                {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
                Source(media_type="application/pdf", data="JVBE"),
                "documents",
            ),
            (
                {"type": "text", "media_type": "text/plain", "data": "Once"},
                Source(media_type="text/plain", text="Once"),
                "documents",
            ),
            ({"type": "url", "url": "http://x/y.pdf"}, Source(url="http://x/y.pdf"), "document_urls"),
            ({"type": "file", "file_id": "file_1"}, Source(file_id="file_1"), "files"),
            ({"type": "content", "content": "Once"}, Source(media_type="text/plain", text="Once"), "documents"),
            (
                {"type": "content", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                Source(media_type="text/plain", text="a\n\nb"),
                "documents",
            ),
        ],
    )
    def test_documents(self, written: dict[str, Any], source: Source, feature: str) -> None:
        prompt = asked(
            {"type": "document", "source": written, "title": "T", "context": "C", "citations": {"enabled": True}}
        )
        assert last(prompt) == Document(source=source, title="T", context="C", cites=True)
        assert prompt.given[feature] == "messages.0.content.0"
        assert prompt.given["citations"] == "messages.0.content.0.citations"
        assert prompt.given["document_titles"] == "messages.0.content.0.title"

    def test_pictures_in_a_document_stand_beside_it(self) -> None:
        image = {"type": "image", "source": {"type": "url", "url": "https://x"}}
        content = [{"type": "text", "text": "a"}, image]
        prompt = asked({"type": "document", "source": {"type": "content", "content": content}})
        assert prompt.turns[0].parts == [
            Document(source=Source(media_type="text/plain", text="a")),
            Image(source=Source(url="https://x")),
        ]


class TestTools:
    def test_custom_tools(self) -> None:
        tool = {**WEATHER, "type": "custom", "strict": True, "cache_control": {"type": "ephemeral"}}
        prompt = asked("hi", tools=[tool, {**WEATHER, "name": "other", "defer_loading": True}])
        assert prompt.tools == [
            Tool(name="weather", description="Of a city.", schema=SCHEMA, strict=True, cached=""),
            Tool(name="other", description="Of a city.", schema=SCHEMA),
        ]
        assert prompt.given["tool_strict"] == "tools.0.strict"
        assert prompt.hints == {"tools.1.defer_loading": True}

    @pytest.mark.parametrize("kind", ["web_search_20250305", "bash_20250124", "mcp_toolset"])
    def test_anthropics_own_tools(self, kind: str) -> None:
        tool = {"type": kind, "name": "x"}
        prompt = asked("hi", tools=[WEATHER, tool])
        assert prompt.tools[1] == Tool(name="x", kind="server", value=tool)
        assert prompt.given["server_tools"] == "tools.1"

    @pytest.mark.parametrize(
        ("choice", "read", "parallel"),
        [
            ({"type": "auto"}, ToolChoice(mode="auto"), None),
            ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice(mode="required"), False),
            (
                {"type": "tool", "name": "weather", "disable_parallel_tool_use": False},
                ToolChoice(mode="tool", name="weather"),
                True,
            ),
            ({"type": "none"}, ToolChoice(mode="none"), None),
        ],
    )
    def test_choice(self, choice: dict[str, Any], read: ToolChoice, parallel: bool | None) -> None:
        prompt = asked("hi", tools=[WEATHER], tool_choice=choice)
        assert (prompt.tool_choice, prompt.parallel_tool_calls) == (read, parallel)
        assert ("parallel_tool_calls" in prompt.given) is (parallel is not None)

    def test_a_choice_among_nothing_says_nothing(self) -> None:
        assert asked("hi", tool_choice={"type": "auto"}).tool_choice is None


class TestFields:
    @pytest.mark.parametrize(
        ("fields", "thinking", "given_as"),
        [
            ({"thinking": {"type": "disabled"}}, Thinking(mode="off"), "thinking"),
            ({"thinking": {"type": "between_tools"}}, Thinking(mode="off"), "thinking"),
            (
                {"thinking": {"type": "enabled", "budget_tokens": 2000}},
                Thinking(mode="budget", budget=2000),
                "thinking",
            ),
            (
                {
                    "output_config": {"effort": "max"},
                    "thinking": {"type": "adaptive", "display": "omitted"},
                },
                Thinking(mode="adaptive", effort="max", display="omitted"),
                "thinking",
            ),
            ({"output_config": {"effort": "low"}}, Thinking(effort="low"), "output_config.effort"),
        ],
    )
    def test_thinking(self, fields: dict[str, Any], thinking: Thinking, given_as: str) -> None:
        prompt = asked("hi", **fields)
        assert prompt.thinking == thinking
        assert prompt.given["thinking"] == given_as
        assert ("thinking_display" in prompt.given) is (thinking.display is not None)

    @pytest.mark.parametrize("name", ["output_format", "output_config.format"])
    def test_format(self, name: str) -> None:
        wanted = {"type": "json_schema", "schema": SCHEMA}
        prompt = asked("hi", **({name: wanted} if name == "output_format" else {"output_config": {"format": wanted}}))
        assert prompt.format == Format(schema=SCHEMA)
        assert prompt.given["json_schema"] == name

    def test_the_rest(self) -> None:
        prompt = asked(
            "hi",
            temperature=0.5,
            top_p=1,
            top_k=4,
            stop_sequences=["\n\n", ""],
            metadata={"user_id": "u1"},
            cache_control={"type": "ephemeral"},
        )
        assert (prompt.temperature, prompt.top_p, prompt.top_k, prompt.stop) == (0.5, 1, 4, ["\n\n"])
        assert prompt.user == "u1"
        assert prompt.hints == {"cache_control": {"type": "ephemeral"}}
        assert prompt.given["stop"] == "stop_sequences"
        assert prompt.given["user"] == "metadata.user_id"

    @pytest.mark.parametrize(
        ("fields", "hints", "demands"),
        [
            ({"service_tier": "auto", "betas": ["x"]}, ["service_tier", "betas"], []),
            ({"context_management": {"edits": []}, "inference_geo": "eu"}, ["context_management", "inference_geo"], []),
            ({"container": "container_1"}, ["container"], []),
            ({"container": {"skills": [{"type": "anthropic", "skill_id": "pdf"}]}}, [], ["container"]),
            ({"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]}, [], ["mcp_servers"]),
            ({"mcp_servers": []}, ["mcp_servers"], []),
            ({"thread": {"type": "create"}}, [], ["thread"]),
            ({"max_tokens": 0}, [], ["max_tokens"]),
            ({"speed": None}, [], []),
            ({"invented": 1}, ["invented"], []),
        ],
    )
    def test_hints_and_demands(self, fields: dict[str, Any], hints: list[str], demands: list[str]) -> None:
        prompt = asked("hi", **fields)
        assert (list(prompt.hints), list(prompt.demands)) == (hints, demands)

    def test_a_conversation_that_the_vendor_holds_cannot_go_on_elsewhere(self) -> None:
        with pytest.raises(InvalidRequest) as raised:
            asked("hi", thread={"type": "continue", "previous_message_id": "msg_1"})
        assert raised.value.param == "thread"

    def test_what_only_anthropic_understands_is_kept(self) -> None:
        block = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
        prompt = asked(block, role="assistant")
        assert last(prompt) == Foreign(kind="server_tool_use", family="anthropic_messages", value=block)
        assert prompt.given["foreign_parts"] == "messages.1.content.0"


def decoded(body: dict[str, Any]) -> Prompt | None:
    """None where it is refused."""
    try:
        return decode(body)
    except InvalidRequest:
        return None


def message(content: Any, role: Any = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content}]}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": ["hi"]}, "messages.0"),
    (message("hi", None), "messages.0.role"),
    (message("hi", "tool"), "messages.0.role"),
    (message(None), "messages.0.content"),
    (message(""), "messages.0"),
    (message([]), "messages.0"),
    (message([{"text": "hi"}]), "messages.0.content.0.type"),
    (message(["hi"]), "messages.0.content.0"),
    (message([{"type": "text"}]), "messages.0.content.0.text"),
    (message([{"type": "text", "text": 1}]), "messages.0.content.0.text"),
    (message([{"type": "tool_use", "id": "a", "name": "b", "input": {}}]), "messages.0.content.0.type"),
    (message([{"type": "tool_use", "id": "a", "name": "b", "input": "{}"}], "assistant"), "messages.0.content.0.input"),
    (message([{"type": "tool_use", "name": "b", "input": {}}], "assistant"), "messages.0.content.0.id"),
    (message([{"type": "tool_result", "content": "x"}]), "messages.0.content.0.tool_use_id"),
    (message([{"type": "tool_result", "tool_use_id": "a", "content": 1}]), "messages.0.content.0.content"),
    (message([{"type": "image"}]), "messages.0.content.0.source"),
    (message([{"type": "image", "source": {"type": "s3"}}]), "messages.0.content.0.source.type"),
    (message([{"type": "image", "source": {"type": "url", "url": "x"}}]), "messages.0.content.0.source.url"),
    (
        message([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "9h"}}]),
        "messages.0.content.0.cache_control.ttl",
    ),
    ({"system": 1}, "system"),
    ({"system": [{"type": "image", "source": {}}]}, "system.0.type"),
    ({"max_tokens": "5"}, "max_tokens"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"temperature": 1.5}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": -1}, "top_p"),
    ({"top_k": 1.5}, "top_k"),
    ({"stream": "yes"}, "stream"),
    ({"stop_sequences": "x"}, "stop_sequences"),
    ({"stop_sequences": [1]}, "stop_sequences.0"),
    ({"thinking": {"type": "maybe"}}, "thinking.type"),
    ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": 5}}, "thinking.enabled.budget_tokens"),
    ({"output_config": {"effort": "huge"}}, "output_config.effort"),
    ({"output_config": {"format": {"type": "text"}}}, "output_config.format.type"),
    ({"output_format": {"type": "json_schema"}}, "output_format.schema"),
    ({"metadata": "x"}, "metadata"),
    ({"tools": [{"name": "x"}]}, "tools.0.input_schema"),
    ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
    ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ({"tools": [WEATHER], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "other"}}, "tool_choice.name"),
    ({"tools": [WEATHER], "tool_choice": "auto"}, "tool_choice"),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED, ids=[f"{at}-{param}" for at, (_, param) in enumerate(REFUSED)])
def test_what_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        decode({**ASK, **fields})
    assert refusal.value.param == param
    assert refusal.value.message.startswith(f"{param}: ")


def test_an_empty_last_turn_of_the_assistant_is_let_pass() -> None:
    assert decode({**ASK, "messages": [*ASK["messages"], {"role": "assistant", "content": ""}]}).turns[1].parts == []


def test_nesting_without_end_is_refused() -> None:
    deep = b"[" * 600 + b"]" * 600
    fields = decode_object(b'{"messages":[{"role":"user","content":"hi"}]}')
    assert decode_prompt({**fields, "x": msgspec.Raw(deep)}).hints
    with pytest.raises(InvalidRequest):
        decode_prompt({**fields, "x": msgspec.Raw(b"[" * 99_999 + b"]" * 99_999)})


WORDS = st.sampled_from(
    [
        *("type", "text", "role", "content", "user", "assistant", "system", "image", "document", "source", "base64"),
        *("url", "data", "media_type", "tool_use", "tool_result", "tool_use_id", "input", "id", "name", "thinking"),
        *("signature", "cache_control", "ephemeral", "ttl", "citations", "enabled", "search_result", "title", "any"),
        *("tool", "auto", "budget_tokens", "effort", "format", "schema", "json_schema", "input_schema", "user_id"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    [
        *("messages", "system", "tools", "tool_choice", "max_tokens", "temperature", "top_p", "top_k", "stream"),
        *("stop_sequences", "thinking", "output_config", "output_format", "metadata", "container", "mcp_servers"),
    ]
)
BLOCKS = st.dictionaries(WORDS, VALUES, max_size=5)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.lists(BLOCKS, max_size=3) | VALUES}
    ),
    min_size=1,
    max_size=3,
)


@given(st.dictionaries(NAMES, VALUES, max_size=6), MESSAGES)
def test_no_json_breaks_it(fields: dict[str, Any], messages: list[Any]) -> None:
    for body in (fields, {**fields, "messages": messages}, {"messages": messages}):
        prompt = decoded(body)
        assert prompt is None or prompt.given.keys() <= FEATURES.keys()


def recorded() -> list[Recording]:
    return [one for one in recordings() if one.path.endswith("/v1/messages") and isinstance(one.request, dict)]


@pytest.mark.skipif(not recordings(), reason=UNSET)
def test_every_recorded_request_is_read() -> None:
    read = 0
    for one in recorded():
        prompt = decoded(one.request)
        if prompt is None:
            assert one.status == 400, one
        else:
            read += 1
            assert prompt.turns, one
    assert read > 90
