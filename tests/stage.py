"""A gateway between a simulated provider and scripted callers, on a SimLoop: what server and other tests play on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Self

from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.gateway import Gateway, Shared
from penstock.lines import encode_lines
from penstock.providers.simulated import SimulatedProvider
from penstock.records import Record
from penstock.server.data_plane import DataPlane
from penstock.testing import SeededRandom, SimLoop
from penstock.wire.h1_response import ResponseParser

GATEWAY = ("127.0.0.1", 8484)
PROVIDER = ("provider", 8000)

CONFIG: dict[str, Any] = {
    "auth": "open",
    "providers": {
        "up": {"kind": "openai", "base_url": "http://provider:8000/v1", "api_key": "env:UP_KEY"},
        "ant": {"kind": "anthropic", "base_url": "http://provider:8000", "api_key": "env:UP_KEY"},
        "sim": {},
    },
    "models": {"fast": {"targets": ["up/small"]}},
}
ENV = {"UP_KEY": "sk-provider-0123456789", "APP_KEY": "psk_test_0123456789", "OTHER_KEY": "psk_test_9876543210"}


PLANE: ContextVar[Callable[..., Any]] = ContextVar("PLANE", default=DataPlane)
"""What a stage listens with: a `DataPlane`, or what stands in its place."""


class Answer:
    """What a caller got."""

    def __init__(self, parser: ResponseParser, body: bytes, *, whole: bool) -> None:
        self.status = parser.status
        self.headers = {name.decode(): value.decode("latin-1") for name, value in parser.headers.items()}
        self.body = body
        self.whole = whole

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json()["error"]
        return error

    @property
    def events(self) -> list[Any]:
        """The stream's data, decoded; `[DONE]` as the string."""
        data = [line[6:] for line in self.body.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data: ")]
        return ["[DONE]" if item == b"[DONE]" else json.loads(item) for item in data]

    @property
    def text(self) -> str:
        return "".join(
            choice["delta"].get("content") or ""
            for event in self.events
            if isinstance(event, dict)
            for choice in event.get("choices", [])
        )


class Caller:
    """A connection to the gateway, one request after the other, in raw HTTP/1.1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, address: tuple[str, int] = GATEWAY) -> Caller:
        return cls(*await asyncio.open_connection(*address))

    async def post(self, body: Any, path: str = "/v1/chat/completions", **headers: str) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.ask("POST", path, data, {"content-type": "application/json", **headers})

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, b"", headers)

    async def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        await self.send(method, path, body, headers)
        return await self.receive()

    async def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        fields = {"host": "127.0.0.1:8484", "content-length": str(len(body)), **headers}
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body)
        await self.writer.drain()

    async def receive(self) -> Answer:
        """One response; `whole` is False where the connection ended before it did."""
        parser, body = ResponseParser(), b""
        while not parser.complete:
            try:
                data = await self.reader.read(65536)
            except ConnectionError:
                return Answer(parser, body, whole=False)
            if not data:
                return Answer(parser, body, whole=False)
            parser.feed(data)
            body += parser.take()
        return Answer(parser, body, whole=True)

    def pause(self) -> None:
        """Read no more."""
        transport: Any = self.writer.transport
        transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        transport: Any = self.writer.transport
        transport.resume_reading()

    def close(self) -> None:
        self.writer.transport.abort()


class Stage:
    """Opens provider and gateway; `lines` is the request log."""

    def __init__(
        self,
        loop: SimLoop,
        config: Mapping[str, Any] | Config | None = None,
        seed: int = 0,
        shared: Shared | None = None,
    ) -> None:
        self.loop = loop
        self.config = config if isinstance(config, Config) else load_config({**CONFIG, **(config or {})}, ENV)
        self.provider = SimulatedProvider(loop.clock, seed, key=ENV["UP_KEY"])
        self.log: list[bytes] = []
        self.gateway = Gateway(self.config, loop.clock, SeededRandom(seed), self._log, shared=shared)
        self.plane: Any = PLANE.get()(self.gateway, loop.clock)
        self._server: asyncio.AbstractServer | None = None

    def _log(self, record: Record) -> None:
        self.log.append(encode_lines([record]))

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log]

    async def __aenter__(self) -> Self:
        self._server = await self.loop.create_server(self.provider.connection, *PROVIDER)
        await self.plane.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.plane.drain(0)
        await self.gateway.aclose()
        if self._server is not None:
            self._server.close()
        self.provider.close()


def ask(dialect: str, text: str = "Hello there", model: str = "fast", **more: Any) -> tuple[str, dict[str, Any]]:
    """A request's path and body in one of the dialects callers speak."""
    body = chat(text, model, **more)
    if dialect == "messages":
        return "/v1/messages", {"max_tokens": 200, **body}
    return ("/v1/chat/completions" if dialect == "chat" else "/v1/generate"), body


def chat(text: str = "Hello there", model: str = "fast", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}
