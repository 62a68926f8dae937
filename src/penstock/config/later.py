"""Which keys each part of the configuration has (`config/keys.py`), and which ones it will have in a later version.

A later key is refused by name rather than ignored: somebody who writes a budget must not believe it holds.
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.config.keys import KEYS

__all__ = ["SECTIONS", "TAKEN", "Section"]


class Section(NamedTuple):
    """The keys of one part: those of this version, and those of later ones."""

    known: tuple[str, ...]
    later: tuple[str, ...] = ()


# Names that may come to stand in more than one place.
TAKEN = frozenset((
    "prompts", "cache", "rules", "redact", "sampling", "caps",
))  # fmt: skip

_LATER: dict[str, tuple[str, ...]] = {
    "config": ("shared", "telemetry", "guardrails"),
    "server": ("http",),
    "provider": ("headers", "quirks", "weight", "timeouts", "retry"),
    "target": ("region", "timeouts"),
    "timeouts": ("throughput",),
    "defaults": ("regions",),
    "log": ("retention",),
}

SECTIONS: dict[str, Section] = {name: Section(tuple(keys), _LATER.get(name, ())) for name, keys in KEYS.items()}
