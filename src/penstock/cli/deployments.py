"""`penstock deployments`: how the deployments of a running gateway stand, and an operator's word about them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import click

from penstock.cli.control import Control, control_options
from penstock.cli.tables import clean

__all__ = ["command"]

_JSON = click.option("--json", "as_json", is_flag=True, help="As the control plane tells it: a JSON array.")
_COLUMNS = ("deployment", "state", "since", "until", "retries", "reason")


@click.group(short_help="See and steer deployments.")
def command() -> None:
    """See how the deployments of a running gateway stand; drain, isolate and restore them."""


@command.command("list", short_help="How each stands, since when and why.")
@_JSON
@control_options
def show(admin: str | None, path: str | None, *, as_json: bool) -> None:
    """List the deployments: their state, since when, until when and why, and the retries that each may still be sent.

    `ready`; `trial`: one call at a time; `paused`: it asked for that; `open`: its breaker; `misconfigured`: it does not
    have the model; `unreachable`: probes of its provider fail; `suspended`, `exhausted`: its credential was refused, or
    has no quota left; `drained`, `isolated`: an operator's word.
    """
    from penstock.cli.control import find_control

    _tell(list(_all(find_control(admin, path))), as_json=as_json)


def _ordering(order: str, what: str, more: str) -> None:
    """Make the command for one word of an operator's."""

    @command.command(order, short_help=what, help=f"{what}\n\n{more}")
    @click.argument("deployment")
    @_JSON
    @control_options
    def say(deployment: str, admin: str | None, path: str | None, *, as_json: bool) -> None:
        from penstock.cli.control import find_control

        if "/" not in deployment.strip("/"):
            raise click.UsageError(
                "DEPLOYMENT is an id such as openai/gpt-5-mini; `penstock deployments list` has them."
            )
        told = find_control(admin, path).ask("POST", f"/deployments/{quote(deployment, safe='')}/{order}")
        _tell(told["data"], as_json=as_json)


_ordering(
    "drain",
    "Send it nothing more, for maintenance.",
    "Calls that run go on to their end, others go elsewhere. Rehearsals go on, so that it is seen to come back."
    " It stays drained until it is restored, or the gateway starts anew. Without `#credential` the id stands for all of"
    " that name.",
)
_ordering(
    "isolate",
    "Send it nothing at all.",
    "As drain, and it is not rehearsed either: for a deployment that must not be asked, such as one whose answers or"
    " bills cannot be trusted. A provider's own probes, which ask for no answer, go on.",
)
_ordering(
    "restore",
    "Use it again.",
    "Ends a drain or an isolation, closes its breaker, and forgets every pause, its credential's too.",
)


def _all(control: Control) -> Iterator[dict[str, Any]]:
    cursor = ""
    while True:
        told = control.ask("GET", f"/deployments?limit=1000{cursor and f'&cursor={quote(cursor)}'}")
        yield from told["data"]
        cursor = told["next_cursor"] or ""
        if not cursor:
            return


def _tell(deployments: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(deployments, ensure_ascii=False, indent=1))
        return
    rows = [_COLUMNS, *(_row(each) for each in deployments)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_COLUMNS) - 1)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[-1]]).rstrip())


def _row(told: dict[str, Any]) -> tuple[str, ...]:
    moments = (_moment(told[name]) for name in ("since", "until"))
    return clean(told["id"]), told["state"], *moments, str(told["retries_left"]), clean(told["reason"] or "")


def _moment(text: str | None) -> str:
    """To the second, in UTC."""
    return f"{text[:10]} {text[11:19]}" if text else "-"
