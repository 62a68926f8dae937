"""A library on stage: over a gateway in virtual time, or connected to one that serves on the same loop's network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from penstock import Penstock
from penstock.config.load import load_config
from penstock.gateway import Gateway
from penstock.lines import encode_lines
from penstock.server.data_plane import DataPlane
from penstock.testing import SeededRandom, SimClock, SimLoop

CONFIG: dict[str, Any] = {
    "server": {"listen": "127.0.0.1:0"},
    "providers": {"sim": {}},
    "models": {"fast": {"targets": ["sim/small"]}},
    "default_model": "fast",
    "keys": [{"name": "app", "key": "env:APP_KEY", "models": ["fast", "sim/*"]}],
}
KEY = "sk-app"

Stage = Callable[[SimLoop], AbstractAsyncContextManager[tuple[Penstock, Gateway]]]


def new_gateway(loop: SimLoop, lines: list[bytes] | None = None) -> Gateway:
    config = load_config(CONFIG, {"APP_KEY": KEY})
    log = None if lines is None else lambda record: lines.append(encode_lines([record]))
    return Gateway(config, SimClock(loop), SeededRandom(1), log)


@asynccontextmanager
async def in_process(loop: SimLoop) -> AsyncIterator[tuple[Penstock, Gateway]]:
    gateway = new_gateway(loop)
    async with Penstock.over(gateway) as llm:
        yield llm, gateway
    await gateway.aclose()


@asynccontextmanager
async def connected(loop: SimLoop) -> AsyncIterator[tuple[Penstock, Gateway]]:
    gateway = new_gateway(loop)
    plane = DataPlane(gateway, SimClock(loop))
    await plane.open()
    async with Penstock.connect(f"http://127.0.0.1:{plane.port}", KEY, clock=SimClock(loop)) as llm:
        yield llm, gateway
    await plane.drain(1.0)
    await gateway.aclose()


async def settle() -> None:
    """Let everything happen that can happen at this moment."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    await loop.settle()


BOTH = [in_process, connected]
