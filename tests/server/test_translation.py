"""Callers and providers that speak differently, through the server on a SimLoop."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.testing import SimLoop, run
from penstock.testing.provider import EOF, ScriptedUpstream
from tests.stage import Answer, Caller, Stage, ask, chat

ODD: dict[str, Any] = {
    "providers": {
        "odd": {"kind": "openai", "base_url": "http://odd:8000/v1", "api_key": "none"},
        "quaint": {"kind": "anthropic", "base_url": "http://odd:8000", "api_key": "none"},
        "lax": {"kind": "anthropic", "base_url": "http://provider:8000", "api_key": "env:UP_KEY"},
    },
    "models": {"lax": {"targets": ["lax/small"], "untranslatable": "drop"}},
}


def once(path: str, body: Any, config: dict[str, Any] | None = None, **headers: str) -> Answer:
    async def main(loop: SimLoop) -> Answer:
        async with Stage(loop, config) as stage:
            caller = await Caller.connect()
            answer = await caller.post(body, path, **headers)
            caller.close()
            await loop.clock.sleep(1)
            assert len(stage.lines) == 1
            return answer

    return run(main, leak_free=True)


def from_odd(body: bytes, kind: str, path: str, asked: dict[str, Any], *, status: int = 200) -> Answer:
    """What a caller gets from a provider that answers just so, however often it is asked."""
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode()

    async def main(loop: SimLoop) -> Answer:
        server = await loop.create_server(ScriptedUpstream([(0.0, head + body)]).connection, "odd", 8000)
        async with Stage(loop, ODD):
            caller = await Caller.connect()
            answer = await caller.post(asked, path)
            caller.close()
        server.close()
        return answer

    return run(main)


# --- what was lost is named


def test_what_was_dropped_and_clamped_is_named() -> None:
    answer = once("/v1/chat/completions", chat(model="ant/small", seed=1, temperature=1.5, store=False))
    assert answer.status == 200
    assert answer.headers["x-penstock-dropped"] == "seed, store"
    assert answer.headers["x-penstock-clamped"] == "temperature"


def test_what_would_change_the_answer_is_refused_in_the_callers_envelope() -> None:
    answer = once("/v1/chat/completions", chat(model="ant/small", logprobs=True))
    assert (answer.status, answer.error["param"]) == (400, "logprobs")
    path, body = ask("messages", model="up/small", top_k=3)
    answer = once(path, body)
    assert (answer.status, answer.json()["type"], answer.error["type"]) == (400, "error", "invalid_request_error")
    assert "top_k" in answer.error["message"]


def test_it_is_dropped_where_the_model_says_so() -> None:
    answer = once("/v1/chat/completions", chat(model="lax", logprobs=True), ODD)
    assert (answer.status, answer.headers["x-penstock-dropped"]) == (200, "logprobs")


def test_of_many_lost_fields_only_some_are_named() -> None:
    many: dict[str, Any] = {f"made_up_{number}_{'x' * 200}": number for number in range(1000)}
    answer = once("/v1/chat/completions", chat(model="ant/small", **many))
    assert answer.status == 200
    assert answer.headers["x-penstock-dropped"].endswith("..., and 970 more")
    assert len(answer.headers["x-penstock-dropped"]) < 4000


def test_the_same_dialect_loses_nothing() -> None:
    answer = once("/v1/chat/completions", chat(seed=1, n=2))
    assert answer.status == 200
    assert "x-penstock-dropped" not in answer.headers


# --- what of an answer is lost is named, too


RICH: dict[str, Any] = {
    "content": "Here: see A.",
    "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
    "annotations": [
        {"type": "url_citation", "url_citation": {"url": "https://a.test", "title": "A", "content": "What A says."}},
        {"type": "file", "file": {"hash": "h"}},
    ],
}
LOST = "message.images, message.annotations, citations"
CITATION = {
    "type": "web_search_result_location",
    "url": "https://a.test",
    "title": "A",
    "cited_text": "What A says.",
    "encrypted_index": "",
}


def rich(*, stream: bool) -> tuple[bytes, str]:
    usage = {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}
    choice = {"index": 0, "delta" if stream else "message": {"role": "assistant", **RICH}, "finish_reason": "stop"}
    body: dict[str, Any] = {"id": "c", "model": "m", "choices": [choice], "usage": usage, "citations": ["https://a"]}
    if not stream:
        return json.dumps({"object": "chat.completion", **body}).encode(), "application/json"
    data = json.dumps({"object": "chat.completion.chunk", **body})
    return f"data: {data}\n\ndata: [DONE]\n\n".encode(), "text/event-stream"


def lines_of(body: bytes, kind: str, path: str, asked: dict[str, Any]) -> tuple[Answer, dict[str, Any]]:
    """What a caller gets from a provider that answers just so, and the log line."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode()

    async def main(loop: SimLoop) -> tuple[Answer, dict[str, Any]]:
        server = await loop.create_server(ScriptedUpstream([(0.0, head + body)]).connection, "odd", 8000)
        async with Stage(loop, ODD) as stage:
            caller = await Caller.connect()
            answer = await caller.post(asked, path)
            caller.close()
            await loop.clock.sleep(1)
            server.close()
            (line,) = stage.lines
            return answer, line

    return run(main)


def test_pictures_and_sources_that_anthropics_callers_cannot_have_are_named() -> None:
    answer, line = lines_of(*rich(stream=False), *ask("messages", model="odd/m"))
    assert answer.json()["content"] == [{"type": "text", "text": "Here: see A.", "citations": [CITATION]}]
    assert sorted(answer.headers["x-penstock-dropped"].split(", ")) == sorted(LOST.split(", "))
    assert sorted(line["dropped"]) == sorted(LOST.split(", "))


def test_in_a_stream_they_are_named_at_its_end() -> None:
    answer, line = lines_of(*rich(stream=True), *ask("messages", model="odd/m", stream=True))
    cited = [event["delta"]["citation"] for event in answer.events if event.get("delta", {}).get("citation")]
    assert cited == [CITATION]
    assert answer.events[-1]["type"] == "message_stop"
    assert sorted(answer.events[-1]["penstock"]["dropped"]) == sorted(line["dropped"]) == sorted(LOST.split(", "))


def test_in_a_stream_pages_that_are_cited_behind_a_call_are_named() -> None:
    page = {"type": "url_citation", "url_citation": {"url": "https://a.test"}}
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    deltas: list[dict[str, Any]] = [{"content": "So."}, {"tool_calls": [call]}, {"annotations": [page]}]
    choices: list[dict[str, Any]] = [{"delta": delta} for delta in deltas]
    choices.append({"delta": {}, "finish_reason": "tool_calls"})
    chunks = (json.dumps({"id": "c", "model": "m", "choices": [{"index": 0, **choice}]}) for choice in choices)
    said = "".join(f"data: {chunk}\n\n" for chunk in chunks)
    body = f"{said}data: [DONE]\n\n".encode()
    answer, line = lines_of(body, "text/event-stream", *ask("messages", model="odd/m", stream=True))
    assert [event["content_block"]["type"] for event in answer.events if "content_block" in event] == [
        "text",
        "tool_use",
    ]
    assert answer.events[-1]["penstock"]["dropped"] == line["dropped"] == ["message.annotations"]


@pytest.mark.parametrize("stream", [False, True])
def test_penstocks_own_callers_are_warned_of_them(stream: bool) -> None:
    answer, line = lines_of(*rich(stream=stream), *ask("generate", model="odd/m", stream=stream))
    done = answer.events[-1] if stream else answer.json()
    told = [warning["message"].split("'")[1] for warning in done["warnings"] if warning["code"] == "dropped"]
    assert sorted(told) == sorted(line["dropped"]) == sorted(LOST.split(", "))
    assert done["message"]["annotations"][0]["url_citation"]["url"] == "https://a.test"


def test_openais_callers_hear_that_they_lack_what_anthropics_tools_found() -> None:
    blocks = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "text", "text": "So.", "citations": [{"type": "char_location", "document_index": 0}]},
    ]
    whole: dict[str, Any] = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": blocks}
    whole |= {"stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 2}}
    body = json.dumps(whole).encode()
    answer, line = lines_of(body, "application/json", *ask("chat", model="quaint/m"))
    assert answer.json()["choices"][0]["message"]["content"] == "So."
    assert line["dropped"] == [
        "content[].server_tool_use", "content[].web_search_tool_result", "content[].citations"
    ]  # fmt: skip
    assert answer.headers["x-penstock-dropped"] == ", ".join(line["dropped"])


# --- an answer in another form than was asked for


CHUNKS = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"role":"assistant","content":"Hello there, friend"},"finish_reason":null}]}\n\n'
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
WHOLE = json.dumps({
    "id": "c", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}).encode()  # fmt: skip


def test_a_stream_that_was_not_asked_for_becomes_one_answer() -> None:
    answer = from_odd(CHUNKS, "text/event-stream", *ask("messages", model="odd/m"))
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["content"] == [{"type": "text", "text": "Hello there, friend"}]


def test_a_whole_answer_to_one_who_asked_for_a_stream_becomes_a_stream() -> None:
    answer = from_odd(WHOLE, "application/json", *ask("messages", model="odd/m", stream=True))
    assert answer.headers["content-type"] == "text/event-stream"
    assert [event["type"] for event in answer.events] == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip


def test_it_does_where_both_speak_the_same_too() -> None:
    """A client that asked for one answer could not read a stream, and of a whole answer no stream reads anything."""
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
    counted = CHUNKS.replace(b"data: [DONE]", usage + b"data: [DONE]")
    answer = from_odd(counted, "text/event-stream", *ask("chat", model="odd/m"))
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["choices"][0]["message"]["content"] == "Hello there, friend"
    assert answer.json()["usage"]["completion_tokens"] == 4
    answer = from_odd(WHOLE, "application/json", *ask("chat", model="odd/m", stream=True))
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.text == "Hello"
    assert answer.events[-1] == "[DONE]"
    assert answer.events[-2]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("kind", ["text/plain", "application/json; charset=utf-8"])
def test_a_stream_that_is_called_something_else_is_called_one(kind: str) -> None:
    answer = from_odd(CHUNKS, kind, *ask("chat", model="odd/m", stream=True))
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.events[0]["choices"][0]["delta"]["content"] == "Hello there, friend"


def test_a_mark_before_a_whole_answer_loses_nothing_of_it() -> None:
    """A byte order mark: RFC 8259, section 8.1 lets readers ignore it."""
    answer = from_odd(b"\xef\xbb\xbf" + WHOLE, "application/json", *ask("messages", model="odd/m"))
    assert answer.json()["content"] == [{"type": "text", "text": "Hello"}]


@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_an_answer_that_comes_as_an_error_is_an_error(dialect: str) -> None:
    """A 500 with what a model said: nobody has counted it, and no client looks for it there."""
    answer = from_odd(WHOLE, "application/json", *ask(dialect, model="odd/m"), status=500)
    assert answer.status in (500, 502)
    assert "Hello" not in json.dumps(answer.json())
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("wait", [0.0, 1.0])
def test_the_input_is_told_at_a_streams_beginning_as_anthropic_does(wait: float) -> None:
    """Some clients (LangChain for JavaScript) take it from there alone; OpenAI's providers count at the end."""
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
    first, blank, rest = CHUNKS.replace(b"data: [DONE]", usage + b"data: [DONE]").partition(b"\n\n")
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    upstream = ScriptedUpstream([(0.0, head + first + blank), (wait, rest), (0.0, EOF)])

    async def main(loop: SimLoop) -> Answer:
        server = await loop.create_server(upstream.connection, "odd", 8000)
        async with Stage(loop, ODD):
            caller = await Caller.connect()
            path, body = ask("messages", model="odd/m", stream=True)
            answer = await caller.post(body, path)
            caller.close()
        server.close()
        return answer

    events = run(main).events
    start, end = events[0]["message"]["usage"], events[-2]["usage"]
    assert (3 if not wait else 10) <= start["input_tokens"] < 60  # where it is not known yet, by its size
    assert start["output_tokens"] == 0
    assert (end["input_tokens"], end["output_tokens"]) == (3, 4)


def test_a_whole_answers_count_is_known_at_its_streams_beginning() -> None:
    answer = from_odd(WHOLE, "application/json", *ask("messages", model="odd/m", stream=True))
    assert answer.events[0]["message"]["usage"]["input_tokens"] == 3


def test_a_stream_without_a_count_gets_an_estimate() -> None:
    answer = from_odd(CHUNKS, "text/event-stream", *ask("messages", model="odd/m", stream=True))
    (delta,) = [event for event in answer.events if event["type"] == "message_delta"]
    assert delta["usage"]["output_tokens"] == 5
    assert delta["usage"]["input_tokens"] > 5


@pytest.mark.parametrize("stream", [False, True])
def test_a_whole_answer_without_a_count_gets_an_estimate(stream: bool) -> None:
    uncounted = json.dumps({name: field for name, field in json.loads(WHOLE).items() if name != "usage"}).encode()
    answer = from_odd(uncounted, "application/json", *ask("messages", model="odd/m", stream=stream))
    (usage,) = [event["usage"] for event in (answer.events if stream else [answer.json()]) if "usage" in event]
    assert usage["output_tokens"] == 2
    assert usage["input_tokens"] > 5


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_cut_off_is_an_error(stream: bool) -> None:
    cut = CHUNKS[: CHUNKS.index(b"\n\n") + 2]
    answer = from_odd(cut, "text/event-stream", *ask("messages", model="odd/m", stream=stream))
    told = answer.events[-1] if stream else answer.json()
    assert told["type"] == "error"
    assert answer.status == (200 if stream else 502)


# --- routes of both vendors


def test_models_in_both_forms() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop):
            caller = await Caller.connect()
            ours = (await caller.get("/v1/models")).json()
            theirs = (await caller.get("/v1/models", anthropic_version="2023-06-01")).json()
            assert ours["object"] == "list"
            assert [card["id"] for card in theirs["data"]] == [card["id"] for card in ours["data"]]
            assert theirs["data"][0]["type"] == "model"
            assert (await caller.get("/anthropic/v1/models")).json() == theirs
            assert (await caller.get("/openai/v1/models", anthropic_version="2023-06-01")).json() == ours
            one = (await caller.get("/anthropic/v1/models/fast")).json()
            assert (one["id"], one["type"]) == ("fast", "model")
            none = await caller.get("/anthropic/v1/models/slow")
            assert (none.status, none.json()["type"], none.error["type"]) == (404, "error", "not_found_error")
            assert none.headers["request-id"] == none.headers["x-request-id"]
            caller.close()

    run(main, leak_free=True)


@pytest.mark.parametrize(
    ("model", "estimated", "path"),
    [("ant/small", False, "/v1"), ("up/small", True, "/v1"), ("up/small", True, "/anthropic/v1")],
)
def test_tokens_are_counted_or_estimated_and_marked(model: str, estimated: bool, path: str) -> None:
    _, body = ask("messages", "What is the weather in Rome tomorrow?", model)
    del body["max_tokens"]
    answer = once(f"{path}/messages/count_tokens", body)
    assert answer.status == 200
    assert 5 < answer.json()["input_tokens"] < 30
    assert answer.json().get("estimated", False) is estimated
    assert answer.headers.get("x-penstock-estimated") == ("true" if estimated else None)


def test_embeddings_of_a_provider_that_has_none() -> None:
    answer = once("/v1/embeddings", {"model": "ant/small", "input": "x"})
    assert (answer.status, answer.error["param"]) == (400, "model")
    assert "embeddings" in answer.error["message"]


@pytest.mark.parametrize("path", ["/v1/messages", "/anthropic/v1/messages"])
def test_wrong_requests_in_anthropics_envelope(path: str) -> None:
    answer = once(path, b'{"model": 3}')
    assert (answer.status, answer.json()["type"], answer.error["type"]) == (400, "error", "invalid_request_error")
    answer = once(path, {"model": "nope", "max_tokens": 5, "messages": []})
    assert (answer.status, answer.error["type"]) == (404, "not_found_error")


# --- Penstock's own contract


def test_generate() -> None:
    for model in ("up/small", "ant/small"):
        path, body = ask("generate", model=model, task="greeting", output_schema=None)
        result = once(path, body).json()
        assert (result["status"], result["contract"], result["attempts"]) == ("ok", "1", 1)
        assert result["text"]
        assert result["usage"]["output_tokens"] > 0
        assert result["model"] == "small"
        events = once(path, {**body, "stream": True}).events
        assert events[-1]["text"] == "".join(event["text"] for event in events[1:-2])
        assert events[-1]["latency_ms"] >= 0


def test_generate_says_what_failed() -> None:
    path, body = ask("generate", model="ant/small:status=429,retry_after=7")
    answer = once(path, body)
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert (answer.json()["status"], answer.error["code"]) == ("failed", "upstream_rate_limited")
    path, body = ask("generate", cache="no-store")
    assert once(path, body).error["code"] == "not_available"
