"""The configuration of a scenario without its secrets: nothing is read from the environment or a secret's file.

Every reference leads to a made-up value, so that a configuration runs as if each of its variables were set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from penstock.config.load import load_config
from penstock.config.schema import Config, Provider
from penstock.config.tree import Node, Tree
from penstock.redact import Secret

__all__ = ["credentials_of", "disarmed", "load_without_secrets"]

_MADE_UP = "simulated-"
_FILE, _ENV = "file:", "env:"


class _Dummies(Mapping[str, str]):
    """An environment in which every variable is set, but for those that name a proxy."""

    def __getitem__(self, name: str) -> str:
        if name.lower().endswith("_proxy") or name == "REQUEST_METHOD":
            raise KeyError(name)
        return f"{_MADE_UP}{name}"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def load_without_secrets(tree: Tree) -> Config:
    """The configuration that was written, made-up values in the place of its secrets; nothing is kept in a store, and
    nobody is told of alerts.

    Raises:
        ConfigError: it is wrong.
    """
    root = _without_files(_alone(tree.root))
    return load_config(msgspec.structs.replace(tree, root=root), _Dummies(), serving=False, check_files=False)


def _alone(root: Node) -> Node:
    """Without what leads out of the process: where state is kept, and where alerts are sent."""
    if not isinstance(root.value, dict):
        return root
    entries = {key: entry for key, entry in root.value.items() if key != "state"}
    alerts = entries.get("alerts")
    if alerts is not None and isinstance(alerts.value, dict):
        kept = {key: entry for key, entry in alerts.value.items() if key != "webhook"}
        entries["alerts"] = Node(kept, alerts.place, alerts.key)
    return Node(entries, root.place, root.key)


def _without_files(node: Node) -> Node:
    """References to secrets in files as if they were in variables."""
    value = node.value
    if isinstance(value, dict):
        value = {key: _without_files(entry) for key, entry in value.items()}
    elif isinstance(value, list):
        value = [_without_files(item) for item in value]
    elif isinstance(value, str) and value.startswith(_FILE):
        value = f"{_ENV}FILE_{value.removeprefix(_FILE).encode().hex()}"
    return Node(value, node.place, node.key)


def disarmed(config: Config) -> Config:
    """The same, each of its providers with a credential that is nobody's and tells which provider it is."""
    providers = {name: _disarmed(provider) for name, provider in config.providers.items()}
    return msgspec.structs.replace(config, providers=providers)


def _disarmed(provider: Provider) -> Provider:
    made_up = _MADE_UP + provider.name.encode().hex()  # fit for a header, whatever its name is
    pool = tuple(
        msgspec.structs.replace(each, api_key=Secret(f"{made_up}-{each.name}")) for each in provider.credentials
    )
    secret = Secret(made_up) if provider.api_key is not None else None
    return msgspec.structs.replace(provider, api_key=secret, credentials=pool, ca_file=None, proxy=None)


def credentials_of(provider: Provider) -> dict[str, str]:
    """The names of a disarmed provider's credentials, by what is presented."""
    if provider.api_key is not None:
        return {provider.api_key.reveal(): ""}
    return {each.api_key.reveal(): each.name for each in provider.credentials}
