"""Tells somebody: a line in the log, a count, and a signed webhook (`wire/webhook.py`) until it is heard.

What the webhook has still to hear is in the store, so a restart forgets none of it. One message is under way at a
time; one that fails is sent again by the schedule of Standard Webhooks, over three days. Nobody who raises an alert
waits for any of this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from penstock.clock import Clock, Random
from penstock.errors import UpstreamError
from penstock.metrics import Metrics
from penstock.stores.alerts import Alert, AlertBook, Noted
from penstock.stores.sqlite import StoreFailed
from penstock.transport.http import Pool
from penstock.transport.post import Address
from penstock.transport.public import is_public, url_problem
from penstock.wire.webhook import read_secret, webhook_headers

__all__ = ["SCHEDULE", "Alerting", "Webhook"]

log = logging.getLogger("penstock.alerts")

# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: how long after a failed
# sending the next comes, in seconds. The first is at once.
SCHEDULE = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
# By how much longer at most, as a part of it.
JITTER = 0.1
# What one receiver says to wait is not waited for longer.
MOST_WAIT = 86_400.0
# After the store failed.
AGAIN_SECONDS = 5.0
# These tell that the store cannot be written: they cannot wait until they are noted there.
UNNOTED = ("ledger.refused", "ledger.failing")
# Raised and not noted yet, while the store is slow: beyond that they are told in the log alone.
MOST_RAISED = 1_000
_GONE = 410


class Webhook:
    """Where alerts are sent to.

    Args:
        secret: `whsec_` and base64; two, separated by a comma, while one is being replaced.
        declared: the configuration file names it, which may lead anywhere; else it must lead outside.

    Raises:
        ValueError: its URL or its secret cannot be used.
    """

    def __init__(self, url: str, secret: str, *, declared: bool = True) -> None:
        problem = "" if declared else url_problem(url)
        if problem:
            raise ValueError(f"that URL is not called: {problem}")
        self.keys = [read_secret(one) for one in secret.split(",")]
        self.address = Address(url)
        self.admits = None if declared else is_public

    def __repr__(self) -> str:
        return f"<Webhook {self.address.shown}>"


class Alerting:
    """Notes alerts, and sends them.

    Args:
        book: where they are noted.
    """

    def __init__(self, book: AlertBook, clock: Clock, random: Random, metrics: Metrics) -> None:
        self._book = book
        self._clock = clock
        self._random = random
        self._metrics = metrics
        self._raised: list[Alert] = []
        self._webhook: Webhook | None = None
        self._pool: Pool | None = None
        self._stirred, self._due = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Alerting {self._webhook!r}, {len(self._raised)} raised>"

    def begin(self) -> None:
        """Note and send from now on, beginning with what an earlier process left open."""
        loop = asyncio.get_running_loop()
        self._tasks += [
            loop.create_task(self._run(self._note, self._stirred), name="alerts"),
            loop.create_task(self._run(self._send_due, self._due), name="alerts' webhook"),
        ]

    def adopt(self, webhook: Webhook | None) -> None:
        """Send there from now on; None: nowhere."""
        before, self._webhook = self._pool, webhook
        self._pool = Pool(self._clock, admits=webhook.admits) if webhook is not None else None
        if before is not None:
            closing = asyncio.get_running_loop().create_task(before.aclose())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        self._due.set()

    def raise_all(self, alerts: Sequence[Alert]) -> None:
        """Somebody should know; what was told before is not told again."""
        for alert in alerts:
            if len(self._raised) < MOST_RAISED:
                self._raised.append(alert)
            else:
                log.warning("%s", alert.text)
                self._metrics.alert_deliveries.inc(("dropped",))
        if alerts:
            self._stirred.set()

    async def aclose(self, patience: float = 0.0) -> None:
        """Note what was raised, and send no more: what is due now only if that takes no more than so many seconds."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        try:
            if tasks or self._closing:
                await asyncio.wait([*tasks, *self._closing])
            with suppress(StoreFailed):
                await self._note()
                if patience:
                    await self._send_last(patience)
        finally:
            if self._pool is not None:
                await self._pool.aclose()

    async def _send_last(self, patience: float) -> None:
        with suppress(TimeoutError):
            async with self._clock.timeout(patience):
                while await self._send_due() <= 0.0:
                    pass

    async def _run(self, work: Callable[[], Awaitable[float]], stirred: asyncio.Event) -> None:
        """Do that whenever it is stirred, or after as many seconds as it says."""
        while True:
            wait = AGAIN_SECONDS
            stirred.clear()
            try:
                wait = await work()
            except StoreFailed as error:
                log.error("alerts wait: %s", error)
            except Exception:
                log.exception("alerts wait")
            with suppress(TimeoutError):
                async with self._clock.timeout(wait):
                    await stirred.wait()

    async def _note(self) -> float:
        """Note what was raised, and tell what is new of it."""
        raised = self._raised[:]
        if not raised:
            return MOST_WAIT
        try:
            found = await self._book.note(raised, webhook=self._webhook is not None)
        except StoreFailed:
            self._raised = [alert for alert in self._raised if alert.kind not in UNNOTED]
            for alert in raised:
                if alert.kind in UNNOTED:
                    await self._tell_unnoted(alert)
            raise
        del self._raised[: len(raised)]
        for alert, noted in found:
            log.warning("%s", alert.text)
            self._metrics.alerts.inc((alert.kind,))
            if noted.state == "dropped":
                self._metrics.alert_deliveries.inc(("dropped",))
        self._due.set()
        return MOST_WAIT

    async def _tell_unnoted(self, alert: Alert) -> None:
        """What says that nothing can be noted: by the log, and by one try at the webhook."""
        log.warning("%s", alert.text)
        self._metrics.alerts.inc((alert.kind,))
        webhook, pool = self._webhook, self._pool
        if webhook is None or pool is None:
            return
        now = self._clock.wall()
        noted = self._book.made(alert)
        try:
            posted = await webhook.address.post(
                pool, webhook_headers(webhook.keys, noted.id, int(now), noted.body), noted.body, now
            )
        except UpstreamError:
            heard = False
        else:
            heard = 200 <= posted.status < 300
        self._metrics.alert_deliveries.inc(("sent" if heard else "given_up",))

    # --- the webhook

    async def _send_due(self) -> float:
        """Send what is due; seconds until there is more to do."""
        webhook, pool = self._webhook, self._pool
        if webhook is None or pool is None:
            return MOST_WAIT
        for noted in await self._book.due(1):
            await self._send(webhook, pool, noted)
        due = await self._book.next_due()
        return min(MOST_WAIT, max(0.0, due - self._clock.wall())) if due is not None else MOST_WAIT

    async def _send(self, webhook: Webhook, pool: Pool, noted: Noted) -> None:
        now = self._clock.wall()
        headers = webhook_headers(webhook.keys, noted.id, int(now), noted.body)
        after, why = 0.0, ""
        try:
            posted = await webhook.address.post(pool, headers, noted.body, now)
        except UpstreamError as error:
            why = error.message.replace("the provider", "the receiver")
        else:
            if 200 <= posted.status < 300:
                self._metrics.alert_deliveries.inc(("sent",))
                await self._book.sent(noted.id)
                return
            why, after = f"it answers {posted.status}", min(posted.retry_after or 0.0, MOST_WAIT)
            if posted.status == _GONE:
                await self._stop(webhook)
                return
        await self._put_off(webhook, noted, why, after)

    async def _put_off(self, webhook: Webhook, noted: Noted, why: str, after: float) -> None:
        """Send it again later, if it has not been sent too often."""
        last = noted.tries >= len(SCHEDULE)
        self._metrics.alert_deliveries.inc(("given_up" if last else "failed",))
        if last:
            log.error(
                "%s: %s; alert %s is given up after %d times", webhook.address.shown, why, noted.id, noted.tries + 1
            )
            await self._book.failed(noted.id, None)
            return
        wait = max(after, SCHEDULE[noted.tries] * (1 + JITTER * self._random.random()))
        log.warning("%s: %s; alert %s is sent again in %d s", webhook.address.shown, why, noted.id, wait)
        await self._book.failed(noted.id, self._clock.wall() + wait)

    async def _stop(self, webhook: Webhook) -> None:
        """The receiver wants no more (410): nothing is sent there until the configuration is read anew."""
        self._webhook = None
        count = await self._book.give_up()
        self._metrics.alert_deliveries.inc(("given_up",), count)
        log.error(
            "%s wants no more alerts (410): none is sent there until the gateway is reloaded", webhook.address.shown
        )
