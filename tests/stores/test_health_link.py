"""Workers and their centre: one decides for all, the order is kept, nobody is asked for what success needs not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from penstock.standing import Effect
from penstock.stores.authority import Authority
from penstock.stores.breaker import BreakerRules, Position
from penstock.stores.centre import Centre, Frames, FromCentre, Message, ToCentre, encode_message, memory_pair
from penstock.stores.health import Health
from penstock.stores.health_link import ANSWER_SECONDS, NOTE_SECONDS, HealthLink
from penstock.stores.health_messages import (
    Adopted,
    Answered,
    AskRetry,
    AskTrial,
    Failed,
    FromHealth,
    HealthMessage,
    Noted,
    Released,
    Shown,
    Tried,
    Watch,
)
from penstock.stores.message import Message as Base
from penstock.testing import SimLoop, run

FAILURE = Effect("failure", None, "unavailable (503)")
REFUSED = Effect("credential", None, "upstream_credential (401)")
RULES = BreakerRules()
FOREVER = float("inf")


class Office:
    """A worker's side: a link, its healths, and what it sent. Every message crosses as bytes, as over a socket."""

    def __init__(self, loop: SimLoop, centre: Centre) -> None:
        self.loop = loop
        self.sent: list[Message] = []
        here, self.end = memory_pair(loop.call_soon)
        self.link = HealthLink(self.send, loop.clock)
        self.end.open(self.received, self.link.lost)
        self.deaf = False
        centre.join("0", here)
        self.link.watch()
        self._healths: dict[str, Health] = {}

    def send(self, message: Message) -> None:
        self.sent.append(message)
        (copy,) = Frames(ToCentre).feed(encode_message(message))
        self.end.send(copy)

    def received(self, message: Message) -> None:
        (copy,) = Frames(FromCentre).feed(encode_message(message))
        if not self.deaf:
            self.link.received(copy)  # type: ignore[arg-type]

    def health(self, id: str = "a/m") -> Health:
        if id not in self._healths:
            self.adopt(id, RULES)
        return self._healths[id]

    def adopt(self, id: str, rules: BreakerRules | None) -> None:
        if id not in self._healths:
            self._healths[id] = Health(id, self.link)
        self._healths[id].adopt(id.partition("/")[0], rules)

    def fail(self, times: int = 1, effect: Effect = FAILURE, id: str = "a/m") -> None:
        for _ in range(times):
            self.health(id).sent(self.loop.time())
            self.health(id).failed(self.loop.time(), effect)

    def succeed(self, times: int = 1) -> None:
        for _ in range(times):
            self.health().sent(self.loop.time())
            self.health().passed(self.loop.time(), 0.1)

    def state(self, id: str = "a/m") -> str:
        return self.health(id).standing(self.loop.time()).state

    def die(self) -> None:
        """As a killed process does: not a word more."""
        self.end.close()


class Firm:
    """A centre and its offices."""

    def __init__(self, loop: SimLoop, count: int) -> None:
        self.loop = loop
        self.moves: list[Position] = []
        self.authority = Authority(lambda: 0.5, lambda id, to: self.moves.append(to))
        self.centre = Centre(lambda counts: None, loop.clock, self.authority)
        self.offices = [Office(loop, self.centre) for _ in range(count)]
        for office in self.offices:
            office.health()

    @property
    def states(self) -> list[str]:
        return [office.state() for office in self.offices]

    def hire(self) -> Office:
        self.offices.append(Office(self.loop, self.centre))
        return self.offices[-1]


def play(count: int, main: Callable[[Firm], Awaitable[None]]) -> None:
    async def whole(loop: SimLoop) -> None:
        firm = Firm(loop, count)
        await loop.settle()
        await main(firm)
        for office in firm.offices:
            office.link.close()
            office.die()
        await loop.settle()
        firm.centre.close()

    run(whole, leak_free=True)


def test_failures_of_all_workers_are_one_row_and_all_hear_that_it_is_open() -> None:
    async def main(firm: Firm) -> None:
        for office in [*firm.offices, firm.offices[0]]:
            office.fail()
            await firm.loop.settle()
        assert firm.states == ["open"] * 4
        assert len({office.health().standing(0).until for office in firm.offices}) == 1
        assert {office.health().since for office in firm.offices} == {firm.loop.time()}

    play(4, main)


def test_one_worker_alone_goes_the_same_way() -> None:
    async def main(firm: Firm) -> None:
        (office,) = firm.offices
        office.fail(5)
        assert office.state() == "ready", "it is not the worker that decides"
        await firm.loop.settle()
        assert office.state() == "open"

    play(1, main)


def test_half_open_gives_one_permit_over_all_workers_and_three_successes_close_it_for_all() -> None:
    async def main(firm: Firm) -> None:
        firm.offices[0].fail(5)
        await firm.loop.clock.sleep(5.001)
        assert firm.states == ["trial"] * 4
        for turn in range(3):
            granted = await asyncio.gather(*(office.health().try_trial(20.0) for office in firm.offices))
            assert sorted(granted) == [False, False, False, True]
            firm.offices[granted.index(True)].health().passed(firm.loop.time(), 0.1, trial=True)
            await firm.loop.settle()
            assert firm.states == ["ready" if turn == 2 else "trial"] * 4
        assert firm.moves == ["open", "half_open", "closed"]

    play(4, main)


@pytest.mark.parametrize("life", [3.0, 600.0])
def test_a_permit_whose_worker_died_lapses_with_its_call_or_after_ten_seconds(life: float) -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.offices
        one.fail(5)
        await firm.loop.clock.sleep(5.001)
        assert await one.health().try_trial(life)
        one.die()
        await firm.loop.settle()
        await firm.loop.clock.sleep(min(life, 10.0) - 0.1)
        assert not await other.health().try_trial(15.0)
        await firm.loop.clock.sleep(0.1)
        assert await other.health().try_trial(15.0)

    play(2, main)


def test_a_fresh_worker_knows_at_once_how_everything_stands() -> None:
    async def main(firm: Firm) -> None:
        one = firm.offices[0]
        one.fail(5)
        one.fail(effect=Effect("throttled", 90.0, "rate_limited (429)"), id="a/paused")
        one.fail(effect=REFUSED, id="b/refused")
        firm.authority.adopt("a/gone", "a", RULES, firm.loop.time())
        firm.authority.order("a/gone", "drain", firm.loop.time())
        await firm.loop.clock.sleep(2.0)
        fresh = firm.hire()
        await firm.loop.settle()
        now = firm.loop.time()
        assert fresh.health().standing(now) == one.health().standing(now)
        assert fresh.health().since == one.health().since == now - 2
        assert fresh.health("a/paused").standing(now) == ("paused", now + 88, "rate_limited (429)")
        assert fresh.health("a/gone").standing(now).until == FOREVER
        assert fresh.health("b/refused").standing(now).state == "suspended"
        assert fresh.health("b/other").standing(now).state == "suspended"

    play(1, main)


def test_a_success_before_a_failure_is_told_before_it() -> None:
    async def main(firm: Firm) -> None:
        (office,) = firm.offices
        office.adopt("a/m", BreakerRules(minimum=1000))
        for _ in range(10):
            office.fail(4)
            office.succeed()
        await firm.loop.settle()
        assert office.state() == "ready"
        office.fail(5)
        await firm.loop.settle()
        assert office.state() == "open"

    play(1, main)


def test_what_ends_a_row_is_told_at_once_so_that_another_worker_s_failure_is_no_fifth() -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.offices
        one.fail(4)
        one.succeed()
        await firm.loop.settle()
        other.fail()
        await firm.loop.settle()
        assert firm.states == ["ready", "ready"]

    play(2, main)


def test_successes_cost_a_message_in_a_tenth_of_a_second_and_none_while_nothing_happens() -> None:
    async def main(firm: Firm) -> None:
        (office,) = firm.offices
        before = len(office.sent)
        for _ in range(100):
            office.succeed(10)
            await firm.loop.clock.sleep(0.01)
        await firm.loop.clock.sleep(NOTE_SECONDS)
        said = office.sent[before:]
        assert 9 <= len(said) <= 11
        assert sum(passed for each in said if isinstance(each, Noted) for _, _, passed, _ in each.counts) == 1000
        await firm.loop.clock.sleep(3600)
        assert len(office.sent) == before + len(said)

    play(1, main)


def test_all_of_a_worker_s_deployments_share_a_message() -> None:
    async def main(firm: Firm) -> None:
        (office,) = firm.offices
        for number in range(20):
            office.health(f"a/{number}").passed(firm.loop.time(), 0.1)
        await firm.loop.clock.sleep(1.0)
        noted = [each for each in office.sent if isinstance(each, Noted)]
        assert [len(each.counts) for each in noted] == [20]

    play(1, main)


def test_retries_of_all_workers_come_out_of_one_quota() -> None:
    async def main(firm: Firm) -> None:
        for office in firm.offices:
            office.succeed(50)
        granted = 0
        for office in firm.offices * 20:
            granted += await office.health().try_retry(14)
        assert granted == 20 + 10, "a tenth of 200 requests, and ten saved up"

    play(4, main)


def test_requests_sent_are_told_before_a_retry_is_asked_for() -> None:
    async def main(firm: Firm) -> None:
        (office,) = firm.offices
        office.succeed(400)
        granted = 0
        for _ in range(35):
            granted += await office.health().try_retry(5)
        assert granted == 35

    play(1, main)


def test_whose_centre_is_gone_neither_retries_nor_tries() -> None:
    async def main(firm: Firm) -> None:
        (office,) = firm.offices
        waiting = firm.loop.create_task(office.health().try_trial(10.0))
        office.deaf = True
        await firm.loop.settle()
        office.die()
        await firm.loop.settle()
        assert await waiting is False
        assert not await office.health().try_retry(5)
        assert not await office.health().try_trial(5)

    play(1, main)


def test_who_is_not_answered_in_time_hears_no_and_gives_back_what_comes_late() -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.offices
        one.fail(5)
        await firm.loop.clock.sleep(5.001)
        one.deaf = True
        began = firm.loop.time()
        assert not await one.health().try_trial(500.0)
        assert firm.loop.time() - began == pytest.approx(ANSWER_SECONDS)
        assert not await other.health().try_trial(500.0), "the centre gave it away"
        one.deaf = False
        one.link.received(Answered(1, granted=True))
        await firm.loop.settle()
        assert await other.health().try_trial(500.0)

    play(2, main)


@pytest.mark.parametrize("turns", range(8))
def test_whoever_leaves_while_it_asks_takes_no_permit_along(turns: int) -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.offices
        one.fail(5)
        await firm.loop.clock.sleep(5.001)
        task = firm.loop.create_task(one.health().try_trial(500.0))
        for _ in range(turns):
            await firm.loop.clock.sleep(0)
        late = task.done()
        task.cancel()
        await asyncio.wait((task,))
        if late or not task.cancelled():
            one.health().release_trial()
        await firm.loop.settle()
        assert await other.health().try_trial(500.0)

    play(2, main)


def test_a_reload_closes_nothing_and_forgets_nothing() -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.offices
        one.fail(5)
        await firm.loop.settle()
        for office in firm.offices:
            office.adopt("a/m", BreakerRules(failures=50, open=1.0))
        await firm.loop.settle()
        assert firm.states == ["open", "open"]
        await firm.loop.clock.sleep(4.9)
        assert firm.states == ["open", "open"]
        one.adopt("a/m", None)
        other.adopt("a/m", None)
        await firm.loop.settle()
        assert firm.states == ["ready", "ready"]

    play(2, main)


def test_what_is_adopted_as_it_was_costs_no_word() -> None:
    async def main(firm: Firm) -> None:
        (office,) = firm.offices
        before = len(office.sent)
        for declared in (True, False, True):
            office.health().adopt("a", BreakerRules(), declared=declared)
        assert len(office.sent) == before

    play(1, main)


def test_what_an_operator_wants_reaches_every_worker() -> None:
    async def main(firm: Firm) -> None:
        firm.authority.order("a/m", "isolate", firm.loop.time())
        await firm.loop.settle()
        assert firm.states == ["isolated", "isolated"]
        firm.authority.order("a/m", "restore", firm.loop.time())
        await firm.loop.settle()
        assert firm.states == ["ready", "ready"]

    play(2, main)


MESSAGES: list[Base] = [
    Watch(),
    Adopted("a/m", "a", RULES, declared=True),
    Adopted("a/m", "a", None, declared=False),
    Noted([("a/m", 1, 2, 3)]),
    Failed("a/m", Effect("throttled", 1.5, "why"), trial=True),
    Tried("a/m", 14),
    Released("a/m"),
    AskRetry(1, "a/m", 5),
    AskTrial(1, "a/m", 15.0, early=True),
]


@pytest.mark.parametrize("message", MESSAGES, ids=repr)
def test_what_a_worker_says_crosses_a_socket_as_it_is(message: Base) -> None:
    assert isinstance(message, HealthMessage)
    assert Frames(ToCentre).feed(encode_message(message)) == [message]


@pytest.mark.parametrize(
    "message", [Answered(1, granted=True), Shown("a/m", [("open", 5.0, "x"), ("drained", FOREVER, "y")], "x", 2.0)]
)
def test_what_the_centre_says_crosses_a_socket_as_it_is(message: Base) -> None:
    assert isinstance(message, FromHealth)
    assert Frames(FromCentre).feed(encode_message(message)) == [message]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_no_two_have_a_permit_and_nobody_asks_what_is_open(seed: int) -> None:
    """Four workers with callers of their own, one provider that comes and goes; workers die and are replaced."""
    dice = Random(seed)

    async def main(firm: Firm) -> None:
        trying: dict[int, float] = {}
        broken = [False]

        async def caller(office: Office) -> None:
            while firm.loop.time() < 1120.0 and office in firm.offices:
                await firm.loop.clock.sleep(dice.uniform(0.01, 1.0))
                health, now = office.health(), firm.loop.time()
                trial = False
                if health.blocked and health.standing(now).state != "ready":
                    trial = health.standing(now).state == "trial" and await health.try_trial(3.0)
                    if not trial:
                        continue
                    if firm.authority.standing("a/m", firm.loop.time()).state == "trial":
                        now = firm.loop.time()
                        assert not [until for until in trying.values() if until > now], "two permits"
                        trying[id(health)] = now + 3.0
                await firm.loop.clock.sleep(dice.uniform(0.01, 2.0))
                now = firm.loop.time()
                if trial:
                    trying.pop(id(health), None)
                if broken[0] and dice.random() < 0.8:
                    health.failed(now, FAILURE, trial=trial)
                elif trial and dice.random() < 0.2:
                    health.release_trial()
                else:
                    health.passed(now, 0.1, trial=trial)

        callers = [firm.loop.create_task(caller(office)) for office in firm.offices]
        for _ in range(20):
            await firm.loop.clock.sleep(5.0)
            broken[0] = dice.random() < 0.5
            if dice.random() < 0.3:
                dead = firm.offices.pop(0)
                dead.die()
                trying.pop(id(dead.health()), None)
                callers.append(firm.loop.create_task(caller(firm.hire())))
            await firm.loop.settle()
            now = firm.loop.time()
            assert {office.health().standing(now) for office in firm.offices} == {firm.authority.standing("a/m", now)}
        await firm.loop.clock.sleep(60)
        await asyncio.gather(*callers)

    play(4, main)
