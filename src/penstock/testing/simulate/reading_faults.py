"""Reads what goes wrong."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from penstock.config import values
from penstock.config.schema import Config
from penstock.config.tree import Node
from penstock.providers.simulated.script import ScriptError, parse_script
from penstock.routing.nearest import did_you_mean, quoted
from penstock.testing.simulate import quantities
from penstock.testing.simulate.scenario import FAULTS, Fault
from penstock.testing.simulate.sections import Sections
from penstock.testing.simulate.trouble import NETWORK, place_of

__all__ = ["check_place", "read_faults"]

# Which keys a kind of fault has besides those of time and share, and the status it has of itself.
_OWN: dict[str, tuple[str, ...]] = {
    "outage": ("at", "status", "retry_after"),
    "brownout": ("at", "status", "retry_after"),
    "throttle": ("at", "status", "retry_after"),
    "slow": ("at", "factor"),
    "late": ("at", "factor", "first_token"),
    "cut": ("at", "after"),
    "stall": ("at", "after"),
    "malformed": ("at", "after"),
    "reset": ("at",),
    "silence": ("at",),
    "revoke": ("at",),
    "exhaust": ("at",),
    "script": ("at", "script"),
    "clock": ("jump",),
    "kill": ("worker",),
    "reload": ("config",),
}
_STATUS = {"outage": 503, "brownout": 529, "throttle": 429}
_TIME = ("fault", "from", "until", "for", "every")
_AT_ONCE = ("clock", "kill", "reload")


def read_faults(
    reader: Sections, node: Node | None, config: Config | None, load: Callable[[Node], Config | None]
) -> tuple[Fault, ...]:
    """`faults:`.

    Args:
        load: reads the configuration that a `reload` names.
    """
    found = [_one(reader, item, config, load) for item in reader.items(node)] if node is not None else []
    return tuple(fault for fault in found if fault is not None)


def _one(reader: Sections, node: Node, config: Config | None, load: Callable[[Node], Config | None]) -> Fault | None:
    fields = reader.fields(node, "fault")
    kind = reader.choice(fields.get("fault"), {word: word for word in FAULTS}, "")
    if not kind:
        return None
    for name in fields:
        shared = name == "share" and kind not in _AT_ONCE
        if name not in _OWN[kind] and name not in _TIME and not shared:
            reader.problems.add(fields[name].key, f"{kind} has no {name} (it has: {', '.join(_OWN[kind])})")
    fault = Fault(
        kind=kind,  # type: ignore[arg-type]
        at=_place(reader, node, fields.get("at"), config) if "at" in _OWN[kind] else "",
        window=reader.window(fields),
        share=reader.share(fields.get("share"), 1.0),
        status=_STATUS.get(kind, 0),
        retry_after=reader.value(fields.get("retry_after"), values.duration, None),
        factor=reader.value(fields.get("factor"), quantities.positive, 1.0),
        first_token=reader.value(fields.get("first_token"), values.positive_duration, None),
        after=reader.share(fields.get("after"), 0.5),
        script=_script(reader, node, fields.get("script")) if kind == "script" else "",
        jump=reader.value(fields.get("jump"), quantities.jump, 0.0),
        worker=reader.whole(fields.get("worker"), 1, 64, 1),
    )
    if kind in ("slow", "late") and "factor" not in fields and "first_token" not in fields:
        fault = msgspec.structs.replace(fault, factor=10.0)
    if kind == "clock" and "jump" not in fields:
        reader.problems.add(node.place, "jump is missing: write jump: +1h")
    if kind == "reload":
        fault = msgspec.structs.replace(fault, config=load(fields["config"]) if "config" in fields else config)
    return _with_status(reader, fault, fields.get("status"))


def _with_status(reader: Sections, fault: Fault, node: Node | None) -> Fault:
    if node is None:
        return fault
    if node.value in (NETWORK, "silent"):
        if fault.kind != "outage" or (node.value == NETWORK and fault.share < 1.0):
            reader.problems.add(node.place, f"{node.value} is for a whole outage")
        return msgspec.structs.replace(fault, status=0, code=NETWORK if node.value == NETWORK else "")
    return msgspec.structs.replace(fault, status=reader.whole(node, 400, 599, fault.status))


def _script(reader: Sections, entry: Node, node: Node | None) -> str:
    written = reader.text(node)
    if node is None:
        reader.problems.add(entry.place, "script is missing: write script: no_done")
    try:
        parse_script(written)
    except ScriptError as error:
        assert node is not None
        reader.problems.add(node.place, str(error))
    return written


def _place(reader: Sections, entry: Node, node: Node | None, config: Config | None) -> str:
    if node is None:
        reader.problems.add(entry.place, "at is missing: write at: provider, or at: provider/model")
        return ""
    written = reader.label(node)
    if written and config is not None:
        check_place(reader, node, written, config)
    return written


def check_place(reader: Sections, node: Node, written: str, config: Config) -> None:
    """Note what is wrong with a provider, `provider/model` or `provider#credential` of the configuration."""
    place = place_of(written)
    provider = config.providers.get(place.provider)
    if provider is None:
        near = did_you_mean(place.provider, config.providers) or f" (it has: {', '.join(config.providers)})"
        reader.problems.add(node.place, f"no provider of the configuration is named {quoted(place.provider)}{near}")
    elif not provider.base_url:
        reader.problems.add(node.place, f"{quoted(place.provider)} runs inside Penstock and has no such faults")
    elif place.credential and place.credential not in [each.name for each in provider.credentials]:
        known = ", ".join(each.name for each in provider.credentials) or "none"
        reader.problems.add(
            node.place, f"{place.provider} has no credential named {quoted(place.credential)} (it has: {known})"
        )
