"""The vocabulary's prompts as Anthropic requests: what is said, dropped by name, clamped by name, refused by name."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidRequest
from penstock.prompt import (
    Audio,
    Document,
    Foreign,
    Format,
    Image,
    Part,
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
from penstock.wire.anthropic_prompt import decode_prompt
from penstock.wire.anthropic_request import SAYS, encode_prompt
from penstock.wire.anthropic_schema import bound, fits
from penstock.wire.dialect import ModelFacts, Written
from penstock.wire.splice import decode_object
from penstock.wire.translation import FEATURES
from tests.wire.corpus import UNSET, recordings
from tests.wire.test_anthropic_prompt import MESSAGES, NAMES, VALUES

BUDGET = ModelFacts(thinking="budget", max_output_tokens=64_000, efforts=("none", "low", "medium", "high"))
ADAPTIVE = ModelFacts(thinking="adaptive", efforts=("none", "low", "medium", "high", "max"))
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def user(*parts: Part) -> Turn:
    return Turn(role="user", parts=list(parts))


def said(*parts: Part) -> Turn:
    return Turn(role="assistant", parts=list(parts))


HI = user(Text(text="hi"))


def write(prompt: Prompt, facts: ModelFacts = BUDGET, *, lenient: bool = False) -> tuple[dict[str, Any], Written]:
    prompt.turns = prompt.turns or [HI]
    written = encode_prompt(prompt, "claude", facts, lenient=lenient)
    return json.loads(written.body), written


def body(prompt: Prompt, facts: ModelFacts = BUDGET) -> dict[str, Any]:
    value, written = write(prompt, facts)
    assert (written.dropped, written.clamped) == ([], [])
    return value


def messages(*turns: Turn) -> list[Any]:
    found: list[Any] = body(Prompt(turns=list(turns)))["messages"]
    return found


def test_what_it_says_is_in_the_table() -> None:
    assert FEATURES.keys() >= SAYS


class TestConversation:
    def test_plain(self) -> None:
        assert body(Prompt(stream=True, user="u1")) == {
            "model": "claude",
            "max_tokens": 8192,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
            "metadata": {"user_id": "u1"},
            "stream": True,
        }

    def test_system_turns_are_gathered_at_the_top(self) -> None:
        system = [
            Turn(role="system", parts=[Text(text=text, cached=cached)]) for text, cached in (("a", "1h"), ("b", None))
        ]
        value = body(Prompt(turns=[system[0], HI, system[1]]))
        assert value["system"] == [
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"type": "text", "text": "b"},
        ]
        assert len(value["messages"]) == 1

    def test_a_system_prompt_alone_is_what_the_user_says(self) -> None:
        value = body(Prompt(turns=[Turn(role="system", parts=[Text(text="Say hi.")])]))
        assert value["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Say hi."}]}]
        assert "system" not in value

    @pytest.mark.parametrize("parts", [[], [Text(text=" \n")]])
    def test_nothing_to_answer(self, parts: list[Part]) -> None:
        with pytest.raises(InvalidRequest) as refusal:
            write(Prompt(turns=[user(*parts)]))
        assert refusal.value.param == "messages"

    def test_results_of_tools_come_first_and_what_the_user_says_joins_them(self) -> None:
        found = messages(
            HI,
            said(
                Text(text="Let me see."),
                ToolUse(id="call.1", name="f", arguments='{"x":1.0}'),
                ToolUse(id="call.2", name="f", arguments=""),
            ),
            user(ToolResult(id="call.1", parts=[Text(text="one")])),
            user(
                Text(text="And?"),
                ToolResult(
                    id="call.2",
                    parts=[Text(text="no"), Image(source=Source(url="https://x"))],
                    is_error=True,
                    cached="",
                ),
            ),
        )
        assert found[1]["content"][1:] == [
            {"type": "tool_use", "id": "call_1", "name": "f", "input": {"x": 1.0}},
            {"type": "tool_use", "id": "call_2", "name": "f", "input": {}},
        ]
        assert found[2]["content"] == [
            {"type": "tool_result", "tool_use_id": "call_1", "content": "one"},
            {
                "type": "tool_result",
                "tool_use_id": "call_2",
                "content": [
                    {"type": "text", "text": "no"},
                    {"type": "image", "source": {"type": "url", "url": "https://x"}},
                ],
                "is_error": True,
                "cache_control": {"type": "ephemeral"},
            },
            {"type": "text", "text": "And?"},
        ]
        assert len(found) == 3

    def test_every_call_has_an_id_of_its_own(self) -> None:
        round_trip = [said(ToolUse(id="f:0", name="f", arguments="{}")), user(ToolResult(id="f:0", parts=[]))]
        nameless = [said(ToolUse(id="", name="f", arguments="{}")), user(ToolResult(id="", parts=[]))]
        found = messages(HI, *round_trip, *round_trip, *nameless)
        ids = [block.get("id") or block["tool_use_id"] for turn in found[1:] for block in turn["content"]]
        assert ids == ["f_0", "f_0", "f_0_2", "f_0_2", "toolu_2", "toolu_2"]

    @pytest.mark.parametrize(
        ("arguments", "input"),
        [
            (" ", {}),
            ('{"n":12345678901234567890123}', {"n": 12345678901234567890123}),
            ("[1]", {"input": [1]}),
            ('"a"', {"input": "a"}),
            ('{"a', {"input": '{"a'}),
            ('{"a":"\\ud83d"}', {"a": "\ufffd"}),
            ('{"a":' * 2000 + "1" + "}" * 2000, {"input": '{"a":' * 2000 + "1" + "}" * 2000}),
        ],
    )
    def test_arguments_become_an_object(self, arguments: str, input: Any) -> None:
        found = messages(HI, said(ToolUse(id="a", name="f", arguments=arguments)), HI)
        assert found[1]["content"][0]["input"] == input

    def test_thoughts_of_its_own_family_only(self) -> None:
        own = [
            Reasoning(text="Hm.", signature="s", family="anthropic_messages"),
            Reasoning(redacted="r", family="anthropic_messages"),
        ]
        other = Reasoning(text="Ha.", family="openai_chat")
        prompt = Prompt(
            turns=[HI, said(*own, other, Refusal(text="No.")), HI],
            given={"thinking_history": "messages[1].reasoning"},
        )
        value, written = write(prompt)
        assert written.dropped == ["messages[1].reasoning"]
        assert value["messages"][1]["content"] == [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "redacted_thinking", "data": "r"},
            {"type": "text", "text": "No."},
        ]

    def test_a_turn_of_thoughts_alone_is_left_out(self) -> None:
        value, written = write(
            Prompt(turns=[HI, said(Reasoning(text="Hm.", signature="s", family="anthropic_messages"))])
        )
        assert len(value["messages"]) == 1
        assert written.dropped == ["thinking"]

    def test_the_turn_to_go_on_with_ends_without_white_space(self) -> None:
        assert messages(HI, said(Text(text="I think ")))[1]["content"] == [{"type": "text", "text": "I think"}]

    def test_media(self) -> None:
        found = messages(
            user(
                Image(source=Source(media_type="image/jpg", data="QUJD"), cached=""),
                Document(source=Source(media_type="application/pdf", data="JVBE"), title="T", context="C", cites=True),
                Document(source=Source(text="Once", media_type="text/plain")),
                Document(source=Source(url="https://x/y.pdf")),
                Document(source=Source(text=" ")),
            )
        )
        assert found[0]["content"] == [
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/jpeg", "data": "QUJD"},
                "cache_control": {"type": "ephemeral"},
            },
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
                "title": "T",
                "context": "C",
                "citations": {"enabled": True},
            },
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Once"}},
            {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}},
        ]


PNG = Image(source=Source(media_type="image/png", data="QUJD"))
PDF = Document(source=Source(media_type="application/pdf", data="QUJD"))
DOCX = Document(source=Source(media_type="application/vnd.ms-word", data="QUJD"))
F = Tool(name="f", schema=SCHEMA)

REFUSED: dict[str, tuple[Prompt, ModelFacts]] = {
    "messages[0]": (Prompt(turns=[user(PNG)], given={"images": "messages[0]"}), ModelFacts(images=False)),
    "messages[1]": (Prompt(turns=[user(PDF)], given={"documents": "messages[1]"}), ModelFacts(documents=False)),
    "messages[2]": (Prompt(turns=[user(DOCX)], given={"documents": "messages[2]"}), BUDGET),
    "audio": (Prompt(turns=[user(Audio(data="", format="wav"))], given={"audio_in": "audio"}), BUDGET),
    "a part": (
        Prompt(turns=[user(Foreign(kind="x", family="openai_chat", value={}))], given={"foreign_parts": "a part"}),
        BUDGET,
    ),
    "response_format": (Prompt(format=Format(), given={"json_object": "response_format"}), BUDGET),
    "a schema": (
        Prompt(format=Format(schema=SCHEMA), given={"json_schema": "a schema"}),
        ModelFacts(json_schema=False),
    ),
    "any object": (Prompt(format=Format(schema={"type": "object"}), given={"json_schema": "any object"}), BUDGET),
    "n": (Prompt(demands={"n": 2}), BUDGET),
    "stop": (Prompt(stop=["\n", "x"], given={"stop": "stop"}), BUDGET),
    "tools[0]": (Prompt(tools=[Tool(name="x", kind="custom")], given={"custom_tools": "tools[0]"}), BUDGET),
    "tool_choice": (
        Prompt(tools=[F], tool_choice=ToolChoice(mode="required"), given={"tool_choice": "tool_choice"}),
        ModelFacts(forced_tools=False),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_said_is_refused_or_dropped_by_name(name: str) -> None:
    prompt, facts = REFUSED[name]
    with pytest.raises(InvalidRequest) as refusal:
        write(prompt, facts)
    assert refusal.value.param == name
    prompt.turns.append(HI)
    value, written = write(prompt, facts, lenient=True)
    assert written.dropped == [name]
    assert value["messages"][-1]["content"][-1] == {"type": "text", "text": "hi"}


def test_hints_are_dropped_by_name() -> None:
    prompt = Prompt(hints={"seed": 1}, given={"verbosity": "verbosity", "citation_history": "messages[1].annotations"})
    _, written = write(prompt)
    assert written.dropped == ["verbosity", "seed", "messages[1].annotations"]


class TestTools:
    def test_tools_and_choice(self) -> None:
        strict = Tool(name="f", description="F.", schema=SCHEMA, strict=True, cached="5m")
        value = body(
            Prompt(
                tools=[strict, Tool(name="g", schema={"properties": {}}), Tool(name="h")],
                tool_choice=ToolChoice(mode="tool", name="f"),
                parallel_tool_calls=False,
            )
        )
        assert value["tools"] == [
            {
                "name": "f",
                "description": "F.",
                "input_schema": SCHEMA,
                "strict": True,
                "cache_control": {"type": "ephemeral", "ttl": "5m"},
            },
            {"name": "g", "input_schema": {"type": "object", "properties": {}}},
            {"name": "h", "input_schema": {"type": "object", "properties": {}}},
        ]
        assert value["tool_choice"] == {"type": "tool", "name": "f", "disable_parallel_tool_use": True}

    def test_strictness_that_cannot_be_had_is_dropped_by_name(self) -> None:
        open_schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
        prompt = Prompt(
            tools=[Tool(name="f", schema=open_schema, strict=True)], given={"tool_strict": "tools[0].strict"}
        )
        value, written = write(prompt)
        assert value["tools"] == [{"name": "f", "input_schema": open_schema}]
        assert written.dropped == ["tools[0].strict"]

    @pytest.mark.parametrize(
        ("choice", "parallel", "written"),
        [
            (None, None, None),
            (None, True, None),
            (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
            (ToolChoice(mode="none"), False, {"type": "none"}),
            (ToolChoice(mode="required"), None, {"type": "any"}),
        ],
    )
    def test_choices(self, choice: ToolChoice | None, parallel: bool | None, written: Any) -> None:
        value = body(Prompt(tools=[F], tool_choice=choice, parallel_tool_calls=parallel))
        assert value.get("tool_choice") == written

    def test_only_the_allowed_tools_are_offered(self) -> None:
        tools = [F, Tool(name="g", schema=SCHEMA)]
        value = body(Prompt(tools=tools, tool_choice=ToolChoice(mode="auto", allowed=["g"])))
        assert [tool["name"] for tool in value["tools"]] == ["g"]
        assert value["tool_choice"] == {"type": "auto"}


class TestLimits:
    @pytest.mark.parametrize(
        ("asked", "most", "default", "written", "clamped"),
        [
            (None, None, 8192, 8192, []),
            (None, 4096, 8192, 4096, []),
            (None, 64_000, 16_000, 16_000, []),
            (100, 4096, 8192, 100, []),
            (5000, 4096, 8192, 4096, ["max_completion_tokens"]),
            (5000, None, 8192, 5000, []),
        ],
    )
    def test_max_tokens(
        self, asked: int | None, most: int | None, default: int, written: int, clamped: list[str]
    ) -> None:
        facts = ModelFacts(max_output_tokens=most, default_output_tokens=default)
        prompt = Prompt(max_output_tokens=asked, given={"max_output_tokens": "max_completion_tokens"})
        value, result = write(prompt, facts)
        assert (value["max_tokens"], result.clamped) == (written, clamped)

    def test_temperature(self) -> None:
        assert body(Prompt(temperature=0.3, top_p=0.5, top_k=3))["temperature"] == 0.3
        value, written = write(Prompt(temperature=1.7))
        assert (value["temperature"], written.clamped) == (1, ["temperature"])

    def test_a_model_that_takes_no_sampling_parameters(self) -> None:
        value, written = write(Prompt(temperature=0.3, top_p=1, top_k=1), ModelFacts(sampling=False))
        assert not value.keys() & {"temperature", "top_p", "top_k"}
        assert written.dropped == ["temperature", "top_k"]

    def test_stop(self) -> None:
        assert body(Prompt(stop=["END"]))["stop_sequences"] == ["END"]


ON = {"type": "adaptive"}
THINKING: list[tuple[Thinking, ModelFacts, Any, str | None, list[str], list[str]]] = [
    # asked, facts, thinking, effort, dropped, clamped
    (Thinking(mode="off"), BUDGET, {"type": "disabled"}, None, [], []),
    (Thinking(effort="none"), ADAPTIVE, {"type": "disabled"}, None, [], []),
    (Thinking(mode="off"), ModelFacts(thinking="adaptive", efforts=("low",)), None, None, ["effort"], []),
    (Thinking(mode="off"), ModelFacts(thinking="none"), None, None, [], []),
    (Thinking(mode="off"), ModelFacts(thinking="always"), None, None, ["effort"], []),
    (Thinking(effort="high"), ModelFacts(thinking="none"), None, None, ["effort"], []),
    (Thinking(effort="minimal"), BUDGET, {"type": "enabled", "budget_tokens": 2048}, None, [], []),
    (Thinking(effort="medium"), BUDGET, {"type": "enabled", "budget_tokens": 8192}, None, [], []),
    (Thinking(effort="high"), BUDGET, {"type": "enabled", "budget_tokens": 16384}, None, [], []),
    (Thinking(effort="xhigh"), BUDGET, {"type": "enabled", "budget_tokens": 32768}, None, [], []),
    (Thinking(mode="adaptive"), BUDGET, {"type": "enabled", "budget_tokens": 8192}, None, [], []),
    (Thinking(mode="budget", budget=5000), BUDGET, {"type": "enabled", "budget_tokens": 5000}, None, [], []),
    (Thinking(mode="budget", budget=5), BUDGET, {"type": "enabled", "budget_tokens": 1024}, None, [], ["effort"]),
    (Thinking(mode="budget", budget=2048), ADAPTIVE, ON, "low", [], []),
    (Thinking(mode="budget", budget=8192), ADAPTIVE, ON, "medium", [], []),
    (Thinking(mode="budget", budget=8193), ADAPTIVE, ON, "high", [], []),
    (Thinking(mode="adaptive"), ADAPTIVE, ON, None, [], []),
    (Thinking(mode="adaptive", display="omitted"), ADAPTIVE, {**ON, "display": "omitted"}, None, [], []),
    (Thinking(effort="minimal"), ADAPTIVE, ON, "low", [], []),
    (Thinking(effort="max"), ADAPTIVE, ON, "max", [], []),
    (Thinking(effort="xhigh"), ADAPTIVE, ON, "high", [], ["effort"]),
    (Thinking(effort="max"), ModelFacts(thinking="adaptive"), ON, "high", [], ["effort"]),
]


class TestThinking:
    @pytest.mark.parametrize(("asked", "facts", "thinking", "effort", "dropped", "clamped"), THINKING)
    def test_table(
        self,
        asked: Thinking,
        facts: ModelFacts,
        thinking: Any,
        effort: str | None,
        dropped: list[str],
        clamped: list[str],
    ) -> None:
        value, written = write(Prompt(thinking=asked, given={"thinking": "effort"}), facts)
        assert value.get("thinking") == thinking
        assert value.get("output_config", {}).get("effort") == effort
        assert (written.dropped, written.clamped) == (dropped, clamped)

    def test_an_open_limit_grows_by_the_budget(self) -> None:
        assert body(Prompt(thinking=Thinking(effort="high")))["max_tokens"] == 8192 + 16384
        most = ModelFacts(thinking="budget", max_output_tokens=20_000)
        assert body(Prompt(thinking=Thinking(effort="high")), most)["max_tokens"] == 20_000

    @pytest.mark.parametrize(
        ("limit", "budget", "dropped", "clamped"),
        [
            (20_000, 16384, [], []),
            (4000, 2000, [], ["effort"]),
            (1500, 1024, [], ["effort"]),
            (1024, None, ["effort"], []),
        ],
    )
    def test_a_set_limit_bounds_the_budget(
        self, limit: int, budget: int | None, dropped: list[str], clamped: list[str]
    ) -> None:
        prompt = Prompt(max_output_tokens=limit, thinking=Thinking(effort="high"), given={"thinking": "effort"})
        value, written = write(prompt)
        assert value["max_tokens"] == limit
        assert value.get("thinking", {}).get("budget_tokens") == budget
        assert (written.dropped, written.clamped) == (dropped, clamped)

    def test_sampling_makes_way_for_thinking(self) -> None:
        prompt = Prompt(thinking=Thinking(effort="low"), temperature=0.2, top_p=0.5, top_k=4)
        value, written = write(prompt, ADAPTIVE)
        assert not value.keys() & {"temperature", "top_p", "top_k"}
        assert written.dropped == ["temperature", "top_p", "top_k"]
        kept = body(Prompt(thinking=Thinking(effort="low"), temperature=1, top_p=0.95), ADAPTIVE)
        assert (kept["temperature"], kept["top_p"]) == (1, 0.95)

    @pytest.mark.parametrize(("facts", "thinking"), [(BUDGET, None), (ADAPTIVE, {"type": "disabled"})])
    def test_thinking_makes_way_for_a_forced_tool(self, facts: ModelFacts, thinking: Any) -> None:
        prompt = Prompt(
            tools=[F], tool_choice=ToolChoice(mode="required"), thinking=Thinking(effort="high"), temperature=0
        )
        value, written = write(prompt, facts)
        assert value["tool_choice"] == {"type": "any"}
        assert value.get("thinking") == thinking
        assert value["temperature"] == 0
        assert written.dropped == ["thinking"]

    @pytest.mark.parametrize(
        ("thoughts", "facts", "thinks"), [([], BUDGET, False), ([], ADAPTIVE, True), (["sealed"], BUDGET, True)]
    )
    def test_amid_calls_it_has_not_thought_about(self, thoughts: list[str], facts: ModelFacts, thinks: bool) -> None:
        before = [Reasoning(text="Hm.", signature=seal, family="anthropic_messages") for seal in thoughts]
        turns = [HI, said(*before, ToolUse(id="a", name="f", arguments="{}")), user(ToolResult(id="a", parts=[]))]
        value, written = write(Prompt(turns=turns, tools=[F], thinking=Thinking(effort="low")), facts)
        assert ("thinking" in value) is thinks
        assert written.dropped == ([] if thinks else ["thinking"])

    def test_display_without_thinking_is_dropped_by_name(self) -> None:
        prompt = Prompt(thinking=Thinking(display="omitted"), given={"thinking_display": "reasoning.exclude"})
        value, written = write(prompt)
        assert "thinking" not in value
        assert written.dropped == ["reasoning.exclude"]


class TestFormat:
    def test_a_closed_schema_stays_as_it_is(self) -> None:
        value = body(Prompt(format=Format(schema=SCHEMA)))
        assert value["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}

    def test_a_schema_is_written_as_far_as_it_can_be_bound(self) -> None:
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "minimum": {"type": "integer", "minimum": 1, "description": "At least one."},
                "when": {"oneOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
                "list": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/x"}},
                "word": {"type": "string", "pattern": "^(?=a)", "format": "iban"},
            },
            "$defs": {"x": {"type": "object", "properties": {"a": {"type": "string", "pattern": "^a$"}}}},
        }
        value, written = write(Prompt(format=Format(schema=schema), given={"json_schema": "response_format"}))
        assert written.clamped == ["response_format"]
        assert value["output_config"]["format"]["schema"] == {
            "type": "object",
            "properties": {
                "minimum": {"type": "integer", "description": 'At least one.\n\n{"minimum":1}'},
                "when": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
                "list": {"type": "array", "items": {"$ref": "#/$defs/x"}, "description": '{"minItems":2}'},
                "word": {"type": "string", "description": '{"pattern":"^(?=a)","format":"iban"}'},
            },
            "$defs": {
                "x": {
                    "type": "object",
                    "properties": {"a": {"type": "string", "pattern": "^a$"}},
                    "additionalProperties": False,
                }
            },
            "additionalProperties": False,
        }

    def test_closing_an_open_object_is_no_loss(self) -> None:
        value = body(Prompt(format=Format(schema={"type": "object", "properties": {"a": {"type": "string"}}})))
        assert value["output_config"]["format"]["schema"]["additionalProperties"] is False


TEXTS = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=5)
IDS = st.from_regex(r"\A[a-z]{1,4}\Z")
MARKS = st.none() | st.sampled_from(["", "5m", "1h"])
SOURCES = st.builds(Source, url=st.just("https://x/y")) | st.builds(
    Source, media_type=st.just("image/png"), data=st.just("QUJD")
)
TEXT_PARTS = st.builds(Text, text=TEXTS, cached=MARKS)
IMAGES = st.builds(Image, source=SOURCES, cached=MARKS)
DOCUMENTS = st.builds(
    Document,
    source=st.builds(Source, media_type=st.just("text/plain"), text=TEXTS)
    | st.builds(Source, media_type=st.just("application/pdf"), data=st.just("JVBE"))
    | st.builds(Source, url=st.just("https://x/y.pdf")),
    title=st.none() | TEXTS,
    context=st.none() | TEXTS,
    cites=st.booleans(),
    cached=MARKS,
)
FORMATS = st.none() | st.just(Format(schema=SCHEMA))
CALLED = st.builds(lambda value: msgspec.json.encode(value).decode(), st.dictionaries(TEXTS, TEXTS, max_size=2))
SEALED = st.builds(Reasoning, text=TEXTS, signature=TEXTS, family=st.just("anthropic_messages"))


@st.composite
def prompts(draw: st.DrawFn) -> Prompt:
    """What Anthropic can say, in the form in which it is read."""
    turns = (
        [Turn(role="system", parts=draw(st.lists(TEXT_PARTS, min_size=1, max_size=2)))] if draw(st.booleans()) else []
    )
    results: list[Any] = []
    used = 0
    for _ in range(draw(st.integers(1, 3))):
        turns.append(user(*results, *draw(st.lists(TEXT_PARTS | IMAGES | DOCUMENTS, min_size=1, max_size=3))))
        uses = []
        for _ in range(draw(st.integers(0, 2))):
            uses.append(ToolUse(id=f"{draw(IDS)}{used}", name=draw(IDS), arguments=draw(CALLED), cached=draw(MARKS)))
            used += 1
        turns.append(
            said(*draw(st.lists(SEALED, max_size=1)), *draw(st.lists(TEXT_PARTS, min_size=1, max_size=2)), *uses)
        )
        contents: Any = st.lists(TEXT_PARTS | IMAGES, max_size=2)
        results = [
            ToolResult(id=use.id, parts=draw(contents), is_error=draw(st.booleans()), cached=draw(MARKS))
            for use in uses
        ]
    turns.append(user(*results, Text(text="x")))
    tools = [
        Tool(name=name, schema=SCHEMA, strict=draw(st.none() | st.just(True)))
        for name in draw(st.sets(IDS, max_size=2))
    ]
    choice = draw(st.none() | st.sampled_from([ToolChoice(mode="auto"), ToolChoice(mode="none")])) if tools else None
    parallel = draw(st.none() | st.just(False)) if choice is not None and choice.mode == "auto" else None
    return Prompt(
        turns=turns,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        max_output_tokens=draw(st.integers(20_000, 30_000)),
        stop=draw(st.lists(TEXTS, max_size=2)),
        temperature=draw(st.none() | st.just(0.5)),
        top_k=draw(st.none() | st.just(3)),
        format=draw(FORMATS),
        user=draw(st.none() | TEXTS),
        stream=draw(st.booleans()),
    )


@given(prompts(), st.sampled_from([None, Thinking(mode="off"), Thinking(mode="budget", budget=2000)]))
def test_what_anthropic_can_say_comes_back_as_it_was(prompt: Prompt, thinking: Thinking | None) -> None:
    if thinking is not None and thinking.mode == "off":
        prompt.thinking = thinking
    elif thinking is not None and not any(isinstance(part, ToolUse) for part in prompt.turns[-2].parts):
        prompt.thinking, prompt.temperature, prompt.top_k = thinking, None, None
    written = encode_prompt(prompt, "claude", BUDGET, lenient=False)
    assert (written.dropped, written.clamped) == ([], [])
    again = decode_prompt(decode_object(written.body))
    again.given = {}
    assert again == prompt


@given(st.dictionaries(NAMES, VALUES, max_size=4), MESSAGES, st.booleans())
def test_whatever_was_read_can_be_written_or_is_refused(
    fields: dict[str, Any], messages: list[Any], lenient: bool
) -> None:
    try:
        prompt = decode_prompt(decode_object(msgspec.json.encode({**fields, "messages": messages})))
        written = encode_prompt(prompt, "claude", ADAPTIVE, lenient=lenient)
    except InvalidRequest:
        return
    assert decode_prompt(decode_object(written.body)).turns


KEYWORDS = st.sampled_from(
    [
        *("type", "object", "properties", "items", "anyOf", "oneOf", "allOf", "$defs", "$ref", "minimum", "minItems"),
        *("pattern", "format", "date", "description", "additionalProperties", "required", "enum", "string", "not"),
    ]
)
SCHEMAS = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | KEYWORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=4),
    max_leaves=12,
)


@given(SCHEMAS)
def test_any_schema_becomes_one_that_stays_as_it_is(schema: Any) -> None:
    written, _ = bound({"type": "object", "properties": {"x": schema}, "minimum": schema})
    assert bound(written) == (written, False)
    assert fits(written)


def comparable(request: dict[str, Any]) -> dict[str, Any]:
    """The request in one of the ways in which it can be written."""
    value: dict[str, Any] = json.loads(json.dumps(request))
    for name in ("cache_control", "context_management", "service_tier", "container", "mcp_servers", "betas"):
        value.pop(name, None)
    value["tools"] = [tool for tool in value.get("tools", []) if "input_schema" in tool]
    for tool in value["tools"]:
        for name in ("defer_loading", "strict", "description"):
            if name == "defer_loading" or not tool.get(name):
                tool.pop(name, None)
    if not value["tools"]:
        value.pop("tool_choice", None)
    wanted = value.pop("output_format", None) or (value.get("output_config") or {}).get("format")
    value["output_config"] = {"format": wanted and wanted["type"]}
    system = [one for message in value["messages"] if message["role"] == "system" for one in listed(message["content"])]
    value["system"] = [block for block in listed(value.get("system") or []) + system if kept(block)]
    found: list[dict[str, Any]] = []
    for message in value["messages"]:
        blocks = [block for block in listed(message["content"]) if kept(block)]
        if message["role"] != "system" and blocks:
            if found and found[-1]["role"] == message["role"]:
                found[-1]["content"] += blocks
            else:
                found.append({"role": message["role"], "content": blocks})
    value["messages"] = found
    for name in [name for name, inner in value.items() if inner in (None, [], False)]:
        del value[name]
    return value


def listed(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def found(block: dict[str, Any]) -> bool:
    """A tool that a search has found: it has become a text."""
    return block["type"] == "tool_reference" or str(block.get("text")).startswith("Found the tool ")


def kept(block: dict[str, Any]) -> bool:
    if block["type"] == "text" and not block.get("citations"):
        block.pop("citations", None)
    if block["type"] == "tool_result":
        block["content"] = [one for one in listed(block.get("content") or []) if kept(one) and not found(one)]
        for name in ("is_error", "content", "cache_control"):
            if not block.get(name):
                block.pop(name, None)
    stored = block.get("source", {}).get("type") == "file"
    return block["type"] in ("text", "image", "document", "thinking", "tool_use", "tool_result") and not stored


@pytest.mark.skipif(not recordings(), reason=UNSET)
def test_every_recorded_request_can_be_said_again() -> None:
    compared = 0
    for one in recordings():
        if not one.path.endswith("/v1/messages") or not isinstance(one.request, dict) or one.status == 400:
            continue
        prompt = decode_prompt(decode_object(json.dumps(one.request).encode()))
        adaptive = prompt.thinking is not None and prompt.thinking.mode == "adaptive"
        facts = ModelFacts(thinking="adaptive" if adaptive else "budget")
        written = encode_prompt(prompt, one.request["model"], facts, lenient=True)
        before, after = comparable(one.request), comparable(json.loads(written.body))
        assert after == before, (one, written.dropped)
        compared += 1
    assert compared > 80
