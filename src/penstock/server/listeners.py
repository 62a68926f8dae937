"""The data plane's listening sockets, bound once and held for the gateway's life, whoever accepts on them.

On Linux each worker has a socket of its own (SO_REUSEPORT), among which the kernel shares connections out. Elsewhere
SO_REUSEPORT does not share them out, so all workers accept on one socket. Because the supervisor keeps every one of
them open, what waits at a dead worker's socket is answered by its replacement.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Sequence

from penstock.clock import Clock
from penstock.config.schema import Address
from penstock.errors import ConfigError
from penstock.server.sockets import files

__all__ = ["BACKLOG", "EARS", "ears_on", "hold_listeners", "try_listen"]

BACKLOG = 1024
# In a turn libuv takes one connection from a listening descriptor (since 1.46: libuv/libuv#3696). A turn may last ten
# milliseconds where many are being answered, and a few hundred callers that come together would wait for a second, to
# be answered or to be told that there is no room. So it listens on several descriptors of the same socket.
EARS = 8
# Where files are few, so few that an ear is not what a caller or the ledger lacks.
_FILES_EACH = 64
# A gateway that was killed leaves workers behind, which end within 2 s (`server/worker.py`).
WAIT_SECONDS = 3.0
LOOK_SECONDS = 0.05

_SHARED_OUT = sys.platform == "linux"

Found = tuple[socket.AddressFamily, tuple[str, int]]


async def hold_listeners(address: Address, workers: int, clock: Clock) -> list[list[socket.socket]]:
    """For each worker its listening sockets, one for each of the host's addresses; the caller closes them.

    An address in use is tried again for 3 s. Nobody else can listen there: the first socket is bound alone, and
    only then lets the others in.

    Raises:
        ConfigError: the address is still in use (the cause is the OSError), or not this machine's.
    """
    try:
        found = await _resolve(address)
        deadline = clock.monotonic() + WAIT_SECONDS
        while True:
            try:
                return _hold(found, workers)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or clock.monotonic() >= deadline:
                    raise
            await clock.sleep(LOOK_SECONDS)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {address}: {error.strerror or error}",
            do="Stop what uses the port, or choose another with --port.",
        ) from error


def ears_on(listening: socket.socket) -> list[socket.socket]:
    """A listening socket and further descriptors of it: so many connections a turn of the loop takes from it."""
    if not isinstance(listening, socket.socket):
        return [listening]  # a simulated network's
    # A socket that was inherited counts as blocking here, and `dup` would make it so for all who share it: whoever
    # accepts in that moment, such as the worker that is relieved, would stand still until somebody connects.
    listening.setblocking(False)
    return [listening, *(listening.dup() for _ in range(min(EARS, files() // _FILES_EACH) - 1))]


async def _resolve(address: Address) -> list[Found]:
    loop = asyncio.get_running_loop()
    # As asyncio's own servers: an empty host is not valid here, so nothing means "all".
    listed = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, (str(at[0]), address.port)) for family, _, _, _, at in listed))


def _hold(found: Sequence[Found], workers: int) -> list[list[socket.socket]]:
    held: list[list[socket.socket]] = [[] for _ in range(workers)]
    port = found[0][1][1]
    try:
        for family, (host, _) in found:
            try:
                first = _bound(family, host, port)
            except OSError as error:
                # `localhost` may also name an address family that this machine does not have.
                if len(found) > 1 and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    continue
                raise
            held[0].append(first)
            port = first.getsockname()[1]
            _add(held, first, family, (host, port))
        if not held[0]:
            raise OSError(errno.EADDRNOTAVAIL, "no such address on this machine")
    except BaseException:
        for one in {one for sockets in held for one in sockets}:
            one.close()
        raise
    return held


def _add(
    held: list[list[socket.socket]], first: socket.socket, family: socket.AddressFamily, at: tuple[str, int]
) -> None:
    """The other workers' sockets at an address whose first is bound; all listen afterwards."""
    if _SHARED_OUT and len(held) > 1:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    for sockets in held[1:]:
        sockets.append(_bound(family, *at, shared=True) if _SHARED_OUT else first.dup())
    for sockets in held:
        sockets[-1].listen(BACKLOG)


def _bound(family: socket.AddressFamily, host: str, port: int, *, shared: bool = False) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # All addresses are all of both families; a name that has both gets a socket for each.
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
        made.bind((host, port))
    except BaseException:
        made.close()
        raise
    return made


async def try_listen(address: Address) -> None:
    """Whether it could be listened on; nothing stays bound.

    Raises:
        OSError: why not.
    """
    for sockets in _hold(await _resolve(address), 1):
        for each in sockets:
            each.close()
