"""Which configuration a command uses: `--config`, else PENSTOCK_CONFIG, else ./penstock.yaml, else the built-in one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from penstock.config.load import built_in, load_config
from penstock.config.schema import Config
from penstock.config.tree import Tree

__all__ = ["find_config", "find_folder", "find_tree", "say_doubt"]

DEFAULT_FILE = "penstock.yaml"


def find_config(
    path: str | None, *, serving: bool, tell: Callable[[str], object] | None = None, kept: bool | None = None
) -> tuple[Config, Path]:
    """The configuration and the folder its state lies in.

    Args:
        kept: as `load_config` has it.
        tell: is told what is allowed and most likely not meant, as `place: message`.

    Raises:
        ConfigError: it is wrong.
    """
    chosen = _chosen(path)
    if chosen is None:
        return load_config(None, os.environ, kept=kept), Path.cwd()
    # The YAML parser takes longer to load than all the rest, and most first runs have no file.
    from penstock.config.yaml_file import open_config

    return open_config(chosen, os.environ, serving=serving, tell=tell, kept=kept), Path(os.path.abspath(chosen)).parent


def say_doubt(doubt: str) -> None:
    """Tell of one as compilers do, `file:line:column: warning: message`."""
    place, _, message = doubt.partition(": ")
    click.echo(f"{place}: warning: {message}", err=True)


def find_tree(path: str | None) -> Tree:
    """The same configuration as it is written, unchecked.

    Raises:
        ConfigError: it cannot be read.
    """
    chosen = _chosen(path)
    if chosen is None:
        return built_in(os.environ)
    from penstock.config.yaml_file import open_tree

    return open_tree(chosen)


def find_folder(path: str | None, env: Mapping[str, str]) -> Path:
    """The folder its state lies in, without reading it."""
    chosen = _chosen(path, env)
    return Path.cwd() if chosen is None else Path(os.path.abspath(chosen)).parent


def _chosen(path: str | None, env: Mapping[str, str] = os.environ) -> str | None:
    return path or env.get("PENSTOCK_CONFIG") or (DEFAULT_FILE if Path(DEFAULT_FILE).exists() else None)
