"""`penstock serve`: its options. The process itself is in `process.py`, loaded once something is to be served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

__all__ = ["command"]

PORT = click.IntRange(0, 65535)


def _without_port(context: click.Context, option: click.Parameter, host: str | None) -> str | None:
    """An address alone: its port is an option of its own."""
    before, colon, port = (host or "").rpartition(":")
    if colon and port.isdecimal() and (":" not in before or before.endswith("]")):
        name = option.opts[0]
        mended = f"{name} {before.strip('[]')} {name.replace('host', 'port')} {port}"
        raise click.BadParameter(f"it has a port. Write {mended}.", context, option)
    return host


def _note_http(context: click.Context, _: click.Parameter, chosen: str) -> None:
    context.meta["http"] = chosen


@click.command(short_help="Run the gateway.")
@click.option("--config", "path", metavar="FILE", help="penstock.yaml; without one ./penstock.yaml, else the default.")
@click.option("--host", metavar="ADDRESS", callback=_without_port, help="Where callers reach it [127.0.0.1].")
@click.option("--port", metavar="PORT", type=PORT, help="Its port [8484]; 0 picks a free one.")
@click.option(
    "--admin-host", metavar="ADDRESS", callback=_without_port, help="Where the control plane listens [127.0.0.1]."
)
@click.option("--admin-port", metavar="PORT", type=PORT, help="Its port [8485]; 0 picks a free one.")
@click.option("--workers", metavar="N", type=click.IntRange(1, 256), help="Processes that answer callers [1].")
@click.option(
    "--http",
    type=click.Choice(["own", "asgi"]),
    default="own",
    expose_value=False,
    callback=_note_http,
    help="Whose HTTP server: our own, or uvicorn's, in one process and without the control plane.",
)
def command(path: str | None, workers: int | None, **given: Any) -> None:
    """Run the gateway. Without a config file it answers on the simulated provider, no key needed.

    The addresses are told on stderr; stdout is the request log, a JSON line for each request. SIGTERM or Ctrl-C lets
    open requests end; a second one cuts them. A changed config file is taken as it is saved, or on SIGHUP.
    """
    # What `--help` need not wait for; nor a wrong config for the whole gateway.
    from penstock.cli.settings import find_config, say_doubt
    from penstock.config.guards import with_addresses
    from penstock.config.schema import Address, Config

    told: set[str] = set()

    def doubt(message: str) -> None:
        if message not in told:  # once, however often the file is read anew
            told.add(message)
            say_doubt(message)

    def read() -> tuple[Config, Path]:
        config, folder = find_config(path, serving=True, tell=doubt)
        listen, admin = config.server.listen, config.server.admin
        listen = instead(listen, given["host"], given["port"])
        admin = instead(admin, given["admin_host"], given["admin_port"])
        return with_addresses(config, listen, admin, workers), folder

    def instead(address: Address, host: str | None, port: int | None) -> Address:
        return Address(host or address.host, address.port if port is None else port)

    config, folder = read()
    if click.get_current_context().meta["http"] == "asgi":
        from penstock.cli.fallback import serve_asgi

        raise SystemExit(serve_asgi(config))
    from penstock.cli.process import serve

    raise SystemExit(serve(config, folder, lambda: read()[0]))
