"""`penstock explain`: what was decided about one request, and what became of it: by the gateway that has it, or its
ledger.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import click

from penstock.cli.control import control_options

__all__ = ["command"]

_ID = re.compile(r"[0-9a-fA-F-]{36}")


@click.command(short_help="Tell what became of a request, and why.")
@click.argument("request_id")
@click.option("--json", "as_json", is_flag=True, help="As the gateway has it: one JSON object.")
@click.option("--store", metavar="FILE", help="Look in this store's ledger, and ask no gateway.")
@control_options
def command(request_id: str, admin: str | None, path: str | None, store: str | None, *, as_json: bool) -> None:
    """Tell every decision about one request: where it could go, whom it asked and why, the waits, and the cost.

    REQUEST_ID is the x-request-id of its answer, or `id` in the log. A request can be asked for while it is being
    answered, and then as long as it is among the last 10,000. Of an older one, and where no gateway runs, the ledger
    still has what providers were asked and what it cost.
    """
    if not _ID.fullmatch(request_id):
        raise click.UsageError("REQUEST_ID looks like 0190b0a5-5c3e-7d2a-9f61-0c8e3b7a4d21.")
    told = _find(request_id.lower(), admin, path, store)
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    # What `--help` need not wait for.
    from penstock.cli.story import past_story, read_line, story

    terminal = sys.stdout.isatty()
    old = told.get("source") == "ledger"
    click.echo(past_story(told, terminal=terminal) if old else story(read_line(told), terminal=terminal))


def _find(id: str, admin: str | None, path: str | None, store: str | None) -> dict[str, Any]:
    """What the gateway tells of it; where none can be asked, what stands in its store."""
    from penstock.cli.control import ADMIN, find_control
    from penstock.cli.usage import find_store
    from penstock.errors import NotFound, PenstockError

    if store is None:
        try:
            told: dict[str, Any] = find_control(admin, path).ask("GET", f"/requests/{id}/explain")
        except PenstockError as error:
            # It was asked, or it was named: then nobody else's word will do.
            if admin or os.environ.get(ADMIN) or error.code == NotFound.code or not find_store(None, path).exists():
                raise
        else:
            return told
    file = find_store(store, path)
    found = _in_store(id, file)
    if found is None:
        raise PenstockError(
            f"{file} has no attempt of the request {id}",
            do="If it was refused before any provider was asked, only the request log has it.",
        )
    return found


def _in_store(id: str, file: Path) -> dict[str, Any] | None:
    from penstock.stores.past import attempts_of
    from penstock.stores.past_told import past_told
    from penstock.stores.sqlite import open_reader

    connection = open_reader(file)
    try:
        attempts = attempts_of(connection, id)
    finally:
        connection.close()
    return past_told(id, attempts) if attempts else None
