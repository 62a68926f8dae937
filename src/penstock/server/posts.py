"""The workers' posts: who holds each, and who takes it when the holder dies, leaves, hangs or is to be renewed.

A post is a set of listening sockets, held for the gateway's life. A worker that dies is replaced at once on the same
sockets; one that dies again and again is waited for longer each time, and in the end given up with the whole gateway,
since something is wrong that a restart won't mend. One that leaves goes only once the next one accepts.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from penstock.clock import Clock, Timer
from penstock.errors import ConfigError, PenstockError
from penstock.stores.centre import CONFIG, Centre, Channel, Drain, Member

__all__ = ["Hire", "Hired", "Posts"]

log = logging.getLogger("penstock.server")

# A worker that dies so often in so many seconds is given up; before that, how long its replacement waits.
MOST_DEATHS = 5
DEATH_SECONDS = 30.0
BACKOFF = (0.0, 0.1, 0.3, 0.6)
START_SECONDS = 30.0
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


class Posts:
    """Keeps every post held.

    Args:
        held: each post's listening sockets, closed with this; `hire` duplicates what it gives away.
        centre: what workers join.
        patience: how long a worker that is replaced may take over its open requests, in seconds.
        restarted: is told of every worker that died and is replaced.

    Attributes:
        joined, gone: are told of every worker that has joined, before it says anything, and whose process has ended.
        failure: why the workers have been given up; None while they have not.
        stopping: from here on nobody is replaced.
    """

    def __init__(
        self,
        held: Sequence[Sequence[socket.socket]],
        centre: Centre,
        clock: Clock,
        hire: Hire,
        patience: Callable[[], float],
        restarted: Callable[[], object],
    ) -> None:
        self.failure: PenstockError | None = None
        self.stopping = False
        self.joined: Callable[[Member], object] = lambda member: None
        self.gone: Callable[[Member], object] = lambda member: None
        self._centre = centre
        self._clock = clock
        self._hire = hire
        self._patience = patience
        self._restarted = restarted
        self._posts = [_Post(str(number), sockets) for number, sockets in enumerate(held)]
        self._watched: dict[asyncio.Task[None], Hired] = {}
        self._replacing: set[asyncio.Task[None]] = set()
        self._timer: Timer | None = None

    async def fill(self) -> None:
        """Start a worker for every post.

        Raises:
            OSError: the machine cannot start one more process.
        """
        for post in self._posts:
            await self._fill(post)

    def look_after(self) -> None:
        """From now on, look every second whether a worker hangs."""
        self._timer = self._clock.call_later(LOOK_SECONDS, self._look)

    async def ready(self) -> None:
        """Wait until every post's holder works with the latest configuration.

        Raises:
            ConfigError: a worker cannot work with it.
            PenstockError: workers die, or do not come up in time.
        """
        generation = self._centre.generation(CONFIG)

        def settled() -> bool:
            return self.failure is not None or all(_says(post.member, generation) for post in self._posts)

        try:
            async with self._clock.timeout(START_SECONDS):
                await self._centre.until(settled)
        except TimeoutError:
            raise PenstockError(f"the workers did not come up within {START_SECONDS:g} s") from None
        if self.failure is not None:
            raise self.failure
        for post in self._posts:
            refused = post.member.refused if post.member else None
            if refused is not None and refused.generation == generation:
                raise ConfigError(refused.reason, do=refused.do)

    async def renew(self) -> None:
        """Replace every worker by a fresh one, the next once the one before is answered for; no request is lost.

        A worker that was replaced lets its open requests end meanwhile, within `drain`.

        Raises:
            PenstockError: a fresh one does not come up. Those that have not been replaced by then go on.
            OSError: the machine cannot start one more process; likewise.
        """
        if len(self._posts) == 1:
            raise PenstockError("the only worker runs in the gateway's own process", do="Restart to renew it.")
        for post in self._posts:
            member = post.member
            # One that is dead or leaving is being replaced as it is.
            if member is not None and not member.lost and not member.leaving and not self.stopping:
                await self._relieve(post, member)

    async def ended(self, seconds: float) -> None:
        """Wait until no worker is left; what lives much longer than so many seconds is killed."""
        with suppress(TimeoutError):
            async with self._clock.timeout(seconds + END_SECONDS):
                await self._centre.until(lambda: not self._watched)
        for hired in self._watched.values():
            hired.kill()
        await self._centre.until(lambda: not self._watched)

    def replace_no_more(self) -> None:
        """Give up what replaces workers now."""
        self.stopping = True
        for task in list(self._replacing):
            task.cancel()

    def close(self) -> None:
        """Close the sockets; nobody may hold a post any more."""
        if self._timer is not None:
            self._timer.cancel()
        for post in self._posts:
            post.close()

    # --- one post

    async def _fill(self, post: _Post) -> None:
        post.member = await self._start(post)

    async def _start(self, post: _Post) -> Member:
        hired = await self._hire(int(post.name), post.sockets)
        # One that waited in reserve has asked for its configuration already: what it must know before comes first.
        member = self._centre.join(post.name, hired.channel, self.joined)
        task = asyncio.get_running_loop().create_task(self._watch(post, member, hired))
        self._watched[task] = hired
        task.add_done_callback(self._unwatch)
        return member

    def _unwatch(self, task: asyncio.Task[None]) -> None:
        del self._watched[task]
        if not task.cancelled() and task.exception() is not None:
            self._give_up(f"a worker cannot be replaced: {task.exception()}")
        self._centre.changed()

    async def _watch(self, post: _Post, member: Member, hired: Hired) -> None:
        """See one worker to its end, and replace it where that was not its post's end too."""
        while not member.lost:
            await self._centre.until(lambda: member.lost or (member.leaving and not self.stopping))
            if not member.lost:
                self._begin(self._let_go(post, member))
                await self._centre.until(lambda: member.lost or not member.leaving)
        why = await hired.gone()
        self.gone(member)
        if self.stopping:
            # Nobody will answer what waits there: better refused now than left to wait.
            post.close()
        elif post.member is member:
            self._begin(self._succeed(post, member, why or "it ended unasked"))

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._replacing.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._replacing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._give_up(f"a worker cannot be replaced: {error}")

    async def _succeed(self, post: _Post, dead: Member, why: str) -> None:
        """Replace one that died."""
        now = self._clock.monotonic()
        post.deaths.append(now)
        deaths = sum(1 for death in post.deaths if now - death <= DEATH_SECONDS)
        if deaths >= MOST_DEATHS:
            self._give_up(f"worker {post.name} died {deaths} times within {DEATH_SECONDS:g} s; the last time {why}")
            return
        log.error("worker %s died (%s)", post.name, why)
        self._restarted()
        await self._clock.sleep(BACKOFF[deaths - 1])
        if self.stopping or post.member is not dead:
            return
        await self._fill(post)
        member = post.member
        assert member is not None
        try:
            async with self._clock.timeout(START_SECONDS):
                await self._centre.until(lambda: member.lost or CONFIG in member.generations)
        except TimeoutError:
            # It may only lack a file that will be back; the next one tries again.
            log.error("worker %s does not come up%s", post.name, f": {member.refused.reason}" if member.refused else "")
            member.channel.close()
        else:
            if not member.lost:
                log.warning("worker %s serves again", post.name)

    async def _let_go(self, post: _Post, member: Member) -> None:
        """Replace one that asked to leave; it stays where nobody can take its place."""
        try:
            await self._relieve(post, member)
        except (PenstockError, OSError) as error:
            if not self.stopping:
                log.error("worker %s stays: %s", post.name, error)
            member.leaving = False
            self._centre.changed()

    async def _relieve(self, post: _Post, member: Member) -> None:
        """Replace one that works: it goes once the other accepts on the same sockets, so nothing is lost."""
        fresh = await self._start(post)
        try:
            await self._come_up(fresh)
        except PenstockError:
            fresh.channel.close()
            raise
        if post.member is not member:
            # It died meanwhile, and has been replaced.
            fresh.channel.close()
            return
        post.member = fresh
        member.channel.send(Drain(self._patience(), accepting=False))

    async def _come_up(self, member: Member) -> None:
        """Wait until a new one serves; raises PenstockError where it ends, refuses, or takes too long."""

        def refused() -> bool:
            return member.refused is not None and member.refused.generation == self._centre.generation(CONFIG)

        try:
            async with self._clock.timeout(START_SECONDS):
                await self._centre.until(lambda: member.lost or CONFIG in member.generations or refused())
        except TimeoutError:
            raise PenstockError(f"a new one did not come up within {START_SECONDS:g} s") from None
        if member.lost:
            raise PenstockError("a new one ended as it came up", do="What it wrote to stderr may say why.")
        if CONFIG not in member.generations:
            assert member.refused is not None
            raise PenstockError(f"a new one cannot use the configuration: {member.refused.reason}")

    def _give_up(self, why: str) -> None:
        if self.failure is None:
            self.failure = PenstockError(why, do="What it wrote to stderr may say why.")
            self._centre.changed()

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
