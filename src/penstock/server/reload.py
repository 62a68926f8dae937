"""The configuration read anew: when somebody asks (SIGHUP), and when a file that it was read from has changed.

Files are looked at every second, links followed, so that the swap of a link (Kubernetes' ConfigMaps and Secrets) and
an editor's rename count as well as a write. A change is taken once it has stood still for one look: half a file is
nobody's configuration. What is wrong changes nothing, and is told.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable

from penstock.clock import Clock, Timer
from penstock.config.schema import Config
from penstock.errors import PenstockError

__all__ = ["Reload"]

log = logging.getLogger("penstock.server")

LOOK_SECONDS = 1.0
# What could not be read is tried again now and then: a file that it names may come later, and nobody watches a file
# that is named by what could not be read.
RETRY_SECONDS = 10.0

Reread = Callable[[], Awaitable[Config]]
Adopt = Callable[[Config], Awaitable[int]]
# Of a file its time, size, number and device; None where there is none.
_Stamp = tuple[int, int, int, int] | None


class Reload:
    """Reloads, one at a time, so that the last word is the latest file's.

    Args:
        config: what is in use; its `files` are watched.
        reread: reads the configuration; raises ConfigError.
        adopt: has it used, and returns its generation; raises PenstockError.
        tell: is told what became of it, in words.
        busy: is told that one begins (True), and that it is over (False).
    """

    def __init__(
        self,
        config: Config,
        reread: Reread,
        adopt: Adopt,
        tell: Callable[[str], object],
        clock: Clock,
        busy: Callable[[bool], object],
    ) -> None:
        self._reread = reread
        self._adopt = adopt
        self._tell = tell
        self._clock = clock
        self._busy = busy
        self._seen = _stamps(config.files)
        self._moved = False
        # Since when the configuration cannot be read, or was tried last.
        self._unread: float | None = None
        self._told = ""
        self._asked = asyncio.Event()
        self._timer: Timer | None = None
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to watch."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="reload")
        self._timer = self._clock.call_later(LOOK_SECONDS, self._look)

    def ask(self) -> None:
        """Reload soon, whatever the files look like, and tell about it in any case."""
        self._told = ""
        self._asked.set()

    def close(self) -> None:
        """Watch no more; a reload that runs is given up."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _look(self) -> None:
        self._timer = self._clock.call_later(LOOK_SECONDS, self._look)
        stamps = _stamps(self._seen)
        if stamps != self._seen:
            self._seen, self._moved = stamps, True
        elif self._moved:
            self._moved = False
            self.ask()
        elif self._unread is not None and self._clock.monotonic() - self._unread >= RETRY_SECONDS:
            self._unread = self._clock.monotonic()
            self._asked.set()

    async def _run(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            self._busy(True)
            try:
                await self._reload()
            except Exception:  # a mistake of ours; the next file shall be taken all the same
                log.exception("the configuration was not reloaded")
            self._busy(False)

    async def _reload(self) -> None:
        # Before it is read: what changes meanwhile is seen as changed at the next look.
        before = self._seen = _stamps(self._seen)
        self._moved = False
        try:
            config = await self._reread()
        except (PenstockError, OSError) as error:
            self._unread = self._clock.monotonic()
            self._refused(error)
            return
        self._unread = None
        self._seen = {path: before[path] if path in before else _stamp(path) for path in config.files}
        try:
            generation = await self._adopt(config)
        except PenstockError as error:
            self._refused(error)
        else:
            self._told = ""
            self._tell(f"reloaded: {config.source}, generation {generation}")

    def _refused(self, error: PenstockError | OSError) -> None:
        why = f"{error.message}\n  {error.do}".rstrip() if isinstance(error, PenstockError) else str(error)
        if why != self._told:
            self._told = why
            self._tell(f"the configuration was not reloaded, nothing has changed:\n{why}")


def _stamps(paths: Iterable[str]) -> dict[str, _Stamp]:
    return {path: _stamp(path) for path in paths}


def _stamp(path: str) -> _Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev
