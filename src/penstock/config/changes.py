"""What two configurations differ in, by the names of `penstock.yaml`: what a reload tells of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from penstock.config.schema import Config
from penstock.config.show import describe

__all__ = ["Reloaded", "changed_names"]

# Written as a mapping, or as a list of what has a name: one name for each that differs.
_NAMED = ("providers", "prices", "keys", "tenants")
_BY_FIELD = ("server", "defaults", "log", "alerts")
_WHOLE = ("default_model", "auth", "state", "durability", "retention", "admission", "encryption_key", "layers")


class Reloaded(NamedTuple):
    """What a reload did.

    Attributes:
        source: what was read.
        generation: the configuration's number, which `/readyz` and the metrics tell.
        changed: names of the file under which something is other than before, such as `models.fast`.
    """

    source: str
    generation: int
    changed: list[str]


def changed_names(before: Config, after: Config) -> list[str]:
    """Such as `models.fast`, `server.idle`, `limits`, in alphabetical order; a secret with another value counts.

    Where something stands in the file is no difference, nor is the order of names.
    """
    found: set[str] = set()
    for name in _NAMED:
        found |= _differing(f"{name}.", _by_name(getattr(before, name)), _by_name(getattr(after, name)))
    for name in _BY_FIELD:
        found |= _differing(f"{name}.", _fields(getattr(before, name)), _fields(getattr(after, name)))
    found |= _differing("", *({name: getattr(each, name) for name in _WHOLE} for each in (before, after)))
    # With what they take from `defaults`: a model that leaves all to those is another when they change.
    found |= _differing("models.", *(describe(each)["models"] for each in (before, after)))  # type: ignore[arg-type]
    # A user's own rows of the catalogue lie in `providers/KIND.toml`.
    found |= _differing("providers/", before.kinds, after.kinds)
    found |= _differing("", _rules(before), _rules(after))
    return sorted(found)


def _differing(prefix: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    missing = object()
    return {f"{prefix}{name}" for name in {*before, *after} if before.get(name, missing) != after.get(name, missing)}


def _by_name(listed: Any) -> Mapping[str, Any]:
    return listed if isinstance(listed, Mapping) else {each.name: _anywhere(each) for each in listed}


def _fields(record: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def _anywhere(record: Any) -> Any:
    """The same wherever it stands."""
    return msgspec.structs.replace(record, where="") if record.where else record


def _rules(config: Config) -> dict[str, Any]:
    """Rules have no names of their own."""
    budgets = [each for each in config.rules if each.kind == "budget"]
    return {
        "limits": {each.id: _anywhere(each) for each in config.rules if each.kind != "budget"},
        "budgets": (
            {each.id: _anywhere(each) for each in budgets},
            [_anywhere(each) for each in config.request_budgets],
        ),
    }
