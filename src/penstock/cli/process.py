"""The gateway's process: from the first bind to the last drained stream."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import shlex
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from penstock.cli import INTERRUPTED
from penstock.clock import SystemClock, SystemRandom
from penstock.config.schema import Config, Key
from penstock.errors import ConfigError
from penstock.gateway import Gateway
from penstock.layers.record import encode_lines
from penstock.metrics import Metrics
from penstock.routing.names import AllowList
from penstock.server.data_plane import DataPlane
from penstock.stores.log import LogWriter, threaded
from penstock.version import VERSION

if TYPE_CHECKING:
    from penstock.admin.serve import AdminServer

__all__ = ["serve"]


def serve(config: Config, folder: Path) -> int:
    """Serve until a signal says stop.

    Args:
        folder: where the state lies.

    Returns:
        The exit code: 0, or 130 after Ctrl-C.

    Raises:
        ConfigError: an address, the log file or the admin key cannot be used.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config, folder))


async def _serve(config: Config, folder: Path) -> int:
    clock = SystemClock()
    metrics = Metrics()
    sink, close_log = _open_log(config.log.to)
    writer = LogWriter(encode_lines, sink, clock, lambda lines: metrics.log_dropped.inc((), lines))
    gateway = Gateway(config, clock, SystemRandom(), None if config.log.to == "none" else writer.add, metrics)
    plane = DataPlane(gateway, clock)
    stop = _Stop()
    admin: AdminServer | None = None
    try:
        _raise_file_limit()
        await plane.open()
        stop.install()
        admin = await _open_admin(gateway, plane, folder)
        _announce(config, gateway, plane, admin)
        # What lives now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        await stop.wait()
        # Before it is told, so that whoever reads it and looks finds it so.
        plane.routes.ready = False
        _say(f"stopping: open requests may end within {config.server.drain:g} s; a second signal cuts them")
        await stop.unless_again(plane.drain(config.server.drain))
    finally:
        await plane.drain(0)
        if admin is not None:
            await admin.aclose()
        await gateway.aclose()
        writer.flush()
        close_log()
    return INTERRUPTED if stop.interrupted else 0


async def _open_admin(gateway: Gateway, plane: DataPlane, folder: Path) -> AdminServer:
    # Imported once the data plane listens: its framework takes longer to load than all the rest.
    from penstock.admin.serve import open_admin

    return await open_admin(gateway, os.environ, folder, refresh=plane.count_connections)


def _open_log(to: str) -> tuple[Callable[[bytes], object], Callable[[], None]]:
    if to == "none":
        return (lambda batch: None), (lambda: None)
    descriptor = 1
    if to != "stdout":
        try:
            descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise ConfigError(
                f"{to}: the log cannot be written there: {error.strerror or error}", do="Change `log: {to: ...}`."
            ) from None
    return threaded(lambda batch: _write_all(descriptor, batch))


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _announce(config: Config, gateway: Gateway, plane: DataPlane, admin: AdminServer) -> None:
    base = f"http://{_shown(plane.host)}:{plane.port}"
    _say(f"Penstock {VERSION}, config: {config.source}")
    _say(f"  gateway  {base}/v1   (the base URL for an OpenAI client; for an Anthropic client {base})")
    _say(f"  control  {admin.url}   (admin key: {admin.credential_source})")
    key = config.keys[0] if config.auth == "required" and config.keys else None
    body = json.dumps({"model": _example_model(gateway, key), "messages": [{"role": "user", "content": "Hello"}]})
    credential = "" if key is None else f' -H "authorization: Bearer {_in_shell(key.key.source)}"'
    curl = f"curl {base}/v1/chat/completions -H 'content-type: application/json'{credential} -d {shlex.quote(body)}"
    _say(f"Try it:\n  {curl}")


def _example_model(gateway: Gateway, key: Key | None) -> str:
    """A name that is good for a first call with that key."""
    listed = gateway.names.listed(AllowList(key.models).admits) if key is not None else gateway.names.listed()
    names = [found.name for found in listed]
    default = gateway.config.default_model
    if default is not None and default in names:
        return default
    return names[0] if names else "PROVIDER/MODEL"


def _in_shell(source: str) -> str:
    """How a shell finds the secret of that reference (`env:NAME`, `file:PATH`), inside double quotes."""
    kind, _, where = source.partition(":")
    return f"${where}" if kind == "env" else f"$(cat {shlex.quote(where)})"


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _say(text: str) -> None:
    # To stderr: stdout is the request log's. Nobody may be listening any more, and serving goes on.
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


class _Stop:
    """SIGTERM and SIGINT: the first asks for an orderly end, the second for one at once."""

    def __init__(self) -> None:
        self._first = asyncio.Event()
        self._second = asyncio.Event()
        self.interrupted = False

    def install(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)

    def _signalled(self, number: int) -> None:
        self.interrupted = self.interrupted or number == signal.SIGINT
        (self._second if self._first.is_set() else self._first).set()

    async def wait(self) -> None:
        """Until the first."""
        await self._first.wait()

    async def unless_again(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, until it is done or the second comes."""
        running = asyncio.ensure_future(work)
        again = asyncio.ensure_future(self._second.wait())
        await asyncio.wait((running, again), return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if not running.done():
            running.cancel()
            await asyncio.wait((running,))
