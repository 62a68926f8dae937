"""Reads the caller's side of a configuration: `server`, `auth`, `keys`, `layers`, `log`."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.config import values
from penstock.config.guards import admin_problem, listen_problem
from penstock.config.limits import MOST_WORKERS
from penstock.config.network import read_addresses, read_connections, read_hosts, read_origins, read_proxies, read_tls
from penstock.config.owners import expiry, read_operations, tenant_name
from penstock.config.reader import Reader, Unset
from penstock.config.schema import ROLES, Auth, Key, Log, Server
from penstock.config.tree import Node, Place
from penstock.redact import Secret
from penstock.routing.nearest import quoted
from penstock.routing.wishes import PRIORITIES

__all__ = ["check_edge", "read_auth", "read_keys", "read_layers", "read_log", "read_server"]

# Of a caller's key: what is shorter is a word, or the `sk-1234` of somebody's documentation.
SHORTEST_KEY = 16
_WORKERS = values.whole("workers", 1, MOST_WORKERS)
_AUTH: Mapping[str, Auth] = {"required": "required", "open": "open"}


def read_server(reader: Reader, node: Node | None, auth: Auth) -> Server:
    """`server:`; `auth` decides what may be opened to whom."""
    if node is None:
        return Server()
    fields = reader.fields(node, "server")
    plain = Server()
    return Server(
        listen=reader.value(fields.get("listen"), values.address, plain.listen),
        admin=reader.value(fields.get("admin"), values.address, plain.admin),
        workers=reader.value(fields.get("workers"), _WORKERS, plain.workers),
        drain=reader.value(fields.get("drain"), values.duration, plain.drain),
        max_body=reader.value(fields.get("max_body"), values.size, plain.max_body),
        idle=reader.value(fields.get("idle"), values.positive_duration, plain.idle),
        keepalive=reader.value(fields.get("keepalive"), values.positive_duration, plain.keepalive),
        hosts=read_hosts(reader, fields.get("hosts")),
        trusted_proxies=read_proxies(reader, fields.get("trusted_proxies")),
        cors=read_origins(reader, fields.get("cors"), auth),
        tls=read_tls(reader, fields.get("tls")),
        max_connections=reader.value(fields.get("max_connections"), read_connections, plain.max_connections),
    )


def read_auth(reader: Reader, node: Node | None) -> Auth:
    """`auth:`; `required` where nothing is written."""
    return reader.choice(node, _AUTH, "required")


def read_log(reader: Reader, node: Node | None) -> Log:
    """`log:`."""
    if node is None:
        return Log()
    fields = reader.fields(node, "log")
    to = reader.text(fields.get("to"), "stdout")
    if to not in ("stdout", "none"):
        to = str(reader.path(to))
    reader.choice(fields.get("content"), {"none": "none"}, "none", later=("redacted", "full"))
    return Log(to=to)


def read_layers(reader: Reader, node: Node | None) -> tuple[str, ...]:
    """`layers:`; whether each can be loaded is seen by who loads it."""
    found: list[str] = []
    for item in reader.items(node) if node is not None else ():
        name = reader.value(item, values.layer, "")
        if name in found:
            reader.problems.add(item.place, f"the layer {quoted(name)} stands there twice")
        elif name:
            found.append(name)
    return tuple(found)


def read_keys(reader: Reader, node: Node | None) -> list[tuple[Key, Node]]:
    """`keys:`, each with its `models:` node (or its own) for what is checked later; without those switched off."""
    if node is None:
        return []
    found: list[tuple[Key, Node]] = []
    names: dict[str, Place] = {}
    secrets: dict[Secret, str] = {}
    for item in reader.items(node, "[{name: app, key: env:APP_KEY}]"):
        fields = reader.fields(item, "key", "{name: app, key: env:APP_KEY}")
        key = _read_key(reader, item, fields)
        if key is None:
            continue
        if key.name in names:
            reader.problems.add(fields["name"].place, f"two keys are named {quoted(key.name)}")
        elif key.key in secrets:
            message = f"the keys {quoted(secrets[key.key])} and {quoted(key.name)} have the same value"
            reader.problems.add(fields["key"].place, message)
        names.setdefault(key.name, item.place)
        secrets.setdefault(key.key, key.name)
        found.append((key, fields.get("models", item)))
    return found


def _read_key(reader: Reader, item: Node, fields: dict[str, Node]) -> Key | None:
    missing = [name for name in ("name", "key") if name not in fields]
    if missing:
        reader.problems.add(item.place, f"a key needs {' and '.join(missing)}: {{name: app, key: env:APP_KEY}}")
        return None
    secret = _caller_secret(reader, fields["key"])
    key = Key(
        name=reader.label(fields["name"]),
        key=secret or Secret(""),
        tenant=reader.value(fields.get("tenant"), tenant_name, "") or None,
        project=reader.label(fields.get("project")) or None,
        models=_patterns(reader, fields.get("models")),
        trusted_user=reader.choice(fields.get("user"), {"trusted": True}, False),
        overrides=reader.choice(fields.get("overrides"), {"allowed": True, "refused": False}, False),
        where=item.place.where,
        expires=reader.value(fields["expires"], expiry, 0) if "expires" in fields else None,
        addresses=read_addresses(reader, fields.get("addresses")),
        routes=read_operations(reader, fields.get("routes")),
        max_output=reader.value(fields["max_output"], values.count, 1) if "max_output" in fields else None,
        priority=reader.choice(fields.get("priority"), {word: word for word in PRIORITIES}, "") or None,
        role=reader.choice(fields["role"], {role: role for role in ROLES}, "viewer") if "role" in fields else None,
    )
    return key if secret is not None and key.name else None


def _caller_secret(reader: Reader, node: Node) -> Secret | None:
    if node.value == "none":
        reader.problems.add(node.place, "a caller's key cannot be none: write env:APP_KEY")
        return None
    try:
        secret = reader.secret(node, "APP_KEY")
    except Unset:
        return None
    if secret is not None and len(secret.reveal()) < SHORTEST_KEY:
        message = (
            f"what {quoted(secret.source)} leads to has fewer than {SHORTEST_KEY} characters, so that it can be guessed"
        )
        reader.problems.doubt(node.place, f"{message}: openssl rand -hex 24 makes one")
    return secret


def _patterns(reader: Reader, node: Node | None) -> tuple[str, ...] | None:
    if node is None or node.value is None:
        return None
    patterns = tuple(pattern for pattern in map(reader.label, reader.items(node)) if pattern)
    if node.value == []:
        reader.problems.add(node.place, "an empty list allows nothing: leave models out to allow every name under it")
    return patterns or None


def check_edge(reader: Reader, root: Node, server: Server, auth: Auth, *, any_key: bool) -> None:
    """The rules between them: who may listen where, and that `auth: required` has a key to require."""
    fields = root.value if isinstance(root.value, dict) else {}
    if auth == "required" and not any_key:
        reader.problems.add(
            fields["auth"].place if "auth" in fields else root.place,
            "auth is required, but no key is declared: write keys: [{name: app, key: env:APP_KEY}],"
            " state: sqlite:///penstock.db for those of `penstock keys create`, or auth: open (loopback only)",
        )
    written = fields["server"].value if "server" in fields else {}
    for name, problem in (
        ("listen", listen_problem(server.listen, auth)),
        ("admin", admin_problem(server.admin, server.listen)),
    ):
        if problem:
            node = written.get(name, root) if isinstance(written, dict) else root
            reader.problems.add(node.place, problem)
