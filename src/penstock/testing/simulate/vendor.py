"""A simulated vendor: what stands in for one provider of the configuration, with its speed, its limits and its faults.

It speaks HTTP/1.1 as the simulated provider does and is reached over in-memory connections, so that all of the real
path is gone: names, connects, the pool, bytes that are parsed, connections that break. Providers at one origin share a
door and are told apart by the credential that is presented.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

import msgspec

from penstock.clock import Clock
from penstock.providers.simulated.anthropic_api import AnthropicApi, speaks_anthropic
from penstock.providers.simulated.api import Api
from penstock.providers.simulated.chance import Dice
from penstock.providers.simulated.journal import Journal, Seen
from penstock.providers.simulated.openai_api import OpenAIApi
from penstock.providers.simulated.play import Step
from penstock.providers.simulated.script import Script
from penstock.providers.simulated.server import Connection
from penstock.providers.simulated.staging import Stage
from penstock.testing.simulate.answers import Asked, Saying, read_asked, say
from penstock.testing.simulate.scenario import Fault, Vendor
from penstock.testing.simulate.trouble import Troubles, settings_of
from penstock.wire.h1 import HttpRequest

__all__ = ["Door", "SimulatedVendor"]

# What a refusal takes that no model was asked for.
REFUSING_SECONDS = 0.02
# In how many pieces a stream is said. A vendor's hundreds would cost time and change nothing: as many as it takes for
# no timeout to take the silence between two for one, and more where something happens in the middle.
LONGEST_GAP = 3.0
FINE_PIECES = 20
_IN_THE_MIDDLE = ("cut", "stall", "malformed", "script")


class Door:
    """An origin: what listens there.

    Attributes:
        latency: of the way there, in seconds.
        refuses: it takes no connection.
        clock, journal, connections: what a connection needs (`providers/simulated/server.py`).
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.journal = _Visits(self)
        self.connections: dict[Connection, None] = {}
        self.vendors: dict[str, SimulatedVendor] = {}
        self.refuses = False
        self.latency = 0.0
        self._known: dict[str, tuple[SimulatedVendor, str]] = {}

    def add(self, vendor: SimulatedVendor, credentials: Mapping[str, str]) -> None:
        """Have a vendor answer here: whoever presents one of these, and who presents none that is known.

        Args:
            credentials: each one's name, "" where the provider has but one.
        """
        self.vendors[vendor.name] = vendor
        self.latency = vendor.well("").latency
        self._known |= {value: (vendor, name) for value, name in credentials.items()}
        if not credentials:
            self._known.setdefault("", (vendor, ""))

    def connection(self) -> asyncio.Protocol:
        """A protocol for one connection."""
        return Connection(self)

    def close(self) -> None:
        """Drop every connection."""
        for connection in tuple(self.connections):
            connection.abort()

    def respond(self, request: HttpRequest, seen: Seen, *, close: bool) -> Iterable[Step]:
        """The response to a request, as `SimulatedProvider.respond`."""
        headers = request.headers
        given = headers.get(b"x-api-key") or headers.get(b"api-key") or headers.get(b"authorization", b"")
        known = self._known.get(given.decode("latin-1").rpartition(" ")[2]) or self._known.get("")
        vendor, credential = known if known is not None else (next(iter(self.vendors.values())), "")
        seen.script = vendor.name
        vendor.open += 1
        return vendor.respond(request, credential, close=close)


class _Visits(Journal):
    """Tells vendors how many calls run at them."""

    def __init__(self, door: Door) -> None:
        super().__init__(0)
        self._door = door

    def begin(self, seen: Seen) -> None:
        """It is counted once it is known whose it is."""

    def end(self, seen: Seen, outcome: str, time: float, written: int) -> None:
        """It is over."""
        if seen.ended is None and seen.script:
            seen.ended = time
            self._door.vendors[seen.script].open -= 1


class SimulatedVendor:
    """Stands in for one provider.

    Args:
        name: the provider's.
        well: how it answers, by `provider/model`, `provider` or `*`.
        faults: those at this provider.

    Attributes:
        open: calls that run at it.
    """

    def __init__(
        self, name: str, well: Mapping[str, Vendor], faults: Sequence[Fault], clock: Clock, random: Random
    ) -> None:
        self.name = name
        self.open = 0
        self._clock = clock
        self._zero = clock.monotonic()
        self._well = well
        self._random = random
        self._troubles = Troubles(faults, random)
        self._openai, self._anthropic = OpenAIApi(0), AnthropicApi()
        self._ready_at: dict[str, float] = {}

    def well(self, model: str) -> Vendor:
        """How it answers for that model when nothing is wrong."""
        for name in (f"{self.name}/{model}", self.name, "*"):
            found = self._well.get(name)
            if found is not None:
                return found
        return Vendor()

    def respond(self, request: HttpRequest, credential: str, *, close: bool) -> Iterable[Step]:
        """The response to a request that came with that credential."""
        anthropic = speaks_anthropic(request)
        api = self._anthropic if anthropic else self._openai
        try:
            model, stream, asked = read_asked(request.body)
        except msgspec.DecodeError:
            model, stream, asked = "", False, Asked(0, 0, 1)
        well = self.well(model)
        faults = self._troubles.of(model, credential, self._clock.monotonic() - self._zero)
        first, seconds = self._times(well, faults, asked)
        pieces = (
            FINE_PIECES if any(fault.kind in _IN_THE_MIDDLE for fault in faults) else 2 + int(seconds / LONGEST_GAP)
        )
        saying = say(asked, model, self._clock.wall(), anthropic=anthropic, pieces=pieces)
        # A stream's head comes with its first output: what came before it would say nothing.
        settings: dict[str, Any] = {"head": first if stream else first + seconds}
        if saying.pieces > 1:
            settings |= {"between": seconds / (saying.pieces - 1), "burst": 1}
        for fault in faults:
            settings.update(settings_of(fault, saying.pieces))
        if "status" not in settings:
            settings.update(self._limits(well, credential))
        if settings.get("status") or settings.get("error_in_200"):
            settings["head"] = REFUSING_SECONDS + 2 * well.latency
        return self._staged(api, Script(**settings), saying, stream=stream, close=close)

    def _staged(self, api: Api, script: Script, saying: Saying, *, stream: bool, close: bool) -> Iterable[Step]:
        number, model = saying.answer.seed, saying.model
        stage = Stage(script, api.headers(number), Dice(number), close or script.close)
        instead = stage.instead(stream, model)
        if instead is not None:
            return instead
        if script.status or script.error_in_200:
            failure = api.worded(api.failure(script.status or 500, script, model), number)
            return stage.error(failure, 200 if script.error_in_200 else 0)
        if not stream:
            return stage.answer(saying.body(), 1)
        failure = api.worded(api.failure(529 if saying.anthropic else 500, script, model), number)
        return stage.stream(saying.events(finish=not script.no_finish), failure, saying.form)

    def _times(self, well: Vendor, faults: list[Fault], asked: Asked) -> tuple[float, float]:
        """Seconds until the first output, and from there to the end."""
        first, speed = well.first_token.draw(self._random), well.speed.draw(self._random)
        for fault in faults:
            if fault.first_token is not None:
                first = fault.first_token
            first *= fault.factor
            if fault.kind == "slow":
                speed /= fault.factor
        return first + 2 * well.latency, asked.left / speed

    def _limits(self, well: Vendor, credential: str) -> dict[str, Any]:
        """What is said where too many ask at a time, or in a second."""
        if well.most is not None and self.open > well.most:
            return {"status": well.over}
        if well.limit is None:
            return {}
        # GCRA, with one second's worth at once.
        now = self._clock.monotonic()
        ready = max(self._ready_at.get(credential, 0.0), now)
        if ready - now > 1.0:
            return {"status": 429, "retry_after": f"{ready - now - 1.0:.3f}s"}
        self._ready_at[credential] = ready + 1.0 / well.limit
        return {}
