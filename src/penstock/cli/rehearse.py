"""`penstock rehearse`: one real token through each target and fallback: what is dead shows before it is needed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from penstock.gateway.rehearsal import Rehearsed

__all__ = ["command"]

# The longest that the gateway may take: a hundred deployments that are all silent.
PATIENCE_SECONDS = 120.0


@click.command(short_help="One real token through each target and fallback.")
@click.option("--now", is_flag=True, help="Ask each now; else what was found when each was asked last.")
@click.option("--config", "path", metavar="FILE", help="penstock.yaml; without one ./penstock.yaml, else the default.")
@click.option("--admin", metavar="URL", help="A running gateway's control plane; else the state's lock says.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(now: bool, path: str | None, admin: str | None, as_json: bool) -> None:
    """Find a dead key, a withdrawn model or an empty account before it is needed. Exit code 1 if anything would fail.

    With --now each deployment that a name under `models:` leads to, fallbacks included, is asked for a single token
    (for a vector where it makes vectors), by the gateway that runs here, or in this process where none does. That
    costs a few tokens each, and what it cost is told. `rehearse: 1h` on a model has the gateway do so by itself; then
    the same is told without --now.
    """
    found = _ask(now, path, admin)
    if as_json:
        print(json.dumps({"ok": all(one["ok"] for one in found), "data": found}, ensure_ascii=False, indent=2))
    else:
        for one in found:
            _print(one)
        print(_verdict(found))
    raise SystemExit(0 if all(one["ok"] for one in found) else 1)


def _ask(now: bool, path: str | None, admin: str | None) -> list[dict[str, Any]]:
    """By whoever runs here; else in this process."""
    import os

    from penstock.cli.control import ADMIN, find_control
    from penstock.cli.settings import find_folder
    from penstock.errors import ConfigError
    from penstock.stores.lock import read_owner

    if admin or os.environ.get(ADMIN) or read_owner(find_folder(path, os.environ)) is not None:
        control = find_control(admin, path)
        if now:
            told = control.ask("POST", "/rehearse", patience=PATIENCE_SECONDS)
        else:
            told = control.ask("GET", "/rehearsals")
        found: list[dict[str, Any]] = told["data"]
        return found
    if not now:
        raise ConfigError(
            "no gateway runs here that could have rehearsed",
            do="Ask each deployment now with --now, or name a gateway with --config or --admin.",
        )
    return _ask_here(path)


def _ask_here(path: str | None) -> list[dict[str, Any]]:
    import asyncio
    import os

    import uvloop

    from penstock.cli.settings import find_config, find_folder
    from penstock.cli.usage import STORE
    from penstock.clock import SystemClock, SystemRandom
    from penstock.gateway import Shared
    from penstock.gateway.own_books import open_own_books
    from penstock.gateway.rehearsal import Rehearsal, describe_rehearsed
    from penstock.stores.state import Registry

    # Where a gateway has kept its books, what this costs belongs into them.
    kept = (find_folder(path, os.environ) / STORE).exists()
    config, _ = find_config(path, serving=False, kept=kept)
    clock, random = SystemClock(), SystemRandom()

    async def main() -> list[Rehearsed]:
        books = open_own_books(config, clock, random)
        shared = None
        try:
            if books is not None:
                await books.open()
                shared = Shared(Registry(), purse=books.purse, journal=books.journal)
            rehearsal = Rehearsal(config, clock, random, shared)
            try:
                return await rehearsal.ask_all()
            finally:
                await rehearsal.aclose()
        finally:
            if books is not None:
                await books.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return [describe_rehearsed(one) for one in runner.run(main())]


def _print(one: dict[str, Any]) -> None:
    """A deployment, and below it what is wrong and what to do."""
    mark = "ok  " if one["ok"] else "FAIL"
    cost = "price unknown" if one["cost_usd"] is None else f"${one['cost_usd']}"
    print(f"{mark}  {one['deployment']}  ({', '.join(one['models'])})  {one['seconds']:.1f} s  {cost}")
    if one["told"]:
        print(f"      {one['code']}: {one['told']}" if one["code"] else f"      {one['told']}")
    if one["do"]:
        print(f"      fix: {one['do']}")


def _verdict(found: list[dict[str, Any]]) -> str:
    if not found:
        return "Nothing was rehearsed: write rehearse: 1h on a model or under defaults, or ask with --now."
    from decimal import Decimal

    good = sum(one["ok"] for one in found)
    cost = sum((Decimal(one["cost_usd"]) for one in found if one["cost_usd"] is not None), Decimal(0))
    return f"{good} of {len(found)} would answer. It cost ${cost:.9f}{'' if _all_priced(found) else ' and more'}."


def _all_priced(found: list[dict[str, Any]]) -> bool:
    return all(one["cost_usd"] is not None for one in found)
