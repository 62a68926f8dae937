"""The simulated provider on one in-memory connection in virtual time: what the tests of `sim` ask through."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from penstock.providers.simulated import SimulatedProvider
from penstock.testing import SimClock, SimLoop, pipe
from penstock.wire.h1 import encode_headers
from penstock.wire.h1_response import ResponseParser

USER = [{"role": "user", "content": "How do turbines work?"}]


def body_of(model: str = "small", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": USER, **fields}


class Client(asyncio.Protocol):
    """Keeps every piece that arrives with the virtual time it came at, and how the connection ended."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.pieces: list[tuple[float, bytes]] = []
        self.ended: str | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.append((self.loop.time(), data))

    def eof_received(self) -> None:
        self.ended = "eof"

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = "reset" if isinstance(error, ConnectionResetError) else self.ended or "closed"

    @property
    def raw(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)

    def send(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class Said:
    """One response as it came over the wire.

    Attributes:
        whole: the HTTP message came to its end.
        times: seconds after the request, for each piece of data.
        ended: None (still open), eof or reset.
    """

    def __init__(self, client: Client, asked_at: float) -> None:
        self.raw = client.raw
        self.times = [time - asked_at for time, _ in client.pieces]
        self.pieces = [piece for _, piece in client.pieces]
        self.ended = client.ended
        parser = ResponseParser()
        if self.raw:
            parser.feed(self.raw)
        self.status, self.headers = parser.status, parser.headers
        self.whole, self.surplus = parser.complete, parser.surplus
        self.body = parser.take()

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error = self.json["error"]
        assert isinstance(error, dict)
        return error

    @property
    def payloads(self) -> list[bytes]:
        """The data of each event, comments left out."""
        events = self.body.replace(b"\r\n", b"\n").split(b"\n\n")
        return [event.removeprefix(b"data: ") for event in events if event.startswith(b"data: ")]

    @property
    def events(self) -> list[tuple[str, bytes]]:
        """The name and the data of each named event, comments left out."""
        lines = [event.split(b"\n") for event in self.body.replace(b"\r\n", b"\n").split(b"\n\n")]
        named = [line for line in lines if line[0].startswith(b"event: ")]
        return [(name[7:].decode(), data.removeprefix(b"data: ")) for name, data in named]

    @property
    def chunks(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(each) for each in self.payloads if each != b"[DONE]"]

    @property
    def text(self) -> str:
        deltas = [choice["delta"] for chunk in self.chunks for choice in chunk["choices"] if choice["index"] == 0]
        return "".join(delta.get("content") or "" for delta in deltas)


def request(body: Any, *, path: str = "/v1/chat/completions", method: str = "POST", **headers: str) -> bytes:
    """A request as bytes; headers by their names with underscores for dashes."""
    fields = [(b"host", b"sim")]
    fields += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    fields.append((b"content-length", b"%d" % len(data)))
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method.encode(), path.encode(), encode_headers(fields), data)


def connect(loop: SimLoop, provider: SimulatedProvider) -> Client:
    client = Client(loop)
    pipe(loop, client, provider.connection())
    return client


def provider_on(loop: SimLoop, **options: Any) -> SimulatedProvider:
    return SimulatedProvider(SimClock(loop), **options)


def ask_all(*requests: bytes, patience: float = 1000.0, **options: Any) -> list[Said]:
    """Send each request on a connection of its own to one provider, one after the other."""
    loop = SimLoop(0)

    async def main() -> list[Said]:
        provider = provider_on(loop, **options)
        answers = []
        for each in requests:
            client = connect(loop, provider)
            asked_at = loop.time()
            client.send(each)
            await provider.clock.sleep(patience)
            answers.append(Said(client, asked_at))
        return answers

    try:
        answers = loop.run_until_complete(main())
        loop.assert_clean()
        return answers
    finally:
        loop.dispose()


def ask(body: Any, script: str = "", **options: Any) -> Said:
    """Send one chat request with a fault script in the header."""
    headers = {"x_penstock_sim": script} if script else {}
    return ask_all(request(body, **headers), **options)[0]


def message_body(model: str = "small", **fields: Any) -> dict[str, Any]:
    return {"model": model, "max_tokens": 1000, "messages": USER, **fields}


def message_request(body: Any, *, path: str = "/v1/messages", method: str = "POST", **headers: str) -> bytes:
    """A request to Anthropic's API."""
    return request(body, path=path, method=method, **{"anthropic_version": "2023-06-01", **headers})


def message(body: Any, script: str = "", **options: Any) -> Said:
    """Send one messages request with a fault script in the header."""
    headers = {"x_penstock_sim": script} if script else {}
    return ask_all(message_request(body, **headers), **options)[0]


def message_stream(script: str = "", **fields: Any) -> Said:
    """A streamed message under a fault script."""
    return message(message_body(stream=True, **fields), script)


def stream(script: str = "", **fields: Any) -> Said:
    """A streamed chat answer under a fault script."""
    return ask(body_of(stream=True, **fields), script)
