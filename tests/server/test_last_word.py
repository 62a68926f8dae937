"""A caller that leaves at the last word, as the OpenAI SDK does at `[DONE]`, has had its whole answer.

Providers often send the end of the body apart from `[DONE]`; until it comes, the stream is not over on the wire, and
what may still come (a comment, a count) passes to those who stay.
"""

from __future__ import annotations

import json

from penstock.testing import SimLoop, run
from penstock.testing.provider import ScriptedUpstream
from tests.stage import Caller, Stage, chat

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENTS = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"role":"assistant","content":"Hello"},"finish_reason":null}]}\n\n'
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)
CONFIG = {"providers": {"late": {"kind": "openai", "base_url": "http://late:8000/v1", "api_key": "none"}}, "models": {}}


def upstream_of(loop: SimLoop) -> ScriptedUpstream:
    """A provider that says its last word at once, and closes the body 0.3 s later."""
    said = HEAD + b"%x\r\n%b\r\n" % (len(EVENTS), EVENTS)
    return ScriptedUpstream([(0.0, said), (0.3, b"0\r\n\r\n")], clock=loop.clock)


async def ask(caller: Caller) -> None:
    body = json.dumps(chat(model="late/m", stream=True)).encode()
    await caller.send("POST", "/v1/chat/completions", body, {"content-type": "application/json"})


def test_it_has_had_its_answer() -> None:
    async def main(loop: SimLoop) -> None:
        server = await loop.create_server(upstream_of(loop).connection, "late", 8000)
        async with Stage(loop, CONFIG) as stage:
            caller = await Caller.connect()
            await ask(caller)
            await caller.reader.readuntil(b"data: [DONE]\n\n")
            caller.close()
            await loop.clock.sleep(2)
            (line,) = stage.lines
            assert (line["status"], line.get("error")) == (200, None)
            assert line["attempts"][0]["outcome"] == "ok"
        server.close()

    run(main, leak_free=True)


def test_the_providers_connection_is_used_again() -> None:
    async def main(loop: SimLoop) -> None:
        upstream = upstream_of(loop)
        server = await loop.create_server(upstream.connection, "late", 8000)
        async with Stage(loop, CONFIG):
            for _ in range(2):
                caller = await Caller.connect()
                await ask(caller)
                await caller.reader.readuntil(b"data: [DONE]\n\n")
                caller.close()
                await loop.clock.sleep(1)
            assert len(upstream.received) == 1
        server.close()

    run(main, leak_free=True)
