"""What a user of the library typed, as the fields of a request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.errors import InvalidRequest
from penstock.messages import Message
from penstock.wire.openai_chat import OpenAIChat
from penstock.wire.openai_compose import ChatArguments, compose_chat, compose_embeddings
from penstock.wire.splice import encode_object

STRICT = {
    "type": "object",
    "properties": {"a": {"type": "array", "items": {"type": "string"}}},
    "required": ["a"],
    "additionalProperties": False,
}


def composed(**arguments: Any) -> Any:
    return json.loads(encode_object(compose_chat(ChatArguments(model="fast", **arguments))))


def test_a_prompt() -> None:
    assert composed(prompt="Hi") == {"model": "fast", "messages": [{"role": "user", "content": "Hi"}]}


def test_everything() -> None:
    tool = {"type": "function", "function": {"name": "gauge"}}
    assert composed(
        prompt="Hi",
        system="Be brief.",
        temperature=0,
        max_tokens=9,
        tools=[tool],
        tool_choice="auto",
        output_schema=STRICT,
        user="u1",
        stop=["x"],
        stream=True,
        extra={"seed": 7, "temperature": 1.5},
    ) == {
        "model": "fast",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "temperature": 1.5,
        "max_completion_tokens": 9,
        "tools": [tool],
        "tool_choice": "auto",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "output", "schema": STRICT, "strict": True},
        },
        "user": "u1",
        "stop": ["x"],
        "stream": True,
        "seed": 7,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {}}, "required": [], "additionalProperties": False},
        {"type": "array", "items": {"type": "object"}},
        {**STRICT, "$defs": {"b": {"type": "object", "properties": {"c": {}}}}},
    ],
)
def test_strict_only_where_it_is_accepted(schema: dict[str, Any]) -> None:
    wanted = composed(prompt="Hi", output_schema=schema)["response_format"]["json_schema"]
    assert wanted == {"name": "output", "schema": schema}


def test_an_answer_goes_back_as_a_turn() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "gauge", "arguments": "{}"}}
    choice = {"index": 0, "message": {"content": "Hi.", "reasoning": "Hm.", "tool_calls": [call], "note": 1}}
    turn = OpenAIChat().decode_response(json.dumps({"choices": [choice]}).encode()).message
    tool = {"role": "tool", "tool_call_id": "c1", "content": "3 m"}
    assert composed(prompt=[{"role": "user", "content": "?"}, turn, tool])["messages"] == [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "Hi.", "tool_calls": [call], "note": 1},
        tool,
    ]
    answer = Message("tool", content="3 m", tool_call_id="c1", refusal="")
    assert composed(prompt=[answer])["messages"] == [tool]


@pytest.mark.parametrize("prompt", [None, 3, b"bytes", {"role": "user"}, [object()]])
def test_what_is_no_prompt(prompt: Any) -> None:
    with pytest.raises(InvalidRequest):
        composed(prompt=prompt)


def test_embeddings() -> None:
    fields = compose_embeddings(["a", "b"], "e", dimensions=8, extra={"user": "u"})
    assert json.loads(encode_object(fields)) == {"model": "e", "input": ["a", "b"], "dimensions": 8, "user": "u"}
    assert list(compose_embeddings("a", "e")) == ["model", "input"]
