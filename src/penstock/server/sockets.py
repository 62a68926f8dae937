"""The listening sockets' options, and how many connections there is room for.

Linux gives an accepted socket the options of its listener, so they are set once and cost nothing per connection.
"""

from __future__ import annotations

import resource
import socket
from contextlib import suppress

from penstock.server.limits import POLITE

__all__ = ["LEAST_FILES", "files", "polite_for", "prepare", "raise_file_limit", "room_for"]

# A caller that vanished without a word (power, a cable, a NAT that forgot): probed after so many idle seconds, again
# every few, and given up once nothing was acknowledged for so long. One that does not read would be given up too, and
# not be told: `protocol.STALL_SECONDS` comes first, and resets it.
KEEPALIVE_AFTER = 15
KEEPALIVE_EVERY = 5
UNHEARD_SECONDS = 45

# What the kernel may hold of an answer that has not been sent yet. By itself it takes 4 MiB for a caller that does not
# read, beside what waits here; a whole answer of usual size still goes in one piece.
UNSENT_BYTES = 128 * 1024

# Descriptors that are not connections: listeners, the store, logs, the loop's own.
SPARE_FILES = 128
LEAST_ROOM = 16
# Below it nobody is served: several workers' supervisor has 32, and what answers a call opens some more.
LEAST_FILES = 64


def prepare(server: object) -> None:
    """Set on a server's listening sockets what their connections are to have: no delay of small writes, probes of
    silent callers, and a bound on what waits in the kernel."""
    options = [(socket.IPPROTO_TCP, "TCP_NODELAY", 1), (socket.SOL_SOCKET, "SO_KEEPALIVE", 1)]
    options += [
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", KEEPALIVE_AFTER),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", KEEPALIVE_EVERY),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", UNHEARD_SECONDS // KEEPALIVE_EVERY),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", UNHEARD_SECONDS * 1000),
        (socket.IPPROTO_TCP, "TCP_NOTSENT_LOWAT", UNSENT_BYTES),
    ]
    for listening in getattr(server, "sockets", ()):
        if not hasattr(listening, "setsockopt"):
            continue  # a simulated network's
        for level, name, value in options:
            number = getattr(socket, name, None)
            if number is not None:
                with suppress(OSError):  # another system's kernel may not have it for listeners
                    listening.setsockopt(level, number, value)


def raise_file_limit() -> int:
    """Raise the limit of open files (RLIMIT_NOFILE) as far as the system lets this process; returns what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # macOS says "unlimited" and means less
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def room_for() -> int:
    """How many callers' connections the limit of open files has room for: each may need another to a provider."""
    return max(LEAST_ROOM, (files() - SPARE_FILES) // 2)


def polite_for() -> int:
    """How many callers above that may be told so at once: where files are few, so few that the ledger has its own."""
    return min(POLITE, files() // 16)


def files() -> int:
    """How many files this process may have open."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1 << 20 if limit == resource.RLIM_INFINITY else limit
