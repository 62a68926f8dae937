"""Prompts as OpenAI's chat requests: what is said, what is dropped, clamped or refused by name, and the way back."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

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
from penstock.wire.dialect import ModelFacts
from penstock.wire.openai_chat import OpenAIChat
from penstock.wire.openai_request import SAYS
from penstock.wire.translation import FEATURES
from tests.wire.corpus import Recording, openai_shaped

CHAT = OpenAIChat()
USER = Turn(role="user", parts=[Text(text="Hello.")])
CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}
LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
KNOWN = ModelFacts(efforts=LEVELS, earlier_thinking="reasoning_content")


def written(prompt: Prompt, facts: ModelFacts = KNOWN, *, lenient: bool = False) -> tuple[Any, list[str], list[str]]:
    result = CHAT.encode_prompt(prompt, "m-1", facts, lenient=lenient)
    return json.loads(result.body), result.dropped, result.clamped


def body(**fields: Any) -> Any:
    fields.setdefault("turns", [USER])
    return written(Prompt(**fields))[0]


def messages(*turns: Turn) -> Any:
    return written(Prompt(turns=list(turns)))[0]["messages"]


def test_what_it_says_are_features() -> None:
    assert set(FEATURES) >= SAYS


def test_the_least() -> None:
    assert body() == {"model": "m-1", "messages": [{"role": "user", "content": "Hello."}]}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"temperature": 0.5, "top_p": 0.25}, {"temperature": 0.5, "top_p": 0.25}),
        ({"max_output_tokens": 9}, {"max_tokens": 9}),
        ({"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"user": "u", "verbosity": "low"}, {"user": "u", "verbosity": "low"}),
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        ({"format": Format()}, {"response_format": {"type": "json_object"}}),
        (
            {"format": Format(schema=CLOSED)},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "output", "schema": CLOSED, "strict": True},
                }
            },
        ),
        (
            {"format": Format(schema=OPEN, name="n", description="d", strict=False)},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": OPEN, "description": "d", "strict": False},
                }
            },
        ),
        (
            {"tools": [Tool(name="f", description="d", schema=OPEN)], "parallel_tool_calls": False},
            {
                "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": OPEN}}],
                "parallel_tool_calls": False,
            },
        ),
        (
            {"tools": [Tool(name="f", schema=CLOSED, strict=True)], "tool_choice": ToolChoice(mode="required")},
            {
                "tools": [{"type": "function", "function": {"name": "f", "parameters": CLOSED, "strict": True}}],
                "tool_choice": "required",
            },
        ),
        (
            {"tools": [Tool(name="f", schema=OPEN)], "tool_choice": ToolChoice(mode="tool", name="f")},
            {
                "tools": [{"type": "function", "function": {"name": "f", "parameters": OPEN}}],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
            },
        ),
        (
            {
                "tools": [Tool(name="f", kind="custom", grammar={"type": "text"})],
                "tool_choice": ToolChoice(mode="auto", allowed=["f"]),
            },
            {
                "tools": [{"type": "custom", "custom": {"name": "f", "format": {"type": "text"}}}],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "auto", "tools": [{"type": "custom", "custom": {"name": "f"}}]},
                },
            },
        ),
        ({"tool_choice": ToolChoice(mode="auto"), "parallel_tool_calls": True}, {}),
    ],
)
def test_a_field(fields: dict[str, Any], said: dict[str, Any]) -> None:
    assert body(**fields) == {"model": "m-1", "messages": [{"role": "user", "content": "Hello."}], **said}


def test_the_models_name_for_the_limit() -> None:
    facts = ModelFacts(output_field="max_completion_tokens", max_output_tokens=100)
    prompt = Prompt(turns=[USER], max_output_tokens=500, given={"max_output_tokens": "max_tokens"})
    said, dropped, clamped = written(prompt, facts)
    assert said["max_completion_tokens"] == 100
    assert "max_tokens" not in said
    assert (dropped, clamped) == ([], ["max_tokens"])


def test_text_alone_is_one_string() -> None:
    assert messages(
        Turn(role="system", parts=[Text(text="a"), Text(text="b", cached="")]),
        Turn(role="user", parts=[Text(text="c"), Text(text="d")], name="ann"),
        Turn(role="assistant", parts=[Text(text="Cats "), Text(text="purr.")]),
        Turn(role="user", parts=[]),
    ) == [
        {"role": "system", "content": "a\nb"},
        {"role": "user", "content": "c\nd", "name": "ann"},
        {"role": "assistant", "content": "Cats purr."},
        {"role": "user", "content": ""},
    ]


PNG = Source(media_type="image/png", data="iVBORw0KGgo=")
PDF = Source(media_type="application/pdf", data="JVBERi0=")


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Image(source=PNG), [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]),
        (
            Image(source=Source(url="https://a.test"), detail="low"),
            [{"type": "image_url", "image_url": {"url": "https://a.test", "detail": "low"}}],
        ),
        (
            Audio(data="UklGRg==", format="wav"),
            [{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}],
        ),
        (
            Document(source=PDF),
            [
                {
                    "type": "file",
                    "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
                }
            ],
        ),
        (
            Document(source=PDF, title="Act.PDF", context="1848"),
            [
                {"type": "text", "text": "Context of Act.PDF: 1848"},
                {"type": "file", "file": {"filename": "Act.PDF", "file_data": "data:application/pdf;base64,JVBERi0="}},
            ],
        ),
        (Document(source=Source(text="Once.")), [{"type": "text", "text": "Once."}]),
        (
            Document(source=Source(text="Once."), title="Tale", context="Old"),
            [{"type": "text", "text": "Title: Tale\nContext: Old\n\nOnce."}],
        ),
    ],
)
def test_a_part(part: Part, said: list[dict[str, Any]]) -> None:
    (message,) = messages(Turn(role="user", parts=[Text(text="See:"), part]))
    assert message == {"role": "user", "content": [{"type": "text", "text": "See:"}, *said]}


def test_calls_and_results() -> None:
    assert messages(
        Turn(
            role="assistant",
            parts=[
                Text(text="I look."),
                ToolUse(id="a", name="f", arguments=""),
                ToolUse(id="b", name="g", arguments="x", custom=True),
            ],
        ),
        Turn(
            role="user",
            parts=[
                ToolResult(id="a", parts=[Text(text="1"), Text(text="2")]),
                ToolResult(id="b", parts=[]),
                Text(text="Well?"),
            ],
        ),
    ) == [
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "b", "type": "custom", "custom": {"name": "g", "input": "x"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "1\n2"},
        {"role": "tool", "tool_call_id": "b", "content": ""},
        {"role": "user", "content": "Well?"},
    ]


def test_results_alone_need_no_message_of_the_user() -> None:
    said = messages(Turn(role="user", parts=[ToolResult(id="a", parts=[Text(text="1")])]))
    assert said == [{"role": "tool", "tool_call_id": "a", "content": "1"}]


def test_pictures_in_results_come_after_all_of_them() -> None:
    first, second, user = messages(
        Turn(
            role="user",
            parts=[
                ToolResult(id="a", parts=[Image(source=PNG)]),
                ToolResult(id="b", parts=[Text(text="2"), Document(source=Source(text="Once."))]),
                Text(text="Well?"),
            ],
        )
    )
    assert first == {"role": "tool", "tool_call_id": "a", "content": "(The result is in the next message.)"}
    assert second == {"role": "tool", "tool_call_id": "b", "content": "2\nOnce."}
    assert user == {
        "role": "user",
        "content": [
            {"type": "text", "text": "From the result of the tool call a:"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
            {"type": "text", "text": "Well?"},
        ],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("No such file.", "Error: No such file."),
        ("Error: no such file.", "Error: no such file."),
        ("<tool_use_error>No such file.</tool_use_error>", "<tool_use_error>No such file.</tool_use_error>"),
        ("", "Error:"),
    ],
)
def test_a_failed_result_says_so(text: str, said: str) -> None:
    result = ToolResult(id="a", parts=[Text(text=text)], is_error=True)
    assert messages(Turn(role="user", parts=[result])) == [{"role": "tool", "tool_call_id": "a", "content": said}]


def test_thoughts_go_back_to_their_own_family_alone() -> None:
    parts: list[Part] = [
        Reasoning(text="Hm.", family="openai_chat"),
        Reasoning(text="Ah.", signature="S", family="anthropic_messages"),
        Text(text="Yes."),
    ]
    prompt = Prompt(
        turns=[USER, Turn(role="assistant", parts=parts)], given={"thinking_history": "messages[1].content[0]"}
    )
    said, dropped, _ = written(prompt)
    assert said["messages"][1] == {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}
    assert dropped == ["messages[1].content[0]"]
    said, dropped, _ = written(prompt, ModelFacts())
    assert said["messages"][1] == {"role": "assistant", "content": "Yes."}
    assert dropped == ["messages[1].content[0]"]


def test_thoughts_that_are_all_carried_are_not_named() -> None:
    turn = Turn(role="assistant", parts=[Reasoning(text="Hm.", family="openai_chat"), Text(text="Yes.")])
    prompt = Prompt(turns=[USER, turn], given={"thinking_history": "messages[1].content[0]"})
    assert written(prompt)[1] == []


def test_a_turn_of_which_nothing_is_left_is_no_message() -> None:
    thought = Reasoning(text="Ah.", signature="S", family="anthropic_messages")
    assert messages(USER, Turn(role="assistant", parts=[thought])) == [{"role": "user", "content": "Hello."}]
    with pytest.raises(InvalidRequest, match="nothing to answer"):
        written(Prompt(turns=[Turn(role="assistant", parts=[thought])]))


@pytest.mark.parametrize(
    ("thinking", "said"),
    [
        (Thinking(mode="budget", budget=1024), "low"),
        (Thinking(mode="budget", budget=2048), "low"),
        (Thinking(mode="budget", budget=2049), "medium"),
        (Thinking(mode="budget", budget=8192), "medium"),
        (Thinking(mode="budget", budget=8193), "high"),
        (Thinking(mode="adaptive", effort="max"), "max"),
        (Thinking(mode="adaptive"), None),
        (Thinking(mode="off"), "none"),
        *((Thinking(effort=level), level) for level in LEVELS),  # type: ignore[arg-type]
    ],
)
def test_the_table_of_thinking(thinking: Thinking, said: str | None) -> None:
    assert body(thinking=thinking).get("reasoning_effort") == said


@pytest.mark.parametrize(
    ("wanted", "levels", "said", "dropped", "clamped"),
    [
        ("max", (), "high", [], ["t"]),
        ("xhigh", ("low", "xhigh"), "xhigh", [], []),
        ("xhigh", ("low", "medium"), "medium", [], ["t"]),
        ("minimal", (), "low", [], []),
        ("none", (), None, ["t"], []),
        ("none", ("none", "low"), "none", [], []),
        ("low", ("high",), "high", [], []),
    ],
)
def test_a_level_the_model_does_not_have(
    wanted: Any, levels: tuple[str, ...], said: str | None, dropped: list[str], clamped: list[str]
) -> None:
    prompt = Prompt(turns=[USER], thinking=Thinking(effort=wanted), given={"thinking": "t"})
    request, *lost = written(prompt, ModelFacts(efforts=levels))
    assert request.get("reasoning_effort") == said
    assert lost == [dropped, clamped]


@pytest.mark.parametrize(
    ("thinking", "kind", "dropped"),
    [
        (Thinking(effort="high"), "none", ["t"]),
        (Thinking(effort="high"), "always", ["t"]),
        (Thinking(mode="off"), "none", []),
        (Thinking(mode="off"), "always", ["t"]),
        (Thinking(mode="adaptive"), "none", []),
    ],
)
def test_a_model_that_cannot_be_told_to_think(thinking: Thinking, kind: Any, dropped: list[str]) -> None:
    prompt = Prompt(turns=[USER], thinking=thinking, given={"thinking": "t"})
    request, *lost = written(prompt, ModelFacts(thinking=kind, efforts=LEVELS))
    assert "reasoning_effort" not in request
    assert lost == [dropped, []]


@pytest.mark.parametrize(("value", "dropped"), [(1, []), (0.3, ["temperature"])])
def test_a_model_without_sampling(value: float, dropped: list[str]) -> None:
    prompt = Prompt(turns=[USER], temperature=value, given={"temperature": "temperature"})
    request, *lost = written(prompt, ModelFacts(sampling=False))
    assert "temperature" not in request
    assert lost == [dropped, []]


def test_strictness_that_openai_would_refuse_is_left_out_by_name() -> None:
    prompt = Prompt(
        turns=[USER],
        tools=[Tool(name="f", schema=OPEN, strict=True)],
        format=Format(schema=OPEN, strict=True),
        given={"json_schema": "output_config.format", "tool_strict": "tools.0.strict"},
    )
    request, dropped, clamped = written(prompt)
    assert "strict" not in request["tools"][0]["function"]
    assert "strict" not in request["response_format"]["json_schema"]
    assert (dropped, clamped) == (["tools.0.strict"], ["output_config.format"])


def test_a_long_user_id_becomes_its_digest() -> None:
    long, other = "user_" + "a" * 150, "user_" + "a" * 151
    said, dropped, clamped = written(Prompt(turns=[USER], user=long, given={"user": "metadata.user_id"}))
    assert len(said["user"]) == 64
    assert (dropped, clamped) == ([], ["metadata.user_id"])
    assert body(user=long)["user"] == said["user"] != body(user=other)["user"]
    assert body(user="u" * 64)["user"] == "u" * 64


def asking(part: Part, feature: str) -> Prompt:
    turn = Turn(role="user", parts=[Text(text="a"), part])
    return Prompt(turns=[turn], given={"text": "messages[0].content[0]", feature: "messages[0].content[1]"})


LOST = "messages[0].content[1]"


@pytest.mark.parametrize(
    ("prompt", "facts", "name"),
    [
        (asking(Document(source=Source(url="https://a.test")), "document_urls"), KNOWN, LOST),
        (asking(Document(source=Source(file_id="f")), "files"), KNOWN, LOST),
        (asking(Image(source=Source(file_id="f")), "files"), KNOWN, LOST),
        (asking(Foreign(kind="x", family="y", value={}), "foreign_parts"), KNOWN, LOST),
        (asking(Image(source=PNG), "images"), ModelFacts(images=False), LOST),
        (asking(Document(source=PDF), "documents"), ModelFacts(documents=False), LOST),
        (asking(Audio(data="", format="wav"), "audio_in"), ModelFacts(audio=False), LOST),
        (Prompt(turns=[USER], top_k=4, given={"top_k": "top_k"}), KNOWN, "top_k"),
        (Prompt(turns=[USER], demands={"mcp_servers": []}), KNOWN, "mcp_servers"),
        (
            Prompt(turns=[USER], tools=[Tool(name="s", kind="server", value={})], given={"server_tools": "tools[0]"}),
            KNOWN,
            "tools[0]",
        ),
        (
            Prompt(turns=[USER], format=Format(schema=OPEN), given={"json_schema": "output_format"}),
            ModelFacts(json_schema=False),
            "output_format",
        ),
        (
            Prompt(
                turns=[USER],
                tools=[Tool(name="f", schema=OPEN)],
                tool_choice=ToolChoice(mode="required"),
                given={"tool_choice": "tool_choice"},
            ),
            ModelFacts(forced_tools=False),
            "tool_choice",
        ),
    ],
)
def test_what_matters_is_refused_or_dropped_by_name(prompt: Prompt, facts: ModelFacts, name: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be translated") as caught:
        written(prompt, facts)
    assert caught.value.param == name
    said, dropped, _ = written(prompt, facts, lenient=True)
    assert dropped == [name]
    assert set(said) <= {"model", "messages", "tools"}
    assert said["messages"][0]["content"] in ("Hello.", [{"type": "text", "text": "a"}])


def test_a_text_document_is_for_models_without_documents_too() -> None:
    prompt = asking(Document(source=Source(text="Once.")), "documents")
    assert written(prompt, ModelFacts(documents=False))[0]["messages"][0]["content"][1]["text"] == "Once."


def test_hints_are_dropped_by_name() -> None:
    prompt = Prompt(
        turns=[Turn(role="user", parts=[Text(text="Hello.", cached="5m", citations=[{"url": "x"}])])],
        hints={"metadata.x": 1, "service_tier": "auto"},
        given={"cache_markers": "messages[0].content[0].cache_control", "citation_history": "messages[0].content[0]"},
    )
    said, dropped, _ = written(prompt)
    assert said == {"model": "m-1", "messages": [{"role": "user", "content": "Hello."}]}
    names = {"messages[0].content[0].cache_control", "messages[0].content[0]", "metadata.x", "service_tier"}
    assert set(dropped) == names


def test_what_cannot_be_written_as_json_is_refused() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(InvalidRequest):
        body(tools=[Tool(name="f", schema=deep, strict=True)])


WORD = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
NAME = st.text("abcdefgh_-", min_size=1, max_size=8)
SCHEMAS = st.sampled_from([CLOSED, {"type": "object", "properties": {}, "additionalProperties": False}])
DATA = st.sampled_from(["AAAA", "iVBORw0KGgo="])
IMAGES = st.builds(
    Image,
    source=st.one_of(
        st.builds(Source, media_type=st.sampled_from(["image/png", "image/webp"]), data=DATA),
        st.builds(Source, url=st.sampled_from(["https://a.test/x", "http://b.test"])),
    ),
    detail=st.sampled_from([None, "auto", "low", "high"]),
)
DOCUMENTS = st.builds(
    Document,
    source=st.builds(Source, media_type=st.just("application/pdf"), data=DATA),
    title=NAME.map(lambda name: f"{name}.pdf"),
)
SOUNDS = st.builds(Audio, data=DATA, format=st.sampled_from(["wav", "mp3"]))
TEXTS = st.builds(Text, text=WORD)
SHOWN = st.tuples(
    st.one_of(IMAGES, DOCUMENTS, SOUNDS), st.lists(st.one_of(TEXTS, IMAGES, DOCUMENTS, SOUNDS), max_size=2)
)
SAID = st.one_of(TEXTS.map(lambda text: [text]), SHOWN.map(lambda parts: [parts[0], *parts[1]]))
USERS = st.builds(Turn, role=st.just("user"), parts=SAID, name=st.one_of(st.none(), NAME))
SYSTEMS = st.builds(Turn, role=st.just("system"), parts=TEXTS.map(lambda text: [text]))


@st.composite
def answers(draw: st.DrawFn) -> list[Turn]:
    """A turn of the model and, where it calls tools, the one that brings the results."""
    parts: list[Part] = []
    if draw(st.booleans()):
        parts.append(Reasoning(text=draw(WORD), family="openai_chat"))
    parts.append(Text(text=draw(WORD)))
    if draw(st.booleans()):
        parts.append(Refusal(text=draw(WORD)))
    ids = draw(st.lists(NAME, max_size=3, unique=True))
    parts += [
        ToolUse(
            id=id, name=draw(NAME), arguments=draw(st.sampled_from(["{}", '{"a":"b"}'])), custom=draw(st.booleans())
        )
        for id in ids
    ]
    turns = [Turn(role="assistant", parts=parts)]
    if ids:
        brought: list[Part] = [ToolResult(id=id, parts=[Text(text=draw(WORD))]) for id in ids]
        turns.append(Turn(role="user", parts=brought + draw(st.one_of(st.just([]), SAID))))
    return turns


@st.composite
def prompts(draw: st.DrawFn) -> Prompt:
    """What OpenAI has words for, each thing in the one form that is read from them."""
    turns: list[Turn] = []
    for some in draw(st.lists(st.one_of(USERS.map(lambda turn: [turn]), SYSTEMS.map(lambda turn: [turn]), answers()))):
        results = turns and isinstance(turns[-1].parts[-1], ToolResult)
        if not (results and some[0].role == "user"):  # that would be read into the turn with the results
            turns += some
    names = draw(st.lists(NAME, max_size=3, unique=True))
    tools = [
        Tool(name=name, kind="custom", grammar=draw(st.sampled_from([None, {"type": "text"}])))
        if draw(st.booleans())
        else Tool(name=name, description=draw(st.one_of(st.none(), WORD)), schema=draw(SCHEMAS), strict=draw(FLAGS))
        for name in names
    ]
    choices = [None, *(ToolChoice(mode=mode) for mode in ("auto", "none", "required"))]
    for name in names:
        choices += [ToolChoice(mode="tool", name=name), ToolChoice(mode="auto", allowed=[name])]
    levels = st.one_of(st.none(), st.sampled_from(LEVELS))
    level: Any = draw(levels)
    return Prompt(
        turns=turns or [USER],
        tools=tools,
        tool_choice=draw(st.sampled_from(choices)) if tools else None,
        parallel_tool_calls=draw(FLAGS) if tools else None,
        max_output_tokens=draw(st.one_of(st.none(), st.integers(1, 10**6))),
        temperature=draw(st.one_of(st.none(), st.floats(0, 2))),
        top_p=draw(st.one_of(st.none(), st.floats(0, 1))),
        stop=draw(st.lists(WORD, max_size=2)),
        thinking=None if level is None else Thinking(effort=level),
        format=draw(st.one_of(st.none(), st.just(Format()), FORMATS)),
        verbosity=draw(st.sampled_from([None, "low", "medium", "high"])),
        user=draw(st.one_of(st.none(), NAME)),
        stream=draw(st.booleans()),
    )


FLAGS = st.sampled_from([None, True, False])
FORMATS = st.builds(
    Format, schema=SCHEMAS, name=NAME, description=st.one_of(st.none(), WORD), strict=st.sampled_from([True, False])
)
REQUESTS: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsNonStreaming)


def plain(prompt: Prompt) -> Any:
    """As plain values, without what only remembers the caller's words."""
    value = msgspec.to_builtins(prompt)
    return {name: field for name, field in value.items() if name != "given"}


@settings(max_examples=80, deadline=None)
@given(prompts())
def test_there_and_back_is_the_same(prompt: Prompt) -> None:
    request = CHAT.encode_prompt(prompt, "m-1", KNOWN, lenient=False)
    assert (request.dropped, request.clamped) == ([], [])
    again = CHAT.decode_prompt(CHAT.decode_request(request.body).fields)
    assert plain(again) == plain(prompt)
    assert set(again.given) <= SAYS | {"thinking_history"}


@settings(max_examples=40, deadline=None)
@given(prompts())
def test_the_vendors_own_types_take_it(prompt: Prompt) -> None:
    request = json.loads(CHAT.encode_prompt(prompt, "m-1", KNOWN, lenient=False).body)
    request.pop("stream", None)
    read = REQUESTS.validate_python(request, strict=True)
    for message in read["messages"]:
        for calls in (message.get("content"), message.get("tool_calls")):
            if not isinstance(calls, str | None):
                list(calls)  # read lazily


GOOD = openai_shaped(
    lambda recording: (
        recording.path.endswith("/chat/completions")
        and isinstance(recording.request, dict)
        and isinstance(recording.request.get("model"), str)
        and recording.status == 200
    )
)


@pytest.mark.parametrize("recording", GOOD, ids=repr)
def test_recorded_requests_there_and_back(recording: Recording) -> None:
    """What is left of a real request once it was said in our words says the same when it is read again."""
    prompt = CHAT.decode_prompt(CHAT.decode_request(json.dumps(recording.request).encode()).fields)
    first = CHAT.encode_prompt(prompt, "m-1", KNOWN, lenient=True)
    again = CHAT.decode_prompt(CHAT.decode_request(first.body).fields)
    second = CHAT.encode_prompt(again, "m-1", KNOWN, lenient=False)
    assert second.body == first.body
    assert second.dropped == second.clamped == [] or first.clamped
    assert [turn.role for turn in again.turns] == [
        turn.role for turn in prompt.turns if turn.parts or turn.role == "user"
    ]
