"""Cancellation at every await of the request path, from the parsed request to the last byte, leaks nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from penstock.server.protocol import SocketExchange
from penstock.stores.pace import Pace
from penstock.testing import Cancel, Faults, Link, SimLoop, pipe, sweep_scenario
from penstock.wire.h1 import HttpRequest, RequestParser
from tests.stage import Stage, chat

# A first connect, several reads, a caller slow enough that writing waits, and every way a provider fails.
CASES = {
    "unary": chat(),
    "stream": chat(model="up/small:tokens=12,between=5ms", stream=True),
    "stream with usage": chat(stream=True, stream_options={"include_usage": True}),
    "long stream": chat(model="up/small:tokens=600,burst=30,between=1ms", stream=True),
    "no connection": chat(model="nobody/x"),
    "in process": chat(model="sim/small", stream=True),
    "provider's error": chat(model="up/small:status=500"),
    "cut": chat(model="up/small:cut=4,between=5ms", stream=True),
    "stall": chat(model="up/small:stall=3", stream=True),
    "reset": chat(model="up/small:reset=before_headers"),
    "unknown model": chat(model="nope"),
    "translated": chat(model="ant/small"),
    "translated stream": chat(model="ant/small:tokens=12,between=5ms", stream=True),
    "translated long stream": chat(model="ant/small:tokens=600,burst=30,between=1ms", stream=True),
    "translated cut": chat(model="ant/small:cut=4,between=5ms", stream=True),
    "translated error": chat(model="ant/small:status=529"),
    "untranslatable": chat(model="ant/small", n=2),
    "resumed": chat(model="matched", stream=True),
    "resumed by prefill": chat(model="continued", stream=True),
    "resumed in vain": chat(model="lost", stream=True),
    "hedged": chat(model="hedged"),
    "hedged stream": chat(model="hedged", stream=True),
    "hedged and resumed": chat(model="both", stream=True),
    "retried": chat(model="again"),
    "fallen back": chat(model="elsewhere", stream=True),
    "fallen back after a wait": chat(model="waits"),
    "fixed answer": chat(model="fixed"),
    "fixed answer as a stream": chat(model="fixed", stream=True),
}
OWN = ["unary", "stream", "cut", "reset", "translated stream"]
LONG = "tokens=40,between=5ms"
CONFIG: dict[str, Any] = {
    "providers": {
        "up": {"kind": "openai", "base_url": "http://provider:8000/v1", "api_key": "env:UP_KEY"},
        "ant": {"kind": "anthropic", "base_url": "http://provider:8000", "api_key": "env:UP_KEY"},
        "nobody": {"kind": "openai", "base_url": "http://nobody:1/v1", "api_key": "none"},
        "sim": {},
    },
    "models": {
        "fast": {"targets": ["up/small"]},
        "hedged": {
            "targets": ["up/small:head=200ms", "ant/small:head=100ms"],
            "hedge": {"after": "50ms", "most": "100%"},
        },
        "both": {
            "targets": ["up/small:head=200ms", "up/small:tokens=8,cut=4", "up/small:tokens=8"],
            "hedge": {"after": "50ms", "most": "100%"},
            "on_stream_cut": "resume",
        },
        "matched": {"targets": [f"up/small:{LONG},cut=20", f"up/small:{LONG}"], "on_stream_cut": "resume"},
        "continued": {"targets": [f"up/small:{LONG},cut=20", f"ant/small:{LONG}"], "on_stream_cut": "resume"},
        "lost": {
            "targets": [f"up/small:{LONG},cut=20", f"ant/large:{LONG},no_prefill", "up/small:status=503"],
            "on_stream_cut": "resume",
        },
        "again": {"targets": ["up/small:status=503,times=2"]},
        "elsewhere": {"targets": ["up/small:reset=before_headers", "nobody/x", "ant/small:tokens=8"]},
        "waits": {"targets": ["up/small:status=429,retry_after=1,times=1", "ant/small:status=529"]},
        "fixed": {"targets": ["up/small:status=503", "nobody/x"], "on_failure": {"message": "Later."}},
    },
    "defaults": {"timeouts": {"idle": "2s"}},
}
SLOW = Faults(up=Link(latency=0.001), down=Link(latency=0.001, chunking="random"))


def parsed(body: Any) -> HttpRequest:
    data = json.dumps(body).encode()
    parser = RequestParser()
    parser.feed(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(data), data)
    )
    return parser.ready[0]


class SlowReader(asyncio.Protocol):
    """A caller that stops reading again and again, so that the server's writing waits too."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.pause_reading()
        self.loop.call_later(0.01, self.transport.resume_reading)


def paces(stage: Stage) -> list[Pace]:
    """Of every deployment that was named or asked."""
    return [state for state in stage.gateway.shared.state if isinstance(state, Pace)]


@pytest.mark.parametrize("case", [*CASES, *(f"{case}, own layer" for case in OWN)])
def test_every_await(case: str) -> None:
    case, _, own = case.partition(", ")
    config = {**CONFIG, "layers": ["tests.layers.passing:Passing"] if own else []}

    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        async with Stage(loop, config) as stage:
            listener = stage.plane.listener
            connection = listener.connection()
            caller, _ = pipe(loop, SlowReader(loop), connection)
            http = parsed(CASES[case])
            work = stage.plane.routes.handle(
                http, SocketExchange(connection, listener, connection.peer, http.head.keep_alive, http.head)
            )
            assert work is not None
            await cancel(work)
            await loop.clock.sleep(3)
            assert stage.gateway.upstream_busy == 0, stage.gateway
            assert stage.gateway.metrics.in_flight.series[()] == 0
            assert not stage.gateway.live
            assert stage.provider.journal.open == 0
            assert not any(pace.in_flight for pace in paces(stage)), paces(stage)
            # A task that is cancelled before it runs has no request yet, and so no line.
            for line in stage.lines:
                assert all(attempt["outcome"] != "open" for attempt in line.get("attempts", []))
            assert len(stage.lines) <= 1
            caller.abort()

    awaits = sweep_scenario(scenario, faults=SLOW)
    assert awaits >= (0 if case in ("unknown model", "untranslatable") else 1), awaits
