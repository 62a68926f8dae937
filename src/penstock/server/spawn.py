"""A worker as a process of its own: started, ended, and looked after until the kernel has forgotten it.

By posix_spawn and a fresh interpreter, not by fork: a worker may have to be replaced at any time, when the supervisor
has a loop and threads, whose locks a forked child would inherit in whatever state they are, and on macOS the system's
own libraries do not survive that. A fresh interpreter shares nothing but the descriptors it is handed.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from penstock.clock import Clock, Timer
from penstock.config.schema import Config
from penstock.server.channel import SocketChannel, connect_channel
from penstock.server.systemd import VARIABLES
from penstock.stores.centre import ToCentre

__all__ = ["Crew", "WorkerProcess", "worker_environment"]

MODULE = "penstock.server.worker"
# A terminal sends the first two to the whole group of processes, service managers any: to a worker maybe before it
# can ignore them.
SUPERVISORS_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
# From the end of the channel to the end of the process: the log may take two seconds to be written.
REAP_SECONDS = 4.0
LOOK_SECONDS = 0.01
# After the last worker was started, before the next reserve is.
RESERVE_SECONDS = 1.0


class WorkerProcess:
    """A worker's process and the channel to it."""

    def __init__(self, pid: int, channel: SocketChannel, clock: Clock) -> None:
        self.pid = pid
        self.channel = channel
        self._clock = clock
        self._status: int | None = None

    def kill(self) -> None:
        """End it at once; does nothing once it has ended."""
        if self._status is None and not self._reaped():
            os.kill(self.pid, signal.SIGKILL)

    async def gone(self) -> str:
        """Wait for its end, once the channel's end was seen, and say how it ended: a process that lingers is killed."""
        deadline = self._clock.monotonic() + REAP_SECONDS
        while not self._reaped():
            if self._clock.monotonic() > deadline:
                self.kill()
            await self._clock.sleep(LOOK_SECONDS)
        code = os.waitstatus_to_exitcode(self._status or 0)
        if code < 0:
            return f"it was killed by {signal.Signals(-code).name}"
        return f"it ended with code {code}" if code else ""

    def _reaped(self) -> bool:
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = self.pid, 0  # somebody else has asked; how it ended is lost
            if pid:
                self._status = status
        return self._status is not None


def worker_environment(environ: Mapping[str, str], config: Config) -> dict[str, str]:
    """The environment for workers: without the secrets that the configuration took from it, which come by channel."""
    secrets = [provider.api_key for provider in config.providers.values()] + [key.key for key in config.keys]
    secrets += [one.api_key for provider in config.providers.values() for one in provider.credentials]
    taken = {secret.source.removeprefix("env:") for secret in secrets if secret is not None}
    taken |= {"PENSTOCK_ADMIN_KEY", *VARIABLES}
    return {name: value for name, value in environ.items() if name not in taken}


class Crew:
    """Starts workers, and keeps one in reserve: what takes a new process its time is loading the code, and a reserve
    has done that. It is given its sockets (SCM_RIGHTS) when it is needed.

    Args:
        turn: as `request_log.make_turn` made it.
    """

    def __init__(self, turn: int, environ: Mapping[str, str], clock: Clock) -> None:
        self._turn = turn
        self._environ = environ
        self._clock = clock
        self._reserve: _Started | None = None
        self._timer: Timer | None = None

    async def hire(self, number: int, sockets: Sequence[socket.socket]) -> WorkerProcess:
        """A worker that accepts on those sockets.

        Raises:
            OSError: the machine cannot start one more process.
        """
        handed = [each.fileno() for each in sockets]
        started, self._reserve = self._reserve, None
        if started is None or not started.take(handed):
            started = self._start()
            if not started.take(handed):
                raise OSError(f"the process {started.pid} ended as it was started")
        if self._timer is not None:
            self._timer.cancel()
        # Not at once: those that are needed now shall come up first.
        self._timer = self._clock.call_later(RESERVE_SECONDS, self._replenish)
        return WorkerProcess(started.pid, await connect_channel(started.end, ToCentre), self._clock)

    def close(self) -> None:
        """Let the reserve go."""
        if self._timer is not None:
            self._timer.cancel()
        reserve, self._reserve = self._reserve, None
        if reserve is not None:
            reserve.dismiss()

    def _replenish(self) -> None:
        if self._reserve is None:
            with suppress(OSError):  # then without: a worker can still be started when it is needed
                self._reserve = self._start()

    def _start(self) -> _Started:
        ours, theirs = socket.socketpair()
        handed = [theirs.fileno(), self._turn]
        try:
            # Only for this moment: what may be inherited goes to every process that is started.
            for descriptor in handed:
                os.set_inheritable(descriptor, True)
            try:
                command = _command(handed)
                pid = os.posix_spawn(sys.executable, command, self._environ, setsigmask=SUPERVISORS_SIGNALS)
            finally:
                for descriptor in handed:
                    os.set_inheritable(descriptor, False)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return _Started(pid, ours)


class _Started(NamedTuple):
    """A process that waits for its sockets, and our end of its channel."""

    pid: int
    end: socket.socket

    def take(self, listeners: Sequence[int]) -> bool:
        """Hand it its sockets; False where it has ended."""
        try:
            socket.send_fds(self.end, [b"."], listeners)
        except OSError:
            self.dismiss()
            return False
        return True

    def dismiss(self) -> None:
        """End it."""
        self.end.close()
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def _command(handed: Sequence[int]) -> list[str]:
    # The current folder is searched for modules by the worker only where it is by this process.
    safe = [] if os.getcwd() in sys.path or "" in sys.path else ["-P"]
    isolated = ["-I"] if sys.flags.isolated else []
    return [sys.executable, *safe, *isolated, "-m", MODULE, *map(str, handed)]
