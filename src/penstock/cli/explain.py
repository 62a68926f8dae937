"""`penstock explain`: what was decided about one request, and what became of it, told by the gateway that has it."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import click

from penstock.cli.control import control_options

__all__ = ["command"]

_ID = re.compile(r"[0-9a-fA-F-]{36}")


@click.command(short_help="Tell what became of a request, and why.")
@click.argument("request_id")
@click.option("--json", "as_json", is_flag=True, help="As the gateway has it: one JSON object.")
@control_options
def command(request_id: str, admin: str | None, path: str | None, *, as_json: bool) -> None:
    """Tell every decision about one request: where it could go, whom it asked and why, the waits, and the cost.

    REQUEST_ID is the x-request-id of its answer, or `id` in the log. A request can be asked for while it is being
    answered, and then as long as it is among the last 10,000.
    """
    from penstock.cli.control import find_control

    if not _ID.fullmatch(request_id):
        raise click.UsageError("REQUEST_ID looks like 0190b0a5-5c3e-7d2a-9f61-0c8e3b7a4d21.")
    told: dict[str, Any] = find_control(admin, path).ask("GET", f"/requests/{request_id}/explain")
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    # What `--help` need not wait for.
    from penstock.cli.story import read_line, story

    click.echo(story(read_line(told), terminal=sys.stdout.isatty()))
