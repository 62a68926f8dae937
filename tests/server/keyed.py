"""Four workers over one directory of keys, in virtual time, asked on connections that stay open."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from penstock.config.load import load_config
from penstock.redact import Secret
from penstock.stores.directory import open_directory
from penstock.stores.sqlite import Database
from penstock.testing import SeededRandom, SimLoop, run
from penstock.testing.fleet import Fleet
from tests.stores.directories import ENCRYPTION_KEY, Opened

WORKERS = 4
BODY = json.dumps({"model": "sim/small", "messages": [{"role": "user", "content": "Hello"}]}).encode()
CONFIG = {
    "providers": {"sim": {}},
    "models": {"fast": {"targets": ["sim/small"]}},
    "keys": [
        {"name": "declared", "key": "env:APP_KEY", "models": ["*"], "tenant": "acme"},
        {"name": "free", "key": "env:FREE_KEY", "models": ["*"]},
    ],
    "server": {"workers": WORKERS},
}
DECLARED, FREE = "declared-key-0123456789", "another-key-0123456789"
ENV = {"APP_KEY": DECLARED, "FREE_KEY": FREE}


def all_bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())


class Line:
    """A connection to one worker that stays open.

    Attributes:
        head: of the last answer.
    """

    head = b""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection, made where there is none yet."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        return self._streams

    async def ask(
        self, key: str, body: bytes = BODY, path: str = "/v1/chat/completions", headers: str = ""
    ) -> tuple[int, dict[str, Any]]:
        reader, writer = await self.open()
        method = "POST" if body else "GET"
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {key}\r\n{headers}content-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode("latin-1") + body)
        answer = self.head = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(answer[9:12]), json.loads(await reader.readexactly(length))

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


class Scene:
    """Four workers over a directory."""

    def __init__(self, loop: SimLoop, opened: Opened, folder: Path) -> None:
        self.loop = loop
        self.opened = opened
        self.folder = folder
        self.directory = opened.directory
        config = load_config(CONFIG, ENV)
        self.fleet = Fleet(loop, config, WORKERS, seed=loop.seed)
        self.fleet.directory = opened.directory
        self.lines = [Line(address) for address in self.fleet.addresses]

    async def statuses(self, key: str | Secret) -> list[int]:
        """What each worker answers, on the connections that stay open; by what takes no time."""
        text = key if isinstance(key, str) else key.reveal()
        answers = await asyncio.gather(*(line.ask(text, b"", "/v1/models") for line in self.lines))
        return [status for status, _ in answers]

    async def until(self, key: Secret, status: int) -> float:
        """How long it takes until every worker answers so, in seconds."""
        began = self.loop.time()
        while await self.statuses(key) != [status] * WORKERS:
            assert self.loop.time() - began < 100
            await self.loop.clock.sleep(0.01)
        return self.loop.time() - began

    def elsewhere(self) -> tuple[Database, Any]:
        """The same store, opened by somebody who tells the gateway nothing."""
        db = Database(self.folder / "penstock.db", inline=True)
        return db, open_directory(db, self.folder, ENCRYPTION_KEY, self.loop.clock, SeededRandom(2))


async def stage(loop: SimLoop, main: Callable[[Scene], Awaitable[None]]) -> None:
    """Play a scene to its end, on a loop that is there."""
    with tempfile.TemporaryDirectory() as folder, Opened(Path(folder), clock=loop.clock) as opened:
        scene = Scene(loop, opened, Path(folder))
        async with scene.fleet:
            await main(scene)
            for line in scene.lines:
                line.close()


def play(main: Callable[[Scene], Awaitable[None]], seed: int = 1) -> None:
    """The same on a loop of its own; nothing may be left."""
    run(lambda loop: stage(loop, main), seed=seed, leak_free=True)
