"""The keys by which callers are known: the configuration's and the store's, made into what the layer asks."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence, Set
from functools import lru_cache
from math import inf

from penstock.config.schema import Config
from penstock.layers.authenticate import Key, Keyring, NoStore
from penstock.routing.names import AllowList
from penstock.routing.strikes import Strikes
from penstock.stores.key_format import digest_with, is_mistyped
from penstock.stores.key_link import KeyLink
from penstock.stores.key_messages import KeyRow

__all__ = ["keyring_of", "nearness"]

# Callers' addresses that are remembered to lie in a key's networks, or not, for each key.
MOST_ADDRESSES = 1024


def keyring_of(config: Config, link: KeyLink | None, strikes: Strikes) -> Keyring:
    """The keyring of a configuration, with the store's keys where there is a store; it hears of their changes."""
    declared = (
        (
            key.key.reveal(),
            Key(
                key.name,
                key.tenant,
                key.project,
                _allow_list(key.models).admits,
                key.trusted_user,
                key.overrides,
                expires=key.expires if key.expires is not None else inf,
                near=nearness(key.addresses) if key.addresses else None,
                operations=key.routes,
                max_output=key.max_output,
                priority=key.priority,
            ),
        )
        for key in config.keys
    )
    if link is None or not link.pepper:
        return Keyring(declared, _Declared(), strikes)
    keyring = Keyring(declared, _Linked(link), strikes)
    link.users.add(keyring)
    return keyring


class _Declared(NoStore):
    """No store: a typo is told all the same."""

    def is_mistyped(self, presented: str) -> bool:
        return is_mistyped(presented)


class _Linked:
    """The store's keys, as a worker has them."""

    def __init__(self, link: KeyLink) -> None:
        self._link = link

    @property
    def archived(self) -> Set[str]:
        return self._link.archived

    def digest(self, presented: str) -> bytes:
        return digest_with(self._link.pepper, presented)

    def is_mistyped(self, presented: str) -> bool:
        return is_mistyped(presented)

    def find(self, digest: bytes) -> Key | None:
        row = self._link.find(digest)
        return None if row is None else _made(row)


def _made(row: KeyRow) -> Key:
    return Key(
        row.label,
        row.tenant,
        row.project,
        _allow_list(row.models).admits,
        row.trusts_user,
        row.overrides,
        row.id,
        expires=row.expires if row.expires is not None else inf,
        near=nearness(row.addresses) if row.addresses is not None else None,
        operations=row.routes,
        max_output=row.max_output,
        priority=row.priority,
    )


# One for all keys that may ask for the same: plans are remembered by it (gateway/plans.py).
@lru_cache(4096)
def _allow_list(models: tuple[str, ...] | None) -> AllowList:
    return AllowList(models)


def nearness(networks: Sequence[str]) -> Callable[[str | None], bool]:
    """Tells whether an address lies in one of those networks; what is no address, such as a socket's path, does not."""
    known = [ipaddress.ip_network(network) for network in networks]

    @lru_cache(MOST_ADDRESSES)
    def near(address: str | None) -> bool:
        try:
            found = ipaddress.ip_address(address or "")
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in known)

    return near
