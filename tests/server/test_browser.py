"""What browsers and front proxies see: CORS, OPTIONS, methods, names of the host, and who is said to call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from penstock.server.forwarded import Proxies
from penstock.testing import SimLoop, run
from tests.stage import Caller, Stage, chat

APP = "https://app.example"


def play(scene: Callable[[Caller], Awaitable[Any]], server: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    async def main(loop: SimLoop) -> list[dict[str, Any]]:
        async with Stage(loop, {"server": server or {}}) as stage:
            caller = await Caller.connect()
            await scene(caller)
            caller.close()
            await loop.clock.sleep(1)
            return stage.lines

    return run(main, leak_free=True)


def test_a_listed_origin_may_call_and_read() -> None:
    async def scene(caller: Caller) -> None:
        for stream in (False, True):
            answer = await caller.post(chat(stream=stream), origin=APP, sec_fetch_site="cross-site")
            assert answer.status == 200
            assert answer.headers["access-control-allow-origin"] == APP
            assert answer.headers["vary"] == "origin"
            assert "x-request-id" in answer.headers["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in answer.headers
        refused = await caller.post(b"{", origin=APP)
        assert (refused.status, refused.headers["access-control-allow-origin"]) == (400, APP)
        foreign = await caller.post(chat(), origin="https://evil.example")
        assert foreign.status == 403
        assert "access-control-allow-origin" not in foreign.headers
        assert (await caller.post(chat(), origin="null")).status == 403
        assert (await caller.post(chat())).headers["vary"] == "origin"

    play(scene, {"cors": [APP]})


def test_a_preflight() -> None:
    async def scene(caller: Caller) -> None:
        asks = {"origin": APP, "access-control-request-method": "POST"}
        wanted = "authorization, content-type, x-stainless-os"
        asked = {**asks, "access-control-request-headers": wanted}
        await caller.send("OPTIONS", "/v1/chat/completions", b"", asked)
        head = (await caller.reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 204 ")
        assert "content-length" not in head
        assert f"access-control-allow-headers: {wanted}\r\n" in head
        assert "access-control-allow-methods: POST, OPTIONS\r\n" in head
        evil = {**asked, "origin": "https://evil.example"}
        assert (await caller.ask("OPTIONS", "/v1/chat/completions", b"", evil)).status == 403
        assert (await caller.ask("OPTIONS", "/nowhere", b"", asked)).status == 404

    play(scene, {"cors": [APP]})


def test_without_cors_no_page_may_call() -> None:
    async def scene(caller: Caller) -> None:
        answer = await caller.ask("OPTIONS", "/v1/chat/completions", b"", {"origin": APP})
        assert answer.status == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]

    play(scene)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/chat/completions", "POST, OPTIONS"),
        ("DELETE", "/v1/models", "GET, HEAD, OPTIONS"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(method: str, path: str, allow: str) -> None:
    async def scene(caller: Caller) -> None:
        answer = await caller.ask(method, path, b"", {})
        assert (answer.status, answer.headers["allow"]) == (405, allow)

    play(scene)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("gateway.example", 200), ("Gateway.Example:8484", 200), ("a.below.example", 200), ("below.example", 403),
        ("evilbelow.example", 403), ("other.example", 403), ("localhost", 200), ("127.0.0.1", 200),
    ],
)  # fmt: skip
def test_hosts(host: str, status: int) -> None:
    async def scene(caller: Caller) -> None:
        assert (await caller.post(chat(), host=host)).status == status

    play(scene, {"hosts": ["gateway.example", "*.below.example"]})


PROXIES = Proxies(["10.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    ("peer", "headers", "caller"),
    [
        ("192.0.2.1", {b"x-forwarded-for": b"203.0.113.9"}, "192.0.2.1"),
        ("10.0.0.1", {}, "10.0.0.1"),
        ("10.0.0.1", {b"x-forwarded-for": b"203.0.113.9"}, "203.0.113.9"),
        ("10.0.0.1", {b"x-forwarded-for": b"6.6.6.6, 203.0.113.9, 10.2.3.4"}, "203.0.113.9"),
        ("10.0.0.1", {b"x-forwarded-for": b"203.0.113.9:4711"}, "203.0.113.9"),
        ("10.0.0.1", {b"x-forwarded-for": b"6.6.6.6, unknown"}, "10.0.0.1"),
        ("::1", {b"forwarded": b'for=6.6.6.6;proto=https, For="[2001:db8::7]:4711"'}, "2001:db8::7"),
        ("::ffff:10.0.0.1", {b"x-forwarded-for": b"203.0.113.9"}, "203.0.113.9"),
        ("10.0.0.1", {b"x-forwarded-for": b"::ffff:203.0.113.9"}, "203.0.113.9"),
        ("10.0.0.1", {b"x-forwarded-for": b"203.0.113.9", b"forwarded": b"for=6.6.6.6"}, "10.0.0.1"),
    ],
)
def test_whose_word_is_taken(peer: str, headers: dict[bytes, bytes], caller: str) -> None:
    assert PROXIES.caller(peer, headers) == caller


def test_the_log_line_names_the_caller() -> None:
    async def scene(caller: Caller) -> None:
        await caller.post(chat(), x_forwarded_for="203.0.113.9")

    (line,) = play(scene)
    assert line["address"] == "127.0.0.1"
    (line,) = play(scene, {"trusted_proxies": ["127.0.0.1"]})
    assert line["address"] == "203.0.113.9"


def test_above_the_limit_a_caller_is_told_to_come_back() -> None:
    async def scene(caller: Caller) -> None:
        assert (await caller.get("/healthz")).status == 200
        second = await Caller.connect()
        answer = await second.receive()
        assert (answer.status, answer.headers["connection"], answer.headers["retry-after"]) == (503, "close", "1")
        second.close()
        assert (await caller.get("/healthz")).status == 200

    play(scene, {"max_connections": 1})
