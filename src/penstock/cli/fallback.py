"""`penstock serve --http asgi`: the same routes and gateway under uvicorn, for where our own server is in doubt.

One process, no control plane, no reload; TLS as configured. SIGTERM or Ctrl-C lets open requests end within `drain`.
"""

from __future__ import annotations

import signal
import socket
import sys
from types import FrameType

import uvicorn

from penstock.cli import INTERRUPTED
from penstock.config.schema import Address, Config
from penstock.errors import ConfigError
from penstock.server.asgi import AsgiApp

__all__ = ["serve_asgi"]


class _Server(uvicorn.Server):
    """Tells the address, refuses new calls once it is to stop, and remembers how it was asked."""

    app: AsgiApp
    where = Address("127.0.0.1", 0)
    interrupted = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            scheme = "https" if self.config.is_ssl else "http"
            url = f"{scheme}://{Address(self.where.host, port)}"
            print(f"  gateway  {url}/v1   (under uvicorn, without a control plane)", file=sys.stderr, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.interrupted = self.interrupted or sig == signal.SIGINT
        self.app.routes.ready = False
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def serve_asgi(config: Config) -> int:
    """Serve until a signal says stop; returns the exit code: 0, or 130 after Ctrl-C.

    Raises:
        ConfigError: several workers are asked for, or nobody could call.
        SystemExit: the address or the certificate cannot be used; uvicorn says which.
    """
    listen, tls = config.server.listen, config.server.tls
    if config.server.workers != 1:
        raise ConfigError("--http asgi runs in one process", do="Leave out --workers and `server: {workers: ...}`.")
    if config.auth == "required" and not config.keys:
        raise ConfigError(
            "no key is declared, and --http asgi knows none of the store's",
            do="Write keys: [{name: app, key: env:APP_KEY}], or leave out --http asgi.",
        )
    app = AsgiApp(config)
    server = _Server(
        uvicorn.Config(
            app,
            host=listen.host,
            port=listen.port,
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=int(config.server.idle),
            timeout_graceful_shutdown=int(config.server.drain),
            limit_concurrency=config.server.max_connections,
            ssl_certfile=tls.cert if tls is not None else None,
            ssl_keyfile=tls.key if tls is not None else None,
        )
    )
    server.app, server.where = app, listen
    server.run()
    return INTERRUPTED if server.interrupted else 0
