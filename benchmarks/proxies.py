"""What is compared: the upstream without a proxy, the bare relay, Penstock, and nginx and haproxy where they are there.

How a proxy is described and started stands here too; other gateways are described in gateways/kinds.py.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.debian import program
from benchmarks.materials import BUILD, HERE, KEY, OPENAI, Certificate, Dialect, write_body
from benchmarks.processes import Cores, Processes, end, free_port


class CannotStart(Exception):
    """A proxy that did not answer in time; the text holds its log's end."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a proxy runs and what it serves: public name -> the vendor's."""

    folder: Path
    port: int
    admin_port: int
    upstream_port: int
    models: Mapping[str, str]
    ca_file: Path | None = None

    @property
    def base_url(self) -> str:
        """The upstream's."""
        return f"{'https' if self.ca_file else 'http'}://127.0.0.1:{self.upstream_port}"


@dataclass(frozen=True, slots=True)
class Launch:
    """How a proxy is started and asked.

    `headers` go with every request ("Name: value"). `says_port`: it chooses its port itself and prints it; a regular
    expression whose first group is the port.
    """

    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    says_port: str | None = None


@dataclass(frozen=True, slots=True)
class Proxy:
    """A kind of proxy.

    `model`: what a caller asks for, `{}` being the vendor's name. `dialect`: how it is spoken to. `events_less`: how
    many fewer events than the upstream a stream has behind it, since it merges some. `warm_s`: load before it counts,
    for what is compiled while it runs. `patience_s`: how long it may take to its first answer.
    """

    name: str
    launch: Callable[[Setting], Launch] | None
    model: str = "bench-{}"
    dialect: Dialect = OPENAI
    events_less: int = 0
    warm_s: float = 0.3
    patience_s: float = 30


@dataclass(frozen=True, slots=True)
class Running:
    """A proxy that answers; `process` is None for the upstream itself."""

    proxy: Proxy
    port: int
    process: subprocess.Popen[bytes] | None
    first_answer: float
    headers: tuple[str, ...] = ()


def _relay(setting: Setting) -> Launch:
    command = [sys.executable, str(HERE / "bare_relay.py"), "--port", str(setting.port), "--key", KEY]
    command += ["--upstream-port", str(setting.upstream_port)]
    command += [part for pair in setting.models.items() for part in ("--model", "=".join(pair))]
    if setting.ca_file:
        command += ["--ca-file", str(setting.ca_file)]
    return Launch(command)


# Limits and budgets on four scopes, all so large that none refuses.
_LIMITS = """prices: {"up/*": {input: 0.25, output: 2}}
tenants: [{name: acme}]
limits:
  - {scope: tenant, requests: 100M/min, tokens: 100000M/min}
  - {scope: key, requests: 100M/min}
budgets:
  - {scope: tenant, limit: 900000 USD/day}
  - {scope: project, limit: 900000 USD/month}
  - {scope: user, limit: 900000M tokens/day}
  - {scope: global, limit: 900000 USD/month}
"""


def _limited(setting: Setting) -> Launch:
    return _penstock(setting, key=", tenant: acme, project: web", more=_LIMITS)


def _booked(setting: Setting) -> Launch:
    # One worker: what is folded into the store by a thread of the same process counts.
    return _penstock(setting, state="sqlite:///bench.db")


def _penstock(setting: Setting, key: str = "", more: str = "", state: str = "memory") -> Launch:
    authority = f', ca_file: "{setting.ca_file}"' if setting.ca_file else ""
    lines = [
        f'server: {{listen: "127.0.0.1:{setting.port}", admin: "127.0.0.1:{setting.admin_port}"}}',
        "auth: required",
        "keys:",
        '  - {name: bench, key: env:BENCH_KEY, models: ["*"]' + key + "}",
        "providers:",
        f'  up: {{kind: openai, base_url: "{setting.base_url}/v1", api_key: env:UPSTREAM_KEY{authority}}}',
        "models:",
        *(f"  {name}: {{targets: [up/{vendor}]}}" for name, vendor in setting.models.items()),
        f"state: {state}",
    ]
    config = setting.folder / "penstock.yaml"
    config.write_text("\n".join(lines) + "\n" + more)
    ports = ["--port", str(setting.port), "--admin-port", str(setting.admin_port)]
    command = [sys.executable, "-m", "penstock", "serve", "--config", str(config), *ports]
    return Launch(
        command, {"BENCH_KEY": KEY, "UPSTREAM_KEY": "sk-upstream", "PENSTOCK_ADMIN_KEY": "bench-admin-0123456789"}
    )


_NGINX = """daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 16m; client_body_buffer_size 1m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; {tls}
    location / {{ proxy_pass {scheme}://up; }}
  }}
}}
"""


def _nginx(setting: Setting) -> Launch:
    config = setting.folder / "nginx.conf"
    tls = f"proxy_ssl_verify on; proxy_ssl_name localhost; proxy_ssl_trusted_certificate {setting.ca_file};"
    text = _NGINX.format(
        folder=setting.folder,
        port=setting.port,
        upstream=setting.upstream_port,
        scheme="https" if setting.ca_file else "http",
        tls=tls if setting.ca_file else "",
    )
    config.write_text(text)
    found = program("nginx")
    return Launch([found.path, "-p", str(setting.folder), "-c", str(config), "-e", "stderr"], found.environment)


_HAPROXY = """global
  nbthread 1
  maxconn 8192
defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:{port} backlog 4096
  default_backend up
backend up
  server up 127.0.0.1:{upstream} pool-max-conn -1 {tls}
"""


def _haproxy(setting: Setting) -> Launch:
    config = setting.folder / "haproxy.cfg"
    tls = f"ssl verify required verifyhost localhost ca-file {setting.ca_file}" if setting.ca_file else ""
    config.write_text(_HAPROXY.format(port=setting.port, upstream=setting.upstream_port, tls=tls))
    found = program("haproxy")
    return Launch([found.path, "-db", "-f", str(config)], found.environment)


DIRECT = Proxy("direct", None, model="{}")
RELAY = Proxy("relay", _relay)
PENSTOCK = Proxy("penstock", _penstock)
LIMITED = Proxy("limited", _limited)
BOOKED = Proxy("booked", _booked)
NGINX = Proxy("nginx", _nginx, model="{}")
HAPROXY = Proxy("haproxy", _haproxy, model="{}")
ALL = (DIRECT, RELAY, PENSTOCK, NGINX, HAPROXY)


def missing(proxy: Proxy) -> str | None:
    """Why it cannot be started here: nginx or haproxy is not installed, Penstock has no `serve`. None: it can."""
    if proxy in (NGINX, HAPROXY):
        return program(proxy.name).missing
    if proxy is PENSTOCK:
        command = [sys.executable, "-m", "penstock", "serve", "--help"]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60, text=True)
        return None if done.returncode == 0 else f"`penstock serve --help` says {done.stderr.strip()[-300:]}"
    return None


def model_for(proxy: Proxy, vendor: str) -> str:
    """The name under which a caller of `proxy` reaches the vendor's model."""
    return proxy.model.format(vendor)


@dataclass(frozen=True, slots=True)
class Yard:
    """Where proxies are started: the processes, the cores, and a folder for all files of this benchmark."""

    processes: Processes
    cores: Cores
    folder: Path

    def start(self, proxy: Proxy, upstream_port: int, models: list[str], ca_file: Path | None = None) -> Running:
        """Start a proxy in front of the upstream and wait for its first answer. Raises CannotStart when none comes."""
        if proxy.launch is None:
            return Running(proxy, upstream_port, None, 0.0)
        place = self.folder / f"{proxy.name}-{free_port()}"
        place.mkdir()
        names = {f"bench-{vendor}": vendor for vendor in ["u", *models]}
        setting = Setting(place, free_port(), free_port(), upstream_port, names, ca_file)
        body = write_body(place, model_for(proxy, "u"), size=1000, stream=False).read_bytes()
        launch, log = proxy.launch(setting), place / "log"
        begun = time.perf_counter()
        process = self.processes.start(
            launch.command, core=self.cores.proxy, log=log, environment=launch.environment, folder=place
        )
        until = begun + proxy.patience_s
        port = setting.port if launch.says_port is None else _said_port(log, launch.says_port, until, process)
        running = Running(proxy, port, process, 0.0, launch.headers)
        problem = _first_answer(running, body, until, process)
        if problem:
            end(process)
            said = log.read_text(errors="replace").strip().splitlines()[-4:]
            raise CannotStart("; ".join([problem, *said]))
        return replace(running, first_answer=time.perf_counter() - begun)


def start_upstream(yard: Yard, certificate: Certificate | None) -> int:
    """Start the C upstream, with TLS when there is a certificate; its port. Raises CannotStart."""
    log = yard.folder / f"upstream{'-tls' if certificate else ''}.log"
    command: list[str | Path] = [BUILD / "upstream", "--seconds", "3600"]
    if certificate is not None:
        command += ["--cert", certificate.certificate, "--key", certificate.key]
    process = yard.processes.start(command, core=yard.cores.rest, log=log)
    for _ in range(500):
        said = log.read_text()
        if said.startswith("ready ") and said.endswith("\n"):
            return int(said.split()[1])
        if process.poll() is not None:
            break
        time.sleep(0.01)
    end(process)
    raise CannotStart(f"upstream: {log.read_text()}")


def _said_port(log: Path, pattern: str, until: float, process: subprocess.Popen[bytes]) -> int:
    while time.perf_counter() < until and process.poll() is None:
        found = re.search(pattern, log.read_text(errors="replace"))
        if found:
            return int(found[1])
        time.sleep(0.002)
    return 0  # the wait for the first answer says what is wrong


def _first_answer(running: Running, body: bytes, until: float, process: subprocess.Popen[bytes]) -> str | None:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    headers |= dict(line.split(": ", 1) for line in running.headers)
    while time.perf_counter() < until:
        if process.poll() is not None:
            return f"ended with {process.returncode}"
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
        try:
            connection.request("POST", running.proxy.dialect.path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        except OSError:  # not listening yet
            time.sleep(0.002)
            continue
        finally:
            connection.close()
        return None if answer.status == 200 else f"answered {answer.status} {text[:500]!r}"
    return "no answer in time"


def versions() -> dict[str, str]:
    """The machine and what runs on it, for the record."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    said = {name.strip(): value.strip() for name, _, value in reversed(lines)}  # the first core's
    return {
        "cpu": said.get("model name", "unknown"),
        "ghz": f"{float(said.get('cpu MHz', 'nan')) / 1000:.1f}",
        "cores": str(os.cpu_count()),
        "kernel": os.uname().release,
        "python": sys.version.split()[0],
    }
