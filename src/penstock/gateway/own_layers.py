"""The user's own layers that a configuration names: found among what is installed, or beside the configuration.

This is the one place that imports by a computed name, and what it imports is the operator's word: `layers:` of their
configuration. Nothing that a caller sends leads here.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from penstock.call import Layer
from penstock.config.schema import Config
from penstock.errors import ConfigError
from penstock.layers.own import what_failed
from penstock.routing.nearest import did_you_mean

__all__ = ["Named", "load_layers", "name_layers"]


class Named(NamedTuple):
    """A layer and what it is called in logs and errors."""

    name: str
    layer: Layer


def load_layers(config: Config) -> list[Named]:
    """Those that `layers:` names, outermost first.

    Raises:
        ConfigError: there is no such module or name, importing it fails, or it cannot be called.
    """
    return [Named(name, _load(name, config)) for name in config.layers]


def name_layers(layers: tuple[Layer, ...]) -> list[Named]:
    """Those that a program hands over.

    Raises:
        ConfigError: one of them cannot be called.
    """
    named = []
    for layer in layers:
        name = f"{getattr(layer, '__module__', '?')}:{getattr(layer, '__qualname__', type(layer).__qualname__)}"
        if not callable(layer):
            raise ConfigError(f"layers: {layer!r} cannot be called", do="A layer takes a Call and gives a Call.")
        named.append(Named(name, layer))
    return named


def _load(name: str, config: Config) -> Layer:
    module_name, _, wanted = name.partition(":")
    module = _import(module_name, name, config)
    if not hasattr(module, wanted):
        raise _wrong(config, name, f"{module_name} has no {wanted}{did_you_mean(wanted, vars(module))}")
    found: Layer = getattr(module, wanted)
    if not callable(found):
        raise _wrong(config, name, f"it is of type {type(found).__name__}, which cannot be called")
    return found


def _import(module: str, name: str, config: Config) -> ModuleType:
    beside = _reach(config)
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise _wrong(config, name, f"{module} needs the module {error.name}, which is not installed") from error
        where = f" nor does it lie in {beside}" if beside else ""
        raise _wrong(config, name, f"there is no module {error.name}: it is not installed{where}") from error
    except Exception as error:
        raise _wrong(config, name, f"importing {module} failed: {what_failed(error)}") from error


def _reach(config: Config) -> str:
    """Have what lies beside the configuration found, after all else: a file there hides nothing that is installed."""
    if config.source.startswith("("):
        return ""
    folder = str(Path(config.source).absolute().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    return folder


def _wrong(config: Config, name: str, what: str) -> ConfigError:
    return ConfigError(f"{config.source}: layers: '{name}': {what}", do="Write it as module:name.")
