"""Questions from a worker to the centre: one answer each, and nothing left behind whoever stops waiting, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from penstock.errors import Overloaded
from penstock.stores.questions import ANSWER_SECONDS, MOST_OPEN, Answers, Question, Questions, Replied
from penstock.testing import SimLoop, run
from penstock.testing.clock import SimClock
from penstock.testing.sweep import Cancel, sweep_scenario

Topic = Callable[[bytes], Awaitable[bytes | None]]


class Both:
    """A worker and the centre, a turn of the loop apart."""

    def __init__(self, loop: SimLoop, **topics: Topic) -> None:
        self.answers = Answers(loop.clock)
        self.answers.topics |= topics
        self.questions = Questions(
            lambda message: loop.call_soon(lambda: self.answers.received("one", self.told, message)),  # type: ignore[arg-type]
            loop.clock,
        )
        self._loop = loop

    def told(self, message: Any) -> None:
        assert isinstance(message, Replied)
        self._loop.call_soon(self.questions.received, message)

    @property
    def is_calm(self) -> bool:
        return not self.questions._open and not any(self.answers._tasks.values())


async def echo(asked: bytes) -> bytes | None:
    await SimClock(asyncio.get_running_loop()).sleep(0.01)
    return asked.upper() or None


async def silent(asked: bytes) -> bytes | None:
    await asyncio.get_running_loop().create_future()
    return asked


async def broken(asked: bytes) -> bytes | None:
    raise ValueError("no good")


def test_each_gets_its_own_answer() -> None:
    async def main(loop: SimLoop) -> None:
        both = Both(loop, echo=echo)
        told = await asyncio.gather(*(both.questions.ask("echo", b"a%d" % number) for number in range(50)))
        assert told == [b"A%d" % number for number in range(50)]
        assert await both.questions.ask("echo") is None
        await loop.clock.sleep(1.0)
        assert both.is_calm

    run(main, leak_free=True)


@pytest.mark.parametrize(("topic", "seconds"), [("nobody", 0.0), ("broken", 0.0), ("silent", ANSWER_SECONDS)])
def test_without_an_answer(topic: str, seconds: float) -> None:
    async def main(loop: SimLoop) -> None:
        both = Both(loop, broken=broken, silent=silent)
        began = loop.time()
        with pytest.raises(Overloaded) as refused:
            await both.questions.ask(topic, b"x")
        assert refused.value.retry_after == 1.0
        assert loop.time() - began == pytest.approx(seconds, abs=0.01)
        await loop.clock.sleep(1.0)
        assert both.is_calm

    run(main, leak_free=True)


def test_what_is_open_is_bounded_at_both_ends() -> None:
    async def main(loop: SimLoop) -> None:
        both = Both(loop, silent=silent)
        asking = [asyncio.create_task(both.questions.ask("silent")) for _ in range(MOST_OPEN)]
        await loop.clock.sleep(0.1)
        with pytest.raises(Overloaded):
            await both.questions.ask("silent")
        assert len(both.questions._open) == MOST_OPEN
        # A worker that asks more than it may gets no more of the centre.
        for number in range(MOST_OPEN):
            both.answers.received("one", both.told, Question(10_000 + number, "silent", b""))
        assert len(both.answers._tasks["one"]) == MOST_OPEN
        for found in await asyncio.gather(*asking, return_exceptions=True):
            assert isinstance(found, Overloaded)
        assert both.is_calm

    run(main, leak_free=True)


def test_the_centre_is_gone() -> None:
    async def main(loop: SimLoop) -> None:
        both = Both(loop, silent=silent)
        waiting = asyncio.create_task(both.questions.ask("silent"))
        await loop.clock.sleep(0.1)
        both.questions.lost()
        with pytest.raises(Overloaded):
            await waiting
        with pytest.raises(Overloaded):
            await both.questions.ask("silent")
        both.answers.close()
        await loop.clock.sleep(0.0)
        assert both.is_calm

    run(main, leak_free=True)


def test_the_worker_is_gone() -> None:
    async def main(loop: SimLoop) -> None:
        both = Both(loop, silent=silent)
        both.answers.received("one", both.told, Question(1, "silent", b""))
        both.answers.received("two", both.told, Question(1, "silent", b""))
        await loop.clock.sleep(0.1)
        both.answers.left("one")
        await loop.clock.sleep(0.0)
        assert list(both.answers._tasks) == ["two"]
        both.answers.close()
        await loop.clock.sleep(0.0)

    run(main, leak_free=True)


def test_an_answer_that_nobody_waits_for_and_one_that_nobody_asked() -> None:
    async def main(loop: SimLoop) -> None:
        both = Both(loop, echo=echo)
        waiting = asyncio.create_task(both.questions.ask("echo", b"x"))
        await loop.clock.sleep(0.005)
        waiting.cancel()
        both.questions.received(Replied(77, b"late"))
        await loop.clock.sleep(1.0)
        assert both.is_calm
        assert await both.questions.ask("echo", b"y") == b"Y"

    run(main, leak_free=True)


def test_whoever_is_cancelled_at_whichever_await_leaves_nothing() -> None:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        both = Both(loop, echo=echo)

        async def asks() -> None:
            assert await both.questions.ask("echo", b"x") == b"X"

        await cancel(asks())
        assert not both.questions._open
        await loop.clock.sleep(1.0)
        assert both.is_calm

    assert sweep_scenario(scenario) >= 1
