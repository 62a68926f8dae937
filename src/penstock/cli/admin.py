"""`penstock admin`: those who may see and steer a gateway, and the admin key."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import quote

import click

from penstock.cli.control import control_options
from penstock.cli.tables import clean, moment, table

__all__ = ["command"]

_JSON = click.option("--json", "as_json", is_flag=True, help="As the control plane tells it.")
_COLUMNS = ("name", "role", "tenant", "state", "secret", "expires", "last used", "from")


@click.group(short_help="Who may see and steer a gateway; the admin key.")
def command() -> None:
    """Those who have a role at the control plane: viewer, operator, tenant_admin, admin. Whoever has the admin key is
    an admin. A secret of theirs goes into PENSTOCK_ADMIN_KEY, or into `Authorization: Bearer`.
    """


@command.command("reset", short_help="Make a new admin key; the old one is good for nothing.")
@click.option("--config", "path", metavar="FILE", help="Of the gateway whose state lies beside it.")
def reset(path: str | None) -> None:
    """Write a new admin key into its file beside the state. A gateway that runs there knows it at once.

    It takes no credential but the right to write that folder, so that a lost or leaked key is no dead end.
    """
    import os

    from penstock.admin.credential import reset_admin_key
    from penstock.cli.register import find_register
    from penstock.cli.settings import find_folder
    from penstock.errors import PenstockError

    made = reset_admin_key(os.environ, find_folder(path, os.environ))
    # A gateway that is reached by nothing but that key must not be in its way, nor a state that cannot be written.
    with suppress(PenstockError, OSError), ExitStack() as stack:
        find_register(stack, None, path).notice_reset()
    click.echo(f"The new admin key lies in {made.path}. Whoever has the old one is refused from now on.")


@command.command("create", short_help="Give somebody a role; the secret is told once.")
@click.argument("name")
@click.option("--role", metavar="ROLE", required=True, help="viewer, operator, tenant_admin or admin.")
@click.option("--tenant", metavar="NAME", help="To see and change what is that tenant's alone.")
@click.option("--models", metavar="NAMES", multiple=True, help="What a tenant's may give to keys at most, with commas.")
@click.option("--expires", metavar="WHEN", help="A date, a time, or 90d from now [never].")
@_JSON
@control_options
def create(name: str, admin: str | None, path: str | None, *, as_json: bool, **given: Any) -> None:
    """Give somebody a role. The secret goes to stdout, this once."""
    from penstock.cli.register import find_register

    named = given.pop("models")
    models = [part.strip() for value in named for part in value.split(",") if part.strip()]
    # An empty list, as of a variable that is not set, must not become "all".
    body = {"name": name, **given, "models": models if named else None}
    with ExitStack() as stack:
        asked = find_register(stack, admin, path)
        made = asked.ask("POST", "/admins", {field: value for field, value in body.items() if value is not None})
    if as_json:
        _print(made)
        return
    click.echo(made["secret"])
    whose = f" of {made['tenant']}" if made["tenant"] else ""
    click.echo(f"\n{clean(made['label'])} is {made['role']}{whose}. The secret is shown this once. Use it:", err=True)
    click.echo(f"  PENSTOCK_ADMIN_KEY={made['secret']} penstock keys list", err=True)


@command.command("list", short_help="Those who have a role.")
@_JSON
@control_options
def show_all(admin: str | None, path: str | None, *, as_json: bool) -> None:
    """List those who have a role, but for whoever has the admin key."""
    from penstock.cli.register import everything, find_register

    with ExitStack() as stack:
        found = list(everything(find_register(stack, admin, path), "/admins"))
    if as_json:
        _print(found)
    elif not found:
        click.echo(
            "Nobody has a role but whoever has the admin key. Give one: penstock admin create NAME --role viewer"
        )
    else:
        click.echo(table(_COLUMNS, [_row(each) for each in found]))


@command.command("revoke", short_help="Take somebody's role away, at once.")
@click.argument("name")
@_JSON
@control_options
def revoke(name: str, admin: str | None, path: str | None, *, as_json: bool) -> None:
    """End somebody's credential; NAME is a name, `tenant/name`, or an id."""
    from penstock.cli.register import find_register
    from penstock.cli.seek import seek_key

    with ExitStack() as stack:
        asked = find_register(stack, admin, path)
        found = seek_key(asked, "admins", name)
        gone = asked.ask("POST", f"/admins/{quote(found['id'], safe='')}/revoke")
    if as_json:
        _print(gone)
    else:
        click.echo(f"{clean(gone['label'])} is nobody here any more.")


def _print(told: Any) -> None:
    click.echo(json.dumps(told, ensure_ascii=False, indent=1))


def _row(each: dict[str, Any]) -> tuple[str, ...]:
    secret = f"{each['prefix']}...{each['last_four']}" if each["prefix"] else ""
    made_by = each["declared"] or each["created_by"] or ""
    when = moment(each["expires"]), moment(each["last_used"])
    return each["label"], each["role"], each["tenant"] or "", each["state"], secret, *when, made_by
