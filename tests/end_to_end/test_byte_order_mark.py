"""A byte order mark before a stream is no part of it (WHATWG HTML, 9.2.6).

Clients that do not know it, as OpenAI's own, take it for a part of the first line and do not hear the first event.
"""

from __future__ import annotations

import pytest

from penstock.testing import SimLoop, run
from penstock.testing.provider import ScriptedUpstream
from tests.end_to_end.sdk_reading import OpenAISdk
from tests.stage import Answer, Caller, Stage, ask

BOM = b"\xef\xbb\xbf"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[%b]}\n\n'
FIRST = CHUNK % b'{"index":0,"delta":{"role":"assistant","content":"Hello"},"finish_reason":null}'
REST = (
    CHUNK % b'{"index":0,"delta":{"content":" there"},"finish_reason":null}'
    + CHUNK % b'{"index":0,"delta":{},"finish_reason":"stop"}'
    + b"data: [DONE]\n\n"
)
MARKED = BOM + FIRST + REST
ODD = {"providers": {"odd": {"kind": "openai", "base_url": "http://odd:8000/v1", "api_key": "none"}}, "models": {}}

ARRIVALS = {
    "whole": [MARKED],
    "alone": [BOM, FIRST + REST],
    "bytewise": [MARKED[at : at + 1] for at in range(len(MARKED))],
    "before a comment": [BOM + b": here\n\n", FIRST, REST],
    "before nothing said": [
        BOM + CHUNK % b'{"index":0,"delta":{"role":"assistant"},"finish_reason":null}',
        FIRST,
        REST,
    ],
}


def streamed(pieces: list[bytes], dialect: str) -> Answer:
    """What a caller gets from a provider whose stream comes in these pieces, each its own chunk."""
    said = [(0.0, HEAD), *((0.001, b"%x\r\n%b\r\n" % (len(piece), piece)) for piece in pieces), (0.0, b"0\r\n\r\n")]

    async def main(loop: SimLoop) -> Answer:
        server = await loop.create_server(ScriptedUpstream(said, clock=loop.clock).connection, "odd", 8000)
        async with Stage(loop, ODD):
            caller = await Caller.connect()
            path, asked = ask(dialect, model="odd/m", stream=True)
            answer = await caller.post(asked, path)
            caller.close()
        server.close()
        return answer

    return run(main)


@pytest.mark.parametrize("pieces", ARRIVALS.values(), ids=ARRIVALS)
def test_it_does_not_reach_the_caller(pieces: list[bytes]) -> None:
    answer = streamed(pieces, "chat")
    assert answer.body == b"".join(pieces).removeprefix(BOM)
    assert OpenAISdk().read(answer, stream=True).text == "Hello there"


@pytest.mark.parametrize("pieces", ARRIVALS.values(), ids=ARRIVALS)
def test_nor_what_is_said_anew(pieces: list[bytes]) -> None:
    answer = streamed(pieces, "messages")
    assert BOM not in answer.body
    said = [event["delta"]["text"] for event in answer.events if event["type"] == "content_block_delta"]
    assert "".join(said) == "Hello there"


def test_behind_the_beginning_it_is_left_as_it_came() -> None:
    pieces = [FIRST, BOM + REST]
    assert streamed(pieces, "chat").body == FIRST + BOM + REST
