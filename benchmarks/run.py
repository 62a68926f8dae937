"""The benchmark: `python benchmarks/run.py`. Compiles, starts, measures, prints a table, keeps it as JSON, cleans up.

See README.md in this folder for what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.materials import HERE, CannotBuild, compile_programs, make_certificate
from benchmarks.processes import Cores, Processes, ahead_of_others, end, raise_file_limit
from benchmarks.proxies import ALL, CannotStart, Proxy, Yard, missing, start_upstream, versions
from benchmarks.report import keep, lines_of, others_share, table
from benchmarks.trials import TRIALS, Bench, Plan, Runs


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure Penstock against a bare relay, in one run.")
    names = [trial.name for trial in TRIALS]
    parser.add_argument("--only", action="append", choices=names, help="this trial alone (may be repeated)")
    parser.add_argument(
        "--proxy", action="append", choices=[proxy.name for proxy in ALL], help="this proxy alone (may be repeated)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="three short runs of each instead of five: for a look, not for a record"
    )
    parser.add_argument("--runs", type=int, help="runs of each proxy in each trial")
    parser.add_argument("--seconds", type=float, help="length of a run under load")
    parser.add_argument("--held", type=int, help="open streams in the trial `held`")
    parser.add_argument("--ahead", action="store_true", help="run before the machine's other work (as root)")
    return parser.parse_args()


def _plan(options: argparse.Namespace) -> Plan:
    plain = Plan(runs=3, seconds=0.7, held=500) if options.quick else Plan(runs=5, seconds=2.5, held=2000)
    return Plan(options.runs or plain.runs, options.seconds or plain.seconds, options.held or plain.held)


def _proxies(options: argparse.Namespace) -> tuple[Proxy, ...]:
    wanted = [proxy for proxy in ALL if not options.proxy or proxy.name in options.proxy]
    why = {proxy.name: missing(proxy) for proxy in wanted}
    for name, reason in why.items():
        if reason:
            print(f"{name}: left out: {reason}", file=sys.stderr)
    return tuple(proxy for proxy in wanted if why[proxy.name] is None)


def _leave_out_broken(bench: Bench) -> None:
    """A proxy that gives no answer now is one problem, not one in each trial."""
    answering = []
    for proxy in bench.proxies:
        try:
            running = bench.start(proxy, [])
        except CannotStart as error:
            bench.note(f"{proxy.name}: {error}")
            continue
        answering.append(proxy)
        if running.process is not None:
            end(running.process)
    bench.proxies = tuple(answering)


def _measure(bench: Bench, only: list[str] | None) -> dict[str, Runs]:
    found: dict[str, Runs] = {}
    for trial in TRIALS:
        if only is None or trial.name in only:
            begun = time.perf_counter()
            found[trial.name] = trial.run(bench)
            print(f"{trial.name}: {trial.title} ({time.perf_counter() - begun:.0f} s)", file=sys.stderr, flush=True)
    return found


def _show(bench: Bench, found: dict[str, Runs], cores: Cores) -> None:
    print("\nmedians of", bench.plan.runs, "interleaved runs\n")
    print(table(lines_of(found), [proxy.name for proxy in bench.proxies]))
    share = others_share(found)
    if share is not None:
        print(f"\nother processes took at most {share:.0%} of the proxy's core in a run; above 5 % measure again")
    if not cores.apart:
        print("one core for everything: requests/s and latency say little here")
    for problem in bench.problems:
        print("NOT MEASURED:", problem)


def _benchmark(options: argparse.Namespace, processes: Processes, folder: Path) -> int:
    plan, cores = _plan(options), Cores()
    raise_file_limit(plan.held)
    with_tls = compile_programs()
    certificate = make_certificate(folder) if with_tls else None
    yard = Yard(processes, cores, folder)
    bench = Bench(
        yard=yard,
        plan=plan,
        proxies=_proxies(options),
        upstream_port=start_upstream(yard, None),
        tls_port=start_upstream(yard, certificate) if certificate else None,
        ca_file=certificate.authority if certificate else None,
    )
    _leave_out_broken(bench)
    found = _measure(bench, options.only)
    _show(bench, found, cores)
    about = {"machine": versions(), "plan": asdict(plan), "others_share": others_share(found)}
    print("kept as", keep(HERE / "results", about, found, bench.problems).relative_to(HERE.parent))
    return 1 if bench.problems else 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """0: all was measured; 1: something was not; 2: it could not be built; 130: interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        options = _options()
        with (
            tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder,
            ahead_of_others(options.ahead),
            Processes() as processes,
        ):
            return _benchmark(options, processes, Path(folder))
    except KeyboardInterrupt:
        return 130
    except (CannotBuild, CannotStart, PermissionError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
