"""Servers for commands that run to their end: an asyncio server in a thread, for the length of a `with`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

from tests.end_to_end.process import SECONDS

__all__ = ["beside"]

T = TypeVar("T")


@contextmanager
def beside(server: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """`async with server`, on a loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(SECONDS)

    try:
        try:
            yield run(server.__aenter__())
        finally:
            run(_end(server))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(SECONDS)
        loop.close()


async def _end(server: AbstractAsyncContextManager[Any]) -> None:
    # First what has been accepted and not been looked at: its peer has gone, and it closes once that is read.
    await _turns()
    await server.__aexit__(None, None, None)
    await _turns()


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
