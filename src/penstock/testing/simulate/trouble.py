"""Which faults hit a request at a vendor, and what the vendor is told to do: a script of the simulated provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import msgspec

from penstock.providers.simulated.script import parse_script
from penstock.testing.simulate.scenario import Fault, Window

__all__ = ["NETWORK", "Place", "Troubles", "is_open", "place_of", "settings_of"]

# What happens to the listener, and not to single requests: `outage: refused`.
NETWORK = "refused"
# What vendors say that a script has no word of its own for.
_EXHAUSTED = {"status": 429, "code": "insufficient_quota"}
_REVOKED = {"status": 401}


class Place(msgspec.Struct, frozen=True):
    """`provider/model#credential`, the last two where they are said."""

    provider: str
    model: str = ""
    credential: str = ""


def place_of(written: str) -> Place:
    """What `at:` names."""
    name, _, credential = written.partition("#")
    provider, _, model = name.partition("/")
    return Place(provider, model, credential)


def is_open(window: Window, now: float) -> bool:
    """Whether it holds at that moment of the scenario."""
    if now < window.start:
        return False
    if window.every is None:
        return now < window.end
    return (now - window.start) % window.every < window.end - window.start


class Troubles:
    """The faults of one provider."""

    def __init__(self, faults: Sequence[Fault], random: Random) -> None:
        self._faults = [(fault, place_of(fault.at)) for fault in faults]
        self._random = random

    def of(self, model: str, credential: str, now: float) -> list[Fault]:
        """Those that hit this request, in the order in which they are written."""
        found = []
        for fault, place in self._faults:
            if not is_open(fault.window, now):
                continue
            if (place.model and place.model != model) or (place.credential and place.credential != credential):
                continue
            if fault.share >= 1.0 or self._random.random() < fault.share:
                found.append(fault)
        return found


def settings_of(fault: Fault, pieces: int) -> Mapping[str, Any]:
    """What a fault tells the vendor, as the settings of a script. What it says of speed is not among them.

    Args:
        pieces: in how many the answer is said.
    """
    kind = fault.kind
    if kind in ("outage", "brownout", "throttle"):
        wait = "" if fault.retry_after is None else f"{fault.retry_after:g}s"
        return {"status": fault.status, "code": fault.code, "retry_after": wait} if fault.status else {"silence": True}
    if kind in ("cut", "stall"):
        # Behind the event that opens a stream.
        return {kind: 1 + max(1, round(pieces * fault.after))}
    if kind == "malformed":
        return {"malformed": 1 + max(1, round(pieces * fault.after))}
    if kind == "reset":
        return {"reset": "before_headers"}
    if kind == "silence":
        return {"silence": True}
    if kind == "revoke":
        return _REVOKED
    if kind == "exhaust":
        return _EXHAUSTED
    return parse_script(fault.script) if kind == "script" else {}
