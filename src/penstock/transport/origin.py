"""Where a provider lives, and by which way it is reached."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from penstock.transport.proxy import Proxy

__all__ = ["MAX_CONNECTIONS", "Origin"]

# Each is a socket and, for a stream, some buffers; no provider that is well is owed as many. As many calls again may
# wait for one of them.
MAX_CONNECTIONS = 4000


class Origin:
    """Where a provider lives. Pools are per origin object.

    Args:
        host, port: where to connect.
        tls: the context to use, None for plain TCP.
        in_process: instead of a socket, makes the protocol of a server in this process.
        proxy: what stands between; an origin in this process has none.
        limit: how many connections may be open, and how many calls may wait for one.

    Attributes:
        guard: the name under which its limit is kept, also by workers that have an Origin of their own for it.
        door: host and port of what is connected to: the proxy's, where there is one.
        rewrite: what a request goes through before it is sent, None for nothing.
    """

    __slots__ = ("door", "guard", "host", "in_process", "limit", "port", "proxy", "rewrite", "tls")

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        in_process: Callable[[], asyncio.Protocol] | None = None,
        *,
        proxy: Proxy | None = None,
        limit: int = MAX_CONNECTIONS,
    ) -> None:
        self.host = host
        self.port = port
        self.tls = tls
        self.in_process = in_process
        self.proxy = proxy
        self.limit = limit
        self.guard = f"{'https' if tls else 'http'}://{host}:{port}"
        self.door = (host, port) if proxy is None else (proxy.host, proxy.port)
        # What comes in a tunnel is the provider's own; without one the proxy reads the request and must be told all.
        self.rewrite = proxy.rewriter(host, port) if proxy is not None and tls is None else None

    def __repr__(self) -> str:
        by = f" by {self.proxy!r}" if self.proxy is not None else ""
        return f"<Origin {self.guard}{by}>"
