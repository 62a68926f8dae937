"""Where a URL that somebody else named may lead: to the public network alone, by https.

For what a caller or a tenant can write; what stands in the configuration file is the operator's own word and is
exempt. A name is judged by every address that it has, and only these are connected to (`transport/dial.py`), so that
a name which is answered otherwise a moment later leads nowhere else.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

__all__ = ["is_public", "url_problem"]

PORTS = (443, 8443)
MAX_URL = 2048
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# What an address is written as that `inet_aton` understands and a reader may not: decimal, octal, hex, short.
_NUMBERS = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)
# Names that lead inside by custom or by RFC 6761 and 6762.
_INSIDE = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "test", "invalid", "example", "onion")

# https://www.iana.org/assignments/iana-ipv6-special-registry: what carries an IPv4 address within it.
_NAT64 = IPv6Network("64:ff9b::/96")
_CARRIERS = (IPv6Network("2002::/16"), IPv6Network("2001::/32"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"))
_UNICAST = IPv6Network("2000::/3")


def is_public(address: str) -> bool:
    """Whether an address is one of the public network; what carries another address is judged by that, or refused."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            return False
        inner = found.ipv4_mapped
        if inner is None and found in _NAT64:
            inner = IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if any(found in net for net in _CARRIERS) or found not in _UNICAST:
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved


def url_problem(url: str) -> str:
    """Why a URL that was named by somebody else is not called; "" where it may be, if its addresses are public."""
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or "\\" in url or " " in url:
        return "write it in plain ASCII, without spaces or backslashes, other scripts as xn--"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "it is no URL"
    if parts.scheme != "https":
        return "it must begin with https://"
    if "@" in parts.netloc:
        return "it may not have a user or a password in it"
    if "#" in url:
        return "it may not have a fragment"
    if (port is not None and port not in PORTS) or parts.netloc.endswith(":"):
        return f"its port must be {' or '.join(map(str, PORTS))}"
    return _host_problem(parts.hostname or "")


def _host_problem(host: str) -> str:
    try:
        ip_address(host)
    except ValueError:
        pass
    else:
        return "" if is_public(host) else "its address is not one of the public network"
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return "its host is no name"
    if _NUMBERS.fullmatch(labels[-1]):
        return "its host is an address in an unusual form"
    if len(labels) < 2 or labels[-1] in _INSIDE:
        return "its host is a name of an inner network"
    return ""
