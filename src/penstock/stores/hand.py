"""What a worker has in hand: a lease of each account that its requests have lately reserved of."""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import count

from penstock.reservation import Accounts, Reservation, Rule, Want
from penstock.stores.drawer import Drawer, Part, open_drawer
from penstock.stores.money_messages import Line, Share

__all__ = ["CALLS", "MOST_AMOUNT", "Hand", "Lease", "give_back"]

# By which the pace of spending is known (semantics.md: Leases: ten seconds of spend).
PACE_SECONDS = 10.0
LONG_AGO = float("-inf")
NEVER = float("inf")
# More than any account has.
BOUNDLESS = 2**63
# A set of accounts has a drawer once so many calls have drawn on it within so many seconds; so many have one at most.
CALLS, WITHIN, MOST_DRAWERS = 8, 0.25, 64
# Nine million dollars, or so many tokens: no account has that, and sums of a thousand such still fit into a message.
MOST_AMOUNT = 2**53
_UNEQUAL = "so many amounts as accounts are to be told"
# Of all hands: what was found in one is not taken for what is in another.
_turns = count()


class Lease:
    """What is in hand of one account, from one window.

    Attributes:
        left: neither reserved nor spent.
        until: when what is left goes back, at the latest; then it is nobody's any more.
        spent: settled and not told yet.
        came: what has come in all, and was not given back; without what is left that is what was used.
        most: what may be left of it; what is freed beyond that goes back at once. 0 where the account is nearly empty.
        kept: the books must hear what was spent of it, not only what comes back.
        booked: its window, as it stands in the books; 0 for rates, which are in none.
        mark: what was used until `since`; `before`: in the ten seconds before.
        beside: what the account has left at the centre, as that said last; `resets`: when it will have everything.
        room: the same of a hard budget of money or tokens, of which requests shall not take too large a part.
        parts: what of it is in drawers, and no longer in `left`.
    """

    __slots__ = (
        *("account", "before", "beside", "booked", "came", "kept", "left", "listed", "mark", "most"),
        *("parts", "resets", "room", "rule", "since", "spent", "until", "window"),
    )

    def __init__(self, share: Share, now: float, *, kept: bool) -> None:
        self.rule = share.rule
        self.account = share.value
        self.window = share.window
        self.left = 0
        self.most = 0
        self.until = now
        self.spent = 0
        self.kept = kept
        self.booked = share.window if kept else 0
        self.listed = False
        self.came = self.mark = 0
        self.before = 0
        self.since = now
        self.beside = self.room = 0
        self.resets = now
        self.parts: list[Part] = []

    def __repr__(self) -> str:
        return f"<Lease {self.rule}|{self.account}: {self.left} left, {self.most} at most>"

    @property
    def idle(self) -> int:
        """All that is neither reserved nor spent, in drawers too."""
        return self.left + sum([part.left for part in self.parts])

    def hear(self, rule: Rule, left: int, resets: float) -> None:
        """The centre says what the account has left there, and when it will have everything."""
        self.beside, self.resets = left, resets
        self.room = left if rule.hard and rule.kind == "budget" and rule.unit != "requests" else BOUNDLESS

    def end(self) -> None:
        """Whoever found it once finds nothing in it any more."""
        self.until = LONG_AGO
        self.room = self.most = 0

    def pace(self, now: float) -> int:
        """What was used, or is reserved, of what came within the last ten to twenty seconds."""
        age, used = now - self.since, self.came - self.left
        if age >= PACE_SECONDS:
            self.before = used - self.mark if age < 2 * PACE_SECONDS else 0
            self.mark, self.since = used, now
        return max(used - self.mark, self.before, 0)

    def follow(self, before: Lease) -> None:
        """Go on with what was used of the one before, all that is not left of which has gone back."""
        self.came = before.came - before.left
        self.mark, self.before, self.since = before.mark, before.before, before.since


class Hand:
    """The leases of one worker.

    Attributes:
        leases: by rule and value.
        spent: those of which something was settled that is not told yet.
        turn: another number each time that something else is to be found than before.
        drawers: those that are open. Whoever looks into leases has them `shut` first.
        calls: how many make a set of accounts one that gets a drawer.
    """

    def __init__(self, calls: int = CALLS) -> None:
        self.calls = calls
        self.drawers: list[Drawer] = []
        self.leases: dict[tuple[str, str], Lease] = {}
        self.spent: list[Lease] = []
        self.turn = next(_turns)

    def find(self, accounts: Accounts) -> tuple[Lease, ...] | None:
        """What is in hand of each account; None where there is nothing of one. The accounts remember it."""
        found = [self.leases.get(key) for key in accounts.keys]
        leases: tuple[Lease, ...] | None = None if None in found else tuple(found)  # type: ignore[arg-type]
        accounts.leases, accounts.turn = leases, self.turn
        accounts.until = min([lease.until for lease in leases], default=NEVER) if leases is not None else LONG_AGO
        return leases

    def draw(self, accounts: Accounts, numbers: Sequence[int], now: float) -> None:
        """Many calls draw on these accounts: from now on out of a drawer, if what is in hand allows it."""
        drawer = accounts.drawer
        often = now - accounts.since < WITHIN or self.calls < CALLS or drawer is not None
        accounts.calls, accounts.since = 0, now
        if drawer in self.drawers:  # there was too little in it
            self.drawers.remove(drawer)
            self._empty(drawer)
        if often and accounts.kinds and len(self.drawers) < MOST_DRAWERS:
            drawer = open_drawer(accounts, numbers)
            if drawer is not None:
                self.drawers.append(drawer)

    def shut(self) -> list[Line]:
        """What is in drawers is in the leases again; the lines that go back."""
        lines: list[Line] = []
        drawers, self.drawers = self.drawers, []
        for drawer in drawers:
            self._empty(drawer)
            for lease in drawer.leases:
                if lease.left > lease.most:
                    give_back(lease, lines, lease.most)
        return lines

    def _empty(self, drawer: Drawer) -> None:
        drawer.empty()
        for lease in drawer.leases:
            if lease.spent and not lease.listed:
                lease.listed = True
                self.spent.append(lease)

    def reserve(self, accounts: Accounts, numbers: Sequence[int], now: float) -> Reservation | None:
        """So much of each account from its lease, or nothing; calls in quick succession get a drawer."""
        amounts = accounts.amounts(numbers)
        if accounts.turn != self.turn:
            self.find(accounts)
        if accounts.until <= now:
            return None
        leases, enough = accounts.leases, True
        if len(leases) != len(amounts):
            raise ValueError(_UNEQUAL)
        for lease, amount in zip(leases, amounts):  # noqa: B905 -- `strict` takes as long as three accounts
            left = lease.left = lease.left - amount
            if left < 0:
                enough = False
        if not enough:
            for lease, amount in zip(leases, amounts, strict=True):
                lease.left += amount
            return None
        accounts.calls += 1
        if accounts.calls >= self.calls or accounts.drawer is not None:
            self.draw(accounts, numbers, now)
        return Reservation(accounts, numbers, leases)

    def settle(self, reservation: Reservation, numbers: Sequence[int]) -> list[Line] | None:
        """What was used of each, lease by lease; the lines that go back. Raises ValueError: not one for each."""
        leases, amounts = reservation.leases, reservation.accounts.amounts(numbers)
        if len(leases) != len(amounts):
            raise ValueError(_UNEQUAL)
        reservation.open = False
        lines: list[Line] | None = None
        for lease, reserved, actual in zip(leases, reservation.amounts, amounts):  # noqa: B905 -- as above
            freed = reserved - actual
            if freed < 0 or actual < 0:
                actual = min(max(0, actual), MOST_AMOUNT)
                freed = reserved - actual
            if lease.kept:
                lease.spent += actual
                if not lease.listed:
                    lease.listed = True
                    self.spent.append(lease)
            elif not freed:
                continue  # nothing comes back, as with most rates of requests
            left = lease.left = lease.left + freed
            if left > lease.most or left < 0:
                lines = [] if lines is None else lines
                give_back(lease, lines, lease.most if left > 0 else 0)
        return lines

    def merge(self, want: Want, share: Share, now: float, lines: list[Line]) -> Lease:
        """What has come is in hand. What cannot be used any more because of it is added to the lines that go back."""
        lines += self.shut()
        key = (share.rule, want.value)
        self.turn = next(_turns)
        lease = self.leases.get(key)
        if lease is None or lease.window != share.window or lease.account != share.value:
            before = lease
            lease = self.leases[key] = Lease(share, now, kept=want.rule.kind == "budget")
            if before is not None:
                before.end()
                give_back(before, lines)
                lease.follow(before)
        elif lease.until <= now:
            give_back(lease, lines)
        lease.left += share.amount
        lease.came += share.amount
        lease.most = share.amount - want.amount
        lease.until = now + share.life
        lease.hear(want.rule, share.left, now + share.resets)
        return lease

    def reclaimed(self, rule: str, account: str) -> list[Line]:
        """Others need what is in hand of an account and not in use; the lines that go back."""
        lines = self.shut()
        for lease in self._of(rule, account):
            lease.most = 0
            give_back(lease, lines)
        return lines

    def _of(self, rule: str, account: str) -> list[Lease]:
        """The leases of an account: of one that names share there are several."""
        lease = self.leases.get((rule, account))
        if lease is not None:
            return [lease]
        return [each for each in self.leases.values() if each.rule == rule and each.account == account]

    def drop(self, rules: Set[str]) -> list[Line]:
        """Nothing of these rules' accounts stays in hand; the lines that go back."""
        lines = self.shut()
        for lease in self.leases.values():
            if lease.rule in rules:
                give_back(lease, lines)
        return lines

    def expired(self, now: float) -> list[Line]:
        """Nothing stays in hand of leases that have ended, and what was settled is told; the lines that go back."""
        lines = self.shut()
        for key, lease in [item for item in self.leases.items() if item[1].until <= now]:
            del self.leases[key]
            self.turn = next(_turns)
            lease.end()
            give_back(lease, lines)
        for lease in self.spent:
            lease.listed = False
            if lease.spent:
                lines.append(Line(lease.rule, lease.account, lease.window, lease.spent, 0))
                lease.spent = 0
        self.spent.clear()
        return lines


def give_back(lease: Lease, lines: list[Line], keep: int = 0) -> None:
    """What is left of a lease beyond what is kept; and what was spent of it, so that both sides agree."""
    if lease.left != keep or lease.spent:
        lines.append(Line(lease.rule, lease.account, lease.window, lease.spent, lease.left - keep))
        lease.came -= lease.left - keep
        lease.spent, lease.left = 0, keep
