"""The supervisor in virtual time: what it does when workers die, refuse, leave, hang or do not come up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.errors import ConfigError, PenstockError
from penstock.server.posts import BACKOFF, MOST_DEATHS, MOST_SILENT, START_SECONDS
from penstock.server.supervisor import Supervisor
from penstock.stores.centre import (
    CONFIG,
    Counted,
    Drain,
    Draining,
    Finished,
    Leaving,
    Look,
    MemoryChannel,
    Message,
    Publish,
    Refused,
    Report,
    Seen,
    Subscribe,
    Taken,
    memory_pair,
)
from penstock.testing import SimLoop
from penstock.testing.simloop import run

SIM: dict[str, Any] = {"auth": "open", "providers": {"sim": {}}, "server": {"workers": 2, "drain": "5s"}}


def config(**more: Any) -> Config:
    return load_config({**SIM, **more}, {})


class Scripted:
    """A worker that answers the centre as a script says; `channel` is the supervisor's end."""

    def __init__(self, loop: SimLoop, number: int, faults: Sequence[str]) -> None:
        self.loop = loop
        self.number = number
        self.faults = faults
        self.channel, self.end = memory_pair(loop.call_soon)
        self.heard: list[Message] = []
        self.why = ""
        self.killed = False
        self.ended = False
        self.end.open(self.hear, self.on_end)
        self.end.send(Subscribe(CONFIG))

    def hear(self, message: Message) -> None:
        self.heard.append(message)
        if isinstance(message, Publish) and "mute" not in self.faults:
            if f"refuses {message.generation}" in self.faults:
                self.end.send(Refused(CONFIG, message.generation, "no good", "Mend it."))
            else:
                wait = 1.0 if "slow" in self.faults else 0.0
                self.loop.call_later(wait, self.end.send, Taken(CONFIG, message.generation))
        elif isinstance(message, Look) and "mute" not in self.faults:
            self.end.send(Finished([(f"1{self.number}", b"ended")], []))
            self.end.send(Seen(message.look, [(id, b"live") for id in (f"1{self.number}", f"2{self.number}")]))
        elif isinstance(message, Report) and "mute" not in self.faults:
            self.end.send(Counted({"penstock_tokens_total": [(("a", "input"), [1.0])]}, {}, message.report))
        elif isinstance(message, Drain):
            self.end.send(Draining())
            if "lingers" not in self.faults:
                self.loop.call_later(min(message.seconds, 1.0), self.end.close)

    def on_end(self) -> None:
        self.ended = True

    def die(self, why: str = "it was killed by SIGKILL") -> None:
        self.why = why
        self.end.close()

    def kill(self) -> None:
        self.killed = True
        self.die()

    async def gone(self) -> str:
        return self.why


class Cast:
    """Hires scripted workers; `faults` are those of the n-th one."""

    def __init__(self, loop: SimLoop, faults: dict[int, Sequence[str]] | None = None) -> None:
        self.loop = loop
        self.faults = faults or {}
        self.hired: list[Scripted] = []
        self.times: list[float] = []
        self.supervisor = Supervisor(config(), [[], []], loop.clock, self.hire)

    async def start(self) -> None:
        await self.supervisor.begin()
        await self.supervisor.serving()

    async def hire(self, number: int, sockets: Sequence[Any]) -> Scripted:
        self.times.append(self.loop.time())
        faults = self.faults.get(len(self.hired), ())
        self.hired.append(Scripted(self.loop, number, faults))
        if "dies" in faults:
            self.loop.call_soon(self.hired[-1].die)
        return self.hired[-1]

    async def chatter(self) -> None:
        """Have every worker say a word each second, as real ones do."""
        while True:
            for worker in self.hired:
                worker.end.send(Counted({}, {}))
            await self.loop.clock.sleep(1.0)

    async def until_logged(self, caplog: pytest.LogCaptureFixture, words: str) -> None:
        while words not in caplog.text:
            await self.loop.clock.sleep(1.0)

    async def until_hired(self, count: int) -> None:
        await self.supervisor.centre.until(
            lambda: len(self.hired) == count and all(CONFIG in m.generations for m in self.supervisor.centre.members)
        )


def play(main: Callable[[Cast], Any], faults: dict[int, Sequence[str]] | None = None) -> Cast:
    casts: list[Cast] = []

    async def whole(loop: SimLoop) -> None:
        casts.append(Cast(loop, faults))
        await main(casts[0])
        await casts[0].supervisor.aclose()
        assert not casts[0].supervisor.centre.members

    run(whole, leak_free=True)
    return casts[0]


def test_it_starts_drains_and_ends() -> None:
    async def main(cast: Cast) -> None:
        supervisor = cast.supervisor
        await cast.start()
        assert [worker.number for worker in cast.hired] == [0, 1]
        await supervisor.report()
        metrics = supervisor.overview.metrics
        assert metrics.tokens.series == {("a", "input"): 2.0}
        assert metrics.generation.series == {("0",): 1.0, ("1",): 1.0}
        await supervisor.announce_drain(5.0)
        assert all(member.draining for member in supervisor.centre.members)
        await supervisor.drained(5.0)
        assert not any(worker.killed for worker in cast.hired)

    play(main)


def test_a_dead_worker_is_replaced_at_its_post() -> None:
    async def main(cast: Cast) -> None:
        await cast.start()
        cast.hired[1].die()
        await cast.until_hired(3)
        assert cast.hired[2].number == 1
        assert cast.times[2] == cast.times[1], "at once"
        assert cast.supervisor.overview.metrics.restarts.series == {(): 1.0}

    play(main)


def test_one_that_dies_again_and_again_is_given_up() -> None:
    async def main(cast: Cast) -> None:
        await cast.start()
        for deaths in range(1, MOST_DEATHS):
            cast.hired[-1].die("it ended with code 3")
            await cast.until_hired(2 + deaths)
        cast.hired[-1].die("it ended with code 3")
        failure = await cast.supervisor.failed()
        assert "worker 1 died 5 times within 30 s; the last time it ended with code 3" in str(failure)
        waited = [round(after - before, 3) for before, after in zip(cast.times[1:], cast.times[2:], strict=False)]
        assert waited == list(BACKOFF)
        assert cast.hired[0].heard[-1] != Drain(0.0), "the other serves on until it is told"

    play(main)


def test_one_that_dies_now_and_then_is_not() -> None:
    async def main(cast: Cast) -> None:
        await cast.start()
        for deaths in range(1, 3 * MOST_DEATHS):
            await cast.supervisor.report()
            for _ in range(9):  # a worker says something every second
                await cast.loop.clock.sleep(1.0)
                for worker in cast.hired:
                    worker.end.send(Counted({}, {}))
            cast.hired[-1].die()
            await cast.until_hired(2 + deaths)

    play(main)


def test_workers_that_do_not_come_up() -> None:
    async def main(cast: Cast) -> None:
        began = cast.loop.time()
        with pytest.raises(PenstockError, match="did not come up"):
            await cast.start()
        assert cast.loop.time() - began == pytest.approx(START_SECONDS)

    play(main, {1: ["mute", "lingers"]})


def test_a_first_configuration_that_is_refused() -> None:
    async def main(cast: Cast) -> None:
        with pytest.raises(ConfigError, match="no good") as caught:
            await cast.start()
        assert caught.value.do == "Mend it."

    play(main, {0: ["refuses 1"]})


def test_a_reload_that_one_worker_refuses_is_taken_back() -> None:
    async def main(cast: Cast) -> None:
        await cast.start()
        assert await cast.supervisor.adopt(config(default_model="sim/small")) == 2
        assert cast.supervisor.overview.config.default_model == "sim/small"
        with pytest.raises(ConfigError, match="no good"):
            await cast.supervisor.adopt(config(default_model="sim/large"))
        assert cast.supervisor.overview.config.default_model == "sim/small"
        await cast.loop.settle()
        values = [message.value for message in cast.hired[0].heard if isinstance(message, Publish)]
        assert len(values) == 4
        assert values[3] == values[1]

    play(main, {1: ["refuses 3"]})


@pytest.mark.parametrize(
    "change",
    [
        {"server": {**SIM["server"], "listen": "127.0.0.1:9000"}},
        {"server": {**SIM["server"], "workers": 3}},
        {"log": {"to": "none"}},
    ],
)
def test_what_a_reload_cannot_change(change: dict[str, Any]) -> None:
    async def main(cast: Cast) -> None:
        await cast.start()
        with pytest.raises(ConfigError, match="changed"):
            await cast.supervisor.adopt(config(**change))
        assert cast.supervisor.centre.generation(CONFIG) == 1

    play(main)


def test_one_that_asks_to_leave_goes_when_its_successor_serves() -> None:
    async def main(cast: Cast) -> None:
        await cast.start()
        cast.hired[0].end.send(Leaving())
        await cast.until_hired(3)
        await cast.supervisor.centre.until(lambda: len(cast.supervisor.centre.members) == 2)
        assert cast.hired[2].number == 0
        assert cast.hired[0].heard[-1] == Drain(5.0, accepting=False)
        assert cast.supervisor.overview.metrics.restarts.series == {(): 0.0}

    play(main)


def test_all_are_renewed_one_after_another() -> None:
    async def main(cast: Cast) -> None:
        await cast.start()
        await cast.supervisor.renew()
        await cast.supervisor.centre.until(lambda: len(cast.supervisor.centre.members) == 2)
        assert [worker.number for worker in cast.hired] == [0, 1, 0, 1]
        for old in cast.hired[:2]:
            assert old.heard[-1] == Drain(5.0, accepting=False)
        assert cast.supervisor.overview.metrics.restarts.series == {(): 0.0}
        cast.hired[2].die()
        await cast.until_hired(5)
        assert cast.hired[4].number == 0, "a fresh one is looked after like any other"

    play(main)


@pytest.mark.parametrize("fault", ["refuses 1", "mute", "dies"])
@pytest.mark.parametrize("asked", ["all", "one"])
def test_a_worker_stays_where_its_successor_does_not_come_up(
    fault: str, asked: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(cast: Cast) -> None:
        await cast.start()
        if asked == "all":
            with pytest.raises(PenstockError, match="a new one"):
                await cast.supervisor.renew()
        else:
            cast.hired[0].end.send(Leaving())
            talk = cast.loop.create_task(cast.chatter())
            await cast.until_logged(caplog, "worker 0 stays: a new one")
            talk.cancel()
        await cast.loop.settle()
        assert len(cast.hired) == 3, "nothing else was started"
        assert len(cast.supervisor.centre.members) == 2
        for worker in cast.hired[:2]:
            assert not any(isinstance(message, Drain) for message in worker.heard)
        cast.faults.clear()
        await cast.supervisor.renew()
        assert [worker.number for worker in cast.hired[3:]] == [0, 1], "it can be asked again"

    play(main, {2: [fault]})


def test_one_that_dies_while_its_successor_comes_up() -> None:
    async def main(cast: Cast) -> None:
        await cast.start()
        renewing = cast.loop.create_task(cast.supervisor.renew())
        await cast.supervisor.centre.until(lambda: len(cast.hired) == 3)
        cast.hired[0].die()
        await renewing
        await cast.supervisor.centre.until(lambda: len(cast.supervisor.centre.members) == 2)
        assert [worker.number for worker in cast.hired] == [0, 1, 0, 0, 1]
        assert cast.hired[2].ended, "there was another one before it was ready"
        assert not cast.hired[3].ended

    play(main, {2: ["slow"]})


def test_a_replacement_that_cannot_come_up_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def main(cast: Cast) -> None:
        await cast.start()
        cast.hired[0].die()
        talk = cast.loop.create_task(cast.chatter())
        await cast.until_logged(caplog, "worker 0 does not come up: no good")
        await cast.until_hired(4)
        talk.cancel()
        assert "died 5 times" not in caplog.text

    play(main, {2: ["refuses 1"]})


def test_one_worker_alone_is_not_renewed() -> None:
    async def whole(loop: SimLoop) -> None:
        cast = Cast(loop)
        cast.supervisor = Supervisor(config(), [[]], loop.clock, cast.hire)
        await cast.start()
        with pytest.raises(PenstockError, match="own process"):
            await cast.supervisor.renew()
        await cast.supervisor.aclose()

    run(whole, leak_free=True)


def test_one_that_is_stuck_is_replaced() -> None:
    async def main(cast: Cast) -> None:
        await cast.start()
        for _ in range(MOST_SILENT + 5):
            cast.hired[1].end.send(Counted({}, {}))
            await cast.loop.clock.sleep(1.0)
        await cast.until_hired(3)
        assert cast.hired[2].number == 0

    play(main)


def test_one_that_outlives_its_patience_is_killed() -> None:
    async def main(cast: Cast) -> None:
        await cast.start()
        began = cast.loop.time()
        await cast.supervisor.announce_drain(5.0)
        await cast.supervisor.drained(5.0)
        assert cast.hired[0].killed
        assert not cast.hired[1].killed
        assert 5.0 < cast.loop.time() - began <= 11.0

    play(main, {0: ["lingers"]})


def test_a_report_does_not_wait_for_one_that_is_mute() -> None:
    async def main(cast: Cast) -> None:
        await cast.start()
        cast.hired[0].faults = ["mute"]
        began = cast.loop.time()
        await asyncio.gather(cast.supervisor.report(), cast.supervisor.report())
        assert cast.loop.time() - began < 1
        assert cast.supervisor.overview.metrics.tokens.series == {("a", "input"): 2.0}

    play(main)


def test_requests_are_found_at_every_worker_and_one_that_has_ended_is_told_so() -> None:
    async def main(cast: Cast) -> None:
        await cast.start()
        supervisor = cast.supervisor
        assert await supervisor.newest("", 3) == [("21", b"live"), ("20", b"live"), ("11", b"ended")]
        assert await supervisor.newest("", 9) == [*await supervisor.newest("", 3), ("10", b"ended")]
        assert [await supervisor.find(id) for id in ("10", "11")] == [b"ended", b"ended"]

    play(main)


def test_requests_of_one_that_is_mute_or_dies_are_not_waited_for() -> None:
    async def main(cast: Cast) -> None:
        await cast.start()
        cast.hired[0].faults = ["mute"]
        began = cast.loop.time()
        found, again = await asyncio.gather(cast.supervisor.newest("", 9), cast.supervisor.newest("", 9))
        assert found == again == [("21", b"live"), ("11", b"ended")]
        assert cast.loop.time() - began < 1
        asked = asyncio.ensure_future(cast.supervisor.newest("", 9))
        cast.loop.call_later(0.1, cast.hired[0].die)
        began = cast.loop.time()
        assert await asked == found
        assert cast.loop.time() - began < 0.2

    play(main)


def test_a_channel_is_no_use_once_closed() -> None:
    async def main(loop: SimLoop) -> None:
        here, there = memory_pair(loop.call_soon)
        heard: list[object] = []
        here.open(heard.append, lambda: heard.append("lost"))
        there.send(Leaving())
        there.close()
        there.close()
        there.send(Leaving())
        await loop.settle()
        assert heard == [Leaving(), "lost"]
        assert isinstance(here, MemoryChannel)

    run(main)
