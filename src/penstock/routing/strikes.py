"""Who presents wrong keys again and again: how many are answered, and how long the next one must wait. Pure.

Nobody guesses a key of 160 bits; this keeps whoever tries, or whose program is set up wrong, from taking the gateway's
time and filling its log. A caller with a good key is never in the way of it, whatever else comes from its address.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

__all__ = ["Strikes", "network_of"]

# Addresses that are remembered; who has many is held by the sum of all.
MOST_KNOWN = 10_000


class Strikes:
    """Counts them by address: an IPv4 address, or a network of 64 bits, which one subscriber has of IPv6 (RFC 6177).

    Args:
        most: wrong keys from one address within so many seconds that are answered as what they are.
        overall: from all addresses together.
    """

    def __init__(self, most: int = 10, overall: int = 1000, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._each = seconds / most
        self._of_all = seconds / overall
        # When each would be forgotten: a theoretical arrival time (GCRA).
        self._known: OrderedDict[str, float] = OrderedDict()
        self._all = 0.0

    def strike(self, address: str | None, now: float) -> float:
        """One more: 0, or how many seconds must pass until the next one is answered.

        Args:
            now: monotonic.
        """
        whose = network_of(address)
        own, every = max(self._known.get(whose, 0.0), now) + self._each, max(self._all, now) + self._of_all
        wait = max(own, every) - now - self._seconds
        if wait > 1e-6:
            return wait
        self._all = every
        self._known[whose] = own
        self._known.move_to_end(whose)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return 0.0


def network_of(address: str | None) -> str:
    """Whose an address is: an IPv4 address itself, of IPv6 the network; "" where it is none."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped is not None else str(int(found) >> 64)
    return str(found)
