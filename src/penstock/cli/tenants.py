"""`penstock tenants`: who pays."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import click

from penstock.cli.control import control_options
from penstock.cli.tables import clean, moment, table

__all__ = ["command"]

_JSON = click.option("--json", "as_json", is_flag=True, help="As the control plane tells it.")
_COLUMNS = ("tenant", "state", "charge", "weight", "made", "declared")


@click.group(short_help="Make, list and archive tenants.")
def command() -> None:
    """Tenants: who pays. Those that the configuration file declares, or names at a key, are shown too.

    A gateway that runs here is asked to do it; else it is done on the state itself.
    """


@command.command("create", short_help="Make one.")
@click.argument("name")
@click.option(
    "--charge", metavar="WORD", help="`attempts`: all that were made for it; `winner`: the one that answered."
)
@click.option("--weight", metavar="N", type=int, help="Its part where tenants wait for the same [1].")
@_JSON
@control_options
def create(name: str, admin: str | None, path: str | None, *, as_json: bool, **given: Any) -> None:
    """Make a tenant."""
    from penstock.cli.register import find_register

    body = {"name": name, **{field: value for field, value in given.items() if value is not None}}
    with ExitStack() as stack:
        made = find_register(stack, admin, path).ask("POST", "/tenants", body)
    if as_json:
        _print(made)
    else:
        click.echo(
            f"The tenant {made['name']} is made. A key for it: penstock keys create NAME --tenant {made['name']}"
        )


@command.command("list", short_help="Those there are.")
@click.option("--archived", is_flag=True, help="Those too that have ended.")
@_JSON
@control_options
def show_all(admin: str | None, path: str | None, *, archived: bool, as_json: bool) -> None:
    """List the tenants: those that the file declares, then those that were made."""
    from penstock.cli.register import everything, find_register

    with ExitStack() as stack:
        query = "?archived=true" if archived else ""
        found = list(everything(find_register(stack, admin, path), f"/tenants{query}"))
    if as_json:
        _print(found)
    elif not found:
        click.echo("There are no tenants. Make one: penstock tenants create NAME")
    else:
        click.echo(table(_COLUMNS, [_row(tenant) for tenant in found]))


@command.command("show", short_help="All that is known of one.")
@click.argument("tenant")
@_JSON
@control_options
def show(tenant: str, admin: str | None, path: str | None, *, as_json: bool) -> None:
    """Show a tenant, its projects and its keys."""
    from penstock.cli.register import everything, find_register

    with ExitStack() as stack:
        asked = find_register(stack, admin, path)
        found = asked.ask("GET", f"/tenants/{quote(tenant, safe='')}")
        keys = list(everything(asked, f"/keys?tenant={quote(tenant, safe='')}"))
    if as_json:
        _print(found | {"keys": keys})
        return
    for name, value in found.items():
        if value and name != "etag":
            click.echo(f"{name:<12}{clean(', '.join(value) if isinstance(value, list) else str(value))}")
    click.echo(f"{'keys':<12}{clean(', '.join(key['label'] for key in keys)) or 'none'}")


@command.command("archive", short_help="End one, and all its keys with it.")
@click.argument("tenant")
@_JSON
@control_options
def archive(tenant: str, admin: str | None, path: str | None, *, as_json: bool) -> None:
    """End a tenant for good: none of its keys is known from then on. What it used stays in the books."""
    from penstock.cli.register import find_register, if_match

    with ExitStack() as stack:
        asked = find_register(stack, admin, path)
        url = f"/tenants/{quote(tenant, safe='')}"
        gone = asked.ask("POST", f"{url}/archive", headers=if_match(asked.ask("GET", url)))
    if as_json:
        _print(gone)
    else:
        click.echo(f"The tenant {clean(gone['name'])} is archived, and its keys have ended.")


def _print(told: Any) -> None:
    click.echo(json.dumps(told, ensure_ascii=False, indent=1))


def _row(tenant: dict[str, Any]) -> tuple[str, ...]:
    return (
        tenant["name"],
        tenant["state"],
        tenant["charge"],
        str(tenant["weight"]),
        moment(tenant["created"]),
        tenant["declared"] or "",
    )
