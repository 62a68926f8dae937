"""Names to addresses: asked of the system's resolver, kept for half a minute, and for longer when it is down.

The system says nothing of a record's lifetime, so one time holds for all. Callers that want the same name at the same
time share one question: a resolver that hangs holds one thread a name. Where the name is known, none waits long for it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable

from penstock.clock import Clock
from penstock.transport.asking import Ask, look_up

__all__ = ["Door", "Resolver"]

FRESH_SECONDS = 30.0
# While the resolver fails, what it said last is still the best guess, for so long.
STALE_SECONDS = 300.0
AGAIN_SECONDS = 5.0
# So long a late resolver is waited for where its last answer is at hand.
LATE_SECONDS = 1.0
# Balancers answer with a few of many addresses in turn: only one that has not been named for this long is gone.
GONE_SECONDS = 90.0
MAX_ADDRESSES = 16

Door = tuple[str, int]
"""A host as it was configured, and the port."""


class _Entry:
    """What is known of a name: `told` says when its last question ended, well or not, `seen` when an address
    was last named."""

    __slots__ = ("addresses", "fresh_until", "seen", "stale_until", "told")

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.seen: dict[str, float] = {}
        self.fresh_until = self.stale_until = self.told = 0.0


class Resolver:
    """Answers from its memory where it can.

    Args:
        gone: told a door and the addresses that no longer stand for it.
        ask: the system's resolver; it may block.
    """

    def __init__(
        self, clock: Clock, gone: Callable[[Door, frozenset[str]], None], ask: Ask = socket.getaddrinfo
    ) -> None:
        self._clock = clock
        self._gone = gone
        self._ask_system = ask
        self._entries: dict[Door, _Entry] = {}
        self._asking: dict[Door, asyncio.Task[OSError | None]] = {}
        self._begun: dict[Door, float] = {}

    def __repr__(self) -> str:
        return f"<Resolver {len(self._entries)} names, {len(self._asking)} being asked for>"

    async def addresses(self, door: Door) -> tuple[str, ...]:
        """At least one address, the best first, the families by turns (RFC 8305, section 4).

        Raises:
            OSError: the name has none, and had none lately.
        """
        entry, now = self._entries.get(door), self._clock.monotonic()
        if entry is not None and now < entry.fresh_until:
            return tuple(entry.addresses)
        task = self._asking.get(door)
        if task is None:
            task = self._asking[door] = asyncio.get_running_loop().create_task(self._ask(door))
            self._begun[door] = now
        late = None
        if entry is not None and now < entry.stale_until:
            late = self._begun[door] + LATE_SECONDS - now
            if late <= 0:
                return tuple(entry.addresses)
        try:
            async with self._clock.timeout(late):
                # Whoever gives up leaves the question to the others.
                error = await asyncio.shield(task)
        except TimeoutError:
            assert entry is not None
            return tuple(entry.addresses)
        if error is not None:
            raise error
        return tuple(self._entries[door].addresses)

    def prefer(self, door: Door, address: str) -> None:
        """Name this address first from now on: it was the first to answer."""
        entry = self._entries.get(door)
        if entry is not None and address in entry.addresses and entry.addresses[0] != address:
            entry.addresses.remove(address)
            entry.addresses.insert(0, address)

    def doubt(self, door: Door) -> None:
        """None of its addresses could be connected to: it may have moved, and is asked for again before long."""
        entry = self._entries.get(door)
        if entry is not None:
            entry.fresh_until = min(entry.fresh_until, entry.told + AGAIN_SECONDS)

    def close(self) -> None:
        """Ask no further."""
        for task in self._asking.values():
            task.cancel()

    async def _ask(self, door: Door) -> OSError | None:
        try:
            found = await self._look_up(door)
        except OSError as error:
            return self._failed(door, error)
        else:
            self._learn(door, found)
            return None
        finally:
            del self._asking[door], self._begun[door]

    def _failed(self, door: Door, error: OSError) -> OSError | None:
        entry, now = self._entries.get(door), self._clock.monotonic()
        if entry is None or now >= entry.stale_until:
            self._entries.pop(door, None)
            return error
        entry.told = now
        entry.fresh_until = min(now + AGAIN_SECONDS, entry.stale_until)
        return None

    def _learn(self, door: Door, found: list[str]) -> None:
        now = self._clock.monotonic()
        entry = self._entries.setdefault(door, _Entry())
        best = entry.addresses[0] if entry.addresses else ""
        entry.addresses = found
        entry.told = now
        entry.fresh_until = now + FRESH_SECONDS
        entry.stale_until = entry.fresh_until + STALE_SECONDS
        entry.seen.update(dict.fromkeys(found, now))
        gone = frozenset(address for address, when in entry.seen.items() if when < now - GONE_SECONDS)
        self.prefer(door, best)
        if gone:
            for address in gone:
                del entry.seen[address]
            self._gone(door, gone)

    async def _look_up(self, door: Door) -> list[str]:
        answers = await look_up(*door, self._ask_system)
        names = dict.fromkeys(_written(answer[4]) for answer in answers)
        if not names:
            raise OSError("its name has no address")
        return _by_turns(names)[:MAX_ADDRESSES]


def _written(address: tuple[object, ...]) -> str:
    host = str(address[0])
    scope = address[3] if len(address) == 4 else 0
    return f"{host}%{scope}" if scope and "%" not in host else host


def _by_turns(addresses: Iterable[str]) -> list[str]:
    """Both families mixed, beginning with the one the system put first."""
    ordered = list(addresses)
    first = [address for address in ordered if (":" in address) == (":" in ordered[0])]
    second = [address for address in ordered if (":" in address) != (":" in ordered[0])]
    mixed: list[str] = []
    for turn in range(max(len(first), len(second))):
        mixed += first[turn : turn + 1] + second[turn : turn + 1]
    return mixed
