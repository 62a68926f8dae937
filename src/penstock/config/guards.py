"""What may not be listened on: an open gateway or a control plane without TLS beyond this machine.

The same rules hold for a file and for `--host` and `--port`, which come after it.
"""

from __future__ import annotations

import ipaddress

import msgspec

from penstock.config.schema import Address, Auth, Config
from penstock.errors import ConfigError

__all__ = ["admin_problem", "is_loopback", "listen_problem", "with_addresses"]

_MAKE_A_KEY = "auth: required and keys: [{name: app, key: env:APP_KEY}]"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it. Names other than localhost count as reachable: they may resolve so."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen_problem(listen: Address, auth: Auth) -> str | None:
    """Why the data plane may not listen there; None if it may."""
    if auth == "required" or is_loopback(listen.host):
        return None
    return f"auth: open is for loopback addresses, and {listen} is none: write {_MAKE_A_KEY}, or listen on 127.0.0.1"


def admin_problem(admin: Address, listen: Address) -> str | None:
    """Why the control plane may not listen there; None if it may."""
    if not is_loopback(admin.host):
        return (
            f"the admin address {admin} can be reached from other machines and has no TLS, which is"
            " not in this version: write 127.0.0.1 and reach it through a tunnel"
        )
    if admin.port and admin == listen:
        return f"admin and listen are both {admin}"
    return None


def with_addresses(
    config: Config, listen: Address | None = None, admin: Address | None = None, workers: int | None = None
) -> Config:
    """`config` with addresses, and the number of workers, from the command line in place of its own.

    Raises:
        ConfigError: the guards refuse them.
    """
    server = msgspec.structs.replace(
        config.server,
        listen=listen or config.server.listen,
        admin=admin or config.server.admin,
        workers=workers or config.server.workers,
    )
    found = [listen_problem(server.listen, config.auth), admin_problem(server.admin, server.listen)]
    problems = [f"{config.source}: {problem}" for problem in found if problem]
    if problems:
        raise ConfigError("\n".join(problems))
    return msgspec.structs.replace(config, server=server)
