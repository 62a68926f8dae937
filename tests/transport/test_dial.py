"""From a name to a connection: what is remembered of names, and which address wins."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.errors import Unavailable, UpstreamTimeout
from penstock.testing import Faults, ScriptedUpstream, SimLoop, run
from penstock.transport.dns import Door, Resolver
from penstock.transport.http import Origin, Pool

DOOR = ("provider", 80)
NEVER = Faults(connect_delay=float("inf"))


def resolver(loop: SimLoop) -> tuple[Resolver, list[tuple[Door, frozenset[str]]]]:
    gone: list[tuple[Door, frozenset[str]]] = []
    return Resolver(loop.clock, lambda door, addresses: gone.append((door, addresses))), gone


def test_an_answer_is_kept_for_half_a_minute() -> None:
    async def main(loop: SimLoop) -> None:
        names, _ = resolver(loop)
        loop.network.names["provider"] = ["10.0.0.1"]
        assert await names.addresses(DOOR) == ("10.0.0.1",)
        loop.network.names["provider"] = ["10.0.0.2"]
        await loop.clock.sleep(29)
        assert await names.addresses(DOOR) == ("10.0.0.1",)
        await loop.clock.sleep(1)
        assert await names.addresses(DOOR) == ("10.0.0.2",)

    run(main, leak_free=True)


def test_the_last_answer_serves_while_the_resolver_fails_but_not_for_ever() -> None:
    async def main(loop: SimLoop) -> None:
        names, _ = resolver(loop)
        loop.network.names["provider"] = ["10.0.0.1"]
        await names.addresses(DOOR)
        loop.network.names["provider"] = []
        for _ in range(32):
            await loop.clock.sleep(10)
            assert await names.addresses(DOOR) == ("10.0.0.1",)
        await loop.clock.sleep(10)
        with pytest.raises(OSError, match="not known"):
            await names.addresses(DOOR)
        loop.network.names["provider"] = ["10.0.0.3"]
        assert await names.addresses(DOOR) == ("10.0.0.3",)

    run(main, leak_free=True)


def test_only_an_address_not_named_for_long_is_gone() -> None:
    async def main(loop: SimLoop) -> None:
        names, gone = resolver(loop)
        turns = [["10.0.0.1"], ["10.0.0.2"]]
        for turn in range(20):
            loop.network.names["provider"] = turns[turn % 2]
            await names.addresses(DOOR)
            await loop.clock.sleep(31)
        assert gone == []
        for _ in range(4):
            await names.addresses(DOOR)
            await loop.clock.sleep(31)
        assert gone == [(DOOR, frozenset(turns[0]))]

    run(main, leak_free=True)


def test_the_families_take_turns() -> None:
    async def main(loop: SimLoop) -> None:
        names, _ = resolver(loop)
        loop.network.names["provider"] = ["::a", "::b", "::c", "10.0.0.1", "10.0.0.2"]
        assert await names.addresses(DOOR) == ("::a", "10.0.0.1", "::b", "10.0.0.2", "::c")
        names.prefer(DOOR, "10.0.0.2")
        assert (await names.addresses(DOOR))[0] == "10.0.0.2"
        await loop.clock.sleep(31)
        assert (await names.addresses(DOOR))[:2] == ("10.0.0.2", "::a")

    run(main, leak_free=True)


def test_those_who_ask_together_share_a_question_and_one_may_give_up() -> None:
    class Slow(SimLoop):
        asked = 0

        async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> list[Any]:
            self.asked += 1
            await self.clock.sleep(1)
            return await super().getaddrinfo(host, port, **hints)

    loop = Slow()

    async def main() -> None:
        names, _ = resolver(loop)
        asking = [asyncio.ensure_future(names.addresses(DOOR)) for _ in range(5)]
        await loop.clock.sleep(0.5)
        asking[0].cancel()
        told = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(told[0], asyncio.CancelledError)
        assert len(set(map(str, told[1:]))) == 1
        assert loop.asked == 1
        asking = [asyncio.ensure_future(names.addresses(("other", 1)))]
        await asyncio.sleep(0)
        names.close()
        with pytest.raises(asyncio.CancelledError):
            await asking[0]

    try:
        loop.run_until_complete(main())
        assert loop.leaks() == []
    finally:
        loop.dispose()


class Hanging(SimLoop):
    """Its resolver may stop answering."""

    answers = True

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> list[Any]:
        while not self.answers:
            await self.clock.sleep(10)
        return await super().getaddrinfo(host, port, **hints)


def test_a_resolver_that_hangs_keeps_nobody_from_what_it_said_last() -> None:
    loop = Hanging()

    async def main() -> None:
        names, _ = resolver(loop)
        loop.network.names["provider"] = ["10.0.0.1"]
        await names.addresses(DOOR)
        loop.answers = False
        await loop.clock.sleep(31)
        begun = loop.time()
        assert await names.addresses(DOOR) == ("10.0.0.1",)
        assert loop.time() - begun == pytest.approx(1)  # it is given a moment, once
        assert await names.addresses(DOOR) == ("10.0.0.1",)
        assert loop.time() - begun == pytest.approx(1)
        loop.network.names["provider"] = ["10.0.0.2"]
        loop.answers = True
        await loop.clock.sleep(10)
        assert await names.addresses(DOOR) == ("10.0.0.2",)
        # What is too old is not told: whoever asks waits.
        loop.answers = False
        await loop.clock.sleep(331)
        with pytest.raises(TimeoutError):
            async with loop.clock.timeout(5):
                await names.addresses(DOOR)
        names.close()
        await loop.settle()

    try:
        loop.run_until_complete(main())
        assert loop.leaks() == []
    finally:
        loop.dispose()


@pytest.mark.parametrize("how", ["refused", "dead"])
def test_where_no_address_answers_the_name_is_asked_for_again_soon(how: str) -> None:
    async def main(loop: SimLoop) -> None:
        loop.network.names["provider"] = ["10.0.0.1"]
        if how == "dead":
            loop.network.faults_at["10.0.0.1", 80] = NEVER
        server = await loop.create_server(ScriptedUpstream(b"", clock=loop.clock).connection, "10.0.0.2", 80)
        pool, origin = Pool(loop.clock), Origin("provider", 80)
        with pytest.raises((Unavailable, UpstreamTimeout)):
            await pool.connect(origin, 2.0)
        loop.network.names["provider"] = ["10.0.0.2"]
        with pytest.raises((Unavailable, UpstreamTimeout)):
            await pool.connect(origin, 2.0)  # not at once: that many calls fail is no reason for as many questions
        await loop.clock.sleep(5)
        assert (await pool.connect(origin, 2.0)).address == "10.0.0.2"
        await pool.aclose()
        server.close()

    run(main, leak_free=True)


@pytest.mark.parametrize(
    ("states", "winner", "seconds"),
    [
        (["up", "up"], 0, 0.0),
        (["down", "up"], 1, 0.0),
        (["dead", "up"], 1, 0.25),
        (["dead", "down", "up"], 2, 0.25),
        (["dead", "dead", "dead", "up"], 3, 0.75),
        (["slow", "up"], 1, 0.25),
        (["slow", "dead"], 0, 0.4),
        (["down", "slow"], 1, 0.4),
    ],
)
def test_the_addresses_are_raced(states: list[str], winner: int, seconds: float) -> None:
    async def main(loop: SimLoop) -> None:
        addresses = [f"10.0.0.{number}" for number in range(len(states))]
        loop.network.names["provider"] = addresses
        servers = []
        upstream = ScriptedUpstream(b"", clock=loop.clock)
        for address, state in zip(addresses, states, strict=True):
            if state != "down":
                servers.append(await loop.create_server(upstream.connection, address, 80))
            delay = {"dead": float("inf"), "slow": 0.4}.get(state, 0.0)
            loop.network.faults_at[address, 80] = Faults(connect_delay=delay)
        pool, origin = Pool(loop.clock), Origin("provider", 80)
        begun = loop.time()
        connection = await pool.connect(origin, 5.0)
        assert connection.address == addresses[winner]
        assert loop.time() - begun == pytest.approx(seconds)
        # The losers are gone, and the winner is asked first from now on.
        await loop.clock.sleep(1.0)
        assert (pool.open, pool.opened) == (1, 1)
        begun = loop.time()
        second = await pool.connect(origin, 5.0)
        assert second.address == addresses[winner]
        assert loop.time() - begun <= 0.4
        await pool.aclose()
        for server in servers:
            server.close()

    run(main, leak_free=True)


def test_the_first_failure_is_told_where_all_fail() -> None:
    async def main(loop: SimLoop) -> None:
        loop.network.names["provider"] = ["10.0.0.1", "10.0.0.2"]
        pool = Pool(loop.clock)
        with pytest.raises(Unavailable, match=r"10\.0\.0\.1:80 refused"):
            await pool.connect(Origin("provider", 80), 5.0)
        loop.network.names["nowhere"] = []
        with pytest.raises(Unavailable, match="not known"):
            await pool.connect(Origin("nowhere", 80), 5.0)
        assert pool.open == 0
        await pool.aclose()

    run(main, leak_free=True)


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.3, 0.6])
def test_giving_up_in_a_race_leaves_nothing(moment: float) -> None:
    async def main(loop: SimLoop) -> None:
        loop.network.names["provider"] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
        loop.network.faults = NEVER
        pool = Pool(loop.clock)
        dialling = asyncio.ensure_future(pool.connect(Origin("provider", 80), 5.0))
        await loop.clock.sleep(moment)
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        await loop.settle()
        assert pool.open == 0
        await pool.aclose()

    run(main, leak_free=True)
