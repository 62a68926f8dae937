"""Hostile inputs against a gateway process: what each got, and what became of the process."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from penstock.wire.h1_response import Malformed, ResponseParser
from tests.end_to_end.process import Served
from tests.end_to_end.providers import Provider
from tests.security.hostile import KEY, Input

__all__ = ["CONFIG", "ENV", "Attacked", "attack", "memory", "processor", "serve"]

UP_KEY = "sk-up-0123456789abcdef"
ENV = {"APP_KEY": KEY, "UP_KEY": UP_KEY}
CONFIG = """\
providers:
  up:  {kind: openai, base_url: "%s", api_key: "env:UP_KEY"}
  ant: {kind: anthropic, base_url: "%s", api_key: "env:UP_KEY"}
models:
  fast: {targets: [up/small]}
  loose: {targets: [ant/small], untranslatable: drop}
keys:
  - {name: app, key: "env:APP_KEY", models: ["*"]}
"""
# An input that is not answered within this is taken to be waited on: its sender says that nothing more comes.
PATIENCE = 0.25
AT_ONCE = 20


class Attacked:
    """How a number of inputs ended.

    Attributes:
        statuses: how often each came.
        faults: what must not be, each with its input.
    """

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.faults: list[str] = []

    def judge(self, sent: Input, data: bytes) -> None:
        """Look at what one input got."""
        try:
            statuses = statuses_of(data)
        except Malformed as error:
            self.faults.append(f"{sent.name}: an answer that is not HTTP: {error}")
            return
        self.statuses.update(statuses)
        if any(status >= 500 for status in statuses):
            self.faults.append(f"{sent.name}: {statuses} {data[-300:]!r}")
        if len(statuses) > sent.most:
            self.faults.append(f"{sent.name}: {len(statuses)} answers, {statuses}, for {b''.join(sent.pieces)[:300]!r}")


def statuses_of(data: bytes) -> list[int]:
    """Of each answer in these bytes its status. Raises Malformed."""
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        parser = ResponseParser()
        if b"content-length" not in head.lower() and b"transfer-encoding" not in head.lower():
            parser.feed(head + b"\r\n\r\n")
            data = rest
        else:
            size = _size(head, rest)
            parser.feed(head + b"\r\n\r\n" + rest[:size])
            data = rest[size:]
        found.append(parser.status)
    return found


def _size(head: bytes, rest: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            # HEAD is answered with a length and no body: then another answer, or nothing, comes behind.
            size = int(line.partition(b":")[2])
            return 0 if not rest or rest.startswith(b"HTTP/1.1 ") else size
    end = rest.find(b"\r\n0\r\n\r\n")
    return end + 7 if end >= 0 else len(rest)


async def attack(port: int, inputs: Iterable[Input]) -> Attacked:
    """Send them all, a few at a time, each down a connection of its own."""
    attacked, waiting = Attacked(), iter(inputs)

    async def work() -> None:
        for sent in waiting:
            attacked.judge(sent, await _send(port, sent))

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return attacked


async def _send(port: int, sent: Input) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = bytearray()
    with suppress(ConnectionError):
        for piece in sent.pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        data += await _read(reader, PATIENCE)
        if not reader.at_eof():
            writer.write_eof()
            data += await _read(reader, 20)
    writer.transport.abort()
    return bytes(data)


async def _read(reader: asyncio.StreamReader, patience: float) -> bytes:
    data = b""
    with suppress(TimeoutError, ConnectionError):
        while True:
            async with asyncio.timeout(patience):
                piece = await reader.read(65536)
            if not piece:
                break
            data += piece
    return data


def serve(folder: Path, provider: Provider) -> Served:
    """A gateway in front of that provider, which wants `UP_KEY`."""
    (folder / "penstock.yaml").write_text(CONFIG % (provider.base_url, provider.base_url.removesuffix("/v1")))
    return Served(folder, env=ENV)


def processor(served: Served) -> float:
    """Seconds of CPU that the process has used."""
    fields = Path(f"/proc/{served.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(served: Served, what: str) -> int:
    """Bytes: `VmRSS` now, `VmHWM` at most since the start."""
    for line in Path(f"/proc/{served.process.pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) * 1024
    raise ValueError(what)
