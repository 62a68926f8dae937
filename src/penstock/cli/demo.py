"""`penstock demo`: a tour in two minutes, with no key, on a gateway of its own. Writes no file."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from penstock.cli import INTERRUPTED

if TYPE_CHECKING:
    from penstock.cli.tour.screen import Screen
    from penstock.cli.tour.stage import Stage
    from penstock.records import Record

__all__ = ["command"]


@click.command(short_help="A tour in two minutes, no key needed.")
@click.option("--once", is_flag=True, help="Without waiting for Enter, and end after the tour; so it is in a pipe too.")
def command(once: bool) -> None:
    """A tour in two minutes: a gateway on simulated models, called as OpenAI's and Anthropic's clients do.

    Needs no key and no network, and writes no file. On a terminal it waits for Enter between its steps (q ends it), and
    leaves the gateway open to be tried until Ctrl-C.
    """
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        raise SystemExit(runner.run(_demo(once)))


async def _demo(once: bool) -> int:
    from penstock.cli.tour.screen import Left, Screen
    from penstock.cli.tour.stage import Stage
    from penstock.clock import SystemClock

    screen = Screen(SystemClock(), hurried=once)
    once = once or not screen.is_terminal
    records = _Records()
    stage = Stage(records.add)
    asked = asyncio.get_running_loop().create_future()
    showing = asyncio.ensure_future(_show(stage, screen, records, once=once))

    def stop(number: int) -> None:
        if not asked.done():
            asked.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        await asyncio.wait((showing, asked), return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            with suppress(Left):
                await showing
                return 0
        screen.end_pieces()
        screen.line()
        screen.line("The gateway is closed.")
        return INTERRUPTED if asked.done() and asked.result() == signal.SIGINT else 0
    finally:
        showing.cancel()
        await asyncio.wait((showing,))
        if not showing.cancelled():
            showing.exception()  # it may have ended in the moment of the signal
        await stage.aclose()


class _Records:
    """What became of each request: kept for the tour's end, and shown as it comes after that."""

    def __init__(self) -> None:
        self.kept: list[Record] = []
        self.show: Callable[[Record], None] = self.kept.append

    def add(self, record: Record) -> None:
        """One is over."""
        self.show(record)


async def _show(stage: Stage, screen: Screen, records: _Records, *, once: bool) -> None:
    """The whole of it; without `once` it ends only by being cancelled."""
    from penstock.cli.tour.steps import show_end, show_request, take_tour

    await stage.open()
    await take_tour(stage, screen, records.kept)
    await screen.pause()
    show_end(screen, stage.url, "" if once else await stage.open_control())
    if not once:
        records.show = lambda record: show_request(screen, record)
        await asyncio.get_running_loop().create_future()
