"""What a worker has in hand: a lease of each account that its requests have lately reserved of."""

from __future__ import annotations

from collections.abc import Set
from itertools import count

from penstock.reservation import Accounts, Rule, Want
from penstock.stores.money_messages import Line, Share

__all__ = ["Hand", "Lease", "give_back"]

# By which the pace of spending is known (semantics.md: Leases: ten seconds of spend).
PACE_SECONDS = 10.0
LONG_AGO = float("-inf")
NEVER = float("inf")
# More than any account has.
BOUNDLESS = 2**63
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
    """

    __slots__ = (
        *("account", "before", "beside", "booked", "came", "kept", "left", "listed", "mark", "most"),
        *("resets", "room", "rule", "since", "spent", "until", "window"),
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

    def __repr__(self) -> str:
        return f"<Lease {self.rule}|{self.account}: {self.left} left, {self.most} at most>"

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
    """

    def __init__(self) -> None:
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

    def merge(self, want: Want, share: Share, now: float, lines: list[Line]) -> Lease:
        """What has come is in hand. What cannot be used any more because of it is added to the lines that go back."""
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
        lines: list[Line] = []
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
        lines: list[Line] = []
        for lease in self.leases.values():
            if lease.rule in rules:
                give_back(lease, lines)
        return lines

    def expired(self, now: float) -> list[Line]:
        """Nothing stays in hand of leases that have ended, and what was settled is told; the lines that go back."""
        lines: list[Line] = []
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
