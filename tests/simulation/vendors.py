"""The providers of a history: simulated ones whose weather changes, and that note every request that reached them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property

import msgspec

from penstock.clock import Clock
from penstock.providers.simulated import SimulatedProvider
from penstock.providers.simulated.chance import Dice, seed_of
from penstock.providers.simulated.journal import Seen
from penstock.providers.simulated.play import Step
from penstock.providers.simulated.request import begun_in
from penstock.wire.h1 import HttpRequest
from tests.simulation.ways import LONG_SCRIPT
from tests.simulation.weather import SCRIPTS, Spell

__all__ = ["Arrival", "Vendor"]

_LONG = b"at length"
_NUMBER = re.compile(rb"\bask(\d+)\b")
# The same at all: what one says every one says, so that a resumed stream can be joined.
_SEED = 7


class Arrival:
    """One request as a provider saw it.

    Attributes:
        time: when it was there, on the loop's clock.
        ask: the number of the caller's request that it serves.
        spell: the bad weather it met, None for none.
        script: how it was answered.
    """

    def __init__(self, vendor: Vendor, time: float, ask: int, request: HttpRequest, seen: Seen) -> None:
        self.vendor = vendor
        self.time = time
        self.ask = ask
        self.request = request
        self.seen = seen
        self.spell: Spell | None = None
        self.script = ""

    def __repr__(self) -> str:
        return f"<{self.deployment} {self.time:.3f} ask{self.ask} {self.script or 'well'} {self.seen.outcome}>"

    @cached_property
    def credential(self) -> str:
        """The one it came with: `sk-PROVIDER-NAME`."""
        headers = self.request.headers
        given = headers.get(b"authorization", b"") or headers.get(b"x-api-key", b"")
        return given.decode().removeprefix("Bearer ")

    @property
    def pool(self) -> str:
        """The credential's name, "" for the only one."""
        return self.credential.removeprefix(f"sk-{self.vendor.name}-").removeprefix("only")

    @property
    def deployment(self) -> str:
        """As Penstock calls it."""
        return f"{self.vendor.name}/{self.seen.model}" + (f"#{self.pool}" if self.pool else "")

    @cached_property
    def begun(self) -> str:
        """The answer's beginning that it was asked to go on with, "" for none."""
        try:
            messages = msgspec.json.decode(self.request.body)["messages"]
            return begun_in(messages, plain=b"anthropic-version" in self.request.headers)
        except (ValueError, LookupError, TypeError):
            return ""

    @cached_property
    def full_text(self) -> str:
        """What the provider says to this request when all is well; of one that is gone on with, the rest."""
        return self.vendor.say(self.request)


class Vendor(SimulatedProvider):
    """A provider with weather.

    Attributes:
        arrivals: every request that reached it.
        began: the loop's time at which the history's begins.
    """

    def __init__(self, clock: Clock, name: str, base: str, spells: Sequence[Spell]) -> None:
        super().__init__(clock, _SEED, keep=0)
        self.name = name
        self.base = base
        self.began = clock.monotonic()
        self.arrivals: list[Arrival] = []
        self._spells = [spell for spell in spells if spell.vendor == name and spell.kind in SCRIPTS]

    def respond(self, request: HttpRequest, seen: Seen, *, close: bool) -> Iterable[Step]:
        found = _NUMBER.search(request.body)
        arrival = Arrival(self, self.clock.monotonic(), int(found[1]) if found else 0, request, seen)
        self.arrivals.append(arrival)
        arrival.spell = self._meets(arrival)
        if arrival.spell is not None:
            arrival.script = arrival.spell.script
        self.script = ",".join(filter(None, (self._base_without(request, arrival.script), arrival.script)))
        return super().respond(request, seen, close=close)

    def _base_without(self, request: HttpRequest, script: str) -> str:
        """The base's settings but for those that a spell, or the request, makes otherwise."""
        known = {part.partition("=")[0] for part in script.split(",")}
        found: list[str] = []
        for part in (LONG_SCRIPT.split(",") if _LONG in request.body else []) + self.base.split(","):
            name = part.partition("=")[0]
            if name not in known:
                known.add(name)
                found.append(part)
        return ",".join(found)

    def _meets(self, arrival: Arrival) -> Spell | None:
        now = arrival.time - self.began
        for number, spell in enumerate(self._spells):
            if not spell.start <= now < spell.end or spell.credential not in ("", arrival.pool):
                continue
            if spell.share >= 1.0:
                return spell
            # Of the request and its turn alone, so that a history without some of its requests is the same for others.
            turn = sum(1 for other in self.arrivals if other.ask == arrival.ask)
            if Dice(seed_of(number, arrival.ask, turn)).random() < spell.share:
                return spell
        return None

    def say(self, request: HttpRequest) -> str:
        """The text of the answer without any fault."""
        asked = msgspec.json.decode(request.body)
        body = msgspec.json.encode({name: asked[name] for name in asked if name not in ("stream", "stream_options")})
        base = self._base_without(request, "")
        self.script = ",".join(part for part in base.split(",") if part.startswith("tokens"))
        seen = Seen(0.0, "POST", "", {}, b"")
        steps = super().respond(HttpRequest(request.head, body), seen, close=False)
        raw = b"".join(step for step in steps if isinstance(step, bytes)).partition(b"\r\n\r\n")[2]
        answer = msgspec.json.decode(raw)
        if "error" in answer:
            return ""
        if "choices" in answer:
            return answer["choices"][0]["message"]["content"] or ""
        return "".join(part.get("text", "") for part in answer["content"])
