"""`penstock import`: another gateway's configuration as a `penstock.yaml`."""

from __future__ import annotations

import os
from pathlib import Path

import click

__all__ = ["command"]


@click.group(short_help="Another gateway's configuration as ours.")
def command() -> None:
    """Say another gateway's configuration as a penstock.yaml."""


@command.command(short_help="LiteLLM's.")
@click.argument("path", metavar="FILE")
@click.option("--output", metavar="FILE", help="Where to write it, instead of stdout; never over a file that is there.")
def litellm(path: str, output: str | None) -> None:
    """Say a LiteLLM proxy's configuration as a penstock.yaml.

    What differs is listed on stderr, each with the line of FILE that says it. What this version has not is kept in the
    result as comments. Secrets become references to variables; none is ever printed.
    """
    from penstock.config.litellm.convert import convert, why_none
    from penstock.config.yaml_file import open_tree
    from penstock.errors import ConfigError, InvalidRequest

    tree = open_tree(path)
    if why := why_none(tree):
        raise ConfigError(f"{tree.root.place}: this is no configuration of LiteLLM's: {why}")
    made = convert(tree, os.environ)
    if output is None:
        click.echo(made.text, nl=False)
    else:
        try:
            with Path(output).open("x", encoding="utf-8") as file:
                file.write(made.text)
        except OSError as error:
            raise InvalidRequest(f"{output} cannot be written: {error.strerror}", do="Name another --output.") from None
    for note in made.notes:
        click.echo(str(note), err=True)
    for problem in made.problems:
        click.echo(f"still to mend: {problem}", err=True)
    unset = [name for name in made.variables if not os.environ.get(name, "").strip()]
    if unset:
        click.echo(f"still to set: {', '.join(unset)}", err=True)
