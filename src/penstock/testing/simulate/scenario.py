"""What a scenario says once it is read: whose configuration runs, under which traffic, and what goes wrong when.

Seconds throughout; times of a scenario count from its beginning. Frozen records, no behaviour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from penstock.config.schema import Config
from penstock.testing.simulate.curves import Rate
from penstock.testing.simulate.spread import Spread

__all__ = ["FAULTS", "Expected", "Fault", "Scenario", "Traffic", "Vendor", "Window"]

FaultKind = Literal[
    "outage", "brownout", "throttle", "slow", "late", "cut", "stall", "reset", "silence", "revoke", "exhaust",
    "malformed", "script", "clock", "kill", "reload",
]  # fmt: skip
FAULTS: tuple[str, ...] = FaultKind.__args__  # type: ignore[attr-defined]

NEVER = float("inf")


class Window(msgspec.Struct, frozen=True):
    """From when until when; with `every`, again after so long."""

    start: float = 0.0
    end: float = NEVER
    every: float | None = None


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Callers of one kind.

    Attributes:
        models: the names they ask for, and each one's part.
        prompt, output: tokens.
        streams: the part of requests whose answer is streamed.
        key: which of the configuration's keys they present; None: none, as calls from a program's own process.
        headers: what they send besides, such as `x-penstock-priority`.
        patience: after how long without an answer they go away.
    """

    name: str
    models: Mapping[str, float]
    rate: Rate
    window: Window = Window()
    prompt: Spread = Spread("fixed", (400.0,))
    output: Spread = Spread("lognormal", (200.0, 800.0))
    streams: float = 1.0
    dialect: Literal["openai_chat", "anthropic_messages"] = "openai_chat"
    key: str | None = None
    headers: Mapping[str, str] = {}
    patience: float | None = None


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider, or one of its models, answers when it is well.

    Attributes:
        first_token: from the request's arrival to the first output.
        speed: tokens a second from then on.
        latency: of the network, one way.
        most: calls at a time; one more is refused with status `over`.
        limit: requests a second that each credential may make, and how many at once; more are refused with 429 and
            `retry-after`.
    """

    first_token: Spread = Spread("lognormal", (0.4, 1.2))
    speed: Spread = Spread("fixed", (80.0,))
    latency: float = 0.01
    most: int | None = None
    over: int = 529
    limit: float | None = None


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that goes wrong.

    Attributes:
        at: which provider, `provider/model`, or either with `#credential`; "" where it is about the gateway itself.
        share: the part of requests that it hits.
        status, code, retry_after: of the answer.
        factor: how many times as slow.
        first_token: how long the first output takes.
        after: the part of the answer that comes before.
        script: what the simulated provider is told (`providers/simulated/script.py`).
        jump: seconds that the clock on the wall is moved by.
        worker: which one ends.
        config: what is loaded instead; None: the same again.
    """

    kind: FaultKind
    at: str = ""
    window: Window = Window()
    share: float = 1.0
    status: int = 0
    code: str = ""
    retry_after: float | None = None
    factor: float = 1.0
    first_token: float | None = None
    after: float = 0.5
    script: str = ""
    jump: float = 0.0
    worker: int = 1
    config: Config | None = None


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What must come out, or the command fails. None: anything.

    Attributes:
        success: the least part of requests that are answered well.
        first_token_p99, total_p99: the most, in seconds.
        attempts: the most for each request, on average.
        spend: the most dollars an hour.
    """

    success: float | None = None
    first_token_p99: float | None = None
    total_p99: float | None = None
    attempts: float | None = None
    spend: float | None = None


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A whole scenario.

    Attributes:
        source: where it was read from.
        duration: how long callers come; what they asked for is waited for.
        seed: the seed to use where none is given.
        workers: gateways that share the callers.
        vendors: by provider, `provider/model` or `*`.
    """

    source: str
    config: Config
    traffic: tuple[Traffic, ...]
    duration: float = 600.0
    seed: int = 0
    workers: int = 1
    vendors: Mapping[str, Vendor] = {}
    faults: tuple[Fault, ...] = ()
    expect: Expected = Expected()
