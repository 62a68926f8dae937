"""What is true of each account in a history of spending, beside what the treasury says; and what may never be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from penstock.reservation import Reservation, Rule

__all__ = ["History", "Truth"]

# What a rate may have beyond its burst, for leases that were in hand: a twentieth and its shares, of four workers.
_IN_HAND = 0.11

_Account = tuple[str, str, int]


class History(NamedTuple):
    """What is to happen.

    Attributes:
        offset: what the wall clock is ahead of the simulation's.
        jumps: at what time the wall clock jumps, and how far.
        kills: at what time a worker dies, which, and after how long its books are closed.
        reloads: at what time limits change, to how many thousandths of what they were at first.
        latency: of the way between a worker and the centre, in seconds.
        before: what was spent before the process began, in thousandths of each limit.
    """

    seed: int
    rules: tuple[Rule, ...]
    values: tuple[str, ...]
    workers: int
    callers: int
    asks: int
    offset: float
    jumps: tuple[tuple[float, float], ...]
    kills: tuple[tuple[float, int, float], ...]
    reloads: tuple[tuple[float, int], ...]
    latency: float
    before: int
    overruns: bool


class Truth:
    """Of budgets what is settled, posted and reserved; of rates when how much was let through.

    Attributes:
        began: the wall's time at the beginning.
        highest: the highest limit that each rule has had.
    """

    def __init__(self, history: History, wrong: Callable[[str], object]) -> None:
        self.began = 0.0
        self.highest = {rule.id: rule.limit for rule in history.rules}
        self._history = history
        self._wrong = wrong
        self._taken: dict[_Account, int] = {}
        # What of that was more than had been reserved.
        self._over: dict[_Account, int] = {}
        # When, and how much; and which of these a reservation that is open has made, in its order.
        self._admitted: dict[tuple[str, str], list[list[float]]] = {}
        self._entries: dict[int, list[list[float]]] = {}

    def before(self, rule: Rule, value: str, window: int) -> int:
        """What the books have of it from before the process began: nothing, of a window that has begun since."""
        if window > self.began:
            return 0
        first = next(each for each in self._history.rules if each.id == rule.id)
        return first.limit * self._history.before // 1000

    def of(self, rule: Rule, value: str, window: int) -> int:
        """What is taken of an account in a window."""
        return self._taken.setdefault((rule.id, value, window), self.before(rule, value, window))

    def took(self, reservation: Reservation, now: float, wall: float) -> None:
        """It was granted."""
        entries = self._entries[id(reservation)] = []
        for (rule, value, amount), window in zip(reservation.wants, reservation.windows, strict=True):
            if rule.kind != "budget":
                entries.append([now, amount])
                self._admitted.setdefault((rule.id, value), []).append(entries[-1])
                continue
            account = (rule.id, value, window)
            self._taken[account] = self.of(rule, value, window) + amount
            if not (self._history.jumps or self._history.latency) and not _is_window(rule, window, wall):
                self._wrong(f"window: {window} is none of {rule.period} in {rule.zone}")
            most = self.highest[rule.id] + self._over.get(account, 0)
            if self._taken[account] > most:
                self._wrong(f"overshoot: {self._taken[account] - most} above {most} of {account}")

    def settled(self, reservation: Reservation, amounts: Sequence[int], now: float) -> None:
        """It was settled to that."""
        for want, window, actual in zip(reservation.wants, reservation.windows, amounts, strict=True):
            account = (want.rule.id, want.value, window)
            if want.rule.kind == "budget":
                self._taken[account] += actual - want.amount
                self._over[account] = self._over.get(account, 0) + max(0, actual - want.amount)
        entries = iter(self._entries.pop(id(reservation)))
        for want, actual in zip(reservation.wants, amounts, strict=True):
            if want.rule.kind == "strict":
                # It counts in the minute in which it was let through.
                next(entries)[1] = actual
            elif want.rule.kind != "budget":
                next(entries)
                self._admitted[want.rule.id, want.value].append([now, actual - want.amount])

    def judge_rates(self) -> None:
        """Whatever was let through was as slow as its rate."""
        if self._history.reloads:
            return
        for rule in self._history.rules:
            for (id, value), log in self._admitted.items():
                if id == rule.id and rule.kind == "strict":
                    self._judge_strict(rule, value, log)
                elif id == rule.id and rule.kind in ("burst", "leaky"):
                    self._judge_rate(rule, value, log)

    def _judge_strict(self, rule: Rule, value: str, log: list[list[float]]) -> None:
        first, total = 0, 0.0
        for at, amount in log:
            total += amount
            while log[first][0] <= at - rule.seconds:
                total -= log[first][1]
                first += 1
            if total > rule.limit:
                self._wrong(f"strict: {total:g} of {rule.limit} in the minute before {at:.3f}, {value}")

    def _judge_rate(self, rule: Rule, value: str, log: list[list[float]]) -> None:
        most = max(each[1] for each in log) if rule.kind == "leaky" else rule.burst * (1 + _IN_HAND)
        level, before = 0.0, 0.0
        for at, amount in log:
            # What comes back counts as far as time has not given it back (semantics.md: Rate limits).
            level = max(0.0, max(0.0, level - (at - before) * rule.limit / rule.seconds) + amount)
            before = at
            if amount > 0 and level > most + 1e-6:
                self._wrong(f"rate: {level:g} at once, at most {most:g}, {rule.id} {value}, at {at:.3f}")


def _is_window(rule: Rule, window: int, wall: float) -> bool:
    """Whether a wall's clock says of a window's first second what it says now, and of the one before something else."""
    names = {"hour": "%Y-%m-%d %H", "day": "%Y-%m-%d", "month": "%Y-%m"}

    def said(second: float) -> tuple[str, int]:
        local = datetime.fromtimestamp(second, ZoneInfo(rule.zone))
        return local.strftime(names[rule.period]), local.fold if rule.period == "hour" else 0

    return window <= wall and said(window) == said(wall) != said(window - 1)
