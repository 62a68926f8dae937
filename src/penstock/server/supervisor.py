"""The supervisor: owner of listeners, configuration, metrics and the control plane; keeps workers running.

One worker is a task in this process, several are processes; either way they are reached by a channel to the centre.
A worker that dies is replaced at once, on the same listening sockets; one that dies again and again is waited for
longer each time, and in the end given up with the whole gateway, since something is wrong that a restart won't mend.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from penstock.admin.overview import Standing
from penstock.clock import Clock, Timer
from penstock.config.parcel import encode_config
from penstock.config.schema import Config
from penstock.errors import ConfigError, PenstockError
from penstock.metrics import Metrics
from penstock.server.worker import Worker
from penstock.stores.centre import CONFIG, Centre, Channel, Drain, Member, MemoryChannel

__all__ = ["Hire", "Hired", "InProcess", "Supervisor"]

log = logging.getLogger("penstock.server")

# A worker that dies so often in so many seconds is given up; before that, how long its replacement waits.
MOST_DEATHS = 5
DEATH_SECONDS = 30.0
BACKOFF = (0.0, 0.1, 0.3, 0.6)
START_SECONDS = 30.0
# How long a report or the word that a worker drains is waited for: a worker busy with a large body takes so long.
ANSWER_SECONDS = 0.5
# After its patience a worker has so long to write its log and end.
END_SECONDS = 5.0
LOOK_SECONDS = 1.0
# Looks without a word (workers report every second) after which a worker counts as stuck.
MOST_SILENT = 30


class Hired(Protocol):
    """A worker that was started."""

    @property
    def channel(self) -> Channel:
        """To it."""
        ...

    def kill(self) -> None:
        """End it at once."""

    async def gone(self) -> str:
        """Wait for its end after its channel's; why it ended, "" where it meant to."""
        ...


Hire = Callable[[int, Sequence[socket.socket]], Awaitable[Hired]]


class InProcess:
    """A worker as a task of this process."""

    def __init__(self, channel: MemoryChannel, worker: Worker) -> None:
        self.channel = channel
        self._task = asyncio.get_running_loop().create_task(worker.run(), name="worker")
        self._task.add_done_callback(lambda task: channel.close())

    def kill(self) -> None:
        self._task.cancel()

    async def gone(self) -> str:
        await asyncio.wait((self._task,))
        if self._task.cancelled():
            return "it was stopped"
        error = self._task.exception()
        if error is not None:
            log.error("the worker failed", exc_info=error)
        return "" if error is None else f"it failed: {type(error).__name__}"


class _Post:
    """A worker's place: its listening sockets, and who holds it."""

    def __init__(self, name: str, sockets: Sequence[socket.socket]) -> None:
        self.name = name
        self.sockets = sockets
        self.member: Member | None = None
        self.deaths: deque[float] = deque(maxlen=MOST_DEATHS)

    def close(self) -> None:
        for each in self.sockets:
            each.close()


class Supervisor:
    """Runs a gateway's workers.

    Args:
        held: each worker's listening sockets, closed with this; `hire` duplicates what it gives away.

    Attributes:
        overview: what the control plane shows.
        centre: what the workers are connected to.
    """

    def __init__(self, config: Config, held: Sequence[Sequence[socket.socket]], clock: Clock, hire: Hire) -> None:
        metrics = Metrics()
        self.overview = Standing(config, metrics)
        self.centre = Centre(metrics.add)
        self._clock = clock
        self._hire = hire
        self._posts = [_Post(str(number), sockets) for number, sockets in enumerate(held)]
        self._watched: dict[asyncio.Task[None], Hired] = {}
        self._replacing: set[asyncio.Task[None]] = set()
        self._failure: PenstockError | None = None
        self._stopping = False
        self._timer: Timer | None = None

    async def begin(self) -> None:
        """Start every worker.

        Raises:
            OSError: the machine cannot start one more process.
        """
        self.centre.publish(CONFIG, encode_config(self.overview.config))
        for post in self._posts:
            await self._fill(post)

    async def serving(self) -> None:
        """Wait until each worker serves, and look after them from then on.

        Raises:
            ConfigError: a worker cannot work with the configuration.
            PenstockError: workers die, or do not come up in time.
        """
        await self._ready(self._posts)
        self._timer = self._clock.call_later(LOOK_SECONDS, self._look)

    async def failed(self) -> PenstockError:
        """Wait until the workers have been given up; why."""
        await self.centre.until(lambda: self._failure)
        assert self._failure is not None
        return self._failure

    async def report(self) -> None:
        """Bring the metrics up to date."""
        with suppress(TimeoutError):
            async with self._clock.timeout(ANSWER_SECONDS):
                await self.centre.report()
        metrics = self.overview.metrics
        metrics.show(self.centre.gauges())
        for member in self.centre.members:
            metrics.generation.set(member.generations.get(CONFIG, 0), (member.name,))

    async def adopt(self, config: Config) -> int:
        """Have every worker work with another configuration; returns its generation.

        Those that cannot go on with the one they have.

        Raises:
            ConfigError: it changes what only a restart can, or a worker refuses it. Then the one before stays.
        """
        before = self.overview.config
        _check_fixed(before, config)
        generation = self.centre.publish(CONFIG, encode_config(config))
        self.overview.adopt(config)
        try:
            await self._ready(self._posts)
        except PenstockError:
            self.centre.publish(CONFIG, encode_config(before))
            self.overview.adopt(before)
            raise
        return generation

    async def announce_drain(self, seconds: float) -> None:
        """Have every worker begin to drain, and wait until each says so: from here on `/readyz` is 503."""
        self._stopping = True
        members = list(self.centre.members)
        for member in members:
            member.channel.send(Drain(seconds))
        with suppress(TimeoutError):
            async with self._clock.timeout(ANSWER_SECONDS):
                await self.centre.until(lambda: all(member.draining or member.lost for member in members))

    async def drained(self, seconds: float) -> None:
        """Wait until the workers have ended; what lives much longer than its patience is killed."""
        with suppress(TimeoutError):
            async with self._clock.timeout(seconds + END_SECONDS):
                await self.centre.until(lambda: not self._watched)
        await self._kill()

    async def aclose(self) -> None:
        """Cut what is left, wait for every worker's end, and close the listeners."""
        self._stopping = True
        for task in list(self._replacing):
            task.cancel()
        for member in self.centre.members:
            member.channel.send(Drain(0.0))
        await self.drained(0.0)
        if self._timer is not None:
            self._timer.cancel()
        for post in self._posts:
            post.close()

    async def _kill(self) -> None:
        for hired in self._watched.values():
            hired.kill()
        await self.centre.until(lambda: not self._watched)

    # --- workers

    async def _fill(self, post: _Post) -> None:
        hired = await self._hire(int(post.name), post.sockets)
        member = post.member = self.centre.join(post.name, hired.channel)
        task = asyncio.get_running_loop().create_task(self._watch(post, member, hired))
        self._watched[task] = hired
        task.add_done_callback(self._unwatch)

    def _unwatch(self, task: asyncio.Task[None]) -> None:
        del self._watched[task]
        if not task.cancelled() and task.exception() is not None:
            self._give_up(f"a worker cannot be replaced: {task.exception()}")
        self.centre.changed()

    async def _watch(self, post: _Post, member: Member, hired: Hired) -> None:
        """See one worker to its end, and replace it where that was not its post's end too."""
        await self.centre.until(lambda: member.lost or (member.leaving and not self._stopping))
        if not member.lost:
            self._begin(self._relieve(post, member))
            await self.centre.until(lambda: member.lost)
        why = await hired.gone()
        if self._stopping:
            # Nobody will answer what waits there: better refused now than left to wait.
            post.close()
        elif post.member is member:
            self._begin(self._succeed(post, why or "it ended unasked"))

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._replacing.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._replacing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._give_up(f"a worker cannot be replaced: {error}")

    async def _succeed(self, post: _Post, why: str) -> None:
        """Replace one that died."""
        now = self._clock.monotonic()
        post.deaths.append(now)
        deaths = sum(1 for death in post.deaths if now - death <= DEATH_SECONDS)
        if deaths >= MOST_DEATHS:
            self._give_up(f"worker {post.name} died {deaths} times within {DEATH_SECONDS:g} s; the last time {why}")
            return
        log.error("worker %s died (%s)", post.name, why)
        self.overview.metrics.restarts.inc()
        await self._clock.sleep(BACKOFF[deaths - 1])
        if self._stopping:
            return
        await self._fill(post)
        member = post.member
        assert member is not None
        await self.centre.until(lambda: member.lost or CONFIG in member.generations)
        if CONFIG in member.generations:
            log.warning("worker %s serves again", post.name)

    async def _relieve(self, post: _Post, member: Member) -> None:
        """Replace one that asked to leave: it goes once the other accepts on the same sockets, so nothing is lost."""
        await self._fill(post)
        await self._ready((post,))
        member.channel.send(Drain(self.overview.config.server.drain, accepting=False))

    async def _ready(self, posts: Sequence[_Post]) -> None:
        """Wait until these work with the latest configuration; raises as `serving`."""
        generation = self.centre.generation(CONFIG)

        def settled() -> bool:
            return self._failure is not None or all(_says(post.member, generation) for post in posts)

        try:
            async with self._clock.timeout(START_SECONDS):
                await self.centre.until(settled)
        except TimeoutError:
            raise PenstockError(f"the workers did not come up within {START_SECONDS:g} s") from None
        if self._failure is not None:
            raise self._failure
        for post in posts:
            refused = post.member.refused if post.member else None
            if refused is not None and refused.generation == generation:
                raise ConfigError(refused.reason, do=refused.do)

    def _give_up(self, why: str) -> None:
        if self._failure is None:
            self._failure = PenstockError(why, do="What it wrote to stderr may say why.")
            self.centre.changed()

    def _look(self) -> None:
        """Kill what has not said a word for long: it is replaced like one that died."""
        self._timer = self._clock.call_later(LOOK_SECONDS, self._look)
        for post in self._posts:
            member = post.member
            if member is not None and not member.lost:
                member.silent += 1
                if member.silent > MOST_SILENT:
                    log.error("worker %s has been stuck for %d s", post.name, member.silent)
                    member.channel.close()


def _says(member: Member | None, generation: int) -> bool:
    """Whether a worker has taken that configuration, or refused it."""
    if member is None or member.lost:
        return False
    refused = member.refused
    return member.generations.get(CONFIG) == generation or (refused is not None and refused.generation == generation)


def _check_fixed(before: Config, after: Config) -> None:
    fixed = {
        "server.listen": (before.server.listen, after.server.listen),
        "server.admin": (before.server.admin, after.server.admin),
        "server.workers": (before.server.workers, after.server.workers),
        "server.tls": (before.server.tls is None, after.server.tls is None),
        "log": (before.log, after.log),
    }
    changed = [name for name, (old, new) in fixed.items() if old != new]
    if changed:
        raise ConfigError(f"{after.source}: {' and '.join(changed)} changed", do="Restart to change that.")
