"""Reads what `server:` says of the network around it: its names, its proxies, web pages that may call, its TLS."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from penstock.config import values
from penstock.config.limits import MOST_CONNECTIONS
from penstock.config.reader import Reader
from penstock.config.schema import Auth, Tls
from penstock.config.tree import Node
from penstock.routing.nearest import quoted
from penstock.stores.key_rights import network

__all__ = ["read_addresses", "read_connections", "read_hosts", "read_origins", "read_proxies", "read_tls"]


def read_hosts(reader: Reader, node: Node | None) -> tuple[str, ...]:
    """`server.hosts:`: names callers may use, without a port; `*.example.com` for all below it."""
    return _each(reader, node, _host)


def read_proxies(reader: Reader, node: Node | None) -> tuple[str, ...]:
    """`server.trusted_proxies:`: addresses and networks whose word about who calls is taken."""
    return _each(reader, node, _network)


def read_addresses(reader: Reader, node: Node | None) -> tuple[str, ...]:
    """`addresses:` of a key: where its calls may come from; empty: anywhere."""
    if node is not None and node.value in (None, []):
        reader.problems.add(node.place, "an empty list allows no address: leave addresses out to allow every one")
    return _each(reader, node, _of_callers)


def read_origins(reader: Reader, node: Node | None, auth: Auth) -> tuple[str, ...]:
    """`server.cors:`: origins whose pages may call; `*` alone for all, where a key is required."""
    origins = _each(reader, node, _origin)
    if node is not None and "*" in origins:
        if auth == "open":
            message = '"*" with auth: open lets any web page in any browser here use the gateway: list the origins'
            reader.problems.add(node.place, message)
        elif len(origins) > 1:
            reader.problems.add(node.place, '"*" stands alone or not at all')
    return origins


def read_tls(reader: Reader, node: Node | None) -> Tls | None:
    """`server.tls:`: a certificate and its key, two PEM files."""
    if node is None or node.value is None:
        return None
    fields = reader.fields(node, "tls")
    missing = [name for name in ("cert", "key") if name not in fields]
    if missing:
        reader.problems.add(node.place, f"tls needs {' and '.join(missing)}: {{cert: FILE, key: FILE}}")
        return None
    return Tls(cert=_file(reader, fields["cert"]), key=_file(reader, fields["key"]))


def read_connections(value: object) -> int:
    """`server.max_connections:`; raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_CONNECTIONS:
        raise ValueError(f"max_connections is a number from 1 to {MOST_CONNECTIONS}")
    return value


def _each(reader: Reader, node: Node | None, parse: Callable[[object], str]) -> tuple[str, ...]:
    if node is None:
        return ()
    found = (reader.value(item, parse, "") for item in reader.items(node))
    return tuple(dict.fromkeys(item for item in found if item))


def _host(value: object) -> str:
    if not isinstance(value, str) or not values.HOST.fullmatch(value):
        raise ValueError(
            f"{_shown(value)} is not a host: write a name or an address without a port, such as"
            " gateway.example.com, *.example.com or 10.0.0.7"
        )
    return value.lower()


def _network(value: object) -> str:
    try:
        if not isinstance(value, str):
            raise ValueError
        return str(ipaddress.ip_network(value))
    except ValueError:
        message = f"{_shown(value)} is not an address or a network: write 10.0.0.7 or 10.0.0.0/8"
        raise ValueError(message) from None


def _of_callers(value: object) -> str:
    # In the form in which the store has them too.
    return network(_network(value))


def _origin(value: object) -> str:
    if value == "*":
        return "*"
    if not isinstance(value, str) or not values.ORIGIN.fullmatch(value):
        message = f"{_shown(value)} is not an origin: write it as browsers do, https://app.example.com, without a path"
        raise ValueError(message)
    return value.lower()


def _shown(value: object) -> str:
    return quoted(value) if isinstance(value, str) else "this"


def _file(reader: Reader, node: Node) -> str:
    written = reader.text(node)
    if not written:
        return ""
    path = reader.path(written)
    if reader.check_files:
        try:
            with path.open("rb") as file:
                if b"-----BEGIN " not in file.read(1 << 20):
                    reader.problems.add(node.place, f"the file {quoted(written)} is no PEM file")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a path"
            reader.problems.add(node.place, f"the file {quoted(written)} cannot be read: {reason}")
    return str(path)
