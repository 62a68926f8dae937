"""Alerts: told once, whatever restarts in between, and sent until they are heard."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from penstock.clock import Ids
from penstock.gateway.alerting import MOST_RAISED, SCHEDULE, Alerting, Webhook
from penstock.metrics import Metrics
from penstock.stores.alerts import KEEP_SECONDS, MOST_OPEN, Alert, AlertBook
from penstock.stores.sqlite import Database
from penstock.testing import ScriptedUpstream, SeededRandom, SimLoop, run
from penstock.testing.sweep import Cancel, sweep_failures, sweep_scenario
from penstock.wire.webhook import verify

SECRET = "whsec_" + b64encode(b"penstock-test-secret-of-32-bytes").decode()
URL = "http://hooks:9000/T0/very-secret?a=b"
OK = b"HTTP/1.1 204 No Content\r\n\r\n"
DAY = 86_400.0


def answer(status: int, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} X", *lines, "content-length: 0", "", ""]).encode()


def alert(number: int = 1, kind: str = "budget.threshold") -> Alert:
    return Alert(kind, f"budget|acme{number}", "1767225600 800000", f"alert {number}", "acme", {"part": 0.8})


class World:
    """A gateway's alerting, and a receiver."""

    def __init__(self, loop: SimLoop, *replies: Any, db: Database | None = None, webhook: bool = True) -> None:
        self.loop = loop
        self.receiver = ScriptedUpstream(*(replies or (OK,)), clock=loop.clock)
        self.db = db if db is not None else Database(":memory:", inline=True)
        self.metrics = Metrics()
        random = SeededRandom(1)
        self.book = AlertBook(self.db, loop.clock, Ids(loop.clock, random))
        self.alerting = Alerting(self.book, loop.clock, random, self.metrics)
        if webhook:
            self.alerting.adopt(Webhook(URL, SECRET))

    async def __aenter__(self) -> World:
        self.server = await self.loop.create_server(self.receiver.connection, "hooks", 9000)
        self.alerting.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.alerting.aclose()
        self.server.close()
        self.receiver.drop()

    @property
    def ids(self) -> list[str]:
        return [request.headers[b"webhook-id"].decode() for request in self.receiver.requests]

    def delivered(self) -> dict[str, float]:
        return {labels[0]: value for labels, value in self.metrics.alert_deliveries.series.items()}


def play(scene: Callable[[World], Awaitable[None]], *replies: Any, **how: Any) -> None:
    async def main(loop: SimLoop) -> None:
        async with World(loop, *replies, **how) as world:
            await scene(world)

    run(main, max_seconds=100 * DAY)


def test_an_alert_is_told_in_the_log_a_metric_and_a_signed_webhook(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(world: World) -> None:
        world.alerting.raise_all([alert()])
        await world.loop.clock.sleep(1.0)
        (request,) = world.receiver.requests
        headers = {name.decode(): value.decode() for name, value in request.headers.items()}
        assert (request.method, request.path, request.query) == (b"POST", b"/T0/very-secret", b"a=b")
        assert headers["content-type"] == "application/json"
        assert verify(SECRET, headers, request.body, world.loop.clock.wall())
        told = msgspec.json.decode(request.body)
        assert told["type"] == "penstock.budget.threshold"
        assert told["timestamp"] == "2026-01-01T00:00:00Z"
        assert told["data"] == {"subject": "budget|acme1", "tenant": "acme", "text": "alert 1", "part": 0.8}
        assert world.metrics.alerts.series[("budget.threshold",)] == 1
        assert world.delivered() == {"sent": 1}

    with caplog.at_level(logging.WARNING, "penstock.alerts"):
        play(scene)
    assert [record.getMessage() for record in caplog.records] == ["alert 1"]


def test_what_was_told_is_not_told_again_not_even_by_another_process() -> None:
    db = Database(":memory:", inline=True)

    async def scene(world: World) -> None:
        for _ in range(3):
            world.alerting.raise_all([alert(), alert()])
            await world.loop.clock.sleep(1.0)
        world.alerting.raise_all([alert(2)])
        await world.loop.clock.sleep(1.0)

    async def both(loop: SimLoop) -> None:
        seen = []
        for _ in range(2):
            async with World(loop, db=db) as world:
                await scene(world)
            seen.append(len(world.receiver.requests))
        assert seen == [2, 0]

    run(both, max_seconds=100 * DAY)


def test_one_that_fails_is_sent_again_by_the_schedule_and_given_up_after_three_days() -> None:
    async def scene(world: World) -> None:
        began = world.loop.time()
        world.alerting.raise_all([alert()])
        await world.loop.clock.sleep(4 * DAY)
        requests = world.receiver.requests
        assert len(requests) == 1 + len(SCHEDULE) == 10
        assert len(set(world.ids)) == 1
        stamps = [int(request.headers[b"webhook-timestamp"]) for request in requests]
        waits = [after - before for before, after in pairwise(stamps)]
        for wait, planned in zip(waits, SCHEDULE, strict=True):
            assert planned <= wait <= planned * 1.1 + 2
        assert 3 * DAY < sum(waits) < 3.6 * DAY
        for request in requests:
            headers = {name.decode(): value.decode() for name, value in request.headers.items()}
            assert verify(SECRET, headers, request.body, int(headers["webhook-timestamp"]))
        assert world.delivered() == {"failed": 9, "given_up": 1}
        assert world.loop.time() - began == pytest.approx(4 * DAY)

    play(scene, answer(500))


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 418, 503])
def test_what_is_no_success(status: int) -> None:
    async def scene(world: World) -> None:
        world.alerting.raise_all([alert()])
        await world.loop.clock.sleep(20.0)
        # The same address again: no redirect is followed.
        assert [request.path for request in world.receiver.requests] == [b"/T0/very-secret"] * 2
        assert world.delivered() == {"failed": 1, "sent": 1}

    play(scene, answer(status, "location: http://hooks:9000/elsewhere"), OK)


def test_a_receiver_says_how_long_to_wait() -> None:
    async def scene(world: World) -> None:
        world.alerting.raise_all([alert()])
        await world.loop.clock.sleep(119.0)
        assert len(world.receiver.requests) == 1
        await world.loop.clock.sleep(5.0)
        assert len(world.receiver.requests) == 2

    play(scene, answer(429, "retry-after: 120"), OK)


def test_a_receiver_that_hangs_or_is_not_there_is_not_waited_for_long() -> None:
    async def scene(world: World) -> None:
        world.alerting.raise_all([alert(1)])
        await world.loop.clock.sleep(15.5)
        assert world.delivered() == {"failed": 1}
        world.server.close()
        await world.loop.clock.sleep(10.0)
        assert world.delivered() == {"failed": 2}

    play(scene, [(3600.0, OK)])


def test_a_receiver_that_is_gone_gets_nothing_more_until_a_reload() -> None:
    async def scene(world: World) -> None:
        world.alerting.raise_all([alert(number) for number in range(3)])
        await world.loop.clock.sleep(DAY)
        world.alerting.raise_all([alert(7)])
        await world.loop.clock.sleep(DAY)
        assert len(world.receiver.requests) == 1
        assert world.delivered() == {"given_up": 3}
        world.alerting.adopt(Webhook(URL, SECRET))
        world.alerting.raise_all([alert(8)])
        await world.loop.clock.sleep(1.0)
        assert len(world.receiver.requests) == 2

    play(scene, answer(410), OK)


def test_what_was_open_is_sent_by_the_next_process() -> None:
    db = Database(":memory:", inline=True)

    async def main(loop: SimLoop) -> None:
        async with World(loop, answer(500), db=db) as first:
            first.alerting.raise_all([alert()])
            await loop.clock.sleep(1.0)
        # One more was raised, and the process ended in that moment.
        last = World(loop, db=db)
        last.alerting.raise_all([alert(2)])
        await last.alerting.aclose()
        await loop.clock.sleep(60.0)
        async with World(loop, db=db) as second:
            await loop.clock.sleep(1.0)
            assert len(second.receiver.requests) == 2
            assert first.ids[0] in second.ids

    run(main, max_seconds=100 * DAY)


def test_without_a_webhook_the_log_is_told_and_nothing_is_kept_to_be_sent() -> None:
    async def scene(world: World) -> None:
        world.alerting.raise_all([alert()])
        await world.loop.clock.sleep(1.0)
        assert world.metrics.alerts.series[("budget.threshold",)] == 1
        world.alerting.adopt(Webhook(URL, SECRET))
        await world.loop.clock.sleep(1.0)
        assert world.receiver.requests == []
        ((_, noted),) = await world.book.newest(None, 10)
        assert noted.state == "none"

    play(scene, webhook=False)


def test_what_waits_is_bounded() -> None:
    async def scene(world: World) -> None:
        for batch in range(3):
            world.alerting.raise_all([alert(1000 * batch + number) for number in range(MOST_RAISED // 2)])
            await world.loop.clock.sleep(1.0)
        states = [noted.state for _, noted in await world.book.newest(None, 2000)]
        assert states.count("open") == MOST_OPEN
        assert states.count("dropped") == 3 * MOST_RAISED // 2 - MOST_OPEN
        world.alerting.raise_all([alert(10_000 + number) for number in range(MOST_RAISED + 5)])
        assert len(world.alerting._raised) == MOST_RAISED

    play(scene, [(3600.0, OK)])


def test_a_store_that_fails_is_asked_again() -> None:
    db = Database(":memory:", inline=True)

    async def scene(world: World) -> None:
        await db.run(lambda connection: connection.execute("ALTER TABLE alerts RENAME TO away"))
        world.alerting.raise_all([alert()])
        await world.loop.clock.sleep(20.0)
        assert world.receiver.requests == []
        await db.run(lambda connection: connection.execute("ALTER TABLE away RENAME TO alerts"))
        await world.loop.clock.sleep(6.0)
        assert len(world.receiver.requests) == 1

    play(scene, db=db)


def test_nothing_of_the_urls_path_or_the_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(world: World) -> None:
        world.alerting.raise_all([alert()])
        await world.loop.clock.sleep(4 * DAY)
        assert "very-secret" not in repr(world.alerting)

    with caplog.at_level(logging.DEBUG):
        play(scene, answer(500), answer(503), [(3600.0, OK)])
    text = caplog.text
    assert "http://hooks:9000" in text
    assert "very-secret" not in text
    assert SECRET[6:] not in text


@pytest.mark.parametrize(
    ("url", "secret", "declared", "told"),
    [
        (URL, "", True, "empty"),
        (URL, " ", True, "empty"),
        (URL, "whsec_short", True, ""),
        (URL, f"{SECRET},whsec_", True, "0 bytes"),
        ("ftp://hooks", SECRET, True, "https://"),
        ("https://user@hooks", SECRET, True, "user"),
        ("https://", SECRET, True, "https://"),
        (URL, SECRET, False, "https://"),
        ("https://127.0.0.1/", SECRET, False, "public"),
        ("https://[::ffff:169.254.169.254]/", SECRET, False, "public"),
        ("https://metadata.google.internal/", SECRET, False, "inner"),
    ],
)
def test_what_is_no_webhook(url: str, secret: str, declared: bool, told: str) -> None:
    with pytest.raises(ValueError) as refused:
        Webhook(url, secret, declared=declared)
    assert told in str(refused.value)
    assert "very-secret" not in str(refused.value)


def test_one_that_somebody_else_named_leads_nowhere_inside() -> None:
    async def scene(world: World) -> None:
        inner = ScriptedUpstream(OK)
        await world.loop.create_server(inner.connection, "127.0.0.1", 443)
        world.loop.network.names["rebound.dev"] = ["127.0.0.1"]
        world.alerting.adopt(Webhook("https://rebound.dev/", SECRET, declared=False))
        world.alerting.raise_all([alert()])
        await world.loop.clock.sleep(2 * DAY)
        assert inner.received == []
        assert world.delivered()["failed"] > 5

    play(scene)


def test_pages_of_alerts_and_of_one_tenants() -> None:
    async def scene(world: World) -> None:
        others = [Alert("spend.anomaly", "globe", str(number), f"{number}") for number in range(3)]
        world.alerting.raise_all([alert(1), *others, alert(2)])
        await world.loop.clock.sleep(1.0)
        every = await world.book.newest(None, 3)
        rest = await world.book.newest(every[-1][0], 3)
        assert [noted.kind.partition(".")[0] for _, noted in every + rest] == [
            "budget",
            "spend",
            "spend",
            "spend",
            "budget",
        ]
        assert [number for number, _ in every + rest] == [5, 4, 3, 2, 1]
        acme: Sequence[Any] = await world.book.newest(None, 10, "acme")
        assert [number for number, _ in acme] == [5, 1]
        assert await world.book.newest(None, 10, "' OR 1=1 --") == []
        await world.loop.clock.sleep(KEEP_SECONDS + 10)
        await world.book.forget_old()
        assert await world.book.newest(None, 10) == []

    play(scene)


def test_whatever_fails_on_the_way_it_is_heard_in_the_end() -> None:
    """Each operation of the network fails once, in both ways: the message comes, the same one if it comes twice."""

    async def scenario(loop: SimLoop) -> None:
        async with World(loop) as world:
            world.alerting.raise_all([alert()])
            await loop.clock.sleep(600.0)
            assert world.ids
            assert len(set(world.ids)) == 1
            assert await world.book.next_due() is None

    assert sweep_failures(scenario).total() >= 4


def test_a_process_that_ends_at_whichever_await_forgets_nothing() -> None:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        db = Database(":memory:", inline=True)
        first = World(loop, db=db)
        server = await loop.create_server(first.receiver.connection, "hooks", 9000)

        async def notes_and_sends() -> None:
            first.alerting.raise_all([alert()])
            await first.alerting._note()
            await first.alerting._send_due()

        await cancel(notes_and_sends())
        await first.alerting.aclose()
        server.close()
        first.receiver.drop()
        async with World(loop, db=db) as second:
            second.alerting.raise_all([alert()])  # what raised it finds it still so
            await loop.clock.sleep(1.0)
            ids = {*first.ids, *second.ids}
            assert len(ids) == 1
            assert await second.book.next_due() is None
        db.close()

    assert sweep_scenario(scenario) >= 2
