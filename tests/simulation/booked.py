"""Histories of a whole gateway with tenants, limits, budgets and books: the same life, and all that is spent in it.

A history is that of its seed (`histories.py`); what its callers may spend is decided by the seed too, beside it. It is
played on the real thing, journals and store in a folder of its own, and judged by what the providers counted.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec

from penstock.clock import Clock
from penstock.config.schema import Config
from penstock.gateway.books import Books, open_books
from penstock.providers.simulated.journal import Seen
from penstock.reservation import Rule
from penstock.stores.account import Budget
from penstock.stores.calendar import window_at
from penstock.stores.journal_reader import journals_in
from penstock.stores.recompute import differences
from penstock.stores.rows import AMBIGUOUS, ESTIMATED, LOST, OVERRUN
from penstock.stores.sqlite import Database
from penstock.testing import SeededRandom, SimLoop
from tests.simulation.callers import KEY
from tests.simulation.histories import History, make_history
from tests.simulation.invariants import INVARIANTS, Violation
from tests.simulation.playing import LATENCY, OTHER_KEY, Playing, Story, config_of, play
from tests.simulation.vendors import Arrival

__all__ = ["BOOKED", "Row", "judge_booked", "make_booked", "play_booked", "try_booked"]

# Nano-dollars a token.
IN, OUT = 3_000, 15_000
_KNOWN = 4 * LATENCY + 0.003
_ROWS = """
SELECT request, number, opened, tenant, key, user, deployment, status, outcome, answered, input_tokens, output_tokens,
       cost, flags, bound FROM attempts ORDER BY id
"""
# What holds of any gateway. That whoever can be served is served does not: a budget may say no.
_ELSE = {
    "whoever_can_be_served_is", "all_is_well_again", "no_more_than_may_run_at_a_time", "nobody_is_blamed_for_others",
}  # fmt: skip


class Row(NamedTuple):
    """An attempt as the ledger has it."""

    request: str
    number: int
    opened: int
    tenant: str
    key: str
    user: str
    deployment: str
    status: int
    outcome: str
    answered: int
    input_tokens: int
    output_tokens: int
    cost: int | None
    flags: int
    bound: int | None

    @property
    def ask(self) -> int:
        return int(self.user.rpartition("/")[2].removeprefix("ask") or 0)


class Booked(Story):
    """A story, and what stands in the books at its end.

    Attributes:
        rows: the attempts. `spent`: by account and window what was settled. `rules`: all that held at any time.
        open: attempts that the store holds for open; `journals` of the dead that are still there.
        held: what accounts say is in workers' hands.
        differences: where sums are not those of the rows.
    """

    def __init__(self, history: History) -> None:
        super().__init__(history)
        self.rows: list[Row] = []
        self.spent: dict[tuple[str, str, int], int] = {}
        self.rules: dict[str, Rule] = {}
        self.open = 0
        self.journals: list[str] = []
        self.held: dict[str, int] = {}
        self.differences: list[str] = []


def make_booked(seed: int, requests: int = 60) -> History:
    """The history of that seed, its callers of two tenants."""
    history = make_history(seed, requests)
    random = Random(f"booked {seed}")
    lone = random.random() < 0.3  # nearly all of one tenant
    asks = []
    for ask in history.asks:
        key = OTHER_KEY if random.random() < (0.05 if lone else 0.5) else KEY
        asks.append(msgspec.structs.replace(ask, key=key, most=random.choice((8, 30, 100))))
    return msgspec.structs.replace(history, asks=tuple(asks))


def _rules(seed: int, variant: int) -> dict[str, Any]:
    """What callers may spend; a reload may raise or lower a limit, and take one away."""
    random = Random(f"rules {seed}")
    budgets: list[dict[str, Any]] = [
        {
            "scope": "tenant",
            "limit": f"{random.choice((0.004, 0.01, 0.03, 1))} USD/{random.choice(('minute', 'hour', 'day'))}",
            "zone": random.choice(("UTC", "Europe/Berlin", "Asia/Kathmandu")),
            "on_low_budget": random.choice(("clamp", "refuse")),
        }
    ]
    if random.random() < 0.4:
        budgets.append({"scope": "global", "limit": f"{random.choice((500, 2000, 100_000))} tokens/minute"})
    if random.random() < 0.3:
        budgets.append({"scope": "model", "match": "lone", "limit": f"{random.choice((5, 20))} requests/minute"})
    if random.random() < 0.2:
        budgets.append({"scope": "user", "limit": "0.001 USD/day"})
    limits: list[dict[str, Any]] = []
    if random.random() < 0.4:
        kind = random.choice(("burst", "leaky"))
        limits.append({"scope": "key", "requests": f"{random.choice((20, 120))}/min", "kind": kind})
    if random.random() < 0.4:
        limits.append({"scope": "tenant", "tokens": f"{random.choice((600, 2000))}/min", "kind": "strict"})
    if random.random() < 0.3:
        limits.append({"scope": "tenant", "match": "other", "concurrency": random.choice((1, 3))})
    if variant % 2 and random.random() < 0.5:
        budgets[0]["limit"] = f"{random.choice((0.002, 0.02))} USD/{budgets[0]['limit'].partition('/')[2]}"
    return {"budgets": budgets, "limits": limits}


def configure(folder: Path, history: History, variant: int) -> Config:
    """A history's configuration, with all this."""
    more = {
        "keys": [
            {"name": "app", "key": "env:APP_KEY", "tenant": "acme", "project": "web", "user": "trusted"},
            {"name": "second", "key": "env:OTHER_KEY", "tenant": "other", "user": "trusted"},
        ],
        "prices": {f"{maker.name}/*": {"input": 3, "output": 15} for maker in history.makers},
        "state": f"sqlite:///{folder}/p.db",
        # A worker is late with its work where its machine is: not here.
        "admission": "off",
        **_rules(history.seed, variant),
    }
    return config_of(history, variant, more)


class _Keeping(Playing):
    def __init__(self, loop: SimLoop, history: History, folder: Path) -> None:
        super().__init__(loop, history, partial(configure, folder), _open)
        self.story: Booked = Booked(history)
        self._asked: dict[str, Rule] = {}
        for variant in range(2):
            for rule in configure(folder, history, variant).rules:
                before = self._asked.get(rule.id)
                if before is None or before.limit < rule.limit:
                    self._asked[rule.id] = rule

    def look(self) -> None:
        """The accounts, and what dead workers have left; the rest once all is over."""
        story, books = self.story, self.books
        assert books is not None
        story.rules = self._asked
        for entry in self.fleet.supervisor.centre.treasury.accounts:
            account = entry.account
            if isinstance(account, Budget):
                held = sum(sum(page.hands.values()) for page in account._pages.values())
                if held:
                    story.held[account.id] = held
        living = {worker.worker._purse.books for worker in self.fleet.hired if not worker.dead}
        story.journals = [name for name in journals_in(books.ledger.folder) if name not in living]


def _open(config: Config, clock: Clock) -> Books:
    books = open_books(config, clock, SeededRandom(1), inline=True)
    assert books is not None
    return books


def play_booked(history: History) -> Booked:
    """Play it, and read the books; raises as `play`."""
    folder = Path(tempfile.mkdtemp(prefix="booked", dir=_fast()))
    try:
        story = play(history, lambda loop, one: _Keeping(loop, one, folder))
        assert isinstance(story, Booked)
        store = Database(folder / "p.db", inline=True)
        store.run_here(partial(_read, story))
        store.close()
        return story
    finally:
        shutil.rmtree(folder)


def _read(story: Booked, store: sqlite3.Connection) -> None:
    story.rows = [Row(*row) for row in store.execute(_ROWS)]
    accounts = store.execute('SELECT rule, value, "window", settled FROM accounts')
    story.spent = {(rule, value, window): settled for rule, value, window, settled in accounts}
    (story.open,) = store.execute("SELECT count(*) FROM open_attempts").fetchone()
    story.differences = differences(store)


def _fast() -> str | None:
    """A folder in memory, where there is one: nothing here is about the disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


# --- what must hold


def no_budget_is_overshot(story: Booked) -> Iterator[Violation]:
    """1: settled <= limit, but for what providers said beyond what they were asked for."""
    beyond = any(row.flags & OVERRUN for row in story.rows)
    for (id, value, window), settled in story.spent.items():
        rule = story.rules[id]
        if rule.hard and settled > rule.limit and not beyond:
            yield f"{id}|{value} in the window of {window}: {settled} of {rule.limit}"
    # The same by the rows alone, each in the window in which it was opened.
    for rule in story.rules.values():
        if rule.kind != "budget" or rule.scope != "tenant" or rule.unit != "usd":
            continue
        spent: Counter[tuple[str, int]] = Counter()
        for row in story.rows:
            spent[row.tenant, window_at(rule.period, rule.zone, row.opened / 1e9).start] += row.cost or 0
        for (tenant, began), cost in spent.items():
            if cost > rule.limit and not beyond:
                yield f"{tenant} spent {cost} of {rule.limit} in the window of {began}"


def nothing_stays_held(story: Booked) -> Iterator[Violation]:
    """2: when nobody asks any more, nothing is reserved, and no attempt is open."""
    for account, held in story.held.items():
        yield f"{account}: {held} are still in workers' hands"
    if story.open:
        yield f"{story.open} attempts are open in the store"
    for name in story.journals:
        yield f"the journal {name} of a dead worker is still there"


def one_row_each(story: Booked) -> Iterator[Violation]:
    """3: one row per wire attempt; none is doubled, and whatever a provider saw has one."""
    for which, count in Counter((row.request, row.number) for row in story.rows).items():
        if count > 1:
            yield f"attempt {which} has {count} rows"
    rows = Counter((row.ask, row.deployment) for row in story.rows)
    for (ask, deployment), seen in Counter((one.ask, one.deployment) for one in story.arrivals).items():
        if ask and rows[ask, deployment] < seen:
            yield f"ask {ask}: {deployment} saw {seen} requests, {rows[ask, deployment]} are booked"


def the_books_are_the_providers(story: Booked) -> Iterator[Violation]:
    """4: completed attempts cost what the provider counted; of killed ones at most what was reserved."""
    rows: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for row in story.rows:
        rows[row.ask, row.deployment].append(row)
        if row.cost is None:
            yield f"{row} has no cost"
        elif row.flags & LOST and not row.cost:
            yield f"{row} was posted for nothing"
        elif row.flags & LOST and row.bound is not None and row.cost > row.bound:
            yield f"{row} was posted with more than was reserved"
    seen: dict[tuple[int, str], list[Arrival]] = defaultdict(list)
    for arrival in story.arrivals:
        seen[arrival.ask, arrival.deployment].append(arrival)
    for which, arrivals in seen.items():
        booked = sorted(rows[which], key=lambda row: row.opened)
        if len(booked) != len(arrivals):
            continue  # one did not come through: which it was cannot be told
        for row, arrival in zip(booked, sorted(arrivals, key=lambda one: one.time), strict=True):
            yield from _compared(row, arrival)


def _compared(row: Row, arrival: Arrival) -> Iterator[Violation]:
    if row.outcome != "ok" or arrival.spell is not None or row.flags & (ESTIMATED | AMBIGUOUS | LOST):
        return
    seen: Seen = arrival.seen
    told, cost = (seen.prompt, seen.completion), seen.prompt * IN + seen.completion * OUT
    if (row.input_tokens, row.output_tokens) != told or row.cost != cost:
        yield f"{row}: the provider counted {told}, which costs {cost}"


def sums_are_those_of_the_rows(story: Booked) -> Iterator[Violation]:
    """6: recomputed from the rows, all sums are the stored ones."""
    yield from story.differences


def nobody_pays_for_others(story: Booked) -> Iterator[Violation]:
    """16: an attempt is its own caller's."""
    tenants = {KEY: ("acme", "app"), OTHER_KEY: ("other", "second")}
    whose = {got.ask.number: tenants[got.ask.key] for got in story.got}
    for row in story.rows:
        if row.ask in whose and (row.tenant, row.key) != whose[row.ask]:
            yield f"{row} is of {whose[row.ask]}"


def no_minute_has_more(story: Booked) -> Iterator[Violation]:
    """7: of a strict limit no rolling minute has more, by what providers counted when they were asked."""
    for rule in story.rules.values():
        if rule.kind != "strict":
            continue
        for tenant, key in (("acme", KEY), ("other", OTHER_KEY)):
            asks = {got.ask.number for got in story.got if got.ask.key == key}
            spent = [(one.time, _tokens(one)) for one in story.arrivals if one.ask in asks and _answered(one)]
            for at, (begin, _) in enumerate(spent):
                total = sum(tokens for time, tokens in spent[at:] if time < begin + 60.0)
                if total > rule.limit:
                    yield f"{tenant}: {total} tokens in the minute from {begin:.3f}, at most {rule.limit}"
                    break


def _answered(arrival: Arrival) -> bool:
    """The provider worked on it; attempts of one request beside or after each other are one request's tokens."""
    return arrival.spell is None


def _tokens(arrival: Arrival) -> int:
    return arrival.seen.prompt + arrival.seen.completion


def no_more_calls_at_a_time(story: Booked) -> Iterator[Violation]:
    """8: a tenant's calls at a time are within its limit."""
    limit = next((rule.limit for rule in story.rules.values() if rule.kind == "concurrency"), None)
    if limit is None:
        return
    asks = {got.ask.number for got in story.got if got.ask.key == OTHER_KEY}
    spans: dict[int, list[float]] = {}
    for one in story.arrivals:
        if one.ask in asks:
            ended = one.seen.ended if one.seen.ended is not None else one.time
            begin, end = spans.get(one.ask, [one.time, ended])
            spans[one.ask] = [min(begin, one.time), max(end, ended)]
    moments = [(begin, 1) for begin, _ in spans.values()]
    moments += [(max(begin, end - _KNOWN), -1) for begin, end in spans.values()]
    running = 0
    for time, change in sorted(moments):
        running += change
        # Of a worker that is killed the permits lapse, and its calls end at the provider a moment later.
        if running > limit and not story.kills:
            yield f"other: {running} calls at a time at {time:.3f}, at most {limit}"
            return


BOOKED: tuple[Callable[[Booked], Iterator[Violation]], ...] = (
    no_budget_is_overshot,
    nothing_stays_held,
    one_row_each,
    the_books_are_the_providers,
    sums_are_those_of_the_rows,
    nobody_pays_for_others,
    no_minute_has_more,
    no_more_calls_at_a_time,
)


def judge_booked(story: Booked) -> list[Violation]:
    """Every violation of these, and of what holds of any history."""
    found = [f"{one.__name__}: {told}" for one in INVARIANTS if one.__name__ not in _ELSE for told in one(story)]
    return found + [f"{one.__name__}: {told}" for one in BOOKED for told in one(story)]


def try_booked(history: History) -> list[Violation]:
    """What it violates."""
    return judge_booked(play_booked(history))
