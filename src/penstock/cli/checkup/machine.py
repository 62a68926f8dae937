"""The machine: ports, the state's lock, the limit of open files, the gateway's own certificate, the clock."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from penstock.cli.checkup.findings import Finding, fail, note, ok
from penstock.clock import Clock
from penstock.config.schema import Address, Config
from penstock.errors import ConfigError
from penstock.server.certificate import Certificate
from penstock.server.listeners import try_listen
from penstock.server.sockets import SPARE_FILES, raise_file_limit, room_for
from penstock.stores.lock import StateLock, read_owner

__all__ = ["check_certificate", "check_clock", "check_files", "check_ports", "check_state", "say_time"]

PORT, STATE, FILES, CERTIFICATE, CLOCK = "port", "state", "files", "certificate", "clock"
LEAST_FILES = 1024
GOOD_FILES = 8192
DAY = 86400.0


async def check_ports(config: Config, owner: int) -> list[Finding]:
    """Whether the gateway could listen where it is to.

    Args:
        owner: the process that serves from this folder already, whose the ports may well be; 0 for none.
    """
    server = config.server
    found = []
    for what, address, option in (("listen", server.listen, "--port"), ("admin", server.admin, "--admin-port")):
        subject = f"{what} {address}"
        try:
            await try_listen(address)
        except OSError as error:
            found.append(_unusable(subject, address, option, error, owner))
        else:
            found.append(ok(PORT, subject, "free"))
    return found


def _unusable(subject: str, address: Address, option: str, error: OSError, owner: int) -> Finding:
    if error.errno == errno.EADDRINUSE:
        whose = f"in use; process {owner} serves from this folder" if owner else "in use by another program"
        fix = f"Stop it (ss -ltnp 'sport = :{address.port}' names it), or choose another: penstock serve {option} 0"
        return (
            note(PORT, subject, whose, f"Nothing, if that is it. {fix}") if owner else fail(PORT, subject, whose, fix)
        )
    if error.errno == errno.EACCES:
        fix = f"Choose a port above 1023 with {option}, or let a proxy take that one."
        return fail(PORT, subject, "this user may not listen there", fix)
    fix = f"Write an address of this machine under server:, or choose one with {option.replace('port', 'host')}."
    return fail(PORT, subject, f"cannot be listened on: {error.strerror or error}", fix)


def check_state(folder: Path) -> tuple[Finding, int]:
    """Whether this folder's state is free for a gateway; and the process that serves from it, 0 for none."""
    try:
        lock = StateLock(folder)
    except ConfigError as error:
        return _taken(folder, error)
    held = lock.held
    lock.release()
    if not held:
        return note(STATE, str(folder), "cannot be written", "Make the folder writable, or no state can be kept."), 0
    return ok(STATE, str(folder), "free"), 0


def _taken(folder: Path, error: ConfigError) -> tuple[Finding, int]:
    if not isinstance(error.__cause__, BlockingIOError):
        return fail(STATE, str(folder), error.message, "Make the folder writable for this user."), 0
    owner = read_owner(folder)
    if owner is not None and owner.admin:
        fix = f"Nothing, if it is to go on; a second one needs another folder. Stop it with: kill {owner.pid}"
        told = f"a gateway runs here: process {owner.pid}, control plane {owner.admin}"
        return note(STATE, str(folder), told, fix), owner.pid
    who = f"process {owner.pid}" if owner is not None else "another process"
    fix = f"Stop {who}, or run penstock with a --config that lies in another folder."
    return fail(STATE, str(folder), f"locked by {who}, which does not serve", fix), 0


def check_files(config: Config) -> Finding:
    """Whether the limit of open files has room for the callers there may be."""
    limit = raise_file_limit()
    if limit == resource.RLIM_INFINITY:
        return ok(FILES, "open files", "unlimited")
    room, wanted = room_for(), config.server.max_connections
    told = f"{limit}, which has room for {room} connections in each worker"
    if wanted is not None and wanted > room:
        return fail(
            FILES, "open files", f"{told}, and max_connections is {wanted}", _raise_to(2 * wanted + SPARE_FILES)
        )
    fix = _raise_to(65536)
    if limit < LEAST_FILES:
        return fail(FILES, "open files", told, fix)
    return note(FILES, "open files", told, fix) if limit < GOOD_FILES else ok(FILES, "open files", told)


def _raise_to(files: int) -> str:
    return f"Raise it: ulimit -Hn {files}, LimitNOFILE={files} in a systemd unit, --ulimit nofile={files} in docker."


def check_certificate(config: Config, clock: Clock) -> Iterator[Finding]:
    """Whether the gateway's own certificate can be used, where it has one."""
    tls = config.server.tls
    if tls is None:
        return
    try:
        made = Certificate(tls.cert, tls.key, clock)
    except ConfigError as error:
        yield fail(CERTIFICATE, "server.tls", error.message.removeprefix("server.tls: "), error.do)
        return
    if made.out_of_date:
        fix = "Have it renewed: a new pair is taken within seconds, without a restart. If it is good, set the clock."
        yield fail(CERTIFICATE, "server.tls", f"{tls.cert} {made.out_of_date}", fix)
    else:
        yield ok(CERTIFICATE, "server.tls", "the certificate and its key belong together")


def check_clock(clock: Clock, files: list[Path]) -> Finding:
    """Whether the clock stands before something that is there already: certificates are judged by it."""
    now = clock.wall()
    latest = max((path.stat().st_mtime for path in files if path.exists()), default=0.0)
    if latest > now + DAY:
        told = f"it says {say_time(now)}, and there are files of {say_time(latest)}"
        return fail(
            CLOCK, "this machine", told, "Set the clock (timedatectl set-ntp true): certificates are judged by it."
        )
    return ok(CLOCK, "this machine", say_time(now))


def say_time(wall: float) -> str:
    """As a person would write it."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M UTC")
