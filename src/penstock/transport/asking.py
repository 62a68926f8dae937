"""The system's resolver, each question in a thread of its own.

Loops have a few threads for all questions, uvloop two: as many names that hang would hold up every other, and a process
would not end before they are through, for which a resolver takes its time (10 s for each server of resolv.conf).
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

__all__ = ["Ask", "look_up"]

Answers: TypeAlias = "list[tuple[Any, ...]]"
Ask: TypeAlias = "Callable[..., Answers]"
"""As `socket.getaddrinfo`."""


async def look_up(host: str, port: int, ask: Ask = socket.getaddrinfo) -> Answers:
    """What the resolver says, in its order.

    Raises:
        OSError: the name has no address, cannot be one, or the resolver fails.
    """
    loop = asyncio.get_running_loop()
    try:
        if hasattr(loop, "network"):  # a simulated one (`SimLoop`), which has names of its own
            return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        with suppress(socket.gaierror):  # an address is one without any question
            return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, socket.IPPROTO_TCP, socket.AI_NUMERICHOST)
        return await _beside(loop, partial(ask, host, port, 0, socket.SOCK_STREAM, socket.IPPROTO_TCP))
    except UnicodeError:
        raise OSError(f"{host[:64]!r} is no name that can be looked up") from None


async def _beside(loop: asyncio.AbstractEventLoop, question: Callable[[], Answers]) -> Answers:
    """Nobody waits for the thread: a daemon ends with the process."""
    answered: asyncio.Future[Answers] = loop.create_future()

    def settle(answers: Answers | None, error: Exception | None) -> None:
        if answered.done():  # given up
            return
        if error is not None:
            answered.set_exception(error)
        else:
            answered.set_result(answers or [])

    def run() -> None:
        answers, failure = None, None
        try:
            answers = question()
        except Exception as error:  # noqa: BLE001 - it is raised where the question was asked
            failure = error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, answers, failure)

    try:
        threading.Thread(target=run, name="names", daemon=True).start()
    except RuntimeError:
        raise OSError(0, "no thread is left to look its name up") from None
    return await answered
