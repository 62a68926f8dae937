"""`penstock audit`: who changed what, and whether the log of it has been touched."""

from __future__ import annotations

import json
from contextlib import ExitStack
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.control import control_options
from penstock.cli.tables import table

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.stores.audit import Head

__all__ = ["command"]

_COLUMNS = ("number", "when (UTC)", "who", "role", "what", "on what", "tenant")


@click.group(short_help="Who changed what; whether the log was touched.")
def command() -> None:
    """The audit log: every change by the control plane, who made it, and how it was before."""


@command.command("list", short_help="The last changes, the newest first.")
@click.option("--tenant", metavar="NAME", help="What concerns that one alone.")
@click.option("--most", metavar="N", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="With how it was before and after.")
@control_options
def show_all(admin: str | None, path: str | None, *, tenant: str | None, most: int, as_json: bool) -> None:
    """List the last changes."""
    from urllib.parse import quote

    from penstock.cli.register import everything, find_register

    with ExitStack() as stack:
        query = f"?tenant={quote(tenant, safe='')}" if tenant else ""
        found = list(islice(everything(find_register(stack, admin, path), f"/audit{query}"), most))
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=1))
    elif not found:
        click.echo("Nothing has been changed yet.")
    else:
        click.echo(table(_COLUMNS, [_row(entry) for entry in found]))


@command.command("verify", short_help="Whether nobody has touched the log.")
@click.option("--config", "path", metavar="FILE", help="Of the gateway whose state lies beside it.")
@click.option("--head", "heads", metavar="NUMBER:HASH", multiple=True, help="A last entry that was noted elsewhere.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify(path: str | None, heads: tuple[str, ...], *, as_json: bool) -> None:
    """Look through the whole log, beside a gateway that runs or without one. Exit code 1 where anything is wrong.

    Found is whatever was changed, removed, put in or moved, by the chain of the entries' hashes; and what was cut off
    at the end, by the last hash as it lies beside the state, in `.audit-head`. Whoever can write both is found by a
    hash that was noted elsewhere: the gateway tells each on stderr, `audit NUMBER:HASH`; give one with --head.
    """
    last, faults = _look(_state(path), _noted(heads))
    if as_json:
        click.echo(
            json.dumps({"ok": not faults, "entries": last.number, "head": str(last), "faults": faults}, indent=1)
        )
    else:
        for fault in faults:
            click.echo(f"WRONG  {fault}")
        verdict = "The audit log is not as it was written" if faults else "The audit log is whole"
        click.echo(f"{verdict}: {last.number} entries{f', the last one {last}' if last.number else ''}")
    raise SystemExit(1 if faults else 0)


def _look(state: Path, noted: list[Head]) -> tuple[Head, list[str]]:
    """The last entry, and what is wrong with the log."""
    from contextlib import closing

    from penstock.stores.audit import examine
    from penstock.stores.audit_log import head_file, read_head
    from penstock.stores.sqlite import open_reader

    file, unread, kept = head_file(state), "", None
    try:
        kept = read_head(file)
    except (OSError, ValueError) as error:
        unread = f"{file} cannot be read: {error}"
    with closing(open_reader(state)) as connection:
        last, faults = examine(connection, *noted, *([kept] if kept is not None else []))
    if kept is None and not unread and last.number:
        unread = f"{file} is not there: whether the end was cut off cannot be told"
    return last, [unread, *faults] if unread else faults


def _noted(heads: tuple[str, ...]) -> list[Head]:
    from penstock.stores.audit import head_of

    try:
        return [head_of(text) for text in heads]
    except ValueError as error:
        raise click.UsageError(f"--head: {error}") from None


def _state(path: str | None) -> Path:
    from pathlib import Path

    from penstock.cli.settings import find_config
    from penstock.errors import ConfigError

    config, _ = find_config(path, serving=True)
    if config.state == "memory":
        raise ConfigError(f"{config.source}: state: memory keeps no log", do="Write state: sqlite:///penstock.db.")
    return Path(config.state)


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    when = f"{entry['at'][:10]} {entry['at'][11:19]}"
    subject = _name(entry) or entry["subject"]
    return str(entry["number"]), when, entry["actor"], entry["role"], entry["what"], subject, entry["tenant"] or ""


def _name(entry: dict[str, Any]) -> str:
    """What people call it; its id says nothing to them."""
    for side in (entry["after"], entry["before"]):
        if isinstance(side, dict) and isinstance(side.get("name"), str):
            return str(side["name"])
    return ""
