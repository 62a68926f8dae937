"""Providers that answer anything but what they should: callers get a whole answer, an error, or one that is marked."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from penstock.records import shortened
from penstock.testing import SimLoop, run
from penstock.testing.provider import ScriptedUpstream
from tests.stage import Answer, Caller, Stage, ask

CONFIG: dict[str, Any] = {
    "providers": {"odd": {"kind": "openai", "base_url": "http://odd:8000/v1", "api_key": "none"}},
    "models": {"odd": {"targets": ["odd/m"], "timeouts": {"first_token": "2s", "idle": "2s", "attempt": "3s"}}},
}
WHOLE = json.dumps({
    "id": "c", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello there"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}).encode()  # fmt: skip


def event(data: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps(data).encode()


def chunk(text: str | None, finish: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices})


DONE = b"data: [DONE]\n\n"
SAID, ENDED = chunk("Hello") + chunk(" there"), chunk(None, "stop") + DONE
ERROR = event({"error": {"message": "overloaded", "type": "server_error", "code": None}})
JSON, SSE = b"application/json", b"text/event-stream"


def response(status: int, body: bytes, kind: bytes = JSON, *more: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = b"".join(line + b"\r\n" for line in (b"content-type: " + kind, *more, b"content-length: %d" % size))
    return b"HTTP/1.1 %d X\r\n%b\r\n%b" % (status, lines, body)


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


# What a provider answers whatever it is asked, and what comes of it: `marked` is text, and then an error.
SHAPES: dict[str, tuple[bytes, str]] = {
    "200 with an error": (response(200, ERROR[6:].strip()), "error"),
    "200 with a page": (response(200, b"<html>Sign in</html>", b"text/html"), "error"),
    "200 with a page that is called a stream": (response(200, b"<html>Sign in</html>", SSE), "error"),
    "200 with nothing": (response(200, b""), "error"),
    "200 with null": (response(200, b"null"), "error"),
    "200 with an empty stream": (chunked(), "error"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "error"),
    "redirect": (response(307, b"", JSON, b"location: http://odd:8000/elsewhere"), "error"),
    "500 with an answer": (response(500, WHOLE), "error"),
    "500 with the stream of an answer": (response(500, SAID + ENDED, SSE), "error"),
    "529": (response(529, b"{}"), "error"),
    "599": (response(599, b""), "error"),
    "700": (response(700, WHOLE), "error"),
    "429, wait a negative time": (response(429, b"{}", JSON, b"retry-after: -5"), "error"),
    "429, wait for a billion seconds": (response(429, b"{}", JSON, b"retry-after: 1e9"), "error"),
    "early hints first": (b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + response(200, WHOLE), "whole"),
    "websocket": (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n\x81\x05hello", "error"),
    "trailers": (chunked(SAID, ENDED, end=b"0\r\nx-checksum: 17\r\n\r\n"), "whole"),
    "two answers": (response(200, WHOLE) * 2, "whole"),
    "compressed": (response(200, gzip.compress(WHOLE), JSON, b"content-encoding: gzip"), "error"),
    "compressed without a word": (response(200, gzip.compress(WHOLE)), "error"),
    "shorter than it says": (response(200, WHOLE, length=len(WHOLE) + 50), "error"),
    "longer than it says": (response(200, WHOLE, length=len(WHOLE) - 10), "error"),
    "negative length": (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n" + WHOLE, "error"),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00", "error"),
    "the other form": (response(200, WHOLE), "whole"),
    "a stream": (chunked(SAID, ENDED), "whole"),
    "comments alone": (chunked(b": hi\n\n" * 10), "error"),
    "the last word alone": (chunked(DONE), "error"),
    "an error at first": (chunked(ERROR), "error"),
    "an error in the midst": (chunked(SAID, ERROR), "marked"),
    "an error, and on it goes": (chunked(SAID, ERROR, chunk(" friend"), ENDED), "marked"),
    "an end without a reason": (chunked(SAID), "marked"),
    "a page in the midst": (chunked(SAID, b"<html>502 Bad Gateway</html>\n\n"), "marked"),
    "half an event": (chunked(SAID, chunk(" friend")[:20]), "marked"),
    "cut": (chunked(SAID, end=b""), "marked"),
}


def answered(raw: bytes, *, dialect: str, stream: bool) -> Answer:
    async def main(loop: SimLoop) -> Answer:
        server = await loop.create_server(ScriptedUpstream(raw).connection, "odd", 8000)
        async with Stage(loop, CONFIG) as stage:
            caller = await Caller.connect()
            path, asked = ask(dialect, model="odd", stream=stream)
            answer = await caller.post(asked, path)
            caller.close()
            await loop.clock.sleep(1)
            assert len(stage.lines) == 1
        server.close()
        return answer

    return run(main)


@pytest.mark.parametrize("status", [200, 400, 503])
@pytest.mark.parametrize(
    "kind",
    [b"text/html; charset=utf-8", b"image/svg+xml", b"application/xhtml+xml", b"application/\x80y", b"x\x80y", b""],
)
def test_what_is_json_is_called_so_whatever_its_provider_calls_it(status: int, kind: bytes) -> None:
    said = WHOLE if status == 200 else b'{"error": {"message": "<script>alert(1)</script>", "type": "x", "code": null}}'
    answer = answered(response(status, said, kind), dialect="chat", stream=False)
    assert (answer.status, answer.body) == (status, said)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "kind",
    [b"application/json", b"application/json; charset=utf-8", b"application/octet-stream", b"application/problem+json"],
)
def test_what_is_called_json_keeps_its_name(kind: bytes) -> None:
    for status, said in ((200, WHOLE), (400, b'{"error": {"message": "no"}}')):
        answer = answered(response(status, said, kind), dialect="chat", stream=False)
        assert (answer.status, answer.headers["content-type"]) == (status, kind.decode())


def told_by(answer: Answer, *, stream: bool) -> tuple[str, str]:
    """How it ended, and the text in it."""
    if answer.status != 200:
        assert answer.json()["error"]["message"]
        return "error", ""
    if not stream:
        body = answer.json()
        if "choices" in body:
            return "whole", body["choices"][0]["message"]["content"]
        return "whole", body["content"][0]["text"]
    text, end = "", ""
    for one in answer.events:
        assert end != "marked", f"{one} behind the error"
        if one == "[DONE]" or one.get("type") == "message_stop":
            end = "whole"
        elif one.get("error"):
            end = "marked"
        for choice in one.get("choices", ()) if isinstance(one, dict) else ():
            text += choice["delta"].get("content") or ""
        if isinstance(one, dict) and one.get("type") == "content_block_delta":
            text += one["delta"]["text"]
    return end, text


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("dialect", ["chat", "messages"])
@pytest.mark.parametrize("name", SHAPES)
def test_a_hostile_provider(name: str, dialect: str, stream: bool) -> None:
    raw, expected = SHAPES[name]
    end, text = told_by(answered(raw, dialect=dialect, stream=stream), stream=stream)
    if expected == "marked" and not stream:
        expected = "error"  # of one answer a part is none
    assert end == expected
    assert text == ("Hello there" if expected != "error" else "")


@pytest.mark.parametrize("stream", [False, True])
def test_of_what_it_calls_its_model_a_line_keeps_the_beginning(stream: bool) -> None:
    long, end = b"m" * 30_000, b"f" * 300
    pieces = (SAID, ENDED) if stream else (WHOLE,)
    longer = [piece.replace(b'"m"', b'"%b"' % long).replace(b'"stop"', b'"%b"' % end) for piece in pieces]
    raw = chunked(*longer) if stream else response(200, longer[0])

    async def main(loop: SimLoop) -> dict[str, Any]:
        server = await loop.create_server(ScriptedUpstream(raw).connection, "odd", 8000)
        async with Stage(loop, CONFIG) as stage:
            caller = await Caller.connect()
            path, asked = ask("chat", model="odd", stream=stream)
            assert long in (await caller.post(asked, path)).body
            caller.close()
            await loop.clock.sleep(1)
            server.close()
            return stage.lines[0]

    line = run(main)
    assert (line["response_model"], line["finish_reason"]) == (shortened(long.decode()), shortened(end.decode()))
