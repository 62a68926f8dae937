"""`penstock usage`: what was spent and used, from the ledger; and whether a provider's own books say the same."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.tables import clean

if TYPE_CHECKING:
    from penstock.admin.usage import Asked

__all__ = ["command", "find_store"]

MOST_LINES = 200
_STATE = re.compile(r"^[\"']?state[\"']?\s*:", re.MULTILINE)
STORE = "penstock.db"
_HEADS = ("requests", "attempts", "failed", "input", "output", "cost USD", "charge USD")


def _store_options(command: Any) -> Any:
    command = click.option("--config", "path", metavar="FILE", help="Whose state it is: its `state:`.")(command)
    return click.option("--store", metavar="FILE", help=f"The store itself, else ./{STORE} or what `state:` names.")(
        command
    )


@click.group(invoke_without_command=True, short_help="What was spent, by model, user, tag and more.")
@click.option("--by", default="model", show_default=True, metavar="NAMES", help="Up to four, separated by commas.")
@click.option("--since", default="30d", show_default=True, metavar="TIME", help="7d, 12h, 2026-11-01 or a whole time.")
@click.option("--until", metavar="TIME", help="As --since; it is not included. Else now.")
@click.option("--where", multiple=True, metavar="NAME=VALUE", help="This one's alone; may be given several times.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV.")
@click.option("--admin", metavar="URL", help="Ask a gateway's control plane instead of its store.")
@_store_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Add up what was spent and used, from the ledger.

    NAMES: tenant, project, key, user, task, prompt, tag, model, deployment, provider, and day or hour (UTC). Users,
    projects, tasks and tags are written with their tenant, `acme/u1`; `-` stands for none. A cost is that of all
    attempts whose price is known; `unknown` and `+ N unknown` tell of those whose price is not.
    """
    if ctx.invoked_subcommand is None:
        _ask(options)


def _ask(options: Mapping[str, Any]) -> None:
    from penstock.admin.usage import MOST_ROWS, encode_csv, read_asked
    from penstock.clock import SystemClock

    as_json, as_csv, admin, path = (options[name] for name in ("as_json", "as_csv", "admin", "path"))
    if as_json and as_csv:
        raise click.UsageError("--json and --csv are two forms of one answer: give one of them.")
    said = {name: options[name] for name in ("by", "since", "until") if options[name] is not None}
    said |= _where(options["where"])
    asked = read_asked(said, SystemClock().wall())
    if admin is not None:
        told = _from_gateway(admin, path, said)
    else:
        told = _from_store(find_store(options["store"], path), asked)
    if as_json:
        import json

        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
    elif as_csv:
        for piece in encode_csv(asked.by, told["data"]):
            click.echo(piece, nl=False)
    else:
        _table(asked.by, told["data"], told["total"])
    if told["truncated"]:
        click.echo(f"These are the dearest {MOST_ROWS:,} of more rows: ask for less.", err=True)


def _where(where: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in where:
        name, equals, value = each.partition("=")
        if not equals or name in found or name in ("by", "since", "until"):
            raise click.UsageError(f"--where takes NAME=VALUE, each name once, such as tenant=acme; not {each!r}.")
        from penstock.stores.bookings import DIMENSIONS

        if name not in DIMENSIONS:
            raise click.UsageError(f"--where takes one of {', '.join(DIMENSIONS)}; not {name!r}.")
        found[name] = value
    return found


def _from_gateway(admin: str, path: str | None, said: dict[str, str]) -> Any:
    from urllib.parse import urlencode

    from penstock.cli.control import find_control

    return find_control(admin, path).ask("GET", f"/usage?{urlencode(said)}")


def _from_store(store: Path, asked: Asked) -> dict[str, Any]:
    from penstock.admin.usage import MOST_ROWS, rows_of
    from penstock.stores.attribution import usage_of
    from penstock.stores.sqlite import open_reader

    connection = open_reader(store)
    try:
        tallies = usage_of(connection, asked.question)
        (total,) = usage_of(connection, asked.question._replace(by=(), step=0)) or (None,)
    finally:
        connection.close()
    whole = asked._replace(question=asked.question._replace(by=(), step=0), by=())
    return {
        "data": rows_of(asked, tallies[:MOST_ROWS]),
        "total": rows_of(whole, [total])[0] if total is not None else None,
        "truncated": len(tallies) > MOST_ROWS,
    }


def find_store(store: str | None, path: str | None) -> Path:
    """The store's file. A configuration that does not name it is not read: that takes longer than the answer."""
    import os

    if store is not None:
        return Path(store)
    named = path or os.environ.get("PENSTOCK_CONFIG")
    chosen = named or "penstock.yaml"
    if Path(chosen).exists() and _STATE.search(Path(chosen).read_text("utf-8", "replace")):
        from penstock.cli.settings import find_config
        from penstock.errors import ConfigError

        config, _ = find_config(chosen, serving=False)
        if config.state == "memory":
            raise ConfigError(f"{chosen}: state: memory keeps nothing", do="Ask the gateway itself with --admin URL.")
        return Path(config.state)
    return Path(os.path.abspath(chosen)).parent / STORE if named else Path.cwd() / STORE


def _table(by: tuple[str, ...], rows: list[dict[str, Any]], total: dict[str, Any] | None) -> None:
    if not rows:
        click.echo("Nothing was used in that time.")
        return
    lines = [(*by, *_HEADS), *(_cells(by, row) for row in rows[:MOST_LINES])]
    if total is not None and len(rows) > 1:
        lines.append(("in all", *[""] * (len(by) - 1), *_cells((), total)) if by else _cells((), total))
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    for line in lines:
        cells = [
            text.ljust(width) if at < len(by) else text.rjust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())
    if len(rows) > MOST_LINES:
        click.echo(f"... and {len(rows) - MOST_LINES:,} more: --csv or --json has them all.", file=sys.stderr)


def _cells(by: tuple[str, ...], row: dict[str, Any]) -> tuple[str, ...]:
    counts = (f"{row[name]:,}" for name in ("requests", "attempts", "failed", "input_tokens", "output_tokens"))
    money = (_money(row[name], row["unpriced"]) for name in ("cost_usd", "charge_usd"))
    return (*(clean(str(row[name])) for name in by), *counts, *money)


def _money(amount: str | None, unpriced: int) -> str:
    if amount is None:
        return f"unknown ({unpriced:,})"
    whole, _, part = amount.partition(".")
    shown = f"{int(whole):,}.{part[:6]}"
    return f"{shown} + {unpriced:,} unknown" if unpriced else shown


@command.command("reconcile", short_help="Whether a provider's own books say the same.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--provider", metavar="NAME", help="Whose it is, as in `providers:`; else what the file's form says.")
@click.option("--most", default="100ppm", show_default=True, metavar="PPM", help="How far apart both may be.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@_store_options
def reconcile(
    file: str, provider: str | None, most: str, store: str | None, path: str | None, *, as_json: bool
) -> None:
    """Compare the ledger with a provider's export, per day and model, and in all.

    FILE: what OpenAI answers for organization/costs or organization/usage/..., Anthropic for cost_report or
    usage_report/messages, the CSV that either's console exports, or a CSV with the columns day, model, input, output,
    cost. Days are UTC's. Exit code 1: they are further apart than --most, or one side has what the other has not.
    """
    from penstock.cli.reconciling import compare, tell

    found = compare(Path(file), provider, _ppm(most), find_store(store, path))
    tell(found, as_json=as_json)
    if found.wrong:
        raise click.exceptions.Exit(1)


def _ppm(text: str) -> float:
    number = text.strip().removesuffix("ppm").strip()
    if not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,3})?", number):
        raise click.UsageError("--most takes millionths, such as 100ppm.")
    return float(number)
