"""Reads what a provider is paid with: one key, several to choose from, or each caller's own."""

from __future__ import annotations

from typing import NamedTuple

from penstock.config import values
from penstock.config.limits import MOST_WEIGHT
from penstock.config.reader import Reader, Unset
from penstock.config.schema import Credential
from penstock.config.stored import read_stored, why_off
from penstock.config.tree import Node
from penstock.providers.catalogue import Row
from penstock.redact import Secret
from penstock.routing.nearest import quoted

__all__ = ["Credentials", "read_credentials"]

_EXAMPLE = "[{name: a, api_key: env:KEY_A}, {name: b, api_key: env:KEY_B}]"


class Credentials(NamedTuple):
    """One of the first three; none of them sends nothing. `off`: why there are none, where that may be."""

    api_key: Secret | None = None
    pool: tuple[Credential, ...] = ()
    by_caller: bool = False
    off: str = ""


def read_credentials(reader: Reader, row: Row, url: str, entry: Node, fields: dict[str, Node]) -> Credentials:
    """`api_key:` or `credentials:` of a provider that lives at `url`."""
    several, one = fields.get("credentials"), fields.get("api_key")
    if several is not None and one is not None:
        reader.problems.add(several.key, "credentials stand instead of api_key: leave one of them out")
    if several is None:
        try:
            secret = _api_key(reader, row, url, entry, one)
            return Credentials(secret, off=why_off([secret]) if secret is not None else "")
        except Unset as unset:
            return Credentials(off=str(unset))
    if several.value == "caller":
        return Credentials(by_caller=True)
    if not isinstance(several.value, list) or not several.value:
        reader.problems.add(several.place, f"credentials is caller, or a list: {_EXAMPLE}")
        return Credentials()
    return _pool(reader, several)


def _api_key(reader: Reader, row: Row, url: str, entry: Node, node: Node | None) -> Secret | None:
    if node is not None:
        return read_stored(reader, node) or reader.secret(node, row.env or "API_KEY")
    if not row.env:
        return None
    if url != row.url or row.url_form:
        # The vendor's own key goes to the vendor's own address and to no other.
        example = row.env if row.url_form else "NAME"
        reader.problems.add(
            entry.key, f"api_key is missing: write api_key: env:{example}, or api_key: none to send none"
        )
        return None
    return reader.secret(Node(f"env:{row.env}", entry.key, entry.key), row.env)


def _pool(reader: Reader, node: Node) -> Credentials:
    pool: list[Credential] = []
    unset: list[str] = []
    for item in reader.items(node):
        try:
            credential = _one(reader, item)
        except Unset as reason:
            unset.append(str(reason))
            continue
        if credential is None:
            continue
        if any(credential.name == other.name for other in pool):
            reader.problems.add(item.place, f"two credentials are named {quoted(credential.name)}")
        elif same := [other.name for other in pool if _alike(other.api_key, credential.api_key)]:
            message = f"the credentials {quoted(same[0])} and {quoted(credential.name)} have the same value"
            reader.problems.add(item.place, message)
        pool.append(credential)
    off = why_off([credential.api_key for credential in pool]) if pool else ", ".join(unset)
    return Credentials(pool=tuple(pool), off=off)


def _alike(one: Secret, other: Secret) -> bool:
    """Whether two are the same, by value or, of what is in the store, by name."""
    return one == other and (bool(one.reveal()) or one.source == other.source)


def _one(reader: Reader, item: Node) -> Credential | None:
    fields = reader.fields(item, "credential")
    missing = [name for name in ("name", "api_key") if name not in fields]
    if missing:
        message = f"a credential needs {' and '.join(missing)}: {{name: a, api_key: env:KEY_A}}"
        reader.problems.add(item.place, message)
        return None
    name = reader.value(fields["name"], values.credential_name, "")
    weight = reader.value(fields.get("weight"), _weight, 1)
    if fields["api_key"].value == "none":
        reader.problems.add(fields["api_key"].place, "one of several credentials cannot be none: write env:KEY_A")
        return None
    secret = read_stored(reader, fields["api_key"]) or reader.secret(fields["api_key"], "KEY_A")
    return Credential(name=name, api_key=secret, weight=weight) if name and secret is not None else None


def _weight(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_WEIGHT:
        raise ValueError(f"weight is a number from 1 to {MOST_WEIGHT}")
    return value
