"""`penstock keys`: callers' keys, made, listed, shown, revoked and rotated."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import click

from penstock.cli.control import control_options
from penstock.cli.tables import clean, moment, table

__all__ = ["command"]

_JSON = click.option("--json", "as_json", is_flag=True, help="As the control plane tells it.")
_TENANT = click.option("--tenant", metavar="NAME", help="Whose it is.")
_COLUMNS = ("key", "state", "secret", "tenant", "models", "expires", "last used", "from")
_EVERY_NAME = "every name under models:"


@click.group(short_help="Make, list, revoke and rotate callers' keys.")
def command() -> None:
    """Callers' keys: who may call, for whom, and what. Those that the configuration file declares are shown too.

    A gateway that runs here is asked to do it, and all its workers know at once; else it is done on the state itself.
    KEY is a key's name, `tenant/name`, or its id.
    """


def _rights(made: Callable[..., None]) -> Callable[..., None]:
    for option in reversed((
        click.option("--models", metavar="NAMES", multiple=True, help=f"Names, patterns, with commas [{_EVERY_NAME}]."),
        click.option("--routes", metavar="NAMES", multiple=True, help="chat, embeddings, count_tokens, models [all]."),
        click.option("--addresses", metavar="NETS", multiple=True, help="Networks it may be used from [any]."),
        click.option("--expires", metavar="WHEN", help="A date, a time, or 90d from now [never]."),
        click.option("--max-output", metavar="TOKENS", type=int, help="The most that a call may ask for."),
        click.option("--priority", metavar="WORD", help="The most urgent its calls may be: critical ... sheddable."),
        click.option("--user", metavar="trusted", help="`trusted`: the user that its calls name is believed."),
        click.option("--overrides", metavar="allowed", help="`allowed`: its calls may say how they are tried."),
    )):  # fmt: skip
        made = option(made)
    return made


@command.command("create", short_help="Make one; its secret is told once.")
@click.argument("name")
@_TENANT
@click.option("--project", metavar="NAME", help="What its tenant files it under.")
@click.option("--env", metavar="live|test", help="What it begins with: psk_live_ or psk_test_ [live].")
@_rights
@_JSON
@control_options
def create(name: str, admin: str | None, path: str | None, *, as_json: bool, **given: Any) -> None:
    """Make a key. Its secret goes to stdout, this once, so that `KEY=$(penstock keys create app)` has it; how it is
    used goes to stderr.
    """
    from penstock.cli.register import find_register

    body = {"name": name, **{field: value for field, value in _said(given).items() if value is not None}}
    with ExitStack() as stack:
        asked = find_register(stack, admin, path)
        made = asked.ask("POST", "/keys", body)
        if as_json:
            _print(made)
            return
        click.echo(made["secret"])
        config = _config(asked)
        click.echo(f"\n{_about(made)} It is shown this once. Use it:\n  {_curl(config, made)}", err=True)
        for note in _notes(config, made):
            click.echo(f"  NOTE  {note}", err=True)


@command.command("list", short_help="Those there are.")
@_TENANT
@click.option("--revoked", is_flag=True, help="Those too that are revoked.")
@_JSON
@control_options
def show_all(admin: str | None, path: str | None, *, tenant: str | None, revoked: bool, as_json: bool) -> None:
    """List the keys: those that the file declares, then those that were made, the oldest first."""
    from penstock.cli.register import everything, find_register

    with ExitStack() as stack:
        query = f"?revoked={str(revoked).lower()}" + (f"&tenant={quote(tenant, safe='')}" if tenant else "")
        found = list(everything(find_register(stack, admin, path), f"/keys{query}"))
    if as_json:
        _print(found)
    elif not found:
        click.echo("There are no keys. Make one: penstock keys create NAME")
    else:
        click.echo(table(_COLUMNS, [_row(key) for key in found]))


@command.command("show", short_help="All that is known of one.")
@click.argument("key")
@_TENANT
@_JSON
@control_options
def show(key: str, admin: str | None, path: str | None, *, tenant: str | None, as_json: bool) -> None:
    """Show a key: what it may do, when it was made and by whom, until when its secrets are good."""
    from penstock.cli.register import find_register
    from penstock.cli.seek import seek_key

    with ExitStack() as stack:
        found = seek_key(find_register(stack, admin, path), "keys", key, tenant)
    if as_json:
        _print(found)
    else:
        _tell(found)


@command.command("revoke", short_help="End one, at once and for good.")
@click.argument("key")
@_TENANT
@_JSON
@control_options
def revoke(key: str, admin: str | None, path: str | None, *, tenant: str | None, as_json: bool) -> None:
    """End a key. Every worker refuses it within a second; what runs goes on to its end."""
    from penstock.cli.register import find_register
    from penstock.cli.seek import seek_key

    with ExitStack() as stack:
        asked = find_register(stack, admin, path)
        found = seek_key(asked, "keys", key, tenant)
        gone = asked.ask("POST", f"/keys/{quote(found['id'], safe='')}/revoke")
    if as_json:
        _print(gone)
    else:
        click.echo(f"{clean(gone['label'])} is revoked.")


@command.command("rotate", short_help="Give one a new secret, told once.")
@click.argument("key")
@_TENANT
@click.option("--overlap", metavar="TIME", default="0s", help="How long the old one stays good: 24h; up to 30d [0s].")
@_JSON
@control_options
def rotate(key: str, admin: str | None, path: str | None, *, tenant: str | None, overlap: str, as_json: bool) -> None:
    """Give a key a new secret, which goes to stdout, this once. The key, its name and its limits stay as they are."""
    from penstock.cli.register import find_register, if_match
    from penstock.cli.seek import seek_key

    with ExitStack() as stack:
        asked = find_register(stack, admin, path)
        found = seek_key(asked, "keys", key, tenant)
        url = f"/keys/{quote(found['id'], safe='')}/rotate"
        made = asked.ask("POST", url, {"overlap": overlap}, headers=if_match(found))
    if as_json:
        _print(made)
        return
    click.echo(made["secret"])
    old = [each for each in made["secrets"][1:] if each["ends"]]
    told = f"{clean(made['label'])} has a new secret, shown this once."
    if old:
        told += (
            f" The one before, {old[0]['prefix']}...{old[0]['last_four']}, is good until {moment(old[0]['ends'])} UTC."
        )
    click.echo(f"\n{told}", err=True)


# --- what is said, and what is shown


def _said(given: dict[str, Any]) -> dict[str, Any]:
    """The options as the API's fields; lists may come with commas, or the option several times."""
    found = dict(given)
    for name in ("models", "routes", "addresses"):
        parts = [part.strip() for value in given[name] for part in value.split(",") if part.strip()]
        # An empty one, as of a variable that is not set, must not become "all".
        found[name] = parts if given[name] else None
    return found


def _print(told: Any) -> None:
    click.echo(json.dumps(told, ensure_ascii=False, indent=1))


def _row(key: dict[str, Any]) -> tuple[str, ...]:
    return (
        key["label"],
        key["state"],
        _secret(key),
        key["tenant"] or "",
        _models(key),
        moment(key["expires"]),
        moment(key["last_used"]),
        key["declared"] or key["created_by"] or "",
    )


def _secret(key: dict[str, Any]) -> str:
    return f"{key['prefix']}...{key['last_four']}" if key["prefix"] else ""


def _models(key: dict[str, Any]) -> str:
    return ",".join(key["models"]) if key["models"] is not None else "all names"


def _tell(key: dict[str, Any]) -> None:
    shown = {name: value for name, value in key.items() if name not in ("etag", "secrets", "prefix", "last_four")}
    shown["models"] = key["models"] if key["models"] is not None else _EVERY_NAME
    for name, value in shown.items():
        if value is not None:
            text = ", ".join(value) if isinstance(value, list) else str(value)
            click.echo(f"{name.replace('_', ' '):<12}{clean(text)}")
    for each in key["secrets"]:
        ends = f", good until {moment(each['ends'])}" if each["ends"] else ""
        click.echo(f"{'secret':<12}{each['prefix']}...{each['last_four']}, made {moment(each['created'])}{ends}")


def _about(key: dict[str, Any]) -> str:
    ends = f" until {moment(key['expires'])} UTC" if key["expires"] else ""
    return f"The key {clean(key['label'])} may ask for {clean(_models(key).replace('all names', _EVERY_NAME))}{ends}."


def _config(asked: Any) -> dict[str, Any]:
    """The gateway's configuration, or what can be supposed of it: who may make keys need not see all of it."""
    from penstock.errors import PenstockError

    try:
        found: dict[str, Any] = asked.ask("GET", "/config")
    except PenstockError:
        return {"server": {"listen": "127.0.0.1:8484"}, "models": {"MODEL": {}}}
    return found


def _notes(config: dict[str, Any], key: dict[str, Any]) -> list[str]:
    """What stands in the way of using it."""
    from penstock.routing.nearest import did_you_mean

    found = []
    if config.get("auth") == "open":
        found.append("auth is open here: nobody is asked for a key. Write auth: required.")
    if key["models"] is None and not config["models"]:
        found.append("there is no name under models: yet, so it may ask for nothing. Make it with --models 'sim/*'.")
    names = {*config["models"], *(f"{provider}/*" for provider in config.get("providers", {}))}
    for name in key["models"] or () if "providers" in config else ():
        provider, slash, _ = name.partition("/")
        if "*" not in name and name not in names and f"{provider}{slash}*" not in names:
            found.append(
                f"nothing is called {name} here{did_you_mean(name, names)}: it may not be asked for until it is."
            )
    return found


def _curl(config: dict[str, Any], key: dict[str, Any]) -> str:
    """A line that uses it, as far as the configuration tells where."""
    listen = config["server"]["listen"].replace("0.0.0.0", "127.0.0.1").replace("[::]", "127.0.0.1")
    listen = listen.removesuffix(":0") + ":PORT" if listen.endswith(":0") else listen
    plain = [name for name in key["models"] or list(config["models"]) if "*" not in name]
    model = next(iter(plain), "sim/small" if "sim" in config.get("providers", {}) else "MODEL")
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
    scheme = "https" if config["server"].get("tls") else "http"
    return (
        f"curl {scheme}://{listen}/v1/chat/completions -H 'content-type: application/json'"
        f" -H 'authorization: Bearer {key['secret']}' -d {shlex.quote(body)}"
    )
