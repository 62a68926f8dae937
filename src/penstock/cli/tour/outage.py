"""The tour's outage: one of two providers goes down under traffic and comes back, shown from the gateway's records."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.cli.story import read_line, story
from penstock.cli.tour.screen import INDENT, Screen
from penstock.cli.tour.stage import Stage
from penstock.lines import encode_lines
from penstock.records import Record

__all__ = ["STEADY", "show_outage", "sum_up"]

STEADY = "steady"
PRIMARY = "east/small"
EAST, WEST, DOWN = "tokens=24,first_token=25ms", "tokens=24,first_token=60ms", "head=10ms,status=503"

ROWS = 9
ROW_SECONDS = 0.5
BETWEEN_SECONDS = 0.05
FRAMES = 5  # of a row, where it is seen to fill
# What happens to the primary as a row begins.
EVENTS = {2: (DOWN, "east goes down"), 5: (EAST, "east is back")}

BREAKER = {"ready": "closed", "trial": "half open"}
CELLS = "{:<5}  {}  {:>6}  {:<9}  {:>6}  {:>9}  {}"
MOST = 12  # letters that a row has room for


async def show_outage(stage: Stage, screen: Screen, records: Sequence[Record]) -> None:
    """All of it: the traffic, a row for each half second of it, and what one call was through."""
    screen.title("8. An outage: one of two providers goes down under traffic")
    screen.code(f"""\
models:
  {STEADY}:
    targets: [{PRIMARY}, west/small]
    breaker: {{open: 1s, max_open: 1s}}  # 5 s and 20 s unless it says so""")
    screen.line()
    screen.say(
        "Callers of both kinds ask 20 times a second, whole and streamed. E is an answer of east, W one of west, x an"
        " error that a caller got.",
        INDENT,
    )
    screen.line()
    names = ("after", f"{'answers':<{MOST}}", "failed", "breaker", "p50", "spent", "")
    screen.line(INDENT + screen.dim(CELLS.format(*names).rstrip()))
    stage.east.script, stage.west.script = EAST, WEST
    before = len(records)
    async with asyncio.TaskGroup() as calls:
        traffic = calls.create_task(_traffic(stage, calls))
        for row in range(ROWS):
            await _watch(stage, screen, records, before, row)
        traffic.cancel()
    _tell(screen, records[before:])


async def _traffic(stage: Stage, calls: asyncio.TaskGroup) -> None:
    """One caller after the other, in time whatever becomes of the ones before."""
    due, number = stage.clock.monotonic(), 0
    while True:
        calls.create_task(_call(stage, number))
        due, number = due + BETWEEN_SECONDS, number + 1
        await stage.clock.sleep(max(0.0, due - stage.clock.monotonic()))


async def _call(stage: Stage, number: int) -> None:
    body: dict[str, Any] = {"model": STEADY, "messages": [{"role": "user", "content": f"What is {number} + {number}?"}]}
    kind = number % 3
    if kind == 0:
        await stage.ask("/v1/chat/completions", body)
    elif kind == 1:
        await stage.ask("/v1/messages", body | {"max_tokens": 100}, {"anthropic-version": "2023-06-01"})
    else:
        async for _ in stage.stream("/v1/chat/completions", body | {"stream": True}, {}):
            pass


async def _watch(stage: Stage, screen: Screen, records: Sequence[Record], before: int, row: int) -> None:
    """One row, from its first moment to its last."""
    script, happens = EVENTS.get(row, ("", ""))
    if script:
        stage.east.script = script
    begun, first = stage.clock.monotonic(), len(records)
    for frame in range(1, FRAMES + 1):
        await stage.clock.sleep(max(0.0, begun + frame * ROW_SECONDS / FRAMES - stage.clock.monotonic()))
        ended = records[first:]
        state = stage.state(PRIMARY)
        took = f"{statistics.median(record.ended - record.started for record in ended) * 1e3:.0f} ms" if ended else ""
        failed = sum(map(_failed, ended))
        text = CELLS.format(
            f"{(row + 1) * ROW_SECONDS:.1f} s",
            _letters(screen, ended),
            screen.red(f"{failed:>6}") if failed else failed,
            BREAKER.get(state, state),
            took,
            f"${_spent(records[before:]):.6f}",
            happens,
        )
        screen.row(INDENT + text.rstrip(), done=frame == FRAMES)


def _letters(screen: Screen, records: Sequence[Record]) -> str:
    """Who answered, in the order in which they ended."""
    letters = ["x" if _failed(record) else record.deployment[:1].upper() for record in records]
    if len(letters) > MOST:
        letters[MOST - 1 :] = "+"
    styles = {"E": screen.green, "W": screen.yellow, "x": screen.red, "+": screen.dim}
    return "".join(styles[letter](letter) for letter in letters) + " " * (MOST - len(letters))


def _tell(screen: Screen, records: Sequence[Record]) -> None:
    """What there is to say when it is over, and the story of the first call that fell back."""
    screen.facts([f"{len(records)} calls", *_told(records)])
    fell = next((record for record in records if record.fallback_used and len(record.attempts) > 1), None)
    if fell is not None:
        line = read_line(msgspec.json.decode(encode_lines([fell])))
        screen.line()
        screen.code(f"penstock explain {fell.id}")
        for row in story(line).split("\n\n")[1].splitlines():
            screen.line(INDENT + row)
    screen.note(
        "On a gateway of yours `penstock explain ID` tells this of any call, and `penstock deployments list` how each"
        " provider stands; `penstock simulate examples/scenarios/outage.yaml` is half an hour of it, in seconds."
    )


def sum_up(records: Sequence[Record]) -> str:
    """What became of many, in a few words."""
    return ", ".join(_told(records))


def _told(records: Sequence[Record]) -> list[str]:
    fallbacks = sum(record.fallback_used for record in records)
    return [f"{sum(map(_failed, records))} failed", f"{fallbacks} fallbacks", f"${_spent(records):.6f}"]


def _failed(record: Record) -> bool:
    return record.status >= 400 or record.stream_error is not None


def _spent(records: Sequence[Record]) -> float:
    """In dollars."""
    return sum(record.cost or 0 for record in records) / 1e9
