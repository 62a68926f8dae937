"""A worker's permits: what it holds of things that are counted at the centre, and what of that is in use.

Taking and giving back costs no word as long as the worker holds some that nobody uses; then it asks the centre, and
whoever waits is told when permits come. What has not been used for a while goes back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from penstock.stores.centre import Lease, Leased, Message, Recall, Settle

__all__ = ["Permits", "User"]

# In how many beats, that is seconds, what was never used is given back (semantics.md: a lease lives 30 s).
LIFE_BEATS = 30


class User(Protocol):
    """Who uses permits."""

    def waiting(self, guard: str) -> int:
        """How many wait for one."""
        ...

    def permits_came(self, guard: str) -> None:
        """Some may be had: try again for whoever waits."""

    def give_back(self, guard: str, count: int) -> None:
        """Release up to so many of those that are in use without need, such as idle connections."""


class _Held:
    """What is held of one guarded thing."""

    __slots__ = ("asked", "beats", "heard", "least_spare", "owed", "spare", "used", "users", "wanted")

    def __init__(self) -> None:
        self.used = 0
        self.spare = 0
        # Asked for and not granted yet.
        self.asked = 0
        # Whether the centre has answered since it was last asked.
        self.heard = True
        # Others wait for so many, as soon as they are freed; and of these so many before anybody of our own has them.
        self.wanted = 0
        self.owed = 0
        self.least_spare = 0
        self.beats = 0
        self.users: dict[User, None] = {}


class Permits:
    """The permits of one worker.

    Args:
        send: to the centre.
    """

    def __init__(self, send: Callable[[Message], object]) -> None:
        self._send = send
        self._held: dict[str, _Held] = {}

    def __repr__(self) -> str:
        shown = ", ".join(f"{guard}: {held.used} used, {held.spare} spare" for guard, held in self._held.items())
        return f"<Permits {shown or 'none'}>"

    def try_acquire(self, guard: str) -> bool:
        """Take one, if one is here."""
        held = self._held.get(guard)
        if held is None or held.spare <= 0:
            return False
        held.spare -= 1
        held.used += 1
        held.least_spare = min(held.least_spare, held.spare)
        return True

    def release(self, guard: str) -> None:
        """Give one back that was taken."""
        held = self._held[guard]
        held.used -= 1
        held.spare += 1
        if held.asked:
            self._unask(guard, held)
        if held.wanted:
            self._return(guard, held, 1)
        elif held.asked:
            # Whoever waits may be another user.
            self._tell(guard, held)

    def owes(self, guard: str) -> bool:
        """Whether the next one that is freed is somebody else's."""
        held = self._held.get(guard)
        return held is not None and held.owed > 0

    def ask(self, guard: str, total: int, user: User) -> None:
        """Somebody waits for one, of `total` there are in all; `user` is told when some come."""
        held = self._held.get(guard)
        if held is None:
            held = self._held[guard] = _Held()
        held.users[user] = None
        missing = sum(each.waiting(guard) for each in held.users) - held.asked
        if missing > 0:
            held.asked += missing
            held.heard = False
            self._send(Lease(guard, missing, total))

    def unheard(self, guard: str) -> bool:
        """Whether the centre was asked and has said nothing yet, not even that it has none."""
        held = self._held.get(guard)
        return held is not None and not held.heard

    def leave(self, user: User) -> None:
        """Somebody uses permits no more, and has released all."""
        for held in self._held.values():
            held.users.pop(user, None)

    def leased(self, message: Leased) -> None:
        """The centre has granted some."""
        held = self._held.get(message.guard)
        if held is None:
            self._send(Settle(message.guard, message.amount))
            return
        held.heard = True
        if not message.amount:
            return
        held.spare += message.amount
        held.asked = max(0, held.asked - message.amount)
        held.least_spare, held.beats = held.spare, 0
        self._tell(message.guard, held)
        if held.asked:
            self._unask(message.guard, held)

    def recall(self, message: Recall) -> None:
        """Others wait for some: give back what is not used, and owe what must be."""
        held = self._held.get(message.guard)
        if held is not None:
            held.wanted, held.owed = message.unused, message.owed
            self._yield(message.guard, held)

    def beat(self) -> None:
        """A second has passed: give back what was not used for long, and forget what is no longer held."""
        for guard, held in list(self._held.items()):
            if held.asked:
                self._unask(guard, held)
            if held.wanted:
                self._yield(guard, held)
            held.beats += 1
            if held.beats >= LIFE_BEATS:
                self._return(guard, held, held.least_spare)
                held.least_spare, held.beats = held.spare, 0
            if not (held.used or held.spare or held.asked):
                del self._held[guard]

    def close(self) -> None:
        """Give everything back that is not in use; the worker drains or ends."""
        for guard, held in self._held.items():
            self._return(guard, held, held.spare)

    def _tell(self, guard: str, held: _Held) -> None:
        for user in list(held.users):
            if held.spare:
                user.permits_came(guard)

    def _unask(self, guard: str, held: _Held) -> None:
        """Of those for whom some were asked a few may wait no more: the centre takes nothing from who waits itself."""
        unasked = held.asked - sum(each.waiting(guard) for each in held.users)
        if unasked > 0:
            held.asked -= unasked
            self._send(Settle(guard, 0, unasked))

    def _yield(self, guard: str, held: _Held) -> None:
        self._return(guard, held, min(held.spare, held.wanted))
        for user in list(held.users):
            if held.wanted:
                user.give_back(guard, held.wanted)

    def _return(self, guard: str, held: _Held, count: int) -> None:
        if count > 0:
            held.spare -= count
            held.wanted = max(0, held.wanted - count)
            held.owed = max(0, held.owed - count)
            held.least_spare = min(held.least_spare, held.spare)
            self._send(Settle(guard, count))
