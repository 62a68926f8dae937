"""What may be written as a key's rights: each value looked at, refused by its name, and put in one form."""

from __future__ import annotations

import ipaddress
import re
from typing import get_args

import msgspec

from penstock.errors import InvalidRequest
from penstock.stores.directory_rows import OPERATIONS, KeyRights, Priority, Role

__all__ = ["LAST", "MOST_LISTED", "MOST_OUTPUT", "checked_rights", "network"]

# Of one list; and tokens.
MOST_LISTED = 1000
MOST_OUTPUT = 1_000_000_000
# The last moment that can be written as a date: 9999-12-31T23:59:59Z.
LAST = 253_402_300_799
# As config/values.py has labels: printable, without spaces.
_PATTERN = re.compile(r"[^\x00-\x20\x7f]{1,200}")


def checked_rights(rights: KeyRights, now: int) -> KeyRights:
    """The same in its canonical form; of any kind of them.

    Args:
        now: Unix seconds: a key that has ended cannot be made.

    Raises:
        InvalidRequest: one of them cannot be; `param` is its name.
    """
    if rights.expires is not None and not now < rights.expires <= LAST:
        raise _wrong("expires", "must lie in the future, and before the year 10000")
    if rights.max_output is not None and not 1 <= rights.max_output <= MOST_OUTPUT:
        raise _wrong("max_output", f"is a number of tokens from 1 to {MOST_OUTPUT}")
    if rights.priority is not None and rights.priority not in get_args(Priority):
        raise _wrong("priority", f"is one of {', '.join(get_args(Priority))}")
    if rights.role is not None and rights.role not in get_args(Role):
        raise _wrong("role", f"is one of {', '.join(get_args(Role))}")
    return msgspec.structs.replace(
        rights, models=_models(rights.models), routes=_routes(rights.routes), addresses=_addresses(rights.addresses)
    )


def network(written: str) -> str:
    """An address or a network, in its canonical form. Raises ValueError where it is none."""
    found = ipaddress.ip_network(written.strip(), strict=True)
    if isinstance(found, ipaddress.IPv6Network) and found.prefixlen >= 96:
        mapped = found.network_address.ipv4_mapped
        if mapped is not None:
            # Callers are known by the IPv4 address in it.
            return str(ipaddress.ip_network((mapped, found.prefixlen - 96)))
    return str(found)


def _models(written: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if written is None:
        return None
    if not written:
        raise _wrong("models", "is empty, which allows nothing: leave it out to allow every name under models")
    if len(written) > MOST_LISTED or not all(_PATTERN.fullmatch(each) for each in written):
        raise _wrong("models", f"is a list of at most {MOST_LISTED} names and patterns, without spaces")
    return tuple(dict.fromkeys(written))


def _routes(written: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if written is not None and not set(written) <= set(OPERATIONS):
        raise _wrong("routes", f"is a list of {', '.join(OPERATIONS)}")
    return None if written is None else tuple(each for each in OPERATIONS if each in written)


def _addresses(written: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if written is None:
        return None
    if not 1 <= len(written) <= MOST_LISTED:
        raise _wrong("addresses", f"is a list of 1 to {MOST_LISTED} addresses and networks")
    try:
        return tuple(dict.fromkeys(network(each) for each in written))
    except ValueError:
        raise _wrong("addresses", "is a list of addresses and networks: 10.0.0.0/8, 2001:db8::/32, 192.0.2.7") from None


def _wrong(param: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{param} {why}", do="Correct it, or leave it out.", param=param)
