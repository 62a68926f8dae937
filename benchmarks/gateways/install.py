"""The other gateways, installed from their packages into `build/.peers`, each in a place of its own.

Versions are pinned here. A second run installs nothing, until a pin changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.materials import BUILD, HERE

_ROOT = BUILD / ".peers"
_MADE_FROM = HERE / "gateways"

# 1.109 and later want packages (litellm-proxy, litellm-proxy-extras 0.4.113) that were not there to install.
_LITELLM = "litellm[proxy]==1.108.7"
_TENSORZERO = "tensorzero==2026.6.0"
# Portkey's own lock file has these three; with a newer @hono/node-server every stream is a 500 (its issue 1389).
_PORTKEY = {"@portkey-ai/gateway": "1.15.2"}
_PORTKEY_LOCKED = {"@hono/node-server": "1.13.5", "@hono/node-ws": "1.2.0", "hono": "4.9.7"}
# sonic, its JSON library, is newer than its own go.mod asks for: that one does not compile with Go 1.26.
_BIFROST = {
    "github.com/maximhq/bifrost/core": "v1.2.30",
    "github.com/bytedance/sonic": "v1.15.5",
    "github.com/valyala/fasthttp": "v1.67.0",
}


class CannotInstall(Exception):
    """A gateway that could not be installed; the text is what the installer said."""


@dataclass(frozen=True, slots=True)
class Installed:
    """Where a gateway is and which one it is."""

    place: Path
    version: str


def litellm() -> Installed:
    """LiteLLM's proxy in its own virtual environment. Raises CannotInstall."""
    return _python("litellm", _LITELLM)


def tensorzero() -> Installed:
    """TensorZero's client, which holds the gateway, in its own virtual environment. Raises CannotInstall."""
    return _python("tensorzero", _TENSORZERO)


def _python(name: str, requirement: str) -> Installed:
    place, wanted = _ROOT / name, requirement
    if not _is_made(place, wanted):
        _afresh(place)
        _run([sys.executable, "-m", "venv", str(place)], place)
        options = ["--quiet", "--disable-pip-version-check", "--no-input"]
        _run([str(place / "bin/python"), "-m", "pip", "install", *options, requirement], place)
        _made(place, wanted)
    return Installed(place, requirement.partition("==")[2])


def portkey() -> Installed:
    """Portkey's gateway from npm. Raises CannotInstall."""
    place, version = _ROOT / "portkey", _PORTKEY["@portkey-ai/gateway"]
    package = msgspec.json.encode({"private": True, "dependencies": _PORTKEY, "overrides": _PORTKEY_LOCKED})
    if not _is_made(place, package.decode()):
        _needs("node", "npm")
        _afresh(place)
        (place / "package.json").write_bytes(package)
        _run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], place)
        _made(place, package.decode())
    return Installed(place, version)


def bifrost() -> Installed:
    """Bifrost's core, compiled with the server of bifrost.go before it. Raises CannotInstall."""
    place, version = _ROOT / "bifrost", _BIFROST["github.com/maximhq/bifrost/core"]
    source = (_MADE_FROM / "bifrost.go").read_text()
    module = "module bifrost\n\ngo 1.24\n\n" + "".join(f"require {name} {at}\n" for name, at in _BIFROST.items())
    if not _is_made(place, module + source):
        _needs("go")
        _afresh(place)
        (place / "go.mod").write_text(module)
        (place / "main.go").write_text(source)
        _run(["go", "mod", "tidy"], place)
        _run(["go", "build", "-o", "bifrost", "."], place)
        _made(place, module + source)
    return Installed(place, version.removeprefix("v"))


def _needs(*programs: str) -> None:
    for name in programs:
        if shutil.which(name) is None:
            raise CannotInstall(f"{name} is not installed")


def _is_made(place: Path, wanted: str) -> bool:
    stamp = place / "made-from"
    return stamp.exists() and stamp.read_text() == wanted


def _made(place: Path, wanted: str) -> None:
    (place / "made-from").write_text(wanted)


def _afresh(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)


def _run(command: list[str], place: Path) -> None:
    """One step of an installation, ten minutes at most. Telemetry of Go and npm is off."""
    print(f"  {place.name}: {' '.join(command[:4])} ...", file=sys.stderr, flush=True)
    begun = time.perf_counter()
    environment = {**os.environ, "GOTELEMETRY": "off", "npm_config_update_notifier": "false", "GOTOOLCHAIN": "local"}
    try:
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstall(f"after {time.perf_counter() - begun:.0f} s: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise CannotInstall(" / ".join(line[:300] for line in said))
