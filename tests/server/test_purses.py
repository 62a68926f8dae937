"""Purses of real workers: one limit over all of them, whatever dies, drains or reloads; the ledger has the last say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.gateway.books import open_books
from penstock.reservation import Reservation, Rule, Shortage, Want
from penstock.stores.purse import Purse
from penstock.stores.rows import Closed, Hold, Opened
from penstock.testing import SimLoop
from penstock.testing.clock import SeededRandom
from penstock.testing.fleet import Fleet, FleetWorker
from penstock.testing.simloop import run
from tests.stores.journals import closed, opened

DOLLAR = 10**9


def config(folder: Path | None, limit: str = "10 USD/day") -> Config:
    state = f"sqlite:///{folder}/p.db" if folder is not None else "memory"
    tree = {"auth": "open", "providers": {"sim": {}}, "state": state, "budgets": [{"scope": "global", "limit": limit}]}
    return load_config(tree, {})


def purse_of(worker: FleetWorker) -> Purse:
    return worker.gateways[-1].purse


def rule_of(worker: FleetWorker) -> Rule:
    (rule,) = worker.gateways[-1].config.rules
    return rule


async def take(worker: FleetWorker, amount: int) -> Reservation | Shortage:
    return await purse_of(worker).reserve([Want(rule_of(worker), "", amount)])


def used(fleet: Fleet) -> int:
    (rule,) = fleet.supervisor.overview.config.rules
    stand = fleet.supervisor.centre.treasury.stand(rule.id, "")
    assert stand is not None
    return stand.limit - stand.left


def rows(reservation: Reservation, request: str, settled: int | None) -> tuple[Opened, Closed | None]:
    """What a layer writes of an attempt: how it begins, and how it ends, if it does."""
    (want,), (window,) = reservation.wants, reservation.windows
    holds = (Hold(want.rule.id, want.value, window, "usd", want.amount),)
    beginning = opened(request, holds=holds, input_cost=DOLLAR // 2, bound=want.amount)
    return beginning, None if settled is None else closed(request, settled=(settled,))


def test_one_limit_over_all_workers() -> None:
    async def serve(loop: SimLoop) -> None:
        async with Fleet(loop, config(None), workers=4) as fleet:
            taken = 0
            for number in range(200):
                worker = fleet.hired[number % 4]
                came = await take(worker, DOLLAR // 10)
                if isinstance(came, Reservation):
                    taken += DOLLAR // 10
                    purse_of(worker).settle(came, [DOLLAR // 10])
            assert taken == 10 * DOLLAR, "to the last nano-dollar, and not one more"

    run(serve)


def test_a_reload_changes_the_limit_and_not_what_was_spent() -> None:
    async def serve(loop: SimLoop) -> None:
        async with Fleet(loop, config(None)) as fleet:
            one, other = fleet.hired
            came = await take(one, 8 * DOLLAR)
            assert isinstance(came, Reservation)
            purse_of(one).settle(came, [8 * DOLLAR])
            await fleet.supervisor.adopt(config(None, "9 USD/day"))
            assert isinstance(await take(other, DOLLAR + 1), Shortage)
            await fleet.supervisor.adopt(config(None, "20 USD/day"))
            assert isinstance(await take(other, 12 * DOLLAR), Reservation)

    run(serve)


def test_what_a_dead_worker_had_in_hand_is_settled_by_its_journal(tmp_path: Path) -> None:
    async def serve(loop: SimLoop) -> None:
        books = open_books(config(tmp_path), loop.clock, SeededRandom(1), inline=True)
        async with Fleet(loop, config(tmp_path), books=books) as fleet:
            victim, other = fleet.hired
            journal: Any = victim.gateways[-1].shared.journal
            for request, reserved, settled in (("a", 3, 1), ("b", 4, None)):
                came = await take(victim, reserved * DOLLAR)
                assert isinstance(came, Reservation)
                begun, ended = rows(came, request, settled * DOLLAR if settled is not None else None)
                journal.open(begun)
                if ended is not None:
                    journal.close(ended)
                    purse_of(victim).settle(came, [DOLLAR])
            assert isinstance(await take(other, 6 * DOLLAR), Shortage)
            victim.kill()
            await loop.clock.sleep(3.0)
            await fleet.supervisor.report()
            metrics = fleet.supervisor.overview.metrics
            assert (metrics.unsettled.cells[()], metrics.accounts.cells[()]) == ([0], [1])
            # What it settled, and what is known of its open attempt: half a dollar of input.
            assert used(fleet) == DOLLAR + DOLLAR // 2
            assert fleet.supervisor.centre.treasury.unsettled == []
            assert isinstance(await take(other, 8 * DOLLAR + DOLLAR // 2), Reservation)

    run(serve)


def test_a_gateway_that_begins_anew_knows_what_was_spent(tmp_path: Path) -> None:
    async def spend(loop: SimLoop) -> None:
        books = open_books(config(tmp_path), loop.clock, SeededRandom(1), inline=True)
        async with Fleet(loop, config(tmp_path), books=books) as fleet:
            came = await take(fleet.hired[0], 4 * DOLLAR)
            assert isinstance(came, Reservation)
            begun, ended = rows(came, "a", 3 * DOLLAR)
            journal: Any = fleet.hired[0].gateways[-1].shared.journal
            journal.open(begun)
            journal.close(ended)
            purse_of(fleet.hired[0]).settle(came, [3 * DOLLAR])

    async def again(loop: SimLoop) -> None:
        books = open_books(config(tmp_path), loop.clock, SeededRandom(2), inline=True)
        async with Fleet(loop, config(tmp_path), books=books) as fleet:
            assert isinstance(await take(fleet.hired[1], 7 * DOLLAR + 1), Shortage)
            assert isinstance(await take(fleet.hired[1], 7 * DOLLAR), Reservation)

    run(spend)
    run(again)


def test_a_worker_that_is_replaced_gives_back_what_it_has_not_spent() -> None:
    async def serve(loop: SimLoop) -> None:
        async with Fleet(loop, config(None)) as fleet:
            for worker in list(fleet.hired):
                came = await take(worker, DOLLAR)
                assert isinstance(came, Reservation)
                purse_of(worker).settle(came, [DOLLAR // 2])
            await fleet.supervisor.renew()
            await loop.clock.sleep(65.0)
            assert used(fleet) == DOLLAR

    run(serve)
