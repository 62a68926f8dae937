"""`penstock budgets`: how much may be used."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli.rules import add_commands

__all__ = ["command"]


@click.group(short_help="How much may be used in a day, a month ...")
def command() -> None:
    """Budgets: dollars, tokens or requests in a minute, hour, day, week or month, of each tenant, user, key, model ...
    Those that the configuration file declares are shown too, and changed there.

    A gateway that runs here is asked to do it, and all its workers know at once; else it is done on the state itself.
    """


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    """In the words of the configuration file."""
    parts, downgrade = given.pop("alert_at"), given.pop("downgrade")
    if downgrade is not None:
        if given["on_soft"] is not None:
            raise click.UsageError("--downgrade is one of the things that --on-soft can be: say one of them")
        given["on_soft"] = {"downgrade": downgrade}
    if parts is not None:
        given["alert_at"] = [_part(each.strip()) for each in parts.split(",") if each.strip()]
    return given


def _part(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text  # `80%`; what is neither is told by who reads it


add_commands(
    command,
    "budget",
    (
        click.option(
            "--limit", metavar="AMOUNT", help="'50 USD/day', '2M tokens/month'; of --scope request '0.05 USD'."
        ),
        click.option("--zone", metavar="ZONE", help="Whose midnights: Europe/Berlin [UTC]."),
        click.option("--hard/--soft", default=None, help="Whether what is over it is refused [--hard]."),
        click.option("--alert-at", metavar="PARTS", help="At which somebody is told: 50%,80%,100% [80%,100%]."),
        click.option("--on-low-budget", metavar="WORD", help="clamp: calls may answer with less; refuse [clamp]."),
        click.option("--on-soft", metavar="WORD", help="Once a soft one is used up: alert, throttle [alert]."),
        click.option("--downgrade", metavar="MODEL", help="Once a soft one is used up: another model is asked."),
    ),
    _fields,
)
