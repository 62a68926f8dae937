"""`penstock credentials`: what providers are paid with, in the store. A value goes in and never comes out."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import click

from penstock.cli.control import control_options
from penstock.cli.tables import clean, moment, table

__all__ = ["command"]

_JSON = click.option("--json", "as_json", is_flag=True, help="As the control plane tells it.")
_COLUMNS = ("name", "ends in", "providers", "stored")
_LONGEST = 64 * 1024


@click.group(short_help="Providers' credentials in the store.")
def command() -> None:
    """Providers' credentials in the store, for `api_key: store:NAME`. They are encrypted, and shown nowhere.

    A gateway that runs here is asked to do it, and uses it at once; else it is done on the state itself.
    """


@command.command("list", short_help="Those there are.")
@_JSON
@control_options
def show_all(admin: str | None, path: str | None, *, as_json: bool) -> None:
    """List the credentials, without their values, and which providers of the configuration use each."""
    from penstock.cli.register import everything, find_register

    with ExitStack() as stack:
        found = list(everything(find_register(stack, admin, path), "/credentials"))
    if as_json:
        _print(found)
    elif not found:
        click.echo("There are no credentials. Store one: penstock credentials set NAME")
    else:
        click.echo(table(_COLUMNS, [_row(each) for each in found]))


@command.command("set", short_help="Store one, or put another value in its place.")
@click.argument("name")
@click.option("--from-env", "variable", metavar="NAME", help="The variable that holds the value.")
@_JSON
@control_options
def store(name: str, admin: str | None, path: str | None, *, variable: str | None, as_json: bool) -> None:
    """Store a credential under a name. Its value is asked for, or read from stdin or a variable.

    Never as an argument: whoever sees the list of processes would see it.
    """
    from penstock.cli.register import find_register, if_match
    from penstock.errors import PenstockError

    value = _read_value(variable)
    url = f"/credentials/{quote(name, safe='')}"
    with ExitStack() as stack:
        asked = find_register(stack, admin, path)
        try:
            known = asked.ask("GET", url)
        except PenstockError as error:
            if error.status != 404:
                raise
            told = asked.ask("POST", "/credentials", {"name": name, "value": value})
        else:
            told = asked.ask("PATCH", url, {"value": value}, headers=if_match(known))
    if as_json:
        _print(told)
        return
    users = told["providers"]
    used = f"It pays {' and '.join(map(clean, users))}." if users else f"Use it: api_key: store:{clean(told['name'])}"
    click.echo(f"The credential {clean(told['name'])} is stored. {used}")


@command.command("remove", short_help="Forget one.")
@click.argument("name")
@_JSON
@control_options
def remove(name: str, admin: str | None, path: str | None, *, as_json: bool) -> None:
    """Forget a credential. Providers that use it are switched off until there is one of that name again."""
    from penstock.cli.register import find_register, if_match

    url = f"/credentials/{quote(name, safe='')}"
    with ExitStack() as stack:
        asked = find_register(stack, admin, path)
        gone = asked.ask("DELETE", url, headers=if_match(asked.ask("GET", url)))
    if as_json:
        _print(gone)
    else:
        click.echo(f"The credential {clean(gone['name'])} is forgotten.")


def _read_value(variable: str | None) -> str:
    if variable is not None:
        value = os.environ.get(variable, "")
    elif sys.stdin.isatty():
        value = click.prompt("Value", hide_input=True)
    else:
        value = sys.stdin.read(_LONGEST)
    value = value.strip()
    if not value:
        raise click.UsageError(f"{variable} is not set." if variable else "The value is empty.")
    return value


def _print(told: Any) -> None:
    click.echo(json.dumps(told, ensure_ascii=False, indent=1))


def _row(credential: dict[str, Any]) -> tuple[str, ...]:
    return (
        credential["name"],
        credential["last_four"] or "",
        ", ".join(credential["providers"]),
        moment(credential["created"]),
    )
