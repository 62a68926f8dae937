"""The data plane over the simulated network: routes, guards, errors in the caller's dialect, limits, drain."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from penstock.records import LONGEST_NAME
from penstock.testing import SimLoop, run
from tests.stage import ENV, Caller, Stage, chat

KEYS = {
    "auth": "required",
    "keys": [
        {"name": "app", "key": "env:APP_KEY", "tenant": "acme"},
        {"name": "other", "key": "env:OTHER_KEY", "models": ["sim/*"], "user": "trusted"},
    ],
}


Scene = Callable[[Stage, Caller], Awaitable[Any]]


def play(scene: Scene, config: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Run a scene on a fresh stage; returns the request log."""

    async def main(loop: SimLoop) -> list[dict[str, Any]]:
        async with Stage(loop, config) as stage:
            caller = await Caller.connect()
            try:
                await scene(stage, caller)
            finally:
                caller.close()
                await loop.clock.sleep(1)
            assert stage.gateway.upstream_busy == 0
            return stage.lines

    return run(main, leak_free=True)


# --- routes


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1"])
def test_chat_and_embeddings_under_both_prefixes(prefix: str) -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        answer = await caller.post(chat(), f"{prefix}/chat/completions")
        assert answer.status == 200
        assert answer.json()["choices"][0]["message"]["content"]
        answer = await caller.post({"model": "up/embed", "input": ["a", "b"]}, f"{prefix}/embeddings")
        assert len(answer.json()["data"]) == 2
        answer = await caller.get(f"{prefix}/models")
        assert {"fast", "sim/small"} <= {card["id"] for card in answer.json()["data"]}
        assert (await caller.get(f"{prefix}/models/fast")).json()["owned_by"] == "up"
        assert (await caller.get(f"{prefix}/models/sim/small")).json()["id"] == "sim/small"
        assert (await caller.get(f"{prefix}/models/nope")).status == 404

    play(scene)


def test_the_headers_of_the_contract() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        for stream in (False, True):
            answer = await caller.post(chat(stream=stream))
            headers = answer.headers
            assert headers["x-request-id"] == stage.lines[-1]["id"]
            assert headers["x-penstock-target"] == "up/small"
            assert headers["x-penstock-attempts"] == "1"
            assert headers["x-penstock-cache"] == "off"
            assert int(headers["x-penstock-overhead-us"]) >= 0
            assert not {name for name in headers if name.startswith("openai-organization")}

    play(scene)


def test_the_line_knows_what_a_stream_took() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        answer = await caller.post(chat(model="up/small:first_token=2s,between=100ms,tokens=11", stream=True))
        assert answer.events[-1] == "[DONE]"
        assert not any(event.get("usage") for event in answer.events[:-1]), "nobody asked for usage"
        asked = chat(stream=True, stream_options={"include_usage": True})
        assert (await caller.post(asked)).events[-2]["usage"]["completion_tokens"] > 0

    first, _ = play(scene)
    assert first["tokens"] == {
        "input": 9, "output": 11, "cache_read": 0, "cache_write": 0, "reasoning": 0, "estimated": False,
    }  # fmt: skip
    assert 2000 <= first["first_output_ms"] < 2100
    assert 3000 <= first["ms"] < 3200
    assert first["overhead_ms"] < 1
    assert (first["finish_reason"], first["response_model"], first["stream"]) == ("stop", "small", True)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("POST", "/chat/completions", 404, "not_found"),
        ("GET", "/v1/chat/completions", 405, "not_found"),
        ("POST", "/v1/models", 405, "not_found"),
        ("DELETE", "/v1/embeddings", 405, "not_found"),
        ("POST", "/v1/responses", 404, "not_available"),
        ("GET", "/v1/requests/abc", 404, "not_found"),
        ("POST", "/v1/chat/completions/", 404, "not_found"),
        ("POST", "//v1/chat/completions", 404, "not_found"),
        ("POST", "/v1/../v1/chat/completions", 404, "not_found"),
        ("POST", "/v1/%63hat/completions", 404, "not_found"),
    ],
)
def test_other_paths_and_methods(method: str, path: str, status: int, code: str) -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        answer = await caller.ask(method, path, b"{}", {"content-type": "application/json"})
        assert (answer.status, answer.error["code"]) == (status, code)
        assert answer.headers["x-request-id"]

    (line,) = play(scene)
    assert line["status"] == status


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/index.php?key=sk-1234", "/index.php"),
        ("GET", "/", "/"),
        ("GET", "/api/models", "/api/models"),
        ("GET", "/v1/chat/completions", "/v1/chat/completions"),
        ("OPTIONS", "/nowhere", "/nowhere"),
        ("GET", "/v1/psk_live_1TDCHZ3JAhX21ZwYKJBc2jGzlOr0moNjV/chat", "/v1/***/chat"),
        ("GET", "/v1/key=sk-proj-abcdefghijklmnopqrstuvwxyz0123456789", "/v1/key=***"),
        ("GET", "/v1/models/nope", None),
    ],
)
def test_the_line_tells_the_path_that_nobody_serves(method: str, path: str, told: str | None) -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        await caller.ask(method, path, b"", {})

    (line,) = play(scene)
    assert line.get("path") == told
    assert line["status"] >= 400
    assert line["operation"] == ("models" if path == "/v1/models/nope" else "http")


def test_however_long_a_path_is_the_line_stays_short() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        for end in "ab":
            await caller.get("/" + "x" * 3000 + end)

    first, second = play(scene)
    assert len(first["path"]) == len(second["path"]) == LONGEST_NAME
    assert first["path"] != second["path"]


# --- guards


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example:8484"}, 403),
        ({"host": "localhost:9"}, 200),
        ({"host": "LOCALHOST"}, 200),
        ({"host": "[::1]:8484"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:8484"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": ""}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "Application/JSON"}, 200),
        ({"content-encoding": "gzip"}, 415),
        ({"x-penstock-deadline": "5s"}, 200),
        ({"x-penstock-task": "summary"}, 200),
        ({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, 200),
    ],
)
def test_guards(headers: dict[str, str], status: int) -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        answer = await caller.post(chat(), **headers)
        assert answer.status == status, answer.body
        if status == 400:
            assert answer.error["code"] == "not_available"

    play(scene)


def test_nothing_of_the_caller_reaches_the_provider_but_its_body() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        headers = {
            "authorization": "Bearer caller-secret", "cookie": "a=b", "x-penstock-task": "t", "x-custom": "1",
            "openai-beta": "assistants=v2", "openai-organization": "org-x",
        }  # fmt: skip
        await caller.post(chat(), "/v1/chat/completions?api-version=7&key=abc&x=y", **headers)
        seen = stage.provider.journal.log[-1]
        assert seen.outcome == "done", "with our credential, which this provider asks for"
        assert seen.headers[b"openai-beta"] == b"assistants=v2"
        assert set(seen.headers) == {
            b"host", b"user-agent", b"accept", b"accept-encoding", b"content-type", b"content-length",
            b"authorization", b"openai-beta",
        }  # fmt: skip
        assert seen.query == "api-version=7&x=y"

    (line,) = play(scene)
    assert line["task"] == "t"


# --- keys


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Basic cHNrOng="}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"authorization": f"Bearer {ENV['APP_KEY']}"}, 200),
        ({"authorization": f"bearer {ENV['APP_KEY']}"}, 200),
        ({"x-api-key": ENV["APP_KEY"]}, 200),
        ({"api-key": ENV["APP_KEY"]}, 200),
        ({"x-goog-api-key": ENV["APP_KEY"]}, 200),
        ({"authorization": f"Bearer {ENV['OTHER_KEY']}"}, 403),
    ],
)
def test_keys(headers: dict[str, str], status: int) -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        answer = await caller.post(chat(), **headers)
        assert answer.status == status, answer.body
        assert ENV["APP_KEY"].encode() not in answer.body

    (line,) = play(scene, KEYS)
    assert line.get("tenant") == ("acme" if status == 200 else None)
    assert not any(secret in json.dumps(line) for secret in ENV.values())


def test_a_key_in_the_query_and_what_it_may_list() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        assert (await caller.post(chat(), f"/v1/chat/completions?key={ENV['APP_KEY']}")).status == 200
        assert (await caller.get("/v1/models")).status == 401
        bearer = {"authorization": f"Bearer {ENV['OTHER_KEY']}"}
        listed = (await caller.get("/v1/models", **bearer)).json()["data"]
        assert {card["id"] for card in listed} == {"sim/small", "sim/large", "sim/embed"}
        assert (await caller.get("/v1/models/fast", **bearer)).status == 404
        user = {**bearer, "x-penstock-user": "u1"}
        assert (await caller.post(chat(model="sim/small"), **user)).status == 200

    lines = play(scene, KEYS)
    assert lines[-1]["user"] == "u1"


# --- bad input: never a 5xx for the caller's mistake


DEEP = b"[" * 100_000
BAD_BODIES = {
    "empty": b"",
    "not JSON": b"hello",
    "half": b'{"model": "fast", "messages": [',
    "a list": b"[]",
    "a string": b'"x"',
    "null": b"null",
    "NaN": b'{"model": "fast", "messages": [], "temperature": NaN}',
    "Infinity": b'{"model": "fast", "messages": [], "temperature": -Infinity}',
    "deep": b'{"model": "fast", "messages": ' + DEEP,
    "deep and closed": b'{"model": "fast", "messages": ' + DEEP + b"]" * 100_000 + b"}",
    "invalid UTF-8": b'{"model": "fast", "messages": [{"role": "user", "content": "\xff"}]}',
    "half a character": '{"model": "fast", "messages": "é"}'.encode()[:-3],
    "two values": b'{"model": "fast"} {"model": "fast"}',
    "no model": b'{"messages": []}',
    "model is a number": b'{"model": 7, "messages": []}',
    "model is null": b'{"model": null, "messages": []}',
    "model is empty": b'{"model": "", "messages": []}',
    "model is huge": b'{"model": "' + b"x" * 100_000 + b'", "messages": []}',
    "model with a newline": b'{"model": "up/a\\r\\nx: y", "messages": []}',
    "stream is a string": b'{"model": "fast", "messages": [], "stream": "yes"}',
    "stream_options is a list": b'{"model": "fast", "messages": [], "stream": true, "stream_options": []}',
    "unknown model": b'{"model": "fats", "messages": []}',
    "control character": b'{"model": "fast\x01", "messages": []}',
    "a million digits": b'{"model": "fast", "messages": [], "seed": ' + b"9" * 1_000_000 + b"x}",
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_bad_bodies(case: str) -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        answer = await caller.post(BAD_BODIES[case])
        assert 400 <= answer.status < 500, (answer.status, answer.body)
        assert answer.error["message"]
        assert len(answer.body) < 4000
        assert (await caller.post(chat())).status == 200, "the connection goes on"

    play(scene)


def test_invalid_json_is_told_with_its_place_and_an_unknown_model_with_the_nearest() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        message = (await caller.post(b'{"model": "fast",\n "messages": oops}')).error["message"]
        assert "line 2" in message or "2:" in message
        assert "fast" in (await caller.post(chat(model="fats"))).error["message"]

    play(scene)


def test_what_is_not_http_is_refused_and_closed() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        caller.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        answer = await caller.receive()
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        assert answer.error["message"]
        assert await caller.reader.read() == b""

    (line,) = play(scene)
    assert line["status"] == 400


@pytest.mark.parametrize(
    ("target", "kind"),
    [("/v1/chat/completions", "invalid_request_error"), ("/anthropic/v1/messages?beta=true", "request_too_large")],
)
@pytest.mark.parametrize("framing", [b"content-length: 5000\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n1400\r\n"])
def test_a_body_over_the_cap_is_refused_before_it_is_read(target: str, kind: str, framing: bytes) -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        caller.writer.write(b"POST %b HTTP/1.1\r\nhost: localhost\r\n%b" % (target.encode(), framing) + b"x" * 4999)
        answer = await caller.receive()
        assert answer.status == 413
        assert answer.error["type"] == kind

    play(scene, {"server": {"max_body": "4KiB"}})


# --- connections


def test_pipelined_requests_are_answered_in_order() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        for text in ("first", "second", "third"):
            await caller.send("POST", "/v1/chat/completions", json.dumps(chat(text)).encode(), JSON)
        # A reader that takes all, since answers may come together.
        data = b""
        while data.count(b'"object":"chat.completion"') < 3:
            data += await caller.reader.read(65536)
        assert data.index(b"first") < data.index(b"second") < data.index(b"third")

    play(scene)


JSON = {"content-type": "application/json"}


def test_http_1_0_gets_a_stream_that_ends_with_the_connection() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        body = json.dumps(chat(stream=True)).encode()
        head = f"POST /v1/chat/completions HTTP/1.0\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
        caller.writer.write(head.encode() + b"content-type: application/json\r\n\r\n" + body)
        data = await caller.reader.read()
        assert b"transfer-encoding" not in data
        assert data.endswith(b"data: [DONE]\n\n")

    play(scene)


def test_expect_continue_is_answered_before_the_body() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        body = json.dumps(chat()).encode()
        asked = {**JSON, "expect": "100-continue", "content-length": str(len(body))}
        await caller.send("POST", "/v1/chat/completions", b"", asked)
        assert (await caller.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        caller.writer.write(body)
        assert (await caller.receive()).status == 200

    play(scene)


HALF = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nab"


@pytest.mark.parametrize(("sent", "after"), [(b"", 75), (b"POST /v1", 10), (HALF, 15)])
def test_a_connection_that_says_too_little_is_closed(sent: bytes, after: float) -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        loop = stage.loop
        started = loop.time()
        caller.writer.write(sent)
        answer = await caller.reader.read()
        assert after <= loop.time() - started <= after + 4
        assert answer.startswith(b"HTTP/1.1 408") == bool(sent)

    play(scene)


@pytest.mark.parametrize("moment", [0.5, 3.0])
def test_a_caller_that_leaves_closes_the_upstream_at_once(moment: float) -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        model = "up/small:first_token=2s,between=100ms,tokens=50"
        await caller.send("POST", "/v1/chat/completions", json.dumps(chat(model=model, stream=True)).encode(), JSON)
        await stage.loop.clock.sleep(moment)
        left = stage.loop.time()
        caller.close()
        while stage.provider.journal.open:
            await stage.loop.clock.sleep(0.01)
        assert stage.loop.time() - left <= 0.25
        assert stage.provider.journal.disconnects == 1

    (line,) = play(scene)
    assert (line["status"], line["error"], line["attempts"][0]["outcome"]) == (499, "cancelled", "cancelled")


def test_a_caller_that_does_not_read_stops_the_provider_and_is_cut() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        caller.pause()
        model = "up/small:tokens=20000,burst=50"
        await caller.send("POST", "/v1/chat/completions", json.dumps(chat(model=model, stream=True)).encode(), JSON)
        await stage.loop.clock.sleep(20)
        assert stage.provider.journal.open == 1, "held, not buffered to its end"
        await stage.loop.clock.sleep(15)
        assert stage.provider.journal.open == 0

    (line,) = play(scene)
    assert line["status"] == 499


def test_a_caller_that_never_takes_the_last_word_has_not_had_its_answer() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        caller.pause()
        model = "up/small:tokens=380,burst=380"  # the last word comes in the read that fills the buffer
        await caller.send("POST", "/v1/chat/completions", json.dumps(chat(model=model, stream=True)).encode(), JSON)
        await stage.loop.clock.sleep(40)

    (line,) = play(scene)
    assert (line["status"], line["error"]) == (499, "cancelled")


# --- drain


def test_drain_refuses_the_new_and_finishes_the_open() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        second = await Caller.connect()
        model = "up/small:between=100ms,tokens=30"
        running = asyncio.ensure_future(caller.post(chat(model=model, stream=True)))
        await stage.loop.clock.sleep(1)
        draining = asyncio.ensure_future(stage.plane.drain(60))
        await stage.loop.clock.sleep(0.1)
        assert await second.reader.read() == b"", "an idle connection is closed"
        second.close()
        probe = await Caller.connect()
        assert (await probe.get("/readyz")).status == 503
        assert await probe.reader.read() == b"", "and so is one that asked in between"
        late = await Caller.connect()
        refused = await late.post(chat())
        assert (refused.status, refused.error["code"]) == (503, "overloaded")
        assert "retry-after" in refused.headers
        probe.close()
        late.close()
        assert (await running).events[-1] == "[DONE]"
        await draining
        assert await caller.reader.read() == b""
        with pytest.raises(OSError):
            await Caller.connect()

    play(scene)


def test_drain_lets_what_was_written_leave() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        slow = await Caller.connect()
        slow.pause()
        wanted = chat(model="up/large:tokens=60000")
        await slow.send("POST", "/v1/chat/completions", json.dumps(wanted).encode(), JSON)
        await stage.loop.clock.sleep(1)
        assert not stage.plane.listener.busy, "answered, and most of it waits in the server's buffer"
        draining = asyncio.ensure_future(stage.plane.drain(20))
        await stage.loop.clock.sleep(5)
        assert not draining.done()
        slow.resume()
        answer = await slow.receive()
        assert answer.whole
        assert len(answer.body) > 200_000
        await draining
        slow.close()

    play(scene)


def test_drain_ends_what_takes_too_long_and_says_so() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        waiting, other = await Caller.connect(), await Caller.connect()
        running = asyncio.ensure_future(caller.post(chat(model="up/small:between=5s,tokens=300", stream=True)))
        unary = asyncio.ensure_future(other.post(chat(model="up/small:first_token=100s")))
        kept = asyncio.ensure_future(waiting.post(chat(model="up/small:first_token=100s", stream=True)))
        await stage.loop.clock.sleep(20)
        await stage.plane.drain(3)
        begun, told, held = await running, await unary, await kept
        assert begun.whole
        assert begun.text
        assert begun.events[-1]["error"]["code"] == "overloaded"
        assert (told.status, told.error["code"], told.headers["retry-after"]) == (503, "overloaded", "1")
        assert (held.status, held.whole) == (200, True)
        assert held.body.startswith(b":"), "it was told that it is waited for"
        assert [event["error"]["code"] for event in held.events] == ["overloaded"]
        waiting.close()
        other.close()

    lines = sorted((line["status"], line.get("error", ""), line.get("stream_error", "")) for line in play(scene))
    assert lines == [(200, "", "overloaded"), (200, "", "overloaded"), (503, "overloaded", "")]


def test_a_drain_without_patience_cuts() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        running = asyncio.ensure_future(caller.post(chat(model="up/small:between=1s,tokens=300", stream=True)))
        await stage.loop.clock.sleep(5)
        await stage.plane.drain(0)
        assert not (await running).whole, "not a clean end"

    play(scene)


def test_readiness() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        assert (await caller.get("/healthz")).body == b"ok\n"
        assert (await caller.get("/readyz")).status == 200
        stage.plane.routes.ready = False
        assert (await caller.get("/readyz")).status == 503
        assert (await caller.get("/healthz")).status == 200
        assert (await caller.post(chat())).status == 503

    play(scene)
