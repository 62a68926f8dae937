"""What the edge costs: two workers, TLS on both sides, 100 KB bodies, 5,000 idle connections; `edge.py --help`.

Apart from `run.py`, since proxies are started in other ways here; upstream, load and way of measuring are the same.
About three minutes. The table goes to the terminal; README.md in this folder says how to read it.
"""

from __future__ import annotations

import argparse
import http.client
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.load import Failed, Load, Result, arguments
from benchmarks.materials import BUILD, KEY, Certificate, compile_programs, make_certificate, write_body
from benchmarks.processes import Cores, Processes, cpu_seconds, end, family, free_port, resident_bytes
from benchmarks.proxies import PENSTOCK, RELAY, Proxy, Setting, model_for
from benchmarks.shares import Denied, shared_out

Figures = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Started:
    """A proxy that answers."""

    port: int
    pid: int
    tls: bool
    model: str


class Field:
    """Where proxies are started, each before an upstream of its kind."""

    def __init__(self, processes: Processes, folder: Path, certificate: Certificate | None) -> None:
        self.cores = Cores()
        self.folder = folder
        self._processes = processes
        self._certificate = certificate
        self._upstreams = {tls: self._upstream(tls=tls) for tls in ((False, True) if certificate else (False,))}

    def _upstream(self, *, tls: bool) -> int:
        log, port = self.folder / f"upstream-{tls}.log", free_port()
        command = [str(BUILD / "upstream"), "--port", str(port), "--seconds", "900"]
        if tls and self._certificate is not None:
            command += ["--cert", str(self._certificate.certificate), "--key", str(self._certificate.key)]
        _await(port, self._processes.start(command, core=self.cores.rest, log=log), log)
        return port

    @contextmanager
    def started(self, proxy: Proxy, *, tls: bool = False, workers: int = 0) -> Iterator[Started]:
        """Start a proxy on its core; `tls`: on both sides; `workers`: so many, free to run on every core."""
        folder, certificate = self.folder / f"{proxy.name}-{free_port()}", self._certificate if tls else None
        folder.mkdir()
        names = {model_for(proxy, "u"): "u"}
        authority = certificate.authority if certificate else None
        setting = Setting(folder, free_port(), free_port(), self._upstreams[tls], names, authority)
        if proxy.launch is None:
            raise LookupError(f"{proxy.name} is no process")
        launch = proxy.launch(setting)
        command = list(launch.command)
        if workers:
            command = ["taskset", "-c", f"{self.cores.proxy},{self.cores.rest}", *command, "--workers", str(workers)]
        if certificate is not None and proxy is PENSTOCK:
            config = folder / "penstock.yaml"
            pair = f'server: {{tls: {{cert: "{certificate.certificate}", key: "{certificate.key}"}}, '
            config.write_text(config.read_text().replace("server: {", pair, 1))
        elif certificate is not None:
            command += ["--cert", str(certificate.certificate), "--cert-key", str(certificate.key)]
        log = folder / "log"
        process = self._processes.start(
            command, core=self.cores.proxy, log=log, environment=launch.environment, folder=folder
        )
        try:
            _await(setting.port, process, log)
            yield Started(setting.port, process.pid, tls, model_for(proxy, "u"))
        finally:
            end(process)

    def ask(self, started: Started, size: int, seconds: float) -> tuple[Result, float]:
        """32 callers at saturation with requests of about `size` bytes; the result, and the proxy's CPU seconds."""
        load = Load(body=write_body(self.folder, started.model, size=size, stream=False), seconds=seconds)
        command = [*arguments(load, started.port, self.cores.rest), *(["--tls", "1"] if started.tls else [])]
        cpu = cpu_seconds(started.pid)
        done = subprocess.run(command, capture_output=True, check=True, timeout=seconds + 60)
        cpu = cpu_seconds(started.pid) - cpu
        result = msgspec.json.decode(done.stdout, type=Result)
        if result.requests == 0 or result.requests != result.sent:
            raise Failed(f"{result.requests} of {result.sent} were answered: {result.failure}")
        return result, cpu


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(3000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.01)
    raise Failed(log.read_text(errors="replace")[-1000:])


def loaded(field: Field, subjects: dict[str, Started], size: int, plan: tuple[int, float]) -> Figures:
    """CPU and requests per second of each subject, interleaved runs."""
    runs, seconds = plan
    found: Figures = {}
    for started in subjects.values():
        field.ask(started, size, 0.5)
    for number in range(runs):
        for name in subjects if number % 2 == 0 else reversed(subjects):
            result, cpu = field.ask(subjects[name], size, seconds)
            found.setdefault(f"{name}: CPU us per request", []).append(cpu * 1e6 / result.requests)
            found.setdefault(f"{name}: requests/s", []).append(result.per_second)
    return found


def idle(field: Field, proxy: Proxy, connections: int, seconds: float) -> Figures:
    """Memory by connection that was used once and waits, and what the process does while it waits."""
    with field.started(proxy) as started, ExitStack() as held:
        field.ask(started, 1000, 0.5)
        before, quiet = resident_bytes(started.pid), _busy(started.pid, seconds)
        body = write_body(field.folder, started.model, size=1000, stream=False).read_bytes()
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        for _ in range(connections):
            connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=10)
            held.callback(connection.close)
            connection.request("POST", "/v1/chat/completions", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise Failed(f"{proxy.name} answered {answer.status}")
        time.sleep(1.0)
        after, waiting = resident_bytes(started.pid), _busy(started.pid, seconds)
        return {
            f"{proxy.name}: RSS KiB per idle connection": [(after - before) / 1024 / connections],
            f"{proxy.name}: % of a core, none connected": [quiet * 100],
            f"{proxy.name}: % of a core, all idle": [waiting * 100],
        }


def _busy(pid: int, seconds: float) -> float:
    cpu, begun = cpu_seconds(pid), time.perf_counter()
    time.sleep(seconds)
    return (cpu_seconds(pid) - cpu) / (time.perf_counter() - begun)


def in_shares(field: Field, plan: tuple[int, float], share: float) -> Figures:
    """One worker, and two with as much of a core each as the one has; the supervisor's part is within the workers'.

    Raises:
        Denied: the kernel lets nobody share out here.
    """
    with ExitStack() as stack:
        subjects = {}
        for workers in (1, 2):
            started = stack.enter_context(field.started(PENSTOCK, workers=workers))
            field.ask(started, 1000, 2.0)  # by then all processes are there that there will be
            each: dict[int, float | None] = dict.fromkeys(family(started.pid), share)
            if workers > 1:
                each[started.pid] = None
            stack.enter_context(shared_out(workers * share, each))
            subjects[f"{workers} worker{'s' * (workers > 1)}"] = started
        found = loaded(field, subjects, 1000, plan)
    one, two = (found[f"{name}: requests/s"] for name in subjects)
    found["requests/s of two to those of one"] = [b / a for a, b in zip(one, two, strict=True)]
    return found


def _measure(field: Field, options: argparse.Namespace) -> Iterator[tuple[str, Figures]]:
    plan = (options.runs, options.seconds)
    with ExitStack() as stack:
        two = {f"{n} worker{'s' * (n > 1)}": stack.enter_context(field.started(PENSTOCK, workers=n)) for n in (1, 2)}
        yield "1 KB, on all cores, which load and upstream share", loaded(field, two, 1000, plan)
    try:
        figures = in_shares(field, (options.runs, 2 * options.seconds), options.share)
    except Denied as error:
        print(f"\nNot measured: workers with a share of a core each: {error}", file=sys.stderr)
    else:
        yield f"1 KB, each worker with {options.share:g} of a core", figures
    pair = (RELAY, PENSTOCK)
    with ExitStack() as stack:
        subjects = {proxy.name: stack.enter_context(field.started(proxy)) for proxy in pair}
        yield "100 KB requests, one core", loaded(field, subjects, 100_000, plan)
    if options.tls:
        with ExitStack() as stack:
            subjects = {proxy.name: stack.enter_context(field.started(proxy, tls=True)) for proxy in pair}
            yield "1 KB, TLS on both sides, one core", loaded(field, subjects, 1000, plan)
    for proxy in pair:
        yield f"{options.idle} idle connections", idle(field, proxy, options.idle, 10.0)


def main() -> int:
    """0: all was measured; 1: something was not."""
    parser = argparse.ArgumentParser(description="Measure what workers, TLS, large bodies and idle connections cost.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--idle", type=int, default=5000)
    parser.add_argument("--share", type=float, default=0.3, help="how much of a core a worker has; 0.3 needs two cores")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="penstock-edge-") as name, Processes() as processes:
        folder = Path(name)
        certificate = make_certificate(folder) if compile_programs() else None
        options.tls = certificate is not None
        try:
            for title, figures in _measure(Field(processes, folder, certificate), options):
                print(f"\n{title}")
                for figure, values in figures.items():
                    spread = f"   ({min(values):,.1f} to {max(values):,.1f})" if len(values) > 1 else ""
                    print(f"  {figure:45} {statistics.median(values):10,.1f}{spread}", flush=True)
        except (Failed, OSError, subprocess.SubprocessError) as error:
            print(f"NOT MEASURED: {error}", file=sys.stderr)
            return 1
    if not options.tls:
        print("TLS on both sides: needs openssl and libssl-dev", file=sys.stderr)
        return 1
    print(f"\n{os.cpu_count()} cores; medians of {options.runs} interleaved runs of {options.seconds:g} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
