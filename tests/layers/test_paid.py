"""What was paid for from a deployment's retry quota counts as a retry there, whatever it is called."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.call import Frame, Reply
from penstock.clock import Ids
from penstock.layers.breaker import Breaker
from penstock.layers.timeout import Timeout
from penstock.layers.trace import Opening
from penstock.messages import Caller, Request
from penstock.records import Attempt
from penstock.routing.plan import Candidate, Plan
from penstock.stores.pace import Pace
from penstock.testing import FakeClock, SeededRandom


class Noting:
    """A health that writes down what it is told."""

    def __init__(self) -> None:
        self.sent_firsts = 0
        self.came_back: list[int] = []

    def sent(self, now: float) -> None:
        self.sent_firsts += 1

    def passed(self, now: float, took: float = 0.0, after_retry: int = 0, *, trial: bool = False) -> None:
        self.came_back.append(after_retry)


@pytest.mark.parametrize(
    ("kind", "paid", "retry"),
    [("first", 0, False), ("fallback", 0, False), ("retry", 14, True), ("resume", 14, True), ("resume", 0, False)],
)
def test_by_what_it_took(kind: str, paid: int, retry: bool) -> None:
    clock, health = FakeClock(), Noting()
    record = Opening(Ids(clock, SeededRandom(1)), clock).record("chat")

    async def answer(request: Request) -> Reply:
        request.attempt = Attempt("p/m", clock.monotonic(), clock.monotonic())
        return Reply(200, b"application/json", Frame(b"", lambda _: []))

    async def main() -> None:
        request = Request("openai_chat", "m", False, {}, Caller(), record, kind=kind, paid=paid)
        one: Any = health
        request.candidate = Candidate("p/m", "p/m", 0, None, one, Pace("p/m"))
        request.plan = Plan("m", (request.candidate,), ("p/m",))
        await Breaker(Timeout(answer, clock), clock)(request)

    asyncio.run(main())
    assert health.sent_firsts == (0 if retry else 1)
    assert health.came_back == [paid]
