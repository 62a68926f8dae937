"""Runs the load generator and reads its result."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.materials import BUILD, KEY, OPENAI, Dialect


class Times(msgspec.Struct, frozen=True):
    """Microseconds."""

    mean: float
    p50: float
    p90: float
    p99: float
    max: float


class Result(msgspec.Struct, frozen=True):
    """What `load` prints. `requests` are whole answers with status 200; all that is not is counted apart."""

    seconds: float
    sent: int
    requests: int
    per_second: float
    other_status: int
    truncated: int
    connect_failed: int
    unanswered: int
    reconnects: int
    events: int
    bytes: int
    failure: str
    latency_us: Times
    first_byte_us: Times


class Failed(Exception):
    """A run that cannot count: not every answer was whole and 200."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One kind of load. `events` is what each stream must bring, 0 for unary answers; `rate` 0 is the closed loop.

    `dialect` is the caller's: the one that `body` is written in. `headers`: "Name: value", besides the key's.
    """

    body: Path
    dialect: Dialect = OPENAI
    events: int = 0
    connections: int = 32
    rate: float = 0
    seconds: float = 2
    headers: tuple[str, ...] = ()


def arguments(load: Load, port: int, core: int) -> list[str]:
    """The command line of the load generator, pinned to a core."""
    program = ["taskset", "-c", str(core), str(BUILD / "load"), "--port", str(port), "--body", str(load.body)]
    options = ["--header", f"Authorization: Bearer {KEY}", "--seconds", str(load.seconds), "--rate", str(load.rate)]
    options += [part for line in load.headers for part in ("--header", line)]
    options += ["--path", load.dialect.path, "--end", load.dialect.end]
    return [*program, *options, "--connections", str(load.connections), "--stream", str(int(load.events > 0))]


def run_load(load: Load, port: int, core: int) -> Result:
    """One run. Raises Failed when an answer was missing, cut, not 200, or short of events."""
    command = arguments(load, port, core)
    done = subprocess.run(command, capture_output=True, check=False, timeout=load.seconds + 60)
    if done.returncode:
        raise Failed(f"load ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    result = msgspec.json.decode(done.stdout, type=Result)
    lost = result.other_status + result.truncated + result.connect_failed + result.unanswered
    if lost or not result.requests:
        raise Failed(
            f"{lost} of {result.sent} requests failed ({result.other_status} with another status, "
            f"{result.truncated} cut, {result.connect_failed} not connected, {result.unanswered} unanswered): "
            f"{result.failure}"
        )
    if load.events and result.events != load.events * result.requests:
        raise Failed(f"{result.requests} streams of {load.events} events brought {result.events}")
    return result
