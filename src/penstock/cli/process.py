"""The gateway's process: from the first bind to the last drained stream.

With one worker all of it runs here; with more this process supervises, and the workers are processes of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import uvloop

from penstock.admin.overview import Standing
from penstock.admin.register import Register
from penstock.cli import INTERRUPTED
from penstock.clock import Clock, SystemClock, SystemRandom
from penstock.config.guards import is_loopback
from penstock.config.keeping import MEMORY
from penstock.config.schema import Address, Config, Key
from penstock.errors import ConfigError
from penstock.gateway.books import Books, open_books
from penstock.routing.names import AllowList
from penstock.server.collector import settle_collector
from penstock.server.listeners import hold_listeners
from penstock.server.memory import memory_in_use
from penstock.server.posts import Hire, Hired
from penstock.server.register import Telling, open_register
from penstock.server.reload import Reload
from penstock.server.renewal import Renewal
from penstock.server.request_log import make_turn, open_log
from penstock.server.sockets import LEAST_FILES, raise_file_limit, room_for
from penstock.server.spawn import Crew, worker_environment
from penstock.server.supervisor import InProcess, Supervisor
from penstock.server.systemd import Systemd
from penstock.server.threads import favour_loop
from penstock.server.worker import Worker
from penstock.stores.centre import memory_pair
from penstock.stores.lock import StateLock
from penstock.version import VERSION

if TYPE_CHECKING:
    from penstock.admin.serve import AdminServer

__all__ = ["serve"]

T = TypeVar("T")

ENOUGH_FILES = 1024


def serve(config: Config, folder: Path, reread: Callable[[], Config]) -> int:
    """Serve until a signal says stop.

    Args:
        folder: where the state lies.
        reread: reads the configuration anew, for SIGHUP and where a file has changed; called in a thread.

    Returns:
        The exit code: 0, or 130 after Ctrl-C.

    Raises:
        ConfigError: an address, the log file, the state or the admin key cannot be used.
        PenstockError: workers die again and again.
    """
    lock = StateLock(folder)
    beside: StateLock | None = None
    try:
        state = folder if config.state == MEMORY else Path(config.state).parent
        if state != folder and state.is_dir():
            beside = StateLock(state)  # another configuration may name the same store
        books = _open_books(config, lock if beside is None else beside)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(config, folder, reread, lock, books))
    finally:
        if beside is not None:
            beside.release()
        lock.release()


def _open_books(config: Config, lock: StateLock) -> Books | None:
    if config.state != MEMORY and not lock.held and not any(rule.kind == "budget" for rule in config.rules):
        _say(f"  NOTE     nothing is kept of what is used: the folder of {config.state} cannot be written;")
        _say("           write state: sqlite:///FILE with a place that can, or state: memory")
        return None
    return open_books(config, SystemClock(), SystemRandom())


async def _serve(
    config: Config, folder: Path, reread: Callable[[], Config], lock: StateLock, books: Books | None
) -> int:
    clock = SystemClock()
    stop = _Stop()
    stop.install()
    loop, early = asyncio.get_running_loop(), list[int]()
    # Both end a process that has not said what they mean.
    loop.add_signal_handler(signal.SIGHUP, early.append, 1)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    _check_files(raise_file_limit())
    favour_loop()
    held = await hold_listeners(config.server.listen, config.server.workers, clock)
    crew = Crew(make_turn(), worker_environment(os.environ, config), clock) if len(held) > 1 else None
    hire = crew.hire if crew is not None else _hire_here(clock)
    supervisor = Supervisor(config, held, clock, hire, books=books)
    telling = Telling(_say, supervisor.refresh)
    register = open_register(books.database, config, clock, SystemRandom(), telling) if books is not None else None
    admin: AdminServer | None = None
    systemd = Systemd(os.environ, clock)
    reload = Reload(
        config,
        lambda: asyncio.to_thread(reread),
        supervisor.adopt,
        _say,
        clock,
        lambda busy: systemd.reloading() if busy else systemd.ready(),
    )
    loop.add_signal_handler(signal.SIGHUP, reload.ask)  # done once it is open
    if early:
        reload.ask()

    async def renew() -> None:
        if crew is not None:
            crew.close()  # what waits in reserve is no fresher than those it would replace
        await supervisor.renew()

    renewal = Renewal(renew, _say)
    try:
        if register is not None:
            await supervisor.keep(register.directory, register.rules)
            supervisor.keys.credentials_changed = reload.ask
        await supervisor.begin()
        if crew is not None:
            _load_admin()  # while the workers' processes load their own
        await stop.or_done(supervisor.serving())
        if not stop.asked:
            admin = await _open_admin(supervisor, folder, register, reload)
            lock.tell(admin.url)
            port = held[0][0].getsockname()[1]
            _announce(config, supervisor, Address(config.server.listen.host, port), admin)
            systemd.ready(f"serving {config.server.listen.host} port {port}, workers: {len(held)}")
            reload.open()
            loop.add_signal_handler(signal.SIGUSR2, renewal.ask)
            settle_collector(attended=crew is None)
        failure = await stop.or_done(supervisor.failed())
        reload.close()
        renewal.close()
        drain = supervisor.overview.config.server.drain
        systemd.stopping(drain)
        # Before it is told, so that whoever reads it and looks finds it so.
        await supervisor.announce_drain(drain)
        _say(f"stopping: open requests may end within {drain:g} s; a second signal cuts them")
        await stop.unless_again(supervisor.drained(drain))
    finally:
        reload.close()
        renewal.close()
        if crew is not None:
            crew.close()
        await supervisor.aclose()
        if admin is not None:
            await admin.aclose()
        systemd.close()
    if failure is not None:
        raise failure
    return INTERRUPTED if stop.interrupted else 0


def _check_files(limit: int) -> None:
    if 0 <= limit < LEAST_FILES:  # without a limit it is negative
        raise ConfigError(
            f"this process may open {limit} files, too few to serve anybody",
            do=f"Raise the hard limit, `ulimit -Hn`, to {ENOUGH_FILES} or more: callers and providers take one each.",
        )


def _hire_here(clock: Clock) -> Hire:
    async def hire(number: int, sockets: Sequence[socket.socket]) -> Hired:
        here, there = memory_pair(asyncio.get_running_loop().call_soon)
        own = [each.dup() for each in sockets]
        return InProcess(here, Worker(there, clock, SystemRandom(), own, open_log, memory_in_use()))

    return hire


def _load_admin() -> Any:
    # Not before it must be: its framework takes longer to load than all the rest.
    from penstock.admin import serve as serving

    return serving


async def _open_admin(supervisor: Supervisor, folder: Path, register: Register | None, reload: Reload) -> AdminServer:
    serving = _load_admin()
    ledger = supervisor.books.ledger if supervisor.books is not None else None
    steward = supervisor.steward
    shown = serving.Shown(
        *(supervisor.report, supervisor, supervisor.lookout, register),
        usages=ledger,
        alerts=steward.book,
        watcher=steward,
        fills=supervisor.fills,
        reloads=reload,
    )
    admin: AdminServer = await serving.open_admin(supervisor.overview, os.environ, folder, shown)
    return admin


def _announce(config: Config, supervisor: Supervisor, listen: Address, admin: AdminServer) -> None:
    scheme = "https" if config.server.tls is not None else "http"
    base = f"{scheme}://{_shown(listen.host)}:{listen.port}"
    _say(f"Penstock {VERSION}, config: {config.source}")
    _say(f"  gateway  {base}/v1   (the base URL for an OpenAI client; for an Anthropic client {base})")
    _say(f"  control  {admin.url}   (admin key: {admin.credential_source})")
    directory = supervisor.keys.directory
    if directory is not None:
        _say(f"  store    {config.state}   (kept under {directory.vault.source}: keep a copy of that too)")
    _say(f"  room     {room_for()} connections in each worker, by the limit of open files")
    if config.server.tls is None and not is_loopback(listen.host):
        _say(
            f"  NOTE     {listen} speaks plain HTTP, keys and prompts included: put a proxy with TLS before it, or"
            " write server: {tls: {cert: FILE, key: FILE}}"
        )
    key = config.keys[0] if config.auth == "required" and config.keys else None
    if config.auth == "required" and key is None:
        _say("No key is declared. Make one: penstock keys create NAME")
        return
    body = json.dumps(
        {"model": _example_model(supervisor.overview, key), "messages": [{"role": "user", "content": "Hello"}]}
    )
    credential = "" if key is None else f' -H "authorization: Bearer {_in_shell(key.key.source)}"'
    curl = f"curl {base}/v1/chat/completions -H 'content-type: application/json'{credential} -d {shlex.quote(body)}"
    _say(f"Try it:\n  {curl}")


def _example_model(overview: Standing, key: Key | None) -> str:
    """A name that is good for a first call with that key."""
    listed = overview.names.listed(AllowList(key.models).admits) if key is not None else overview.names.listed()
    names = [found.name for found in listed]
    default = overview.config.default_model
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

    @property
    def asked(self) -> bool:
        """Whether the first has come."""
        return self._first.is_set()

    async def or_done(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do `work` until it is done, or the first has come; then it is cancelled, and None."""
        running = asyncio.ensure_future(work)
        first = asyncio.ensure_future(self._first.wait())
        await asyncio.wait((running, first), return_when=asyncio.FIRST_COMPLETED)
        first.cancel()
        if running.done():
            return running.result()
        running.cancel()
        await asyncio.wait((running,))
        return None

    async def unless_again(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, until it is done or the second comes."""
        running = asyncio.ensure_future(work)
        again = asyncio.ensure_future(self._second.wait())
        await asyncio.wait((running, again), return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if not running.done():
            running.cancel()
            await asyncio.wait((running,))
