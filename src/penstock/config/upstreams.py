"""Reads `providers:` of a configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from penstock.config import values
from penstock.config.addresses import complete
from penstock.config.credentials import read_credentials
from penstock.config.habits import KIND_SYNONYMS
from penstock.config.later import SECTIONS
from penstock.config.reader import NOT_YET, Reader
from penstock.config.schema import Provider
from penstock.config.tree import Node
from penstock.providers.catalogue import Row
from penstock.redact import Secret
from penstock.routing.nearest import did_you_mean, quoted
from penstock.transport.proxy import proxy_for, read_proxy
from penstock.transport.tls import client_context

__all__ = ["read_providers"]

# Kinds that later catalogue rows will bring.
_LATER_KINDS = frozenset(("vertex", "tgi", "sglang"))
_PEM = (
    "it has a line -----BEGIN CERTIFICATE-----; of one that is binary (DER) openssl x509 -inform der -in FILE -out NEW"
    " makes it"
)
_COMPATIBLE = "a server that speaks as OpenAI does is written {kind: openai, base_url: ..., api_key: ...}"


def read_providers(reader: Reader, node: Node | None, catalogue: Mapping[str, Row]) -> dict[str, Provider]:
    """`providers:`, each under the name it is given; `catalogue`: every kind there is."""
    found: dict[str, Provider] = {}
    if node is None:
        return found
    for name, entry in reader.entries(node, "openai: {api_key: env:OPENAI_API_KEY}").items():
        if "/" in name or not _is_label(name):
            reader.problems.add(entry.key, f"a provider's name has no slash and no space: {quoted(name)}")
            continue
        if name in SECTIONS["provider"].known and not isinstance(entry.value, dict):
            reader.problems.add(entry.key, f"{name} is a provider's: indent it by more, below the provider's name")
            continue
        fields = reader.fields(entry, "provider", _in_a_mapping(entry))
        row = _row(reader, name, fields.get("kind"), entry, catalogue)
        # One whose kind is wrong is kept, so that its targets are not reported as well.
        found[name] = _provider(reader, name, row, entry, fields) if row else Provider(name=name, kind=name)
    return found


def _in_a_mapping(entry: Node) -> str:
    """What to write where a provider's key, or its address, stands alone."""
    written = entry.value if isinstance(entry.value, str) and len(entry.value) <= 80 else ""
    if written.startswith(("env:", "file:", "store:")):
        return f"{{api_key: {written}}}"
    return "{base_url: ...}" if written.startswith(("http://", "https://")) else "{api_key: env:NAME}"


def _is_label(name: str) -> bool:
    try:
        return bool(values.label(name))
    except ValueError:
        return False


def _row(reader: Reader, name: str, kind_node: Node | None, entry: Node, catalogue: Mapping[str, Row]) -> Row | None:
    kind = kind_node.value if kind_node is not None else name
    place = kind_node.place if kind_node is not None else entry.key
    if isinstance(kind, str) and kind in catalogue:
        row = catalogue[kind]
        if not row.retired:
            return row
        reader.problems.add(place, row.retired)
    elif isinstance(kind, str) and kind in _LATER_KINDS:
        reader.problems.add(place, f"the kind {quoted(kind)} is {NOT_YET}; {_COMPATIBLE}")
    else:
        if re.search(r":[\[{]", str(kind)):
            reader.problems.add(place, f"a space belongs behind the colon: {str(kind).partition(':')[0]}: {{...}}")
            return None
        near = _meant(str(kind), catalogue)
        reader.problems.add(place, f"unknown kind {quoted(str(kind))}{near}; {_COMPATIBLE}")
    return None


def _meant(kind: str, catalogue: Mapping[str, Row]) -> str:
    synonym = KIND_SYNONYMS.get(kind.lower(), "")
    return f" (did you mean {quoted(synonym)}?)" if synonym in catalogue else did_you_mean(kind, catalogue)


def _provider(reader: Reader, name: str, row: Row, entry: Node, fields: dict[str, Node]) -> Provider:
    if row.in_process:
        for unused in ("base_url", "ca_file", "api_key", "api_version", "credentials"):
            if unused in fields and fields[unused].value != "none":
                reader.problems.add(fields[unused].key, f"{row.name} runs inside Penstock and has no {unused}")
        return Provider(
            name=name, kind=row.name, region=reader.label(fields.get("region")) or None, probe=_probe(reader, fields)
        )
    version = _api_version(reader, fields.get("api_version"), row)
    url = _base_url(reader, entry, fields.get("base_url"), row, version)
    paid = read_credentials(reader, row, url, entry, fields)
    return Provider(
        name=name,
        kind=row.name,
        base_url=url,
        api_version=version,
        api_key=paid.api_key,
        credentials=paid.pool,
        by_caller=paid.by_caller,
        region=reader.label(fields.get("region")) or None,
        ca_file=_ca_file(reader, fields.get("ca_file"), url),
        proxy=_proxy(reader, entry, url),
        off=paid.off,
        probe=_probe(reader, fields, by_caller=paid.by_caller),
    )


def _probe(reader: Reader, fields: dict[str, Node], *, by_caller: bool = False) -> float | None:
    seconds = reader.value(fields.get("probe"), values.off_or_duration, None)
    if seconds is not None and by_caller:
        reader.problems.add(fields["probe"].key, "probe asks with a credential of yours, and callers bring theirs")
    return seconds


def _api_version(reader: Reader, node: Node | None, row: Row) -> str:
    if node is not None and row.versioned is None:
        reader.problems.add(node.key, f"{row.name} has no api_version: its base_url says which")
        return ""
    return reader.value(node, values.version, row.versioned.default if row.versioned else "")


def _base_url(reader: Reader, entry: Node, node: Node | None, row: Row, version: str) -> str:
    if node is None and row.url_form:
        form = f"each account of {row.name} has an address of its own, such as base_url: {row.url_form}"
        reader.problems.add(entry.key, f"base_url is missing: {form}")
        return ""
    written = reader.value(node, values.base_url, row.url)
    try:
        url = complete(written, row, version) if written else ""
        if node is not None and url and not urlsplit(url).path and urlsplit(row.url).path == "/v1":
            doubt = f"base_url has no path, and nearly all that speak as {row.name} does answer below /v1"
            reader.problems.doubt(node.place, f"{doubt}: add it")
        if node is not None and url.startswith("http:") and _is_the_vendors(urlsplit(url).hostname or "", row):
            reader.problems.doubt(
                node.place, f"base_url is http, and {row.name} answers by https: the key could be read"
            )
        return url
    except ValueError as error:
        reader.problems.add(node.place if node is not None else entry.key, str(error))
        return ""


def _is_the_vendors(host: str, row: Row) -> bool:
    """Whether a host is one of the vendor's: of what each account has its own of, the last two parts tell."""
    own = (urlsplit(row.url or row.url_form).hostname or "").lower()
    return host == own or (bool(row.url_form) and host.endswith("." + ".".join(own.split(".")[-2:])))


def _ca_file(reader: Reader, node: Node | None, url: str) -> str | None:
    if node is None:
        return None
    written = reader.text(node)
    if not written:
        return None
    path = reader.path(written)
    reader.read[str(path)] = None
    if url and not url.startswith("https:"):
        reader.problems.add(node.place, "ca_file is for https, and base_url is http")
    elif reader.check_files and (problem := _ca_problem(path)):
        reader.problems.add(node.place, f"ca_file {quoted(written)} {problem}")
    return str(path)


def _proxy(reader: Reader, entry: Node, url: str) -> Secret | None:
    found = proxy_for(url, reader.env)
    if found is None:
        return None
    try:
        return Secret(found, read_proxy(found).url)
    except ValueError as error:
        message = (
            f"the proxy that the environment names for {url} {error}; or except it: NO_PROXY={urlsplit(url).hostname}"
        )
        reader.problems.add(entry.key, message)
        return None


def _ca_problem(path: Path) -> str:
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or 'not a path'}"
    if b"-----BEGIN " not in data:
        return f"holds no PEM certificate: {_PEM}"
    try:
        client_context(str(path))
    except OSError:  # TLS's own errors are some
        if b"-----BEGIN CERTIFICATE" not in data and b" PRIVATE KEY-----" in data:
            return "holds no certificate that can be read, but a private key: name the authority's certificate"
        return "holds no certificate that can be read: openssl x509 -noout -text -in FILE says what is wrong with it"
    return ""
