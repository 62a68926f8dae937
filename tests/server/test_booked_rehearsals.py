"""Rehearsals are paid and booked as any attempt: a row each, and what they cost is gone from budgets of everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.config.load import load_config
from penstock.gateway.books import open_books
from penstock.gateway.rehearsal import TASK
from penstock.server.lookout import FRESH_SECONDS
from penstock.stores.sqlite import Database
from penstock.testing import SimLoop
from penstock.testing.clock import SeededRandom
from penstock.testing.fleet import Fleet
from penstock.testing.simloop import run

ATTEMPTS = "SELECT tenant, key, task, model, deployment, outcome, output_tokens, cost FROM attempts"
PRICES = {"sim/small": {"input": 100, "output": 1000}, "sim/large": {"input": 100, "output": 1000}}


def config(folder: Path, **more: Any) -> Any:
    models = {"fast": {"targets": ["sim/small"]}, "smart": {"targets": ["sim/large"], "fallback": ["fast"]}}
    written = {"auth": "open", "providers": {"sim": {}}, "models": models, "prices": PRICES}
    return load_config({**written, "state": f"sqlite:///{folder}/p.db", **more}, {})


def rows(folder: Path) -> list[Any]:
    database = Database(folder / "p.db")
    try:
        return database.run_here(lambda connection: connection.execute(ATTEMPTS).fetchall())
    finally:
        database.close()


def test_each_is_a_row_and_counts_for_a_budget_of_everything(tmp_path: Path) -> None:
    rule = {"scope": "global", "limit": "2 requests/day"}

    async def serve(loop: SimLoop) -> list[Any]:
        given = config(tmp_path, budgets=[rule])
        books = open_books(given, loop.clock, SeededRandom(1), inline=True)
        async with Fleet(loop, given, books=books) as fleet:
            lookout = fleet.supervisor.lookout
            first = await lookout.rehearse()
            await loop.clock.sleep(FRESH_SECONDS)
            return first + await lookout.rehearse("sim/small")

    *answered, refused = run(serve)
    assert [one.ok for one in answered] == [True, True]
    assert (refused.ok, refused.code, refused.cost) == (False, "budget_exceeded", 0)
    found = rows(tmp_path)
    assert [row[:6] for row in found] == [("", "", TASK, one.deployment, one.deployment, "ok") for one in answered]
    assert [row[7] for row in found] == [one.cost for one in answered]
    assert all(row[6] > 0 for row in found)


@pytest.mark.parametrize("state", ["memory", "file"])
def test_what_was_in_hand_goes_back(tmp_path: Path, state: str) -> None:
    """After a round nothing of a budget is held that its callers could use."""
    rule = {"scope": "global", "limit": "100 requests/day"}

    async def serve(loop: SimLoop) -> None:
        given = config(tmp_path, budgets=[rule], **({"state": "memory"} if state == "memory" else {}))
        books = open_books(given, loop.clock, SeededRandom(1), inline=True)
        async with Fleet(loop, given, books=books) as fleet:
            await fleet.supervisor.lookout.rehearse()
            stand = fleet.supervisor.centre.treasury.stand(given.rules[0].id, "")
            assert stand is not None
            assert (stand.limit, stand.left) == (100, 98)

    run(serve)


def test_one_that_is_cut_off_costs_its_prompt(tmp_path: Path) -> None:
    async def serve(loop: SimLoop) -> None:
        prices = {"sim/*": {"input": 100, "output": 1000}}
        given = config(tmp_path, models={"fast": {"targets": ["sim/small:stall=9"]}}, prices=prices)
        books = open_books(given, loop.clock, SeededRandom(1), inline=True)
        async with Fleet(loop, given, books=books) as fleet:
            asked = loop.create_task(fleet.supervisor.lookout.rehearse())
            await loop.clock.sleep(1)
            asked.cancel()

    run(serve)
    ((*_, outcome, _, cost),) = rows(tmp_path)
    assert (outcome, cost) == ("cancelled", 20 * 100_000)
