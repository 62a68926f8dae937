"""The trials: what is done to every proxy in turn, and the figures that each run gives.

A trial runs all proxies interleaved (A B C, C B A, ...), so that a machine that grows slower or noisier on the way
does so for all of them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from benchmarks.load import Failed, Load, Result, arguments, run_load
from benchmarks.materials import ANTHROPIC, write_body
from benchmarks.processes import busy_seconds, cpu_seconds, end, resident_bytes
from benchmarks.proxies import BOOKED, DIRECT, LIMITED, PENSTOCK, RELAY, CannotStart, Proxy, Running, Yard, model_for

Figures = dict[str, float]
Runs = dict[str, list[Figures]]  # by the proxy's name


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often."""

    runs: int
    seconds: float
    held: int


@dataclass(slots=True)
class Bench:
    """One benchmark: where it runs, the upstreams, who takes part. `problems` gathers what could not be measured."""

    yard: Yard
    plan: Plan
    proxies: tuple[Proxy, ...]
    upstream_port: int
    tls_port: int | None
    ca_file: Path | None
    problems: list[str] = field(default_factory=list)

    def note(self, problem: str) -> None:
        """Keep a problem for the report, once."""
        if problem not in self.problems:
            self.problems.append(problem)

    def start(self, proxy: Proxy, models: list[str], *, tls: bool = False) -> Running:
        """Start a proxy before the plain or the TLS upstream."""
        if tls and self.tls_port is not None:
            return self.yard.start(proxy, self.tls_port, models, self.ca_file)
        return self.yard.start(proxy, self.upstream_port, models)


@dataclass(frozen=True, slots=True)
class Trial:
    """A name for `--only`, what it is, and how it is run."""

    name: str
    title: str
    run: Callable[[Bench], Runs]


def interleaved(runs: int, subjects: Sequence[Running]) -> Iterator[Running]:
    """All subjects `runs` times, there and back."""
    for number in range(runs):
        yield from subjects if number % 2 == 0 else reversed(subjects)


def stop(running: Running) -> None:
    """End its process, where it has one."""
    if running.process is not None:
        end(running.process)


# ---- under load ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A load trial: the upstream's model (see upstream.c), the request's size, the load.

    `translated`: Penstock's callers speak Anthropic; the relay, which knows one dialect, does what it always does.
    `beside`: another Penstock beside the plain one, which has neither limits nor books.
    """

    model: str
    size: int = 1000
    events: int = 0
    connections: int = 32
    rate: float = 0
    tls: bool = False
    translated: bool = False
    beside: Proxy | None = None
    longer: float = 1

    def takes(self, proxy: Proxy) -> bool:
        """Whether it says something of this proxy."""
        if self.translated or self.beside is not None:
            return proxy in (RELAY, PENSTOCK)
        return proxy is not DIRECT or not self.tls


def _loaded(shape: Shape) -> Callable[[Bench], Runs]:
    def run(bench: Bench) -> Runs:
        if shape.tls and bench.tls_port is None:
            bench.note("TLS upstream: needs openssl and libssl-dev; skipped")
            return {}
        taking_part = [proxy for proxy in bench.proxies if shape.takes(proxy)]
        if shape.beside is not None and PENSTOCK in taking_part:
            taking_part.append(shape.beside)
        subjects = [running for proxy in taking_part if (running := _ready(bench, proxy, shape)) is not None]
        found: Runs = {running.proxy.name: [] for running in subjects}
        try:
            for running in interleaved(bench.plan.runs, subjects):
                try:
                    found[running.proxy.name].append(one_run(bench, running, load_of(bench, running, shape), shape))
                except Failed as error:
                    bench.note(f"{running.proxy.name}, {shape.model}: {error}")
        finally:
            for running in subjects:
                stop(running)
        return found

    return run


def load_of(bench: Bench, running: Running, shape: Shape) -> Load:
    """The shape as this proxy's callers send it."""
    model = model_for(running.proxy, shape.model)
    dialect = ANTHROPIC if shape.translated and running.proxy is PENSTOCK else running.proxy.dialect
    body = write_body(bench.yard.folder, model, size=shape.size, stream=shape.events > 0, dialect=dialect)
    more = _MORE_EVENTS if dialect is ANTHROPIC else -running.proxy.events_less
    return Load(
        body=body,
        dialect=dialect,
        events=shape.events and shape.events + more,
        connections=shape.connections,
        rate=shape.rate,
        seconds=bench.plan.seconds * shape.longer,
        headers=running.headers,
    )


# A chunk of text is one event in either dialect. Of the upstream's others, OpenAI has the role's, the finish, the
# usage and [DONE]; Anthropic message_start, content_block_start, content_block_stop, message_delta and message_stop.
_MORE_EVENTS = 1


def _ready(bench: Bench, proxy: Proxy, shape: Shape) -> Running | None:
    """Started and warm, or None with the problem noted."""
    try:
        running = bench.start(proxy, [shape.model], tls=shape.tls)
        run_load(replace(load_of(bench, running, shape), seconds=proxy.warm_s), running.port, bench.yard.cores.rest)
    except (CannotStart, Failed) as error:
        bench.note(f"{proxy.name}, {shape.model}: {error}")
        return None
    return running


def one_run(bench: Bench, running: Running, load: Load, shape: Shape) -> Figures:
    """One run under load. Raises Failed when it cannot count."""
    cores = bench.yard.cores
    pid = running.process.pid if running.process is not None else None
    busy, cpu, begun = busy_seconds(cores.proxy), cpu_seconds(pid) if pid else 0.0, time.perf_counter()
    result = run_load(load, running.port, cores.rest)
    elapsed = time.perf_counter() - begun
    cpu = (cpu_seconds(pid) if pid else 0.0) - cpu
    figures = _figures(result)
    if pid:
        figures["cpu_us"] = cpu * 1e6 / result.requests
        figures["others_share"] = max(0.0, (busy_seconds(cores.proxy) - busy - cpu) / elapsed)
        if shape.events:
            figures["event_us"] = cpu * 1e6 / (result.requests * shape.events)  # the upstream's events, in any dialect
    return figures


def _figures(result: Result) -> Figures:
    times = result.latency_us
    return {"per_second": result.per_second, "p50_us": times.p50, "p90_us": times.p90, "p99_us": times.p99}


# ---- from the start -----------------------------------------------------------------------------------------------


def _fresh(measure: Callable[[Bench, Running], Figures], models: list[str]) -> Callable[[Bench], Runs]:
    """A trial that starts each proxy anew for every run."""

    def run(bench: Bench) -> Runs:
        found: Runs = {}
        for _ in range(bench.plan.runs):
            for proxy in bench.proxies:
                if proxy is DIRECT:
                    continue
                try:
                    running = bench.start(proxy, models)
                    try:
                        found.setdefault(proxy.name, []).append(measure(bench, running))
                    finally:
                        stop(running)
                except (CannotStart, Failed) as error:
                    bench.note(f"{proxy.name}: {error}")
        return found

    return run


def _pid(running: Running) -> int:
    if running.process is None:
        raise Failed("the upstream itself is not measured")
    return running.process.pid


def _at_rest(bench: Bench, running: Running) -> Figures:
    time.sleep(0.5)  # what it still does after its first answer
    return {"first_answer_s": running.first_answer, "idle_mib": resident_bytes(_pid(running)) / 2**20}


_HELD = "s100000x2g2000000"  # two events at once, then two every other second


class _Held(msgspec.Struct):
    held: int


def _holding(bench: Bench, running: Running) -> Figures:
    pid, rest = _pid(running), bench.yard.cores.rest
    model, unary = model_for(running.proxy, _HELD), model_for(running.proxy, "u")
    warm = Load(body=write_body(bench.yard.folder, unary, size=1000, stream=False), seconds=0.3)
    run_load(warm, running.port, rest)
    before = resident_bytes(pid)
    load = Load(body=write_body(bench.yard.folder, model, size=1000, stream=True), events=1, seconds=60)
    command = [*arguments(load, running.port, rest), "--hold", str(bench.plan.held)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        if holder.stdin is None or holder.stdout is None:
            raise Failed("load has no pipes")
        try:
            line = holder.stdout.readline()
            held = msgspec.json.decode(line, type=_Held).held if line else 0
            time.sleep(1)
            after = resident_bytes(pid)
            holder.stdin.close()
            holder.wait(30)
        finally:
            holder.kill()
    if held < bench.plan.held:
        raise Failed(f"only {held} of {bench.plan.held} streams were open at once")
    return {"stream_kib": (after - before) / 1024 / held, "held_mib": after / 2**20}


_IMPORTS = {"import_ms": "import penstock", "name_ms": "from penstock import Penstock"}


def _importing(bench: Bench) -> Runs:
    if PENSTOCK not in bench.proxies:
        return {}
    found: list[Figures] = []
    for _ in range(bench.plan.runs + 1):
        times = {figure: _time_of(statement, bench) for figure, statement in _IMPORTS.items()}
        found.append({figure: taken for figure, taken in times.items() if taken is not None})
    return {PENSTOCK.name: found[1:]}  # the first one may have written the compiled modules


def _time_of(statement: str, bench: Bench) -> float | None:
    program = f"import time; t = time.perf_counter(); {statement}; print((time.perf_counter() - t) * 1000)"
    command = ["taskset", "-c", str(bench.yard.cores.proxy), sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, text=True)
    if done.returncode:
        bench.note(f"{statement}: {done.stderr.strip().splitlines()[-1]}")
        return None
    return float(done.stdout)


TRIALS = (
    Trial("unary", "unary, 1 KB request and answer, 32 callers at saturation", _loaded(Shape(model="u"))),
    Trial("prompt", "unary, 60 KB prompt, 32 callers at saturation", _loaded(Shape(model="u", size=60_000))),
    Trial(
        "together",
        "streams of 500 events, ten events together every 2 ms, 8 callers",
        _loaded(Shape(model="s500x10g2000", events=500, connections=8)),
    ),
    Trial(
        "alone",
        "streams of 200 events, one event every 1 ms, 8 callers",
        _loaded(Shape(model="s200x1g1000", events=200, connections=8)),
    ),
    Trial(
        "latency",
        "unary, 1 KB, on a plan of 300 requests a second",
        _loaded(Shape(model="u", connections=16, rate=300, longer=2)),
    ),
    Trial("tls", "unary, 1 KB, TLS to the upstream, 32 callers at saturation", _loaded(Shape(model="u", tls=True))),
    Trial("cross", "unary, 1 KB, Anthropic to OpenAI, 32 callers", _loaded(Shape(model="u", translated=True))),
    Trial(
        "cross_together",
        "streams of 500 events translated, ten events together every 2 ms, 8 callers",
        _loaded(Shape(model="s500x10g2000", events=500, connections=8, translated=True)),
    ),
    Trial(
        "cross_alone",
        "streams of 200 events translated, one event every 1 ms, 8 callers",
        _loaded(Shape(model="s200x1g1000", events=200, connections=8, translated=True)),
    ),
    Trial(
        "limits",
        "unary, 1 KB, without and with limits and budgets on four scopes, 32 callers at saturation",
        _loaded(Shape(model="u", beside=LIMITED)),
    ),
    Trial(
        "books",
        "unary, 1 KB, without and with the ledger, 32 callers at saturation",
        _loaded(Shape(model="u", beside=BOOKED)),
    ),
    Trial(
        "limits_latency",
        "the same on a plan of 300 requests a second",
        _loaded(Shape(model="u", connections=16, rate=300, longer=2, beside=LIMITED)),
    ),
    Trial("start", "from process start to the first answer; memory after it", _fresh(_at_rest, [])),
    Trial("held", "memory of open streams", _fresh(_holding, [_HELD])),
    Trial("import", "import time", _importing),
)
