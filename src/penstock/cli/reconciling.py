"""`penstock usage reconcile`: the ledger's side of it, and how what was found is told."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from penstock.cli.tables import clean
from penstock.errors import InvalidRequest
from penstock.providers.reconcile import Drift, Ours, Reconciled, reconcile
from penstock.providers.statement import MOST_BYTES, Line, Statement, known_as, read_statement
from penstock.stores.attribution import Question, usage_of
from penstock.stores.sqlite import open_reader
from penstock.usage import usd

__all__ = ["compare", "tell"]

_SIDES = {"both": "", "ours": "only in the ledger", "theirs": "only in the statement"}


def compare(file: Path, provider: str | None, most: float, store: Path) -> Reconciled:
    """Read both and compare.

    Raises:
        InvalidRequest: the file is no statement.
        ConfigError: the store cannot be read.
    """
    if file.stat().st_size > MOST_BYTES:
        raise InvalidRequest(f"{file}: it is larger than {MOST_BYTES >> 20} MiB", do="Export fewer days at a time.")
    try:
        statement = read_statement(file.read_bytes())
    except ValueError as error:
        raise InvalidRequest(
            f"{file}: {error}", do="`penstock usage reconcile --help` says which exports are known."
        ) from None
    if not statement.days:
        raise InvalidRequest(f"{file}: it speaks of no day", do="Export a period in which something was used.")
    return reconcile(_ours(statement, provider or statement.provider, store), statement, most)


def _ours(statement: Statement, provider: str, store: Path) -> list[Ours]:
    """What the ledger has of that provider on those days; of all providers where none is known."""
    since = datetime.combine(date.fromisoformat(min(statement.days)), datetime.min.time(), UTC)
    until = datetime.combine(date.fromisoformat(max(statement.days)), datetime.min.time(), UTC) + timedelta(days=1)
    question = Question(("deployment",), since.timestamp(), until.timestamp(), {}, 86_400)
    connection = open_reader(store)
    try:
        tallies = usage_of(connection, question)
    finally:
        connection.close()
    found = []
    for tally in tallies:
        whose, _, model = tally.values[0].partition("#")[0].partition("/")
        if provider and whose != provider:
            continue
        day = datetime.fromtimestamp(tally.at, UTC).date().isoformat()
        measures = tally.measures
        line = Line(day, known_as(model), measures.input_tokens, measures.output_tokens, measures.cost)
        found.append(Ours(line, measures.unpriced))
    return found


def tell(found: Reconciled, *, as_json: bool) -> None:
    """Show it."""
    if as_json:
        click.echo(json.dumps(_as_json(found), ensure_ascii=False, indent=1))
        return
    names = list(found.drifts)
    heads = ["day", "model", *(head for name in names for head in (f"{name}: ours", "theirs", "ppm")), ""]
    lines = [
        heads,
        *(_line(row.day, row.model, row.drifts, _note(row.side, row.unpriced, row.wrong)) for row in found.rows),
    ]
    lines.append(_line("in all", "", found.drifts, "" if not found.wrong else "apart"))
    widths = [max(len(line[at]) for line in lines) for at in range(len(heads))]
    for line in lines:
        cells = [
            text.ljust(width) if at < 2 or at == len(heads) - 1 else text.rjust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def _line(day: str, model: str, drifts: dict[str, Drift], note: str) -> list[str]:
    cells = [day, clean(model)]
    for name, drift in drifts.items():
        cells += [_amount(name, drift.ours), _amount(name, drift.theirs), _ppm(drift.ppm)]
    return [*cells, note]


def _note(side: str, unpriced: int, wrong: bool) -> str:
    notes = [_SIDES[side], f"{unpriced} without a price" if unpriced else ""]
    return ", ".join(each for each in notes if each) or ("apart" if wrong else "")


def _amount(name: str, amount: int) -> str:
    if name != "cost":
        return f"{amount:,}"
    return f"-{usd(-amount)}" if amount < 0 else usd(amount)


def _ppm(ppm: float) -> str:
    return "-" if math.isinf(ppm) else f"{ppm:+,.0f}" if abs(ppm) >= 1 or ppm == 0 else f"{ppm:+.3f}"


def _as_json(found: Reconciled) -> dict[str, Any]:
    def of(drifts: dict[str, Drift]) -> dict[str, Any]:
        return {
            name: {
                "ours": _amount(name, each.ours) if name == "cost" else each.ours,
                "theirs": _amount(name, each.theirs) if name == "cost" else each.theirs,
                "ppm": None if math.isinf(each.ppm) else round(each.ppm, 3),
            }
            for name, each in drifts.items()
        }

    rows = [
        {"day": row.day, "model": row.model, "side": row.side, "unpriced": row.unpriced, "apart": row.wrong}
        | of(row.drifts)
        for row in found.rows
    ]
    return {"data": rows, "total": of(found.drifts), "apart": found.wrong}
