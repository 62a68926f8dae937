"""What is compared: the upstream without a proxy, the bare relay, Penstock, and nginx where it is installed."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.materials import HERE, KEY, write_body
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
    """How a proxy is started."""

    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A kind of proxy. `renames`: it changes the model, so callers ask for the public name."""

    name: str
    launch: Callable[[Setting], Launch] | None
    renames: bool = True


@dataclass(frozen=True, slots=True)
class Running:
    """A proxy that answers; `process` is None for the upstream itself."""

    proxy: Proxy
    port: int
    process: subprocess.Popen[bytes] | None
    first_answer: float


def _relay(setting: Setting) -> Launch:
    command = [sys.executable, str(HERE / "bare_relay.py"), "--port", str(setting.port), "--key", KEY]
    command += ["--upstream-port", str(setting.upstream_port)]
    command += [part for pair in setting.models.items() for part in ("--model", "=".join(pair))]
    if setting.ca_file:
        command += ["--ca-file", str(setting.ca_file)]
    return Launch(command)


def _penstock(setting: Setting) -> Launch:
    authority = f', ca_file: "{setting.ca_file}"' if setting.ca_file else ""
    lines = [
        f'server: {{listen: "127.0.0.1:{setting.port}", admin: "127.0.0.1:{setting.admin_port}"}}',
        "auth: required",
        "keys:",
        '  - {name: bench, key: env:BENCH_KEY, models: ["*"]}',
        "providers:",
        f'  up: {{kind: openai, base_url: "{setting.base_url}/v1", api_key: env:UPSTREAM_KEY{authority}}}',
        "models:",
        *(f"  {name}: {{targets: [up/{vendor}]}}" for name, vendor in setting.models.items()),
    ]
    config = setting.folder / "penstock.yaml"
    config.write_text("\n".join(lines) + "\n")
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
    return Launch([_nginx_program() or "nginx", "-p", str(setting.folder), "-c", str(config), "-e", "stderr"])


def _nginx_program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


DIRECT = Proxy("direct", None, renames=False)
RELAY = Proxy("relay", _relay)
PENSTOCK = Proxy("penstock", _penstock)
NGINX = Proxy("nginx", _nginx, renames=False)
ALL = (DIRECT, RELAY, PENSTOCK, NGINX)


def is_there(proxy: Proxy) -> bool:
    """Whether it can be started here: nginx is installed, Penstock has its `serve`."""
    if proxy is NGINX:
        return _nginx_program() is not None
    if proxy is PENSTOCK:
        command = [sys.executable, "-m", "penstock", "serve", "--help"]
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    return True


def model_for(proxy: Proxy, vendor: str) -> str:
    """The name under which a caller of `proxy` reaches the vendor's model."""
    return f"bench-{vendor}" if proxy.renames else vendor


@dataclass(frozen=True, slots=True)
class Yard:
    """Where proxies are started: the processes, the cores, and a folder for all files of this benchmark."""

    processes: Processes
    cores: Cores
    folder: Path

    def start(self, proxy: Proxy, upstream_port: int, models: list[str], ca_file: Path | None = None) -> Running:
        """Start a proxy in front of the upstream and wait for its first answer. Raises CannotStart after 30 s."""
        if proxy.launch is None:
            return Running(proxy, upstream_port, None, 0.0)
        place = self.folder / f"{proxy.name}-{free_port()}"
        place.mkdir()
        names = {model_for(proxy, vendor): vendor for vendor in ["u", *models]}
        setting = Setting(place, free_port(), free_port(), upstream_port, names, ca_file)
        body = write_body(place, model_for(proxy, "u"), size=1000, stream=False).read_bytes()
        launch, log = proxy.launch(setting), place / "log"
        begun = time.perf_counter()
        process = self.processes.start(
            launch.command, core=self.cores.proxy, log=log, environment=launch.environment, folder=place
        )
        problem = _first_answer(setting.port, body, begun + 30, process)
        if problem:
            end(process)
            said = log.read_text(errors="replace").strip().splitlines()[-4:]
            raise CannotStart("; ".join([problem, *said]))
        return Running(proxy, setting.port, process, time.perf_counter() - begun)


def _first_answer(port: int, body: bytes, until: float, process: subprocess.Popen[bytes]) -> str | None:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    while time.perf_counter() < until:
        if process.poll() is not None:
            return f"ended with {process.returncode}"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("POST", "/v1/chat/completions", body, headers)
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
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown")  # fmt: skip
    return {"cpu": model, "cores": str(os.cpu_count()), "kernel": os.uname().release, "python": sys.version.split()[0]}
