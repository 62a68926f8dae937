"""Who calls, where a trusted proxy stands between: its word counts, nobody else's does.

X-Forwarded-For is a list to which each proxy appends whom it heard from, so it is read from its end and only as far
as the addresses on it are trusted proxies themselves; what stands before that, a caller may have written. The same
holds for Forwarded (RFC 7239). A request with both is believed in neither: a proxy keeps up one, and lets the other
pass as the caller sent it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["Proxies", "plain_address"]

# Longer chains do not exist; what is not read costs nothing.
_MOST_HOPS = 20


_MAPPED = "::ffff:"


def plain_address(address: str | None) -> str | None:
    """Without IPv6's clothes, in which IPv4 callers come to a socket for both (RFC 4291, section 2.5.5.2)."""
    if address is not None and address.startswith(_MAPPED) and "." in address:
        return address[len(_MAPPED) :]
    return address


class Proxies:
    """The proxies whose word is taken.

    Args:
        networks: addresses and networks.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._trusts = lru_cache(4096)(self._looks_up)

    def caller(self, peer: str | None, headers: dict[bytes, bytes]) -> str | None:
        """The address of the one who asked, as far as it is known: `peer`'s own unless that is a proxy."""
        if peer is None or not self._trusts(peer):
            return peer
        listed, told = headers.get(b"x-forwarded-for"), headers.get(b"forwarded")
        if (listed is None) == (told is None):
            return peer
        hops = listed.split(b",") if listed is not None else [_for(hop) for hop in (told or b"").split(b",")]
        found = peer
        for hop in reversed(hops[-_MOST_HOPS:]):
            address = _address(hop)
            if address is None:
                break  # an obfuscated or mangled one: nothing is known beyond the proxy that wrote it
            found = address
            if not self._trusts(found):
                break
        return found

    def _looks_up(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self._networks)


def _for(hop: bytes) -> bytes:
    for pair in hop.split(b";"):
        name, _, value = pair.partition(b"=")
        if name.strip().lower() == b"for":
            return value.strip().strip(b'"')
    return b""


def _address(hop: bytes) -> str | None:
    """An address without its port, in its canonical form."""
    text = hop.strip(b" \t").decode("latin-1")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return str((isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped) or found)
