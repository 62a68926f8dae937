"""`penstock serve`: its options. The process itself is in `process.py`, loaded once something is to be served."""

from __future__ import annotations

import click

__all__ = ["command"]

PORT = click.IntRange(0, 65535)


@click.command(short_help="Run the gateway.")
@click.option("--config", "path", metavar="FILE", help="penstock.yaml; without one ./penstock.yaml, else the default.")
@click.option("--host", metavar="ADDRESS", help="Where callers reach it [127.0.0.1].")
@click.option("--port", metavar="PORT", type=PORT, help="Its port [8484]; 0 picks a free one.")
@click.option("--admin-host", metavar="ADDRESS", help="Where the control plane listens [127.0.0.1].")
@click.option("--admin-port", metavar="PORT", type=PORT, help="Its port [8485]; 0 picks a free one.")
@click.option("--workers", metavar="N", type=int, help="Processes; only 1 in this version.")
def command(
    path: str | None, host: str | None, port: int | None, admin_host: str | None, admin_port: int | None,
    workers: int | None,
) -> None:  # fmt: skip
    """Run the gateway. Without a config file it answers on the simulated provider, no key needed.

    The addresses are told on stderr; stdout is the request log, a JSON line for each request. SIGTERM or Ctrl-C lets
    open requests end; a second one cuts them.
    """
    if workers not in (None, 1):
        raise click.BadParameter("more than one is not in this version: leave it out.", param_hint="--workers")
    # What `--help` need not wait for; nor a wrong config for the whole gateway.
    from penstock.cli.settings import find_config
    from penstock.config.guards import with_addresses
    from penstock.config.schema import Address

    config, folder = find_config(path, serving=True)
    listen, admin = config.server.listen, config.server.admin
    listen = Address(host or listen.host, listen.port if port is None else port)
    admin = Address(admin_host or admin.host, admin.port if admin_port is None else admin_port)
    config = with_addresses(config, listen, admin)
    from penstock.cli.process import serve

    raise SystemExit(serve(config, folder))
