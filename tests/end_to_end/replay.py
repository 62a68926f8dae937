"""A provider that answers as one was recorded, the gateway before it, and a raw caller: on any asyncio loop."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from http.client import responses
from typing import Any

from penstock.clock import Clock, Random
from penstock.config.load import load_config
from penstock.gateway import Gateway, Shared
from penstock.lines import encode_lines
from penstock.providers.simulated.play import FINISH, Step
from penstock.server.data_plane import DataPlane
from penstock.stores.authority import Authority
from penstock.stores.condition import Condition
from penstock.stores.health import OwnDesk
from penstock.stores.state import Registry
from penstock.testing import ScriptedUpstream
from penstock.wire.h1 import HttpRequest
from tests.end_to_end.asked import Asked
from tests.end_to_end.vendors import providers
from tests.stage import Answer, Caller
from tests.wire.corpus import Recording

__all__ = ["FRAMINGS", "PROVIDER_SECRET", "Beat", "Replay", "kind_of", "steps_of"]

PROVIDER_SECRET = "sk-provider-0123456789"

FRAMINGS = ("chunked", "length", "close")
"""How HTTP/1.1 tells where a body ends."""

Beat = tuple[float, bytes]
"""Seconds to wait, and the piece of the body to send then."""

_FRAMED_ANEW = {b"transfer-encoding", b"content-length", b"content-encoding", b"connection", b"content-type"}


def kind_of(recording: Recording) -> str:
    """The recorded content-type, or the natural one."""
    natural = b"text/event-stream" if recording.streaming else b"application/json"
    return recording.headers.get(b"content-type", natural).decode()


def steps_of(recording: Recording, beats: Sequence[Beat], framing: str) -> list[Step]:
    """The recorded status and headers, and a body in pieces."""
    phrase = responses.get(recording.status, "Unknown")
    lines = [f"HTTP/1.1 {recording.status} {phrase}", f"content-type: {kind_of(recording)}"]
    headers = recording.headers.items()
    lines += [f"{name.decode()}: {value.decode()}" for name, value in headers if name not in _FRAMED_ANEW]
    lines.append("set-cookie: provider=1")
    if framing == "chunked":
        lines.append("transfer-encoding: chunked")
    elif framing == "length":
        lines.append(f"content-length: {sum(len(data) for _, data in beats)}")
    steps: list[Step] = ["\r\n".join([*lines, "", ""]).encode()]
    for seconds, data in beats:
        if not data:
            continue
        if seconds:
            steps.append(seconds)
        steps.append(b"%x\r\n%b\r\n" % (len(data), data) if framing == "chunked" else data)
    if framing == "chunked":
        steps.append(b"0\r\n\r\n")
    elif framing == "close":
        steps.append(FINISH)
    return steps


class _Provider(ScriptedUpstream):
    """Gives `reply` to whatever it is asked."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(b"", clock=clock)
        self.reply: list[Step] = []

    def take(self, request: HttpRequest) -> Iterator[Step]:
        self.requests.append(request)
        return iter(self.reply)


class Replay:
    """Opens provider and gateway, for the length of an `async with`; exchanges run one after the other.

    Args:
        kind: whose model is the default: `openai` or `anthropic`; every vendor has its own row.

    Attributes:
        provider: `requests` and `received` (raw bytes by connection) hold what the last exchange sent it.
    """

    gateway: Gateway
    plane: DataPlane

    def __init__(self, clock: Clock, random: Random, kind: str = "openai") -> None:
        self.provider = _Provider(clock)
        self._kind = kind
        self._clock = clock
        self._random = random
        self._caller: Caller | None = None
        self._log: list[bytes] = []

    async def __aenter__(self) -> Replay:
        await self.provider.__aenter__()
        config = {
            "auth": "open",
            "server": {"listen": "127.0.0.1:0"},
            "providers": providers(self.provider.base_url.removesuffix("/v1")),
            "default_model": f"{self._kind}/standard",
            # Each recording stands for itself: no other one's failure may hold it up.
            "defaults": {"retry": "off", "breaker": "off"},
        }
        loaded = load_config(config, {"UP_KEY": PROVIDER_SECRET})
        self._authority = Authority()
        self.gateway = Gateway(
            loaded,
            self._clock,
            self._random,
            lambda record: self._log.append(encode_lines([record])),
            shared=Shared(Registry(), desk=OwnDesk(self._authority, self._clock)),
        )
        self.plane = DataPlane(self.gateway, self._clock)
        await self.plane.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.hang_up()
        await self.plane.drain(0)
        await self.gateway.aclose()
        await self.provider.__aexit__(None, None, None)

    def hang_up(self) -> None:
        """Close the caller's connection; the next exchange opens another."""
        if self._caller is not None:
            self._caller.close()
            self._caller = None

    async def exchange(self, asked: Asked, reply: list[Step]) -> tuple[Answer, dict[str, Any]]:
        """Ask while the provider answers so. The answer, and the log line."""
        self.provider.reply = reply
        self.provider.requests.clear()
        for received in self.provider.received:
            received.clear()
        self._log.clear()
        if self._caller is None:
            self._caller = await Caller.connect(("127.0.0.1", self.plane.port))
        answer = await self._caller.ask("POST", asked.target, asked.body, asked.headers)
        if not answer.whole or answer.headers.get("connection") == "close":
            self.hang_up()
        for _ in range(1000):  # the line is written once the answer is, so the caller may be a moment early
            if self._log:
                break
            await self._clock.sleep(0.001)
        assert len(self._log) == 1, f"{len(self._log)} log lines"
        for subject in list(self._authority.register.subjects()):
            if isinstance(subject, Condition):
                self._authority.order(subject.id, "restore", self._clock.monotonic())
        return answer, json.loads(self._log[0])
