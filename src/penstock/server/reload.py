"""The configuration read anew: when somebody asks (SIGHUP, the control plane), and when a file of it has changed.

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
from penstock.config.changes import Reloaded, changed_names
from penstock.config.schema import Config
from penstock.errors import ConfigError, Overloaded, PenstockError

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
        self._config = config
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
        # Those who asked and wait for what comes of it.
        self._waiting: list[asyncio.Future[Reloaded]] = []
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

    async def now(self) -> Reloaded:
        """As `ask`; what has changed.

        Raises:
            ConfigError: the configuration cannot be read or is wrong, or changes what only a restart can.
            PenstockError: it is not used for another reason. In any case nothing has changed.
        """
        waits: asyncio.Future[Reloaded] = asyncio.get_running_loop().create_future()
        self._waiting.append(waits)
        self.ask()
        return await waits

    def close(self) -> None:
        """Watch no more; a reload that runs is given up."""
        _tell_all(self._waiting, _stopping())
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
            # Who asks from now on may mean a file that this one has not seen.
            waiting, self._waiting = self._waiting, []
            self._busy(True)
            came: Reloaded | PenstockError = _stopping()
            try:
                came = await self._reload()
            except Exception:  # a mistake of ours; the next file shall be taken all the same
                log.exception("the configuration was not reloaded")
                came = PenstockError("Penstock made a mistake", do="Look into its log.")
            finally:
                _tell_all(waiting, came)
            self._busy(False)

    async def _reload(self) -> Reloaded | PenstockError:
        # Before it is read: what changes meanwhile is seen as changed at the next look.
        before = self._seen = _stamps(self._seen)
        self._moved = False
        try:
            config = await self._reread()
        except (PenstockError, OSError) as error:
            self._unread = self._clock.monotonic()
            return self._refused(error)
        self._unread = None
        self._seen = {path: before[path] if path in before else _stamp(path) for path in config.files}
        try:
            generation = await self._adopt(config)
        except PenstockError as error:
            return self._refused(error)
        before_it, self._config = self._config, config
        self._told = ""
        self._tell(f"reloaded: {config.source}, generation {generation}")
        return Reloaded(config.source, generation, changed_names(before_it, config))

    def _refused(self, error: PenstockError | OSError) -> PenstockError:
        why = f"{error.message}\n  {error.do}".rstrip() if isinstance(error, PenstockError) else str(error)
        if why != self._told:
            self._told = why
            self._tell(f"the configuration was not reloaded, nothing has changed:\n{why}")
        return error if isinstance(error, PenstockError) else ConfigError(why)


def _stopping() -> Overloaded:
    return Overloaded("the gateway is about to stop", do="It reads its configuration when it is started again.")


def _tell_all(waiting: list[asyncio.Future[Reloaded]], came: Reloaded | PenstockError) -> None:
    for each in waiting:
        if each.done():
            continue
        if isinstance(came, PenstockError):
            each.set_exception(came)
        else:
            each.set_result(came)
    waiting.clear()


def _stamps(paths: Iterable[str]) -> dict[str, _Stamp]:
    return {path: _stamp(path) for path in paths}


def _stamp(path: str) -> _Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev
