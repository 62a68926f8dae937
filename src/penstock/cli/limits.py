"""`penstock limits`: how much may be asked for at a time."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli.rules import add_commands

__all__ = ["command"]


@click.group(short_help="How much may be asked for at a time.")
def command() -> None:
    """Limits: requests, tokens and calls at a time, of each tenant, user, key, model ... Those that the configuration
    file declares are shown too, and changed there.

    A gateway that runs here is asked to do it, and all its workers know at once; else it is done on the state itself.
    """


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    burst = given["burst"]
    return given | {"burst": int(burst) if burst is not None and burst.isascii() and burst.isdigit() else burst}


add_commands(
    command,
    "limit",
    (
        click.option("--requests", metavar="RATE", help="Requests within a time: 600/min."),
        click.option("--tokens", metavar="RATE", help="Tokens within a time: 200k/min."),
        click.option("--concurrency", metavar="N", type=int, help="Calls at a time."),
        click.option("--kind", metavar="WORD", help="How a rate is held: burst, strict, leaky [burst]."),
        click.option("--burst", metavar="N", help="How much of a rate may come at once [all of it]."),
        click.option("--queue", metavar="TIME", help="How long a call may wait for its turn: 5s [not at all]."),
    ),
    _fields,
)
