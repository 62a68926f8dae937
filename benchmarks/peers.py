"""Penstock beside other gateways, in one run on one core: `python benchmarks/peers.py`.

Installs what is missing, measures, prints a table and draws a picture. See README.md in this folder.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.gateways.install import CannotInstall
from benchmarks.gateways.kinds import PEERS, Peer
from benchmarks.load import Failed, run_load
from benchmarks.materials import HERE, CannotBuild, compile_programs
from benchmarks.peers_report import Found, keep, picture, record, table
from benchmarks.processes import Cores, Processes, ahead_of_others, raise_file_limit, resident_bytes
from benchmarks.proxies import CannotStart, Running, Yard, missing, start_upstream, versions
from benchmarks.trials import Bench, Figures, Plan, Shape, interleaved, load_of, one_run, stop

_UNARY = Shape(model="u")
_STREAM = Shape(model="s100x1g10000", events=100, connections=8)
_CALM = Shape(model="u", connections=16, rate=20)


@dataclass(slots=True)
class Contest:
    """Those that answer, started and warm, and what was measured of each by trial: name -> trial -> runs."""

    bench: Bench
    running: list[Running]
    found: dict[str, dict[str, list[Figures]]]

    def measure(self, trial: str, runs: int, shape_of: Callable[[Running], Shape | None]) -> None:
        """Load each in turn, `runs` times; a run that fails is noted and left out."""
        begun = time.perf_counter()
        for running in interleaved(runs, self.running):
            shape, name = shape_of(running), running.proxy.name
            if shape is None:
                continue
            try:
                figures = one_run(self.bench, running, load_of(self.bench, running, shape), shape)
            except Failed as error:
                self.bench.note(f"{name}, {trial}: {error}")
                continue
            self.found.setdefault(name, {}).setdefault(trial, []).append(figures)
        print(f"{trial}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)

    def half_its_rate(self, running: Running) -> Shape | None:
        """A plan of half the requests a second that it gave at saturation."""
        runs = self.found.get(running.proxy.name, {}).get("unary", [])
        if not runs:
            return None
        return replace(_CALM, connections=64, rate=statistics.median(run["per_second"] for run in runs) / 2)

    def weigh(self, trial: str) -> None:
        """Resident memory of each now."""
        for running in self.running:
            if running.process is not None:
                mib = resident_bytes(running.process.pid) / 2**20
                self.found.setdefault(running.proxy.name, {})[trial] = [{"mib": mib, "start_s": running.first_answer}]


def _install(names: list[str], problems: list[str]) -> list[Peer]:
    peers = []
    for name in names:
        try:
            peer = PEERS[name]()
            problem = missing(peer.proxy)
        except CannotInstall as error:
            problem = str(error)
        if problem:
            problems.append(f"{name} left out: {problem}")
        else:
            peers.append(peer)
    return peers


def _start(bench: Bench, peers: list[Peer]) -> list[Running]:
    running = []
    for peer in peers:
        try:
            one = bench.start(peer.proxy, [_STREAM.model])
        except CannotStart as error:
            bench.note(f"{peer.proxy.name} left out: {error}")
            continue
        running.append(one)
        print(f"{peer.title} {peer.version} answers", file=sys.stderr, flush=True)
    return running


def _warm(bench: Bench, running: list[Running]) -> list[Running]:
    """Those that bear a first load of each kind."""
    warm = []
    for one in running:
        try:
            for shape in (_UNARY, _STREAM):
                load = replace(load_of(bench, one, shape), seconds=max(1.0, one.proxy.warm_s))
                run_load(load, one.port, bench.yard.cores.rest)
        except Failed as error:
            bench.note(f"{one.proxy.name} left out: {error}")
            stop(one)
            continue
        warm.append(one)
    return warm


def _measure(bench: Bench, peers: list[Peer]) -> dict[str, dict[str, list[Figures]]]:
    running = _start(bench, peers)
    contest = Contest(bench, running, {})
    try:
        time.sleep(1)  # what they still do after their first answer
        contest.weigh("idle")
        contest.running = _warm(bench, running)
        contest.measure("unary", bench.plan.runs, lambda _: _UNARY)
        contest.weigh("loaded")
        contest.measure("stream", max(2, bench.plan.runs - 2), lambda _: _STREAM)
        contest.measure("calm", max(2, bench.plan.runs - 2), lambda _: _CALM)
        contest.measure("half", max(2, bench.plan.runs - 2), contest.half_its_rate)
    finally:
        for one in running:
            stop(one)
    return contest.found


def _contest(options: argparse.Namespace, processes: Processes, folder: Path) -> int:
    problems: list[str] = []
    peers = _install(options.only or list(PEERS), problems)
    compile_programs()
    raise_file_limit(1000)
    plan = Plan(runs=2, seconds=1.0, held=0) if options.quick else Plan(runs=5, seconds=2.5, held=0)
    yard = Yard(processes, Cores(), folder)
    proxies = tuple(peer.proxy for peer in peers)
    bench = Bench(yard, plan, proxies, start_upstream(yard, None), None, None, problems)
    found = Found(peers, _measure(bench, peers), versions(), asdict(plan), problems)
    print(table(found))
    kept = keep(found, HERE / "results")
    print(f"\nkept as {kept.relative_to(HERE.parent)}; drawn as {picture(found, kept.with_suffix('.svg'))}")
    if options.record:
        for path in record(found, HERE.parent):
            print(f"written: {path.relative_to(HERE.parent)}")
    return 1 if problems else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure Penstock beside other gateways, in one run on one core.")
    parser.add_argument("--only", action="append", choices=list(PEERS), help="this one alone (may be repeated)")
    parser.add_argument("--quick", action="store_true", help="short runs: for a look, not for a record")
    parser.add_argument("--record", action="store_true", help="write the table and the picture into the documentation")
    parser.add_argument("--ahead", action="store_true", help="run before the machine's other work (as root)")
    return parser.parse_args()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """0: all was measured; 1: something was not; 2: it could not be built; 130: interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        options = _options()
        with (
            tempfile.TemporaryDirectory(prefix="penstock-peers-") as folder,
            ahead_of_others(options.ahead),
            Processes() as processes,
        ):
            return _contest(options, processes, Path(folder))
    except KeyboardInterrupt:
        return 130
    except (CannotBuild, CannotStart, PermissionError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
