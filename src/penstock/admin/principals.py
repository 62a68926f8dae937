"""Those that have a role beside the admin key's bearer: keys of the store, and keys that the file declares with one."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from contextlib import suppress
from hashlib import sha256
from hmac import compare_digest
from math import inf

from penstock.admin.key_shapes import declared_rights
from penstock.admin.overview import Overview
from penstock.admin.rights import Principal
from penstock.clock import Clock
from penstock.config.schema import Key
from penstock.stores.directory import Directory
from penstock.stores.directory_rows import KeyInfo, KeyRights
from penstock.stores.key_format import PATTERN, is_mistyped
from penstock.stores.keys import USED_SECONDS
from penstock.stores.sqlite import StoreFailed

__all__ = ["KnownPrincipals"]

_MOST_NOTED = 10_000


class KnownPrincipals:
    """Looks them up anew each time, so that one that is revoked is nobody from then on."""

    def __init__(self, overview: Overview, directory: Directory, clock: Clock) -> None:
        self._overview = overview
        self._directory = directory
        self._clock = clock
        # When those were noted to have been here: once in so long is enough.
        self._noted: OrderedDict[str, float] = OrderedDict()

    async def principal(self, secret: str, address: str) -> Principal | None:
        """As `Principals`."""
        declared = self._declared(secret)
        if declared is not None:
            good = declared.expires is None or declared.expires > self._clock.wall()
            tenant = declared.tenant or ""
            found = _principal(declared.name, tenant, declared_rights(declared)) if good else None
            return found if found is not None and _from(declared.addresses, address) else None
        if PATTERN.fullmatch(secret) is None or is_mistyped(secret):
            return None  # junk costs no look into the store
        key = await self._directory.keys.holder(secret)
        if key is None or not _from(key.addresses, address):
            return None
        if key.role is not None:
            await self._note(key.id)
        return _principal(key.label, key.tenant, key)

    async def _note(self, id: str) -> None:
        """Keep that it was used, as coarsely as that is kept."""
        now = self._clock.monotonic()
        if now - self._noted.get(id, -inf) < USED_SECONDS:
            return
        self._noted[id] = now
        self._noted.move_to_end(id)
        if len(self._noted) > _MOST_NOTED:
            self._noted.popitem(last=False)
        with suppress(StoreFailed):  # a disk that is full locks nobody out
            await self._directory.keys.used([id])

    def _declared(self, secret: str) -> Key | None:
        """The declared key with a role whose secret that is; all are compared, in a time that says nothing."""
        given = sha256(secret.encode("utf-8", "surrogatepass")).digest()
        found = None
        for key in self._overview.config.keys:
            if compare_digest(sha256(key.key.reveal().encode()).digest(), given):
                found = key
        return found if found is not None and found.role is not None else None


def _principal(label: str, tenant: str, rights: KeyInfo | KeyRights) -> Principal | None:
    if rights.role is None:
        return None
    grants = KeyRights(**{name: getattr(rights, name) for name in KeyRights.__struct_fields__}) if tenant else None
    return Principal(f"key:{label}", rights.role, tenant, grants)


def _from(networks: tuple[str, ...] | None, address: str) -> bool:
    if not networks:
        return True
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(each) for each in networks)
