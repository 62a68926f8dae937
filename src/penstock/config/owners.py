"""Reads who pays and who is told: `tenants`, `alerts`; and what a key may do besides (`expires`, `addresses`, ...)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

from penstock.config import values
from penstock.config.guards import is_loopback
from penstock.config.limits import MOST_WEIGHT
from penstock.config.reader import Reader, Unset
from penstock.config.schema import OPERATIONS, Alerts, Charge, Operation, Tenant, Webhook
from penstock.config.tree import Node, Place
from penstock.redact import Secret
from penstock.routing.nearest import did_you_mean, quoted
from penstock.routing.scopes import NOBODY
from penstock.stores.key_rights import LAST
from penstock.wire.webhook import read_secret

__all__ = ["expiry", "read_alerts", "read_operations", "read_tenants", "tenant_name"]

_CHARGES: Mapping[str, Charge] = {"attempts": "attempts", "winner": "winner"}
_WEIGHT = values.whole("weight", 1, MOST_WEIGHT)


def tenant_name(value: object) -> str:
    """A tenant's name: its users are called `tenant/user`, so it has no slash. Raises ValueError."""
    name = values.label(value)
    if "/" in name or name == NOBODY:
        raise ValueError(f"{quoted(name)} cannot be a tenant's name: it has no slash, and {NOBODY} stands for none")
    return name


def read_tenants(reader: Reader, node: Node | None) -> tuple[Tenant, ...]:
    """`tenants:`."""
    found: list[Tenant] = []
    names: dict[str, Place] = {}
    for item in reader.items(node) if node is not None else ():
        fields = reader.fields(item, "tenant")
        if "name" not in fields:
            reader.problems.add(item.place, "a tenant needs a name: {name: acme}")
            continue
        name = reader.value(fields["name"], tenant_name, "")
        if name and name in names:
            reader.problems.add(fields["name"].place, f"two tenants are named {quoted(name)}")
        projects = fields.get("projects")
        labels = (reader.label(each) for each in reader.items(projects)) if projects is not None else ()
        tenant = Tenant(
            name=name,
            charge=reader.choice(fields.get("charge"), _CHARGES, "attempts"),
            weight=reader.value(fields.get("weight"), _WEIGHT, 1),
            projects=tuple(dict.fromkeys(label for label in labels if label)),
            where=item.place.where,
        )
        names.setdefault(name, item.place)
        found.append(tenant)
    return tuple(found)


# --- alerts


def read_alerts(reader: Reader, node: Node | None) -> Alerts:
    """`alerts:`."""
    if node is None:
        return Alerts()
    fields = reader.fields(node, "alerts")
    return Alerts(
        webhook=_webhook(reader, fields.get("webhook")),
        anomaly=reader.choice(fields.get("anomaly"), {"on": True, "off": False}, True),
    )


def _webhook(reader: Reader, node: Node | None) -> Webhook | None:
    if node is None or node.value is None:
        return None
    fields = reader.fields(node, "webhook")
    missing = [name for name in ("url", "secret") if name not in fields]
    if missing:
        example = "{url: https://hooks.example.com/penstock, secret: env:ALERT_SECRET}"
        reader.problems.add(node.place, f"a webhook needs {' and '.join(missing)}: {example}")
        return None
    url = reader.value(fields["url"], webhook_url, "")
    secret = _webhook_secret(reader, fields["secret"])
    return Webhook(url, secret) if url and secret is not None else None


def webhook_url(value: object) -> str:
    """`https://...`, or `http://` on loopback. Its text is never shown: it may be a secret. Raises ValueError."""
    if not isinstance(value, str) or not value.isascii() or not values.LABEL.fullmatch(value):
        raise ValueError("url is not a URL: write https://host/path")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("url is not a URL: its host or port cannot be read") from None
    if "@" in parts.netloc:
        raise ValueError("url holds a user name or password: leave it out; the receiver knows us by the signature")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.fragment:
        raise ValueError("url must begin with https://, name a host and have no fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("url must begin with https://: http is for loopback addresses")
    return value


def _webhook_secret(reader: Reader, node: Node) -> Secret | None:
    if node.value == "none":
        reader.problems.add(node.place, "a webhook without a secret can be forged by anybody: write env:ALERT_SECRET")
        return None
    try:
        secret = reader.secret(node, "ALERT_SECRET")
    except Unset as unset:
        reader.problems.add(node.place, f"{unset}, and a webhook needs its secret: set it, or leave the webhook out")
        return None
    if secret is not None and (problem := _weak(secret.reveal())):
        reader.problems.add(node.place, f"{quoted(secret.source)}: {problem}")
        return None
    return secret


def _weak(secret: str) -> str:
    """What is wrong with it; "" for nothing. Two, separated by a comma, are for while one is being replaced."""
    try:
        for one in secret.split(","):
            read_secret(one)
    except ValueError as error:
        return str(error)
    return ""


# --- of a key


def expiry(value: object) -> int:
    """Unix time in seconds: of a date its first moment in UTC, of a time with its zone that time. Raises ValueError."""
    try:
        if not isinstance(value, str):
            raise ValueError
        if len(value) == len("2027-01-31"):
            day = date.fromisoformat(value)
            return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None or moment.timestamp() > LAST:
            raise ValueError
        return int(moment.timestamp())
    except (ValueError, OverflowError):
        shown = quoted(value) if isinstance(value, str) else "this"
        raise ValueError(f"{shown} is not a time: write 2027-01-31, or 2027-01-31T18:00:00+01:00") from None


def read_operations(reader: Reader, node: Node | None) -> tuple[Operation, ...] | None:
    """`routes:` of a key: what its calls may ask for; None: everything."""
    if node is None or node.value is None:
        return None
    if node.value == []:
        reader.problems.add(node.place, "an empty list allows nothing: leave routes out to allow every one")
    found: list[Operation] = []
    for item in reader.items(node):
        if item.value in OPERATIONS:
            found.append(OPERATIONS[OPERATIONS.index(item.value)])
        else:
            near = did_you_mean(item.value, OPERATIONS) if isinstance(item.value, str) else ""
            reader.problems.add(item.place, f"write one of {', '.join(OPERATIONS)}{near}")
    return tuple(dict.fromkeys(found)) or None
