"""The purse: what a worker has in hand of limits and budgets, and what its requests have reserved of that.

Reserving and settling costs no word as long as there is enough in hand; else the treasury is asked for what is
missing, of all accounts at once, and has the last word. What is settled is told once a second, what has not been
needed for the life of its lease goes back, and where an account is nearly empty everything goes back at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from penstock.clock import Clock
from penstock.errors import Overloaded
from penstock.reservation import Accounts, Level, Reservation, Rule, Shortage, Want
from penstock.stores.hand import CALLS, MOST_AMOUNT, Hand, Lease, give_back
from penstock.stores.message import Message
from penstock.stores.money_messages import (
    NOBODY,
    Ask,
    Denied,
    Forget,
    Granted,
    Inspect,
    Inspected,
    Line,
    Need,
    Open,
    Reclaim,
    Told,
    TreasuryMessage,
)
from penstock.stores.treasury import Treasury

__all__ = ["Purse", "open_purse"]

# The centre answers within milliseconds, and within a quarter of a second where others must give back first.
ANSWER_SECONDS = 2.0
# What is asked for again because it ended meanwhile, such as a window.
MOST_TRIES = 4
BEAT_SECONDS = 1.0
_new = tuple.__new__


class _Asking:
    """One that waits for the treasury's word.

    Attributes:
        accounts: of its wants.
        number: of the question that is open.
        parts: what of it is in hand already, and kept for it.
        asked: those of its wants that are not.
    """

    __slots__ = ("accounts", "answer", "asked", "number", "parts", "tries", "wants")

    def __init__(
        self, wants: Sequence[Want], accounts: Accounts, answer: asyncio.Future[Reservation | Shortage]
    ) -> None:
        self.wants = wants
        self.accounts = accounts
        self.answer = answer
        self.number = 0
        self.parts: list[tuple[Lease, int]] = []
        self.asked: list[Want] = []
        self.tries = 0


class Purse:
    """The purse of one worker.

    Args:
        send: to the treasury.
        books: by what name the ledger knows what this worker settles; "" where nothing is kept.
        calls: after how many in quick succession a set of accounts gets a drawer.

    Attributes:
        books: as above; to be set before `open`.
    """

    def __init__(self, send: Callable[[Message], object], clock: Clock, books: str = "", calls: int = CALLS) -> None:
        self._send = send
        self._clock = clock
        self._now = clock.monotonic
        self.books = books
        self._rules: dict[str, Rule] = {}
        self._hand = Hand(calls)
        self._leases, self._spent = self._hand.leases, self._hand.spent
        self._asking: dict[int, _Asking] = {}
        self._looking: dict[int, asyncio.Future[Inspected]] = {}
        self._number = 0
        self._beaten = clock.monotonic()
        self._lost = False

    def __repr__(self) -> str:
        gone = ", the centre is gone" if self._lost else ""
        return f"<Purse of {len(self._leases)} leases, {len(self._asking)} waiting{gone}>"

    def open(self, books: str = "") -> None:
        """Begin: tell the centre who this is, and in which books what it settles will stand, if in any."""
        self.books = books or self.books
        self._send(Open(self.books))

    def adopt(self, rules: Iterable[Rule]) -> None:
        """Go by these rules from now on. What is in hand of one whose limit has changed goes back."""
        changed = set()
        for rule in rules:
            before = self._rules.get(rule.id)
            if before is not None and before != rule:
                changed.add(rule.id)
            self._rules[rule.id] = rule
        self._tell(self._hand.drop(changed))

    # --- what layers call

    def try_reserve(self, accounts: Accounts, numbers: Sequence[int]) -> Reservation | None:
        """Reserve so much of each account from what is in hand, or nothing; None: the treasury must be asked.

        Args:
            numbers: the call's, of which the accounts count some.
        """
        drawer = accounts.drawer
        now = self._now
        at = now()
        if drawer is not None and drawer.until > at:  # while it is open, what is in hand of each is the same
            first, second = drawer.first, drawer.second
            one, other = first.left - numbers[first.at], second.left - numbers[second.at]
            if one >= 0 and other >= 0:
                first.left, second.left = one, other
                return Reservation(accounts, numbers, drawer.leases, drawer)
        reservation = self._hand.reserve(accounts, numbers, at)
        if reservation is None and self._hand.drawers:
            self._tell(self._hand.shut())
            reservation = self._hand.reserve(accounts, numbers, at)
        return reservation

    async def reserve(self, wants: Sequence[Want]) -> Reservation | Shortage:
        """Reserve all of it or nothing; a shortage says which account has not enough, and when it would have.

        Raises:
            Overloaded: the centre is gone, or does not answer.
        """
        accounts = Accounts([want[:2] for want in wants])
        reservation = self.try_reserve(accounts, [want.amount for want in wants])
        if reservation is not None:
            return reservation
        if self._lost:
            raise _unreachable()
        for each in wants:
            if each.amount > MOST_AMOUNT:
                return Shortage(each.rule, each.value, await _room(self, each), float("inf"))
        asking = _Asking(wants, accounts, asyncio.get_running_loop().create_future())
        self._ask(asking)
        answer = asking.answer
        if answer.done():
            return answer.result()
        try:
            async with self._clock.timeout(ANSWER_SECONDS):
                return await answer
        except BaseException as error:
            self._give_up(asking)
            if isinstance(error, TimeoutError):
                raise _unreachable() from None
            raise

    def settle(self, reservation: Reservation, numbers: Sequence[int]) -> None:
        """What was really used, by the call's numbers as they were reserved; more than was reserved is booked too.

        Less than nothing counts as nothing, and nothing counts as more than fits into a message.

        Raises:
            RuntimeError: it was settled or voided before.
        """
        if not reservation.open:
            raise RuntimeError("a reservation resolves once")
        drawer = reservation.drawer
        if drawer is not None and drawer.open:
            reserved = reservation.numbers
            first, second = drawer.first, drawer.second
            at, to = first.at, second.at
            used, spent = numbers[at], numbers[to]
            one, other = first.left + reserved[at] - used, second.left + reserved[to] - spent
            if one >= 0 and other >= 0 and used >= 0 and spent >= 0:
                reservation.open = False
                first.left, second.left = one, other
                first.spent += used
                second.spent += spent
                return
            self._tell(self._hand.shut())
        lines = self._hand.settle(reservation, numbers)
        if lines:
            self._tell(lines)

    def void(self, reservation: Reservation) -> None:
        """Nothing of it was used; raises as `settle`."""
        self.settle(reservation, (0,) * len(reservation.numbers))

    def levels(self, accounts: Accounts, ago: float = 0.0) -> tuple[Level, ...]:
        """How accounts stand, as far as was last heard; without those of which nothing was lately.

        Args:
            ago: as of so many seconds ago `resets` counts.
        """
        self._tell(self._hand.shut())
        leases, since, found = accounts.leases, self._now() - ago, []
        if leases is None or accounts.turn != self._hand.turn:
            leases = self._hand.find(accounts) or [self._leases.get(key) for key in accounts.keys]
        for (rule, value), lease in zip(accounts.scopes, leases, strict=True):
            if lease is not None:
                left, resets, limit = lease.beside + lease.left, lease.resets - since, rule.limit
                if left < 0:
                    left = 0
                used = limit - left if left < limit else 0
                found.append(_new(Level, (rule, value, used, left, resets if resets > 0.0 else 0.0)))
        return tuple(found)

    async def look(self, wants: Sequence[Want]) -> list[Level]:
        """How the wants' accounts stand, as the treasury has it: what others have in hand counts as used.

        Raises:
            Overloaded: the centre is gone, or does not answer.
        """
        if self._lost:
            raise _unreachable()
        self._number += 1
        number = self._number
        answer = self._looking[number] = asyncio.get_running_loop().create_future()
        self._send(Inspect(number, [(want.rule.id, want.value) for want in wants]))
        try:
            if not answer.done():
                async with self._clock.timeout(ANSWER_SECONDS):
                    await answer
        except TimeoutError:
            raise _unreachable() from None
        finally:
            self._looking.pop(number, None)
        levels = []
        self._tell(self._hand.shut())
        for want, stand in zip(wants, answer.result().stands, strict=True):
            limit, left, resets = stand if stand is not None else (want.rule.limit, want.rule.limit, 0.0)
            lease = self._leases.get((want.rule.id, want.value))
            if lease is not None:
                # Of a rate time may have given back what is still in hand.
                left = min(limit, left + lease.left)
            levels.append(Level(want.rule, want.value, max(0, limit - left), max(0, left), resets))
        return levels

    # --- asking

    def _ask(self, asking: _Asking) -> None:
        """Keep what is in hand, and ask for what is not."""
        now = self._now()
        if now - self._beaten >= BEAT_SECONDS:
            self.beat()
        self._tell(self._hand.shut())
        self._number += 1
        asking.number = self._number
        asking.asked = []
        needs: list[Need] = []
        lines: list[Line] = []
        for want in asking.wants:
            rule, value, amount = want
            lease = self._leases.get((rule.id, value))
            if lease is not None and lease.left >= amount and lease.until > now:
                lease.left -= amount
                asking.parts.append((lease, amount))
                continue
            pace = amount
            if lease is not None:
                # What is too little goes back, so that nothing is kept of an account that others wait for.
                give_back(lease, lines)
                pace += lease.pace(now)
            asking.asked.append(want)
            needs.append(Need(rule.id, value, amount, pace))
        self._asking[asking.number] = asking
        self._send(Ask(asking.number, needs, lines))

    def _give_up(self, asking: _Asking) -> None:
        """Nobody waits any more."""
        answer = asking.answer
        if self._asking.pop(asking.number, None) is not None:
            self._put_back(asking)
            self._send(Forget(asking.number))
        elif answer.done() and not answer.cancelled() and answer.exception() is None:
            # It came in the moment in which whoever asked was stopped.
            came = answer.result()
            if isinstance(came, Reservation):
                self.void(came)

    def _put_back(self, asking: _Asking) -> None:
        """What was kept is in hand again."""
        lines: list[Line] = []
        for lease, part in asking.parts:
            lease.left += part
            if lease.left > lease.most:
                give_back(lease, lines, lease.most)
        asking.parts.clear()
        self._tell(lines)

    # --- what comes from the centre

    def received(self, message: TreasuryMessage) -> None:
        """The treasury says something."""
        if isinstance(message, Granted):
            self._granted(message)
        elif isinstance(message, Denied):
            self._denied(message)
        elif isinstance(message, Reclaim):
            self._send(Told(self._hand.reclaimed(message.rule, message.value), message.number))
        elif isinstance(message, Inspected):
            answer = self._looking.get(message.number)
            if answer is not None and not answer.done():
                answer.set_result(message)

    def lost(self) -> None:
        """The centre is gone: whoever waits hears so, and what is in hand is all there is."""
        self._lost = True
        asking = list(self._asking.values())
        self._asking.clear()
        for each in asking:
            self._put_back(each)
            if not each.answer.done():
                each.answer.set_exception(_unreachable())
        for answer in self._looking.values():
            if not answer.done():
                answer.set_exception(_unreachable())

    def _granted(self, message: Granted) -> None:
        asking = self._asking.pop(message.number, None)
        if asking is None or asking.answer.done():
            # Whoever asked is gone.
            self._tell([Line(share.rule, share.value, share.window, 0, share.amount) for share in message.shares])
            if asking is not None:
                self._put_back(asking)
            return
        now = self._now()
        lines: list[Line] = []
        answers = zip(asking.asked, message.shares, strict=True)
        leases = [self._hand.merge(want, share, now, lines) for want, share in answers]
        for lease, part in asking.parts:
            lease.left += part
            leases.append(lease)
        asking.parts.clear()
        reservation = self.try_reserve(asking.accounts, [want.amount for want in asking.wants])
        for lease in leases:
            if lease.left > lease.most:
                give_back(lease, lines, lease.most)
        self._tell(lines)
        if reservation is not None:
            asking.answer.set_result(reservation)
        elif asking.tries < MOST_TRIES:
            # A window ended meanwhile: what was in hand of it is of no use for the one that has begun.
            asking.tries += 1
            self._ask(asking)
        else:
            asking.answer.set_exception(_unreachable())

    def _denied(self, message: Denied) -> None:
        asking = self._asking.pop(message.number, None)
        if asking is None:
            return
        self._put_back(asking)
        if message.which == NOBODY:
            if not asking.answer.done():
                asking.answer.set_exception(_unreachable())
            return
        want = asking.asked[message.which]
        lease = self._leases.get((want.rule.id, want.value))
        if lease is not None:
            lease.hear(want.rule, message.left, self._now() + message.resets)
        if not asking.answer.done():
            asking.answer.set_result(Shortage(want.rule, want.value, message.left, message.wait))

    def beat(self) -> None:
        """A second has passed: tell what was settled, and give back what was not needed for long."""
        self._beaten = self._now()
        self._tell(self._hand.expired(self._beaten))

    def close(self) -> None:
        """Give everything back that is not in use, and from now on what is freed; the worker drains or ends."""
        self._tell(self._hand.expired(float("inf")))

    def _tell(self, lines: list[Line]) -> None:
        if lines and not self._lost:
            self._send(Told(lines))


async def _room(purse: Purse, want: Want) -> int:
    """How much of a want that no message has room for is there: as much as fits of what refuses nobody."""
    if want.rule.kind == "budget" and not want.rule.hard:
        return MOST_AMOUNT
    (level,) = await purse.look([want])
    return min(level.left, MOST_AMOUNT)


def _unreachable() -> Overloaded:
    return Overloaded(
        "limits and budgets cannot be asked for",
        do="Wait as long as `retry-after` says: the gateway restarts what keeps them.",
        retry_after=1.0,
    )


def open_purse(treasury: Treasury, clock: Clock, name: str = "own") -> Purse:
    """A purse in the treasury's own process: every question is answered at once."""
    purse = Purse(lambda message: treasury.received(name, message), clock)  # type: ignore[arg-type]
    treasury.join(name, purse.received)  # type: ignore[arg-type]
    purse.open()
    return purse
