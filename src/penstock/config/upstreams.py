"""Reads the providers' side of a configuration: `providers`, `models`, `default_model`, `defaults`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from penstock.config import values
from penstock.config.addresses import complete
from penstock.config.credentials import read_credentials
from penstock.config.reader import NOT_YET, Reader
from penstock.config.schema import Defaults, Provider, Route, Timeouts
from penstock.config.targets import check_regions, read_regions
from penstock.config.tree import Node
from penstock.providers.catalogue import Row, load_catalogue
from penstock.redact import Secret
from penstock.routing.names import Target
from penstock.routing.nearest import did_you_mean, quoted
from penstock.transport.proxy import proxy_for, read_proxy

__all__ = ["read_defaults", "read_providers", "read_routes"]

# Kinds that later catalogue rows will bring.
_LATER_KINDS = frozenset(("vertex", "tgi", "sglang"))
_COMPATIBLE = "a server that speaks as OpenAI does is written {kind: openai, base_url: ..., api_key: ...}"


def read_providers(reader: Reader, node: Node | None, catalogue: Mapping[str, Row]) -> dict[str, Provider]:
    """`providers:`, each under the name it is given; `catalogue`: every kind there is."""
    found: dict[str, Provider] = {}
    if node is None:
        return found
    for name, entry in reader.entries(node).items():
        if "/" in name or not _is_label(name):
            reader.problems.add(entry.key, f"a provider's name has no slash and no space: {quoted(name)}")
            continue
        fields = reader.fields(entry, "provider")
        row = _row(reader, name, fields.get("kind"), entry, catalogue)
        # One whose kind is wrong is kept, so that its targets are not reported as well.
        found[name] = _provider(reader, name, row, entry, fields) if row else Provider(name=name, kind=name)
    return found


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
        near = did_you_mean(str(kind), catalogue)
        reader.problems.add(place, f"unknown kind {quoted(str(kind))}{near}; {_COMPATIBLE}")
    return None


def _provider(reader: Reader, name: str, row: Row, entry: Node, fields: dict[str, Node]) -> Provider:
    if row.in_process:
        for unused in ("base_url", "ca_file", "api_key", "api_version", "credentials"):
            if unused in fields and fields[unused].value != "none":
                reader.problems.add(fields[unused].key, f"{row.name} runs inside Penstock and has no {unused}")
        return Provider(name=name, kind=row.name, region=reader.label(fields.get("region")) or None)
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
    )


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
        return complete(written, row, version) if written else ""
    except ValueError as error:
        reader.problems.add(node.place if node is not None else entry.key, str(error))
        return ""


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
        reader.problems.add(entry.key, f"the proxy that the environment names for {url} {error}")
        return None


def _ca_problem(path: Path) -> str:
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or 'not a path'}"
    return "" if b"-----BEGIN " in data else "holds no PEM certificate"


def read_defaults(reader: Reader, node: Node | None) -> Defaults:
    """`defaults:`."""
    if node is None:
        return Defaults()
    fields = reader.fields(node, "defaults")
    return Defaults(
        timeouts=_read_timeouts(reader, fields.get("timeouts"), Timeouts()),
        default_max_output=reader.value(fields.get("default_max_output"), values.count, None),
        untranslatable=reader.value(fields.get("untranslatable"), _untranslatable, "refuse"),
        unknown_price=reader.value(fields.get("unknown_price"), _unknown_price, "flag"),
    )


def _read_timeouts(reader: Reader, node: Node | None, base: Timeouts) -> Timeouts:
    # What is not written is as in `base`.
    if node is None:
        return base
    fields = reader.fields(node, "timeouts")
    return msgspec.structs.replace(
        base,
        connect=reader.value(fields.get("connect"), values.positive_duration, base.connect),
        first_token=reader.value(fields.get("first_token"), _auto_or_duration, base.first_token),
        idle=reader.value(fields.get("idle"), _auto_or_duration, base.idle),
        total=reader.value(fields.get("total"), _duration_or_none, base.total),
    )


def _untranslatable(value: object) -> Literal["refuse", "drop"]:
    if value == "refuse" or value == "drop":
        return value
    raise ValueError("write refuse, or drop")


def _unknown_price(value: object) -> Literal["flag", "refuse"]:
    if value == "flag" or value == "refuse":
        return value
    raise ValueError("write flag, or refuse")


def _auto_or_duration(value: object) -> float | None:
    return None if value == "auto" else values.positive_duration(value)


def _duration_or_none(value: object) -> float | None:
    return values.positive_duration(value)


def read_routes(
    reader: Reader, node: Node | None, providers: Mapping[str, Provider], defaults: Defaults
) -> dict[str, Route]:
    """`models:`, each under the name callers ask for."""
    found: dict[str, Route] = {}
    if node is None:
        return found
    for name, entry in reader.entries(node).items():
        if not _is_label(name) or "*" in name:
            reader.problems.add(entry.key, f"a model's name has no space and no *: {quoted(name)}")
            continue
        if not isinstance(entry.value, dict):
            reader.problems.add(entry.place, "write {targets: [provider/model]}")
            continue
        fields = reader.fields(entry, "model")
        regions = read_regions(reader, fields.get("regions"))
        target = _target(reader, entry, fields.get("targets"), providers, regions)
        timeouts = _read_timeouts(reader, fields.get("timeouts"), defaults.timeouts)
        most = reader.value(fields.get("default_max_output"), values.count, defaults.default_max_output)
        # One whose target is wrong is kept by name, so that what refers to it is not reported as well.
        lost = reader.value(fields.get("untranslatable"), _untranslatable, defaults.untranslatable)
        unpriced = reader.value(fields.get("unknown_price"), _unknown_price, defaults.unknown_price)
        found[name] = Route(
            name=name,
            targets=(target or Target("", name),),
            timeouts=timeouts,
            default_max_output=most,
            untranslatable=lost,
            unknown_price=unpriced,
            regions=regions,
        )
    return found


def _target(
    reader: Reader, entry: Node, node: Node | None, providers: Mapping[str, Provider], regions: tuple[str, ...]
) -> Target | None:
    if node is None:
        reader.problems.add(entry.key, "targets is missing: write targets: [provider/model]")
        return None
    if isinstance(node.value, str):
        reader.problems.add(node.place, f"targets is a list: write [{node.value}]")
        return None
    items = reader.items(node)
    if len(items) > 1:
        reader.problems.add(items[1].place, "a model takes one target until fallback exists")
    elif not items and isinstance(node.value, list | None):
        reader.problems.add(node.place, "targets is empty: write targets: [provider/model]")
    targets = [_one_target(reader, item, providers) for item in items]
    for item, target in zip(items, targets, strict=True):
        if target is not None:
            check_regions(reader, item, target, regions, providers)
    return targets[0] if targets else None


def _one_target(reader: Reader, item: Node, providers: Mapping[str, Provider]) -> Target | None:
    if isinstance(item.value, dict):
        written = reader.fields(item, "target").get("target")
        if written is None:
            reader.problems.add(item.place, "target is missing: write {target: provider/model}")
            return None
        item = written
    written_target = reader.label(item)
    if not written_target:
        return None
    provider, slash, model = written_target.partition("/")
    if not provider or not slash or not model:
        reader.problems.add(item.place, f"{quoted(written_target)} is not provider/model")
        return None
    if provider not in providers:
        reader.problems.add(item.place, _unknown_provider(provider, providers))
        return None
    return Target(provider, model)


def _unknown_provider(name: str, providers: Mapping[str, Provider]) -> str:
    near = did_you_mean(name, providers)
    row = load_catalogue().get(name)
    if row is not None and not row.retired and not near:
        near = f"; declare it under providers: {name}: {_declaration(row)}"
    return f"no provider is named {quoted(name)}{near}"


def _declaration(row: Row) -> str:
    written = {"base_url": row.url_form, "api_key": f"env:{row.env}" if row.env else ""}
    return f"{{{', '.join(f'{key}: {value}' for key, value in written.items() if value)}}}"
