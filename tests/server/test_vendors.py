"""What reaches vendors that do not take all of OpenAI's dialect, and what their callers are told of it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from penstock.providers.catalogue import Row, load_catalogue
from penstock.testing import ScriptedUpstream, SimLoop, run
from penstock.wire.h1 import HttpRequest
from tests.stage import ENV, Answer, Caller, Stage, ask, chat

KINDS = ("openai", "mistral", "deepseek", "ollama", "cerebras", "openrouter", "groq", "gemini")
CONFIG: dict[str, Any] = {
    "providers": {
        kind: {"kind": kind, "base_url": "http://provider:8000/v1", "api_key": "env:UP_KEY"} for kind in KINDS
    },
    "models": {},
}


def asked(path: str, body: Any) -> tuple[dict[str, Any], Answer, dict[str, Any]]:
    """The body that reached the provider, what the caller got, and the log line."""

    async def main(loop: SimLoop) -> tuple[dict[str, Any], Answer, dict[str, Any]]:
        async with Stage(loop, CONFIG) as stage:
            caller = await Caller.connect()
            answer = await caller.post(body, path)
            caller.close()
            await loop.clock.sleep(1)
            (seen,) = stage.provider.journal.log
            return json.loads(seen.body), answer, stage.lines[0]

    return run(main, leak_free=True)


FULL: dict[str, Any] = {
    "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
    "max_completion_tokens": 50,
    "store": False,
    "frequency_penalty": 0,
    "parallel_tool_calls": True,
}


@pytest.mark.parametrize(
    ("kind", "role", "limit", "dropped"),
    [
        ("openai", "developer", "max_completion_tokens", ""),
        ("mistral", "developer", "max_tokens", "store"),
        ("deepseek", "system", "max_tokens", ""),
        ("ollama", "system", "max_tokens", ""),
        ("cerebras", "system", "max_completion_tokens", "frequency_penalty, parallel_tool_calls"),
    ],
)
def test_a_request_of_openais(kind: str, role: str, limit: str, dropped: str) -> None:
    body, answer, line = asked("/v1/chat/completions", {"model": f"{kind}/small", **FULL})
    assert answer.status == 200
    assert body["messages"] == [{"role": role, "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert body[limit] == 50
    lost = dropped.split(", ") if dropped else []
    assert set(body) == ({*FULL, "model", limit} - {"max_completion_tokens", *lost}) | {limit}
    assert answer.headers.get("x-penstock-dropped", "") == dropped
    assert line.get("dropped", []) == lost


@pytest.mark.parametrize("kind", KINDS)
def test_a_streams_usage_is_asked_for_where_that_is_not_refused(kind: str) -> None:
    options = {"include_usage": True}
    sent: list[dict[str, Any]] = [{}, {"stream_options": options}]
    for more in sent:
        body, answer, _ = asked("/v1/chat/completions", chat(model=f"{kind}/small", stream=True, **more))
        assert body.get("stream_options") == (None if kind == "mistral" else options)
        assert answer.events[-1] == "[DONE]"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_of_anthropics(kind: str, stream: bool) -> None:
    path, question = ask("messages", model=f"{kind}/small", system="Be brief.", stream=stream)
    body, answer, _ = asked(path, question)
    assert answer.status == 200
    assert body["max_tokens"] == 200
    assert body["messages"][0]["role"] == "system"
    assert ("stream_options" in body) == (stream and kind != "mistral")


EARLIER: list[dict[str, Any]] = [
    {"role": "user", "content": "Is it raining?"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "I had better look.", "signature": ""},
            {"type": "tool_use", "id": "call_1", "name": "look", "input": {}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "It is."}]},
]
TOOLS = [{"name": "look", "input_schema": {"type": "object", "properties": {}}}]


@pytest.mark.parametrize(
    ("kind", "field"), [("deepseek", "reasoning_content"), ("openrouter", "reasoning"), ("groq", "")]
)
def test_earlier_thinking_goes_back_to_who_takes_it(kind: str, field: str) -> None:
    _, question = ask("messages", model=f"{kind}/small", tools=TOOLS)
    body, answer, _ = asked("/v1/messages", {**question, "messages": EARLIER})
    said = body["messages"][1]
    assert said["tool_calls"][0]["id"] == "call_1"
    assert {name: said[name] for name in said if "reason" in name} == ({field: "I had better look."} if field else {})
    assert answer.headers.get("x-penstock-dropped", "") == ("" if field else "messages.1.content.0")


def test_a_call_that_another_model_made_gets_a_thought() -> None:
    _, question = ask("messages", model="deepseek/small", tools=TOOLS)
    turns = [EARLIER[0], {"role": "assistant", "content": EARLIER[1]["content"][1:]}, EARLIER[2]]
    body, _, _ = asked("/v1/messages", {**question, "messages": turns})
    assert body["messages"][1]["reasoning_content"] == " "


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
def test_a_call_without_a_signature_gets_the_word_for_that_from_models_that_want_one(path: str) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    _, question = ask("messages", model="gemini/gemini-3-small", tools=TOOLS)
    turns: list[dict[str, Any]] = EARLIER
    if path != "/v1/messages":
        question = {"model": "gemini/gemini-3-small"}
        turns = [EARLIER[0], {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "call_1"}]
    body, _, _ = asked(path, {**question, "messages": turns})
    signed = {**call, "extra_content": {"google": {"thought_signature": "skip_thought_signature_validator"}}}
    assert body["messages"][1]["tool_calls"] == [signed]
    body, _, _ = asked(path, {**question, "model": "gemini/small", "messages": turns})
    assert body["messages"][1]["tool_calls"] == [call]


ANSWERS: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "id": "a", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    },
    "anthropic_messages": {
        "id": "a", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "Yes."}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 2},
    },
    "openai_embeddings": {
        "object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    },
}  # fmt: skip
PATHS = {"openai_chat": "/chat/completions", "anthropic_messages": "/messages", "openai_embeddings": "/embeddings"}
ALL = [row for row in load_catalogue().values() if not row.in_process and not row.retired]


def asked_of(row: Row, path: str, body: Any) -> tuple[HttpRequest, Answer]:
    """What reaches a provider of this kind that lives at another host, and what the caller gets."""
    dialect = row.dialects[0]
    said = json.dumps(ANSWERS[dialect]).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(said)}\r\n\r\n".encode()
    url = f"http://there:8000{urlsplit(row.url).path}"
    config = {"providers": {"p": {"kind": row.name, "base_url": url, "api_key": "env:UP_KEY"}}, "models": {}}

    async def main(loop: SimLoop) -> tuple[HttpRequest, Answer]:
        upstream = ScriptedUpstream([(0.0, head + said)])
        server = await loop.create_server(upstream.connection, "there", 8000)
        async with Stage(loop, config):
            caller = await Caller.connect()
            answer = await caller.post(body, path)
            caller.close()
        server.close()
        (request,) = upstream.requests
        return request, answer

    return run(main)


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.name)
@pytest.mark.parametrize("dialect", ["chat", "messages", "generate"])
def test_every_kind_answers_callers_of_every_dialect(row: Row, dialect: str) -> None:
    path, body = ask(dialect, model="p/m")
    if "openai_chat" not in row.dialects and "anthropic_messages" not in row.dialects:
        path, body = "/v1/embeddings", {"model": "p/m", "input": "x"}
    request, answer = asked_of(row, path, body)
    assert answer.status == 200
    sent = request.path.decode()
    assert sent == urlsplit(row.url).path + PATHS[row.dialects[0]] if row.url else sent.endswith(PATHS[row.dialects[0]])
    assert row.version_path in sent
    assert sum(ENV["UP_KEY"] in value.decode() for value in request.headers.values()) == 1
    assert json.loads(request.body)["model"] == "m"


def test_what_would_change_the_answer_is_left_to_the_vendor() -> None:
    body, _, _ = asked("/v1/chat/completions", chat(model="cerebras/small", frequency_penalty=0.5, n=1))
    assert (body["frequency_penalty"], body["n"]) == (0.5, 1)
