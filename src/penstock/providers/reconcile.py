"""Two books beside each other, the ledger's and a provider's: per day and model, and in all, how far apart. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from penstock.providers.statement import Line, Statement

__all__ = ["MEASURES", "Compared", "Drift", "Ours", "Reconciled", "reconcile"]

MEASURES = ("input", "output", "cost")
# What a row may be apart whatever its size: providers round each line of a bill. A cent, and so many tokens.
ROUNDED = {"cost": 10_000_000, "input": 0, "output": 0}


class Drift(NamedTuple):
    """One measure on both sides: nano-dollars or tokens."""

    ours: int
    theirs: int

    @property
    def ppm(self) -> float:
        """By how many millionths of theirs ours is more; infinite where they have nothing."""
        if self.ours == self.theirs:
            return 0.0
        return (self.ours - self.theirs) * 1_000_000 / abs(self.theirs) if self.theirs else float("inf")

    def within(self, most: float) -> bool:
        """Whether it is at most that many millionths."""
        return abs(self.ours - self.theirs) * 1_000_000 <= most * abs(self.theirs)


class Compared(NamedTuple):
    """A day and model.

    Attributes:
        model: "" where the statement does not tell by model.
        side: `both`, or the only one that has it: `ours`, `theirs`.
        drifts: of those measures that the statement tells.
        unpriced: of our attempts, how many have no price.
        wrong: it is further apart than it may be.
    """

    day: str
    model: str
    side: str
    drifts: dict[str, Drift]
    unpriced: int
    wrong: bool


class Reconciled(NamedTuple):
    """All of it.

    Attributes:
        drifts: in all.
        wrong: the whole, a row, or one that only one side has, is further apart than it may be.
    """

    rows: list[Compared]
    drifts: dict[str, Drift]
    wrong: bool


class Ours(NamedTuple):
    """What the ledger has of a day and model; `unpriced`: of how many attempts it does not know the price."""

    line: Line
    unpriced: int = 0


def reconcile(ours: Iterable[Ours], statement: Statement, most: float) -> Reconciled:
    """Compare them on the days that the statement speaks of.

    Args:
        most: how many millionths they may be apart.
    """
    measures = [name for name in MEASURES if any(getattr(line, name) is not None for line in statement.lines)]
    by_model = any(line.model for line in statement.lines)
    days = set(statement.days)
    here, unpriced = _summed((one for one in ours if one.line.day in days), measures, by_model=by_model)
    there, _ = _summed((Ours(line) for line in statement.lines), measures, by_model=by_model)
    rows: list[Compared] = []
    nothing = dict.fromkeys(measures, 0)
    for key in sorted(here.keys() | there.keys()):
        one, other = here.get(key, nothing), there.get(key, nothing)
        drifts = {name: Drift(one[name], other[name]) for name in measures}
        side = "both" if key in here and key in there else "ours" if key in here else "theirs"
        if side != "both" and not any((*one.values(), *other.values(), unpriced.get(key, 0))):
            continue
        apart = any(
            not each.within(most) and abs(each.ours - each.theirs) > ROUNDED[name] for name, each in drifts.items()
        )
        blind = "cost" in measures and unpriced.get(key, 0) > 0
        rows.append(Compared(*key, side, drifts, unpriced.get(key, 0), apart or blind or side != "both"))
    total = {
        name: Drift(sum(row.drifts[name].ours for row in rows), sum(row.drifts[name].theirs for row in rows))
        for name in measures
    }
    wrong = any(row.wrong for row in rows) or not all(each.within(most) for each in total.values())
    return Reconciled(rows, total, wrong)


def _summed(
    lines: Iterable[Ours], measures: list[str], *, by_model: bool
) -> tuple[dict[tuple[str, str], dict[str, int]], dict[tuple[str, str], int]]:
    found: dict[tuple[str, str], dict[str, int]] = {}
    unpriced: dict[tuple[str, str], int] = {}
    for one in lines:
        key = one.line.day, one.line.model if by_model else ""
        sums = found.setdefault(key, dict.fromkeys(measures, 0))
        for name in measures:
            sums[name] += getattr(one.line, name) or 0
        unpriced[key] = unpriced.get(key, 0) + one.unpriced
    return found, unpriced
