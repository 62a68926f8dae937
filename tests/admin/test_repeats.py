"""Idempotency keys: the second waits for nobody, gets nothing of another's, and may try again after a failure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from penstock.admin.repeats import HEADER, MOST, SECONDS, Repeats
from penstock.admin.rights import Principal
from penstock.errors import Conflict, NotFound
from penstock.testing import FakeClock

ANN, BOB = Principal("key:ann", "admin"), Principal("key:bob", "admin")


def request(key: str = "one", body: bytes = b"{}", path: str = "/api/v1/keys") -> Request:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(HEADER.encode(), key.encode())],
    }
    made = Request(scope)
    made.state.body = body
    return made


class Counted:
    """Answers with how often it was asked; `gate` holds it up."""

    def __init__(self) -> None:
        self.times = 0
        self.gate: asyncio.Future[None] | None = None

    async def __call__(self, asked: Request) -> Response:
        self.times += 1
        number = self.times
        if self.gate is not None:
            await self.gate
        return Response(str(number).encode(), 201, {"etag": '"1"'})


def test_one_that_is_still_being_answered_is_told_so() -> None:
    async def main() -> None:
        repeats, answer = Repeats(FakeClock()), Counted()
        answer.gate = asyncio.get_running_loop().create_future()
        first = asyncio.ensure_future(repeats.once(request(), ANN, answer))
        while not answer.times:
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        with pytest.raises(Conflict) as told:
            await repeats.once(request(), ANN, answer)
        assert told.value.status == 409
        answer.gate.set_result(None)
        assert (await first).body == b"1"
        again = await repeats.once(request(), ANN, answer)
        assert (again.body, again.headers["etag"], again.headers["idempotency-replayed"]) == (b"1", '"1"', "true")

    asyncio.run(main())


def test_one_that_was_cancelled_or_failed_may_be_sent_again() -> None:
    async def main() -> None:
        repeats, answer = Repeats(FakeClock()), Counted()
        answer.gate = asyncio.get_running_loop().create_future()
        first = asyncio.ensure_future(repeats.once(request(), ANN, answer))
        while not answer.times:
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

        async def fail(asked: Request) -> Response:
            raise NotFound("no tenant")

        with pytest.raises(NotFound):
            await repeats.once(request(), ANN, fail)
        answer.gate = None
        assert (await repeats.once(request(), ANN, answer)).body == b"2"

    asyncio.run(main())


def test_what_differs_is_another_request() -> None:
    async def main() -> None:
        repeats, answer = Repeats(FakeClock()), Counted()
        await repeats.once(request(), ANN, answer)
        for other in (request(body=b'{"name": "a"}'), request(path="/api/v1/limits")):
            with pytest.raises(Conflict) as told:
                await repeats.once(other, ANN, answer)
            assert told.value.status == 422
        assert (await repeats.once(request(), BOB, answer)).body == b"2", "somebody else's key is another one"
        assert (await repeats.once(request("two"), ANN, answer)).body == b"3"

    asyncio.run(main())


def test_answers_are_kept_for_an_hour_and_a_thousand_of_them() -> None:
    async def main() -> None:
        clock, answer = FakeClock(), Counted()
        repeats = Repeats(clock)
        await repeats.once(request(), ANN, answer)
        clock.advance(SECONDS - 1)
        assert (await repeats.once(request(), ANN, answer)).body == b"1"
        clock.advance(1)
        assert (await repeats.once(request(), ANN, answer)).body == b"2"
        for number in range(MOST):
            await repeats.once(request(f"k{number}"), ANN, answer)
        assert len(repeats._kept) <= MOST

    asyncio.run(main())
