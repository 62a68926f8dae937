"""`penstock check`: is a configuration right, what does it come to, and what may one hold at all."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from penstock.config.schema import Config

__all__ = ["command"]

MOST_NAMED = 8


@click.command(short_help="Check a configuration.")
@click.argument("path", metavar="[FILE]", required=False)
@click.option("--config", "other", metavar="FILE", help="The same as FILE, as other commands take it.")
@click.option("--resolved", is_flag=True, help="Print it whole, and where each value comes from.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of all configurations, for editors.")
def command(path: str | None, other: str | None, *, resolved: bool, schema: bool) -> None:
    """Check FILE; without one PENSTOCK_CONFIG or ./penstock.yaml, else the built-in configuration.

    What is wrong is told as `file:line:column: message` and ends with exit code 2. What is allowed but most likely not
    meant is told as a warning, and the exit code is 0.
    """
    if path is not None and other is not None:
        raise click.UsageError("FILE and --config say the same: give one of them.")
    path = path if path is not None else other
    if schema:
        from penstock.config.json_schema import json_schema

        click.echo(json.dumps(json_schema(), indent=2))
        return
    from penstock.cli.settings import find_tree, say_doubt
    from penstock.config.load import load_config

    tree = find_tree(path)
    config = load_config(tree, os.environ)
    if config.layers:
        from penstock.gateway.own_layers import load_layers

        load_layers(config)
    for doubt in (*tree.problems.doubts, *_expired(config)):
        say_doubt(doubt)
    if resolved:
        from penstock.config.resolved import resolved as written

        click.echo(written(config, tree), nl=False)
    else:
        _sum_up(config)


def _expired(config: Config) -> list[str]:
    """Keys that count no more."""
    from penstock.clock import SystemClock

    now = SystemClock().wall()
    over = [key for key in config.keys if key.expires is not None and key.expires <= now]
    return [f'{key.where}: key "{key.name}" has expired: it is not known any more' for key in over]


def _sum_up(config: Config) -> None:
    on = [provider for provider in config.providers.values() if not provider.off]
    off = [f"{provider.name} ({provider.off})" for provider in config.providers.values() if provider.off]
    click.echo(f"{config.source}: good")
    click.echo(f"  providers  {_listed([provider.name for provider in on])}")
    if off:
        click.echo(f"  off        {_listed(off)}")
    if config.layers:
        click.echo(f"  layers     {_listed(list(config.layers))}")
    click.echo(f"  models     {_listed(list(config.models))}")
    click.echo(f"  keys       {_listed([key.name for key in config.keys])}{', auth: open' * (config.auth == 'open')}")
    budgets = sum(rule.kind == "budget" for rule in config.rules) + len(config.request_budgets)
    limits = sum(rule.kind != "budget" for rule in config.rules)
    if limits or budgets:
        click.echo(f"  holds      {_counted(limits, 'limit')}, {_counted(budgets, 'budget')}")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _listed(names: list[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
