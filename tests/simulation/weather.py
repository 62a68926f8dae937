"""What goes wrong in a history, and when: spells of bad weather at a provider or on the way to it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from penstock.transport.link import Faults, Link

__all__ = ["LINKS", "SCRIPTS", "Spell", "link_faults"]

# How a provider answers in each kind of spell (`penstock.providers.simulated.script`).
SCRIPTS: Mapping[str, tuple[str, ...]] = {
    "outage": ("status=503", "status=500", "reset=before_headers", "status=502"),
    "brownout": ("status=529", "status=503"),
    "storm": ("status=429,retry_after=1", "status=429,retry_after=2", "status=429,retry_after=5", "status=429"),
    "timeout": ("status=504", "status=524"),
    "slow": ("first_token=20s", "first_token=3s", "head=4s"),
    "silent": ("silence",),
    "broken": ("reset=after_headers", "html", "error_in_200", "malformed=1", "error_event=0"),
    "cut": ("cut=4", "cut=2", "stall=4", "error_event=3", "no_finish"),
    "harmless": ("no_done", "split=1", "split=random", "comments", "crlf", "close", "surplus", "usage=none"),
    "refused": ("status=400", "status=422"),
    "credential": ("status=401",),
    "missing": ("status=404,code=model_not_found",),
    "quota": ("status=429,code=insufficient_quota",),
    "too long": ("status=400,code=context_length_exceeded",),
    "filtered": ("status=400,code=content_filter",),
}
# How the way to a provider is in each kind of spell.
LINKS = ("refusing", "lossy", "half open", "crumbs", "far")


class Spell(msgspec.Struct, frozen=True):
    """From `start` to `end` (seconds of the history) something is wrong with one provider.

    Attributes:
        kind: a key of `SCRIPTS`, or one of `LINKS`.
        script: how it answers then; "" where the way to it is at fault.
        share: of how many requests.
        credential: only of those that come with it; "" is any.
    """

    vendor: str
    kind: str
    start: float
    end: float
    script: str = ""
    share: float = 1.0
    credential: str = ""


def link_faults(kind: str) -> Faults:
    """How connections behave that are made in such a spell."""
    if kind == "refusing":
        return Faults(refuse_chance=0.8)
    if kind == "lossy":
        return Faults(up=Link(reset_chance=0.1), down=Link(reset_chance=0.1))
    if kind == "half open":
        return Faults(up=Link(vanish_chance=0.1), down=Link(vanish_chance=0.1))
    if kind == "crumbs":
        return Faults(up=Link(chunking="bytes"), down=Link(chunking="bytes"))
    return Faults(up=Link(latency=0.2, jitter=0.1), down=Link(latency=0.2, jitter=0.1), connect_delay=0.2)
