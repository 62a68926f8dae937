"""A user's own layers behind their fence: what they may do, and that their mistakes stay theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from penstock.call import Call, Frame, Layer, Reply, fixed_reply, stack
from penstock.errors import ConfigError, Forbidden, PenstockError
from penstock.layers.own import Own
from penstock.messages import Request
from penstock.testing import FakeClock
from tests.layers.test_layers import Scripted, Whole, request, step

SECRET = "what only the log may hold"


def own(layer: Any, inner: Call, name: str = "mine:Layer") -> Call:
    return stack([lambda call: Own(call, layer, name)], inner)


class Replies:
    """A call whose replies are kept."""

    def __init__(self) -> None:
        self.given: list[Reply] = []

    async def __call__(self, asked: Request) -> Reply:
        self.given.append(Reply(200, b"", Whole(b"x")))
        return self.given[-1]


def calling(work: Callable[[Call, Request], Awaitable[Any]]) -> Layer:
    """A layer that does that with each request."""

    def layer(call: Call) -> Call:
        async def wrapped(asked: Request) -> Any:
            return await work(call, asked)

        return wrapped

    return layer


async def hand_on(call: Call, asked: Request) -> Reply:
    return await call(asked)


# --- what it may do


def test_it_sees_the_request_and_the_reply() -> None:
    seen: list[str] = []

    async def watch(call: Call, asked: Request) -> Reply:
        asked.record.task = "tagged"
        reply = await call(asked)
        reply.tap(lambda frame: seen.append(frame.data.decode()))
        reply.on_end(seen.append, "ended")
        return reply

    asked = request(FakeClock())
    reply = step(own(calling(watch), Replies())(asked))
    step(reply.read())
    reply.close()
    assert (asked.record.task, seen) == ("tagged", ["x", "ended"])


def test_a_class_may_be_one() -> None:
    class Mine:
        def __init__(self, call: Call) -> None:
            self.call = call

        async def __call__(self, asked: Request) -> Reply:
            return await self.call(asked)

    assert step(own(Mine, Scripted(b"x"))(request(FakeClock()))).status == 200


def test_it_may_answer_itself_and_nobody_inside_is_asked() -> None:
    async def answer(call: Call, asked: Request) -> Reply:
        return fixed_reply("From the shelf.", asked.model)

    inner = Scripted(b"x")
    reply = step(own(calling(answer), inner)(request(FakeClock())))
    assert [event.text for event in reply.take().events if event.kind == "text"] == ["From the shelf."]
    assert not inner.asked


def test_an_error_of_ours_passes_in_both_directions(caplog: pytest.LogCaptureFixture) -> None:
    refusal = Forbidden("not on a Sunday")

    async def refuse(call: Call, asked: Request) -> Reply:
        raise refusal

    for layer, inner in ((calling(refuse), Scripted(b"x")), (calling(hand_on), Scripted(refusal))):
        with pytest.raises(Forbidden) as raised:
            step(own(layer, inner)(request(FakeClock())))
        assert raised.value is refusal
    assert not caplog.records


# --- its mistakes


async def fail(call: Call, asked: Request) -> Reply:
    raise ValueError(SECRET)


async def fail_late(call: Call, asked: Request) -> Reply:
    await call(asked)
    raise ValueError(SECRET)


async def no_reply(call: Call, asked: Request) -> Any:
    await call(asked)
    return {"text": SECRET}


@pytest.mark.parametrize("work", [fail, fail_late, no_reply])
def test_a_mistake_is_logged_by_name_and_says_nothing_to_the_caller(
    work: Any, caplog: pytest.LogCaptureFixture
) -> None:
    inner, asked = Replies(), request(FakeClock())
    with pytest.raises(PenstockError) as raised:
        step(own(calling(work), inner)(asked))
    assert (raised.value.status, raised.value.code) == (500, "internal_error")
    assert SECRET not in raised.value.told
    assert asked.record.id in raised.value.told
    (told,) = caplog.records
    assert told.getMessage() == f"request {asked.record.id}: the layer mine:Layer failed"
    assert told.exc_info
    assert all(reply.ended for reply in inner.given), "a connection that nobody gives back"


def test_what_cannot_be_awaited_is_one_too(caplog: pytest.LogCaptureFixture) -> None:
    def plain(call: Call) -> Any:
        return lambda asked: None

    with pytest.raises(PenstockError):
        step(own(plain, Scripted(b"x"))(request(FakeClock())))
    assert "mine:Layer failed" in caplog.text


def test_a_mistake_of_ours_is_blamed_on_no_layer(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(PenstockError) as raised:
        step(own(calling(hand_on), Scripted(ZeroDivisionError("ours")))(request(FakeClock())))
    assert raised.value.code == "internal_error"
    assert [each.getMessage().partition(" ")[2].partition(" ")[2] for each in caplog.records] == [
        "failed inside Penstock"
    ]


def test_a_cancellation_gives_back_what_was_taken() -> None:
    inner = Replies()

    async def wait(call: Call, asked: Request) -> Reply:
        await call(asked)
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def main() -> None:
        task = asyncio.ensure_future(own(calling(wait), inner)(request(FakeClock())))
        waiting = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(waiting.set_result, None)
        await waiting
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [reply.ended for reply in inner.given] == [True]


def test_all_that_it_asked_for_is_closed_where_it_fails() -> None:
    inner = Replies()

    async def twice(call: Call, asked: Request) -> Reply:
        await call(asked)
        await call(asked)
        raise ValueError

    with pytest.raises(PenstockError):
        step(own(calling(twice), inner)(request(FakeClock())))
    assert [reply.ended for reply in inner.given] == [True, True]


# --- what hangs on a reply


def test_a_watcher_that_fails_is_named_and_keeps_nobody_from_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[bytes] = []

    def broken(frame: Frame) -> None:
        raise ValueError

    reply = Reply(200, b"", Whole(b"x", first=b"a"))
    reply.tap(broken)
    reply.tap(lambda frame: seen.append(frame.data))
    assert reply.begin() == b"a"
    assert step(reply.read()).data == b"x"
    assert seen == [b"a", b"x"]
    (told,) = caplog.records
    assert "broken failed" in told.getMessage()


def test_a_hook_that_fails_is_named_and_the_others_are_told(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    def broken(what: str) -> None:
        raise ValueError

    reply = Reply(200, b"", Whole(b"x"))
    reply.on_end(broken, "mine")
    reply.on_end(told.append, "the record's")
    reply.close()
    assert told == ["the record's"]
    assert "broken failed at the end" in caplog.text


# --- as it is made


def test_one_that_fails_as_it_is_made_is_a_wrong_configuration() -> None:
    def broken(call: Call) -> Call:
        raise KeyError("a setting")

    with pytest.raises(ConfigError, match=r"'mine:Layer': it failed as it was made: KeyError: .*test_own\.py:\d+\)"):
        own(broken, Scripted(b"x"))


def test_one_that_gives_no_call_is_too() -> None:
    with pytest.raises(ConfigError, match="it gives a NoneType"):
        own(lambda call: None, Scripted(b"x"))
