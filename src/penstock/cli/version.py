"""`penstock version`."""

from __future__ import annotations

import platform
from importlib import metadata

import click

from penstock.version import VERSION

__all__ = ["command"]

SHOWN = ("uvloop", "httptools", "msgspec")


@click.command(short_help="Versions.")
def command() -> None:
    """Versions of Penstock, its table of prices, Python and what matters for speed."""
    from penstock.providers.models import table_hash

    click.echo(f"penstock {VERSION}")
    click.echo(f"prices {table_hash()}")
    click.echo(f"python {platform.python_version()} ({platform.system().lower()}-{platform.machine()})")
    for name in SHOWN:
        try:
            click.echo(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            click.echo(f"{name} not installed")
