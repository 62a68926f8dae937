"""What `penstock limits` and `penstock budgets` have in common: listed, shown, made, changed, removed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Literal
from urllib.parse import quote

import click

from penstock.cli.control import control_options
from penstock.cli.tables import clean, moment, table

__all__ = ["Kind", "add_commands"]

Kind = Literal["limit", "budget"]
Options = Sequence[Callable[[Callable[..., None]], Callable[..., None]]]

_JSON = click.option("--json", "as_json", is_flag=True, help="As the control plane tells it.")
_ACCOUNTS = click.option(
    "--accounts", metavar="N", type=click.IntRange(0, 100), default=1, help="How many accounts, the fullest first [1]."
)
_COLUMNS = ("id", "scope", "match", "holds", "fullest", "used", "left", "whole again", "from")
# Of a line that goes on with the one above.
_BLANK = (" ",)
# As they are written, whatever the order of the options.
_ORDER = (
    *("scope", "match", "requests", "tokens", "concurrency", "kind", "burst", "queue"),
    *("limit", "zone", "hard", "alert_at", "on_low_budget", "on_soft"),
)
_WHO: Options = (
    click.option("--scope", metavar="WORD", help="tenant, user, key, project, task, tag, model, global, ..."),
    click.option("--match", metavar="NAMES", multiple=True, help="For which of them, with commas [each]."),
)


def add_commands(group: click.Group, kind: Kind, options: Options, fields: Callable[[Any], dict[str, Any]]) -> None:
    """Give a group its commands.

    Args:
        options: what may be said of one.
        fields: makes an entry of the configuration of what was said.
    """

    def said(made: Callable[..., None]) -> Callable[..., None]:
        for option in reversed((*_WHO, *options)):
            made = option(made)
        return made

    def body(given: dict[str, Any]) -> dict[str, Any]:
        written = given.pop("match")
        named = [part.strip() for value in written for part in value.split(",") if part.strip()]
        # An empty one, as of a variable that is not set, must not become "each".
        match = {"match": named[0] if len(named) == 1 else named} if written else {}
        found = {**fields(given), **match}
        return {name: found[name] for name in _ORDER if found.get(name) is not None}

    @group.command("create", short_help="Make one; it holds at once.")
    @said
    @_JSON
    @control_options
    def create(admin: str | None, path: str | None, *, as_json: bool, **given: Any) -> None:
        from penstock.cli.register import find_register

        with ExitStack() as stack:
            made = find_register(stack, admin, path).ask("POST", f"/{kind}s", body(given))
        _tell(kind, made, "is made", as_json=as_json)

    create.help = (
        f"Make a {kind}. It is told in the words of the configuration file, and holds at once on every worker."
    )

    @group.command("change", short_help="Change what one says.")
    @click.argument("id")
    @said
    @click.option("--without", metavar="NAME", multiple=True, help="Take what it says of that away.")
    @_JSON
    @control_options
    def change(
        id: str, admin: str | None, path: str | None, *, without: tuple[str, ...], as_json: bool, **given: Any
    ) -> None:
        from penstock.cli.register import find_register, if_match

        wanted = {**body(given), **dict.fromkeys(without)}
        if not wanted:
            raise click.UsageError("say what is to change; --help has the options")
        with ExitStack() as stack:
            asked = find_register(stack, admin, path)
            found = _seek(asked, kind, id)
            made = asked.ask("PATCH", _at(kind, found), wanted, headers=if_match(found))
        _tell(kind, made, "is changed", as_json=as_json)

    change.help = f"Change a {kind}; what is not said stays. ID is its id, or the end of it."
    _add_reading(group, kind)


def _add_reading(group: click.Group, kind: Kind) -> None:
    """And those that need not be told what one says."""

    @group.command("list", short_help="Those there are, and how full they are.")
    @click.option("--tenant", metavar="NAME", help="What is that one's alone.")
    @_ACCOUNTS
    @_JSON
    @control_options
    def show_all(admin: str | None, path: str | None, *, tenant: str | None, accounts: int, as_json: bool) -> None:
        from penstock.cli.register import everything, find_register

        with ExitStack() as stack:
            query = f"?accounts={accounts}" + (f"&tenant={quote(tenant, safe='')}" if tenant else "")
            found = list(everything(find_register(stack, admin, path), f"/{kind}s{query}"))
        if as_json:
            _print(found)
        elif not found:
            click.echo(f"There are no {kind}s. Make one: penstock {kind}s create --scope tenant ...")
        else:
            click.echo(table(_COLUMNS, [row for each in found for row in _rows(each)]))

    show_all.help = (
        f"List the {kind}s: those that the file declares, then those that were made. Of each the account that is the"
        " fullest now is told: what is used of it, what is left, and when it is whole again."
    )

    @group.command("show", short_help="All that is known of one.")
    @click.argument("id")
    @click.option("--accounts", metavar="N", type=click.IntRange(0, 100), default=10, help="As many accounts [10].")
    @_JSON
    @control_options
    def show(id: str, admin: str | None, path: str | None, *, accounts: int, as_json: bool) -> None:
        from penstock.cli.register import find_register

        with ExitStack() as stack:
            asked = find_register(stack, admin, path)
            found = asked.ask("GET", f"{_at(kind, _seek(asked, kind, id))}?accounts={accounts}")
        if as_json:
            _print(found)
        else:
            _describe(found)

    show.help = f"Show a {kind}: what it says, who made it, its fullest accounts, and what is doubtful about it."

    @group.command("remove", short_help="Take one away; it holds no more.")
    @click.argument("id")
    @_JSON
    @control_options
    def remove(id: str, admin: str | None, path: str | None, *, as_json: bool) -> None:
        from penstock.cli.register import find_register, if_match

        with ExitStack() as stack:
            asked = find_register(stack, admin, path)
            found = _seek(asked, kind, id)
            gone = asked.ask("DELETE", _at(kind, found), headers=if_match(found))
        _tell(kind, gone, "is gone", as_json=as_json)

    remove.help = f"Take a {kind} away. What was used stays in the books, and counts if one of the same is made again."


def _seek(asked: Any, kind: Kind, meant: str) -> dict[str, Any]:
    """The one of that id, or whose id ends so, or that is declared there.

    Raises:
        NotFound: there is none.
        CallerError: several are meant.
    """
    from penstock.cli.register import everything
    from penstock.errors import CallerError, NotFound
    from penstock.redact import as_asked

    known = list(everything(asked, f"/{kind}s"))
    found = [each for each in known if meant in (each["id"], each["declared"])]
    found = found or [each for each in known if len(meant) >= 4 and each["id"].endswith(meant)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFound(f"there is no {kind} {as_asked(meant)}", do=f"`penstock {kind}s list` shows those there are.")
    raise CallerError(f"several {kind}s are meant by {as_asked(meant)}", do="Say which by its whole id.")


def _at(kind: Kind, found: Mapping[str, Any]) -> str:
    return f"/{kind}s/{quote(found['id'], safe='')}"


# --- what is shown


def _print(told: Any) -> None:
    click.echo(json.dumps(told, ensure_ascii=False, indent=1))


def _tell(kind: Kind, told: dict[str, Any], what: str, *, as_json: bool) -> None:
    if as_json:
        _print(told)
    else:
        click.echo(f"The {kind} {told['id']} {what}: {clean(_words(told['rule']))}")
    for warning in told.get("warnings", ()):
        click.echo(f"  NOTE  {clean(warning)}", err=True)


def _rows(told: dict[str, Any]) -> list[tuple[str, ...]]:
    """A line for the rule, and one more for each further account."""
    rule, accounts = told["rule"], told.get("accounts") or [None]
    said = {name: value for name, value in rule.items() if name not in ("scope", "match")}
    match = rule.get("match", "")
    first = told["id"], rule["scope"], ",".join(match) if isinstance(match, list) else match, _words(said)
    made_by = told["declared"] or told["created_by"] or ""
    last = f"{made_by} (not in use: {told['shadowed_by']})" if told["shadowed_by"] else made_by
    return [
        (*(first if not number else _BLANK * 4), *_account(account), last if not number else " ")
        for number, account in enumerate(accounts)
    ]


def _account(account: dict[str, Any] | None) -> tuple[str, ...]:
    if account is None:
        return "", "", "", ""
    used, left = (_amount(account, name) for name in ("used", "left"))
    return account["value"] or "all", used, left, moment(account["resets"])


def _amount(account: Mapping[str, Any], name: str) -> str:
    amount = account[name]
    if account["unit"] != "usd":
        return f"{amount:,} {account['unit']}"
    whole, _, part = amount.partition(".")
    return f"{int(whole):,}.{part.rstrip('0').ljust(2, '0')} USD"


def _words(rule: Mapping[str, Any]) -> str:
    """In the words of the file."""
    return ", ".join(f"{name}: {_value(value)}" for name, value in rule.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{{{_words(value)}}}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _describe(told: dict[str, Any]) -> None:
    shown = {"id": told["id"], **told["rule"]}
    shown |= {name: told[name] for name in ("tenant", "declared", "created", "created_by", "shadowed_by")}
    for name, value in shown.items():
        if value is not None:
            click.echo(f"{name.replace('_', ' '):<14}{clean(_value(value))}")
    for account in told.get("accounts", ()):
        value, used, left, resets = _account(account)
        again = f", whole again {resets} UTC" if account["resets"] else ""
        click.echo(f"{'account':<14}{clean(value)}: {used} used, {left} left{again}")
    for warning in told.get("warnings", ()):
        click.echo(f"{'warning':<14}{clean(warning)}")
