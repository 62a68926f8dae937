"""`penstock doctor`: what is configured and reachable, each fault with its fix. Changes nothing, costs nothing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from penstock.cli.checkup.findings import Finding

__all__ = ["command"]

MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "fail": ("FAIL", "red")}
NARROWEST, WIDEST = 60, 120


@click.command(short_help="Find what keeps a gateway from working.")
@click.option("--config", "path", metavar="FILE", help="penstock.yaml; without one ./penstock.yaml, else the default.")
@click.option("--ask", is_flag=True, help="Also ask each provider for its models, with its key. Costs nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(path: str | None, ask: bool, as_json: bool) -> None:
    """Find what keeps a gateway from working, and say what to do about it. Exit code 1 if anything fails.

    Looks at the configuration, its keys, names and ports, the state, the limits of this machine, its clock, and the way
    to each provider: a connection is opened (TCP, proxy, TLS) and closed, and nothing is sent. With --ask each provider
    is asked for its list of models, which finds refused keys, wrong base URLs and misspelt models. No key is shown.
    """
    import uvloop

    from penstock.cli.checkup.round import make_round

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        findings = runner.run(make_round(path, os.environ, ask=ask))
    failed = [finding for finding in findings if finding.status == "fail"]
    if as_json:
        _print_json(findings, good=not failed)
    else:
        for finding in findings:
            _print(finding)
        print(_verdict(len(failed)))
    raise SystemExit(1 if failed else 0)


def _print_json(findings: Sequence[Finding], *, good: bool) -> None:
    import msgspec

    print(json.dumps({"ok": good, "findings": msgspec.to_builtins(findings)}, ensure_ascii=False, indent=2))


def _print(finding: Finding) -> None:
    """A finding and, indented below it, its fix: in a pipe one line each, on a terminal wrapped."""
    mark, colour = MARKS[finding.status]
    subject = f"{finding.subject}: " if finding.subject else ""
    head = f"{mark:<5} {finding.check:<12} "
    lines = _wrapped(f"{subject}{finding.told}", head, " " * len(head))
    if finding.fix:
        lines += _wrapped(finding.fix, f"{' ' * len(head)}fix: ", " " * (len(head) + 5))
    text = "\n".join(lines)
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):  # https://no-color.org
        text = click.style(mark, fg=colour, bold=finding.status == "fail") + text[len(mark) :]
    print(text)


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    if not sys.stdout.isatty():
        return [first + text]
    width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size().columns - 1))
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def _verdict(failed: int) -> str:
    if not failed:
        return "Nothing is in the way."
    return f"{failed} {'thing keeps' if failed == 1 else 'things keep'} a gateway here from working as it should."
