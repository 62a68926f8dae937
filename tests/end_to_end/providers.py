"""Simulated providers on real sockets, in a thread of the test process, with and without TLS."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from penstock.clock import SystemClock
from penstock.providers.simulated import Journal, Seen, SimulatedProvider
from penstock.testing.provider import SimulatedServer
from tests.end_to_end.process import SECONDS

__all__ = ["Provider", "WatchedJournal"]


class WatchedJournal(Journal):
    """A journal that other threads can wait on."""

    def __init__(self) -> None:
        super().__init__(keep=1000)
        self._changed = threading.Condition()

    def begin(self, seen: Seen) -> None:
        with self._changed:
            super().begin(seen)
            self._changed.notify_all()

    def end(self, seen: Seen, outcome: str, time: float, written: int) -> None:
        with self._changed:
            super().end(seen, outcome, time, written)
            self._changed.notify_all()

    def find(self, wanted: Callable[[Seen], bool]) -> Seen:
        """The newest request that is as wanted, once there is one."""

        def newest() -> Seen | None:
            return next((seen for seen in reversed(self.log) if wanted(seen)), None)

        with self._changed:
            found = self._changed.wait_for(newest, SECONDS)
        assert found is not None, "no such request has come"
        return found

    def wait_until_quiet(self) -> None:
        """Until no response is under way; fails if one goes on."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.open == 0, SECONDS), f"{self.open} responses go on"


class Provider:
    """A simulated provider that listens for as long as the `with` block runs.

    Args:
        key: the credential it wants to see.
        tls: serve https with it.

    Attributes:
        base_url: its address, ending in `/v1`.
        journal: what it has seen.
    """

    def __init__(self, key: str, tls: ssl.SSLContext | None = None) -> None:
        self.journal = WatchedJournal()
        self.base_url = ""
        self._provider = SimulatedProvider(SystemClock(), key=key)
        self._provider.journal = self.journal
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._done = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(SECONDS)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        async with SimulatedServer(self._provider, tls=self._tls) as server:
            self.base_url = server.base_url
            self._ready.set()
            await self._done.wait()
