"""Forward proxies: which one the environment names for a URL, and what is said to it.

The variables are those that curl and requests read. A proxy's credentials go to the proxy alone, and no message here
repeats them.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

__all__ = ["Proxy", "proxy_for", "read_proxy"]

_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}\Z|[0-9A-Fa-f:.]{2,45}\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")


class Proxy:
    """A forward proxy.

    Attributes:
        host, port: where it listens.
        tls: the context to speak to it with, None for plain TCP.
        url: without credentials.
    """

    __slots__ = ("_authorization", "host", "port", "tls", "url")

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None = None, userinfo: bytes = b"", *, scheme: str = "http"
    ) -> None:
        self.host = host
        self.url = f"{scheme}://{_authority(host, port).decode()}"
        self.port = port
        self.tls = tls
        credential = base64.b64encode(userinfo)
        self._authorization = b"proxy-authorization: Basic %b\r\n" % credential if userinfo else b""

    def __repr__(self) -> str:
        return f"<Proxy {self.url}>"

    def connect_request(self, host: str, port: int) -> bytes:
        """What asks for a tunnel (RFC 9110, section 9.3.6)."""
        target = _authority(host, port)
        return b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (target, target, self._authorization)

    def rewriter(self, host: str, port: int) -> Callable[[bytes], bytes]:
        """What puts a request into absolute-form (RFC 9112, section 3.2.2), with the proxy's credential."""
        base = b" http://" + (_authority(host, port) if port != _PORTS["http"] else _bracketed(host))
        authorization = self._authorization

        def rewrite(payload: bytes) -> bytes:
            line, end, rest = payload.partition(b"\r\n")
            method, _, target = line.partition(b" ")
            return b"".join((method, base, target, end, authorization, rest))

        return rewrite


def proxy_for(url: str, env: Mapping[str, str]) -> str | None:
    """The proxy that `env` names for a base URL; None: go there directly, as always on this machine.

    Lower-case names win, and an empty one says no. HTTP_PROXY in capitals does not count in a CGI program, where it
    is what a caller's `Proxy:` header becomes (CVE-2016-5385).
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if not host or _is_here(host):
        return None
    found = _named(f"{parts.scheme}_proxy", env)
    if found is None:
        found = _named("all_proxy", env)
    if not found:
        return None
    port = parts.port or _PORTS.get(parts.scheme, 0)
    return None if _is_excepted(host, port, _named("no_proxy", env) or "") else found


def read_proxy(url: str, context: Callable[[], ssl.SSLContext] | None = None) -> Proxy:
    """The proxy of a URL as it stands in the environment; the scheme may be missing and is then http.

    Args:
        context: makes the TLS settings for a proxy that is spoken to by https; None where it is only to be read.

    Raises:
        ValueError: it is none that can be used; the message repeats nothing of it.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is no URL: write http://host:port") from None
    if parts.scheme not in _PORTS:
        raise ValueError("is of a kind that is not spoken here: only http:// and https:// proxies are")
    if not _NAME.match(host) or port == 0 or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("is no proxy's URL: write http://host:port or http://user:password@host:port")
    tls = context() if parts.scheme == "https" and context is not None else None
    return Proxy(host, port or _PORTS[parts.scheme], tls, _userinfo(parts), scheme=parts.scheme)


def _userinfo(parts: SplitResult) -> bytes:
    user, colon, password = parts.netloc.rpartition("@")[0].partition(":")
    if not user and not password:
        return b""
    return unquote_to_bytes(user) + b":" + unquote_to_bytes(password if colon else "")


def _bracketed(host: str) -> bytes:
    return (f"[{host}]" if ":" in host else host).encode("ascii")


def _authority(host: str, port: int) -> bytes:
    return b"%b:%d" % (_bracketed(host), port)


def _named(name: str, env: Mapping[str, str]) -> str | None:
    value = env.get(name)
    if value is None and not (name == "http_proxy" and "REQUEST_METHOD" in env):
        value = env.get(name.upper())
    return None if value is None else value.strip()


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def _is_excepted(host: str, port: int, no_proxy: str) -> bool:
    """Whether a list of names, addresses and networks, each perhaps with a port, has the host in it."""
    address = _address(host)
    for item in no_proxy.replace(",", " ").lower().split():
        name, wanted = _without_port(item)
        if wanted is not None and wanted != port:
            continue
        if name == "*":
            return True
        if address is not None:
            if _covers(name, address):
                return True
        elif _is_under(host, name):
            return True
    return False


def _is_under(host: str, name: str) -> bool:
    """A name stands for itself and all under it, whether it is written with a dot or a star before it or not."""
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _without_port(item: str) -> tuple[str, int | None]:
    if item.startswith("["):
        name, _, rest = item[1:].partition("]")
        if rest.startswith("/"):  # a network, its address in brackets
            return name + rest, None
        return name, int(rest[1:]) if _PORT.match(rest[1:]) else None
    name, _, port = item.rpartition(":")
    if name and ":" not in name and _PORT.match(port):
        return name, int(port)
    return item, None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _covers(network: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
