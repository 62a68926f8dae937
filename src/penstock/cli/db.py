"""`penstock db`: how the store stands, whether its sums are right, and bringing it to this version's schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from penstock.stores.lock import Owner
    from penstock.stores.upkeep import Condition

__all__ = ["command"]


@click.group(short_help="How the store stands; bring it to this version.")
def command() -> None:
    """The store: what was spent, keys, tenants and the audit log. `penstock serve` makes and upgrades it by itself."""


@command.command("status", short_help="How the store stands.")
@click.option("--store", metavar="FILE", help="The store itself, else ./penstock.db or what `state:` names.")
@click.option("--config", "path", metavar="FILE", help="Whose state it is: its `state:`.")
@click.option("--verify", is_flag=True, help="Add up every attempt anew and compare. Exit code 1 where sums differ.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(store: str | None, path: str | None, *, verify: bool, as_json: bool) -> None:
    """Tell how the store stands. A gateway may have it in use."""
    from penstock.cli.usage import find_store
    from penstock.stores.lock import read_owner
    from penstock.stores.upkeep import condition_of

    file = find_store(store, path)
    condition = condition_of(file)
    owner = _living(read_owner(file.absolute().parent))
    differences = _differences(file) if verify and not condition.missing else None
    if as_json:
        told = {"store": str(file), **condition._asdict(), "owner": owner.pid if owner else None}
        click.echo(json.dumps(told | ({} if differences is None else {"differences": differences})))
    else:
        _tell(file, condition, owner)
        for line in differences or ():
            click.echo(f"DIFFERS    {line}")
        if differences is not None:
            click.echo(f"sums       {f'{len(differences):,} differ' if differences else 'agree with every attempt'}")
    if differences:
        raise SystemExit(1)


@command.command("upgrade", short_help="Bring the store to this version's schema.")
@click.option("--store", metavar="FILE", help="The store itself, else ./penstock.db or what `state:` names.")
@click.option("--config", "path", metavar="FILE", help="Whose state it is: its `state:`.")
@click.option("--no-copy", is_flag=True, help="Do not keep a copy of it as it was.")
def bring_up(store: str | None, path: str | None, *, no_copy: bool) -> None:
    """Bring the store to this version's schema, as a whole or not at all. No gateway may have it in use.

    A copy of it as it was is kept beside it, as FILE.schema-N.
    """
    from penstock.cli.usage import find_store
    from penstock.stores.lock import StateLock
    from penstock.stores.upkeep import condition_of, upgrade

    file = find_store(store, path)
    before = condition_of(file)
    if not before.missing:
        click.echo(f"{file}: the schema is {before.schema}, this version's")
        return
    copy = None if no_copy else file.with_name(f"{file.name}.schema-{before.schema}")
    lock = StateLock(file.absolute().parent)
    try:
        done = upgrade(file, copy)
    finally:
        lock.release()
    for migration in done:
        click.echo(f"{file}: {migration.number:04d}_{migration.name}")
    if copy is not None:
        click.echo(f"as it was: {copy}")


def _living(owner: Owner | None) -> Owner | None:
    """An owner that lives; the file may be a dead one's."""
    import os

    try:
        if owner is not None:
            os.kill(owner.pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # somebody else's, and alive
    return owner


def _differences(file: Path) -> list[str]:
    from penstock.stores.recompute import differences
    from penstock.stores.sqlite import open_reader

    connection = open_reader(file)
    try:
        connection.execute("BEGIN")
        return differences(connection)
    finally:
        connection.close()


def _tell(file: Path, condition: Condition, owner: Owner | None) -> None:
    from datetime import UTC, datetime

    free = f", {condition.free / 1e6:,.1f} MB of it free" if condition.free else ""
    click.echo(f"store      {file}, {condition.size / 1e6:,.1f} MB{free}")
    click.echo(f"schema     {condition.schema}, this version's is {condition.latest}")
    if condition.missing:
        click.echo(f"missing    {', '.join(condition.missing)}: penstock db upgrade")
    if owner is not None:
        click.echo(f"in use by  process {owner.pid}{f', {owner.admin}' if owner.admin else ''}")
    click.echo(f"attempts   {condition.attempts:,}{_span(condition)}")
    if condition.kept_since:
        since = datetime.fromtimestamp(condition.kept_since, UTC)
        click.echo(f"kept       each attempt since {since:%Y-%m-%d}, and the sums of the days before it")
    click.echo(f"journals   {condition.journals}, {condition.unread:,} bytes; {condition.open} attempts open")


def _span(condition: Condition) -> str:
    from datetime import UTC, datetime

    if condition.first is None or condition.last is None:
        return ""
    first, last = (datetime.fromtimestamp(at / 1e9, UTC) for at in (condition.first, condition.last))
    return f", from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
