"""What systemd is told of the gateway's life: `Type=notify` and the watchdog (sd_notify(3)), without a library.

Each word is one datagram to the socket that the environment names; where it names none, nothing is said.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

from penstock.clock import Clock, Timer

__all__ = ["VARIABLES", "Systemd"]

# What systemd says to this process alone: not for those that it starts.
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
# Beyond `drain`, for logs and counts to be written and workers to be reaped.
CLOSE_SECONDS = 15.0


class Systemd:
    """Tells systemd where the gateway stands.

    Args:
        environ: with NOTIFY_SOCKET, and WATCHDOG_USEC where the unit has `WatchdogSec=`.
    """

    def __init__(self, environ: Mapping[str, str], clock: Clock) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # `@` stands for the zero byte that an abstract address begins with; other kinds of address are not ours.
        self._address = f"\0{path[1:]}" if path.startswith("@") else path if path.startswith("/") else ""
        self._clock = clock
        self._every = _watchdog_seconds(environ)
        self._timer: Timer | None = None
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    def ready(self, status: str = "") -> None:
        """The gateway serves, or a reload is over. From the first time on the watchdog is fed."""
        self._say("READY=1", *([f"STATUS={status}"] if status else []))
        if self._timer is None and self._every:
            self._feed()

    def reloading(self) -> None:
        """A reload begins; `ready` says that it is over."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * 1e6)}")

    def stopping(self, seconds: float) -> None:
        """The gateway drains, for so many seconds at most: longer than the unit's `TimeoutStopSec=` it may be."""
        self._say("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int((seconds + CLOSE_SECONDS) * 1e6)}")

    def close(self) -> None:
        """Say no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _feed(self) -> None:
        self._timer = self._clock.call_later(self._every, self._feed)
        self._say("WATCHDOG=1")

    def _say(self, *words: str) -> None:
        if self._socket is not None:
            # A service manager that does not listen is no reason not to serve.
            with suppress(OSError):
                self._socket.sendto("\n".join(words).encode(), self._address)


def _watchdog_seconds(environ: Mapping[str, str]) -> float:
    """How often the watchdog is fed: twice as often as it asks; 0 where it does not ask this process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    micros = environ.get("WATCHDOG_USEC", "")
    return int(micros) / 2e6 if micros.isdecimal() else 0.0
