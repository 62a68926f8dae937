"""Reads who comes, and how sizes and times are spread."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from penstock.config import values
from penstock.config.schema import Config
from penstock.config.tree import Node
from penstock.errors import InvalidRequest
from penstock.routing.nearest import did_you_mean, quoted
from penstock.routing.wishes import wishes_of
from penstock.testing.simulate import quantities
from penstock.testing.simulate.curves import Rate, Spike
from penstock.testing.simulate.scenario import Traffic
from penstock.testing.simulate.sections import Sections
from penstock.testing.simulate.spread import Spread

__all__ = ["read_spread", "read_traffic"]

_DIALECTS = {"openai": "openai_chat", "anthropic": "anthropic_messages"}
_PRIORITIES = {word: word for word in ("critical", "high", "normal", "low", "sheddable")}
_MOST_MOMENTS = 10_000_000


def read_traffic(reader: Sections, node: Node | None, config: Config | None) -> tuple[Traffic, ...]:
    """`traffic:`, each kind under its name.

    Args:
        config: None where it is wrong, so that names in it are not checked.
    """
    if node is None:
        return ()
    found = [_one(reader, name, entry, config) for name, entry in reader.entries(node).items()]
    if not found:
        reader.problems.add(node.place, "nobody comes: write traffic: {chat: {model: fast, rate: 5/s}}")
    return tuple(found)


def _one(reader: Sections, name: str, node: Node, config: Config | None) -> Traffic:
    fields = reader.fields(node, "traffic")
    headers = {key: reader.text(entry) for key, entry in _entries(reader, fields.get("headers")).items()}
    priority = reader.choice(fields.get("priority"), _PRIORITIES, "")
    if priority:
        headers["x-penstock-priority"] = priority
    if "deadline" in fields:
        reader.some(fields["deadline"], 1.0)
        headers["x-penstock-deadline"] = str(fields["deadline"].value)
    _check_headers(reader, node, headers)
    streams = fields.get("stream")
    whole_or_none = streams is not None and isinstance(streams.value, bool)
    default = Traffic(name=name, models={}, rate=Rate())
    return Traffic(
        name=name,
        models=_models(reader, fields.get("model")),
        rate=_rate(reader, fields.get("rate")),
        window=reader.window(fields),
        prompt=read_spread(reader, fields.get("prompt"), values.count, "tokens", default.prompt),
        output=read_spread(reader, fields.get("output"), values.count, "tokens", default.output),
        streams=float(streams.value) if whole_or_none else reader.share(streams, 1.0),  # type: ignore[union-attr,arg-type]
        dialect=reader.choice(fields.get("dialect"), _DIALECTS, "openai_chat"),  # type: ignore[arg-type]
        key=_key(reader, fields.get("key"), config),
        headers=headers,
        patience=reader.some(fields.get("patience"), 0.0) or None,
    )


def _check_headers(reader: Sections, node: Node, headers: Mapping[str, str]) -> None:
    """Whether what is wished for can be read."""
    try:
        wishes_of({name.lower().encode(): value.encode() for name, value in headers.items()})
    except InvalidRequest as error:
        reader.problems.add(node.key, str(error))


def _entries(reader: Sections, node: Node | None) -> dict[str, Node]:
    return reader.entries(node) if node is not None else {}


def _models(reader: Sections, node: Node | None) -> Mapping[str, float]:
    if node is not None and isinstance(node.value, dict):
        found = {name: reader.value(entry, quantities.positive, 1.0) for name, entry in node.value.items()}
        if not found:
            reader.problems.add(node.place, "no model is named: write fast, or {fast: 4, smart: 1}")
        return found or {"": 1.0}
    return {reader.label(node): 1.0}


def _key(reader: Sections, node: Node | None, config: Config | None) -> str | None:
    name = reader.label(node) or None
    if name is None or node is None or config is None:
        return name
    known = [key.name for key in config.keys]
    if name not in known:
        near = did_you_mean(name, known) or (f" (it has: {', '.join(known)})" if known else " (it has none)")
        reader.problems.add(node.place, f"no key of the configuration is named {quoted(name)}{near}")
    return name


# --- how many


def _rate(reader: Sections, node: Node | None) -> Rate:
    if node is None or not isinstance(node.value, dict):
        rate = reader.value(node, quantities.rate, 1.0)
        return Rate("constant", rate, rate)
    fields = reader.fields(node, "rate")
    kinds = [name for name in fields if name != "spikes"]
    if len(kinds) != 1:
        reader.problems.add(node.place, "write one of constant, ramp, day and replay")
        return Rate()
    spikes = tuple(_spike(reader, item) for item in reader.items(fields["spikes"])) if "spikes" in fields else ()
    kind, written = kinds[0], fields[kinds[0]]
    if kind == "replay":
        if spikes:
            reader.problems.add(fields["spikes"].key, "moments that are replayed have no spikes")
        return Rate("replay", moments=_moments(reader, written))
    if kind == "constant":
        rate = reader.value(written, quantities.rate, 1.0)
        return Rate("constant", rate, rate, spikes=spikes)
    inner = reader.fields(written, "range" if kind == "ramp" else "day")
    low, high = ("from", "to") if kind == "ramp" else ("low", "high")
    default = Rate()
    return Rate(
        "ramp" if kind == "ramp" else "day",
        reader.value(inner.get(low), quantities.rate, 1.0),
        reader.value(inner.get(high), quantities.rate, 1.0),
        reader.duration(inner.get("peak"), default.peak),
        spikes,
    )


def _spike(reader: Sections, node: Node) -> Spike:
    fields = reader.fields(node, "spike")
    start = reader.duration(fields.get("from"), 0.0)
    length = reader.some(fields.get("for"), 1.0)
    return Spike(start, start + length, reader.value(fields.get("times"), quantities.positive, 1.0))


def _moments(reader: Sections, node: Node) -> tuple[float, ...]:
    if isinstance(node.value, list):
        return tuple(reader.duration(item, 0.0) for item in node.value)
    written = reader.text(node)
    try:
        lines = reader.path(written).read_text("utf-8").split()
        moments = tuple(float(line) for line in lines[:_MOST_MOMENTS])
    except OSError as error:
        reader.problems.add(node.place, f"the file {quoted(written)} cannot be read: {error.strerror}")
    except ValueError:
        reader.problems.add(node.place, f"the file {quoted(written)} has no number of seconds in each line")
    else:
        if all(moment >= 0 for moment in moments):
            return moments
        reader.problems.add(node.place, f"the file {quoted(written)} has a moment before the beginning")
    return ()


# --- how much


def read_spread(
    reader: Sections, node: Node | None, parse: Callable[[object], float], unit: str, default: Spread
) -> Spread:
    """A value, a list of them, `{median, p95}` or `{least, most}`.

    Args:
        unit: `tokens`, `times` or `numbers`.
    """
    if node is None:
        return default
    if isinstance(node.value, list):
        values_ = tuple(reader.value(item, parse, 1.0) for item in node.value)
        if not values_:
            reader.problems.add(node.place, "the list is empty")
        return Spread("list", values_ or (1.0,))
    if not isinstance(node.value, dict):
        return Spread("fixed", (float(reader.value(node, parse, 1.0)),))
    fields = reader.fields(node, f"spread_of_{unit}")
    for kind, names in (("lognormal", ("median", "p95")), ("uniform", ("least", "most"))):
        if set(fields) == set(names):
            low, high = (float(reader.value(fields[name], parse, 1.0)) for name in names)
            if high < low:
                reader.problems.add(fields[names[1]].place, f"{names[1]} is less than {names[0]}")
            return Spread(kind, (low, high))  # type: ignore[arg-type]
    reader.problems.add(node.place, "write {median: ..., p95: ...} or {least: ..., most: ...}")
    return default
