"""The steward: at the supervisor, or in a program that has none, has the spending watched, and somebody told.

Where no budget holds and nothing unusual is looked for, it does nothing, and no timer runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from penstock.clock import Clock, Ids, Random
from penstock.config.schema import Config
from penstock.gateway.alerting import Alerting, Webhook
from penstock.gateway.oddities import HISTORY, Oddities, learn
from penstock.gateway.trouble import Trouble
from penstock.gateway.watch import LOOK_SECONDS, Projection, Spending, Watch, describe
from penstock.metrics import Metrics
from penstock.routing.anomaly import WEEK
from penstock.routing.scopes import Rules
from penstock.standing import State
from penstock.stores.alerts import Alert, AlertBook
from penstock.stores.calendar import window_at
from penstock.stores.fullest import Filled, fullest, hourly, largest
from penstock.stores.pressure import PRESSURE, encode_pressures
from penstock.stores.sqlite import Database, StoreFailed

__all__ = ["Steward"]

log = logging.getLogger("penstock.alerts")

# In looks: what is unusual is looked for each minute, what was told long ago is forgotten once a day.
ODDITIES_EVERY = 4
FORGET_EVERY = 5760


class Steward:
    """Watches the books, if there are any.

    Args:
        database: the store; None where nothing is kept. What was told is then forgotten with this process.
        publish: hands out a topic's next generation.

    Attributes:
        book: what was told.
        failures: how often the store could not be written so far.
    """

    def __init__(
        self,
        database: Database | None,
        clock: Clock,
        random: Random,
        metrics: Metrics,
        publish: Callable[[str, bytes], object],
    ) -> None:
        self._database = database
        store = database if database is not None else Database(":memory:", inline=True)
        self._own = store if database is None else None
        self._clock = clock
        self.book = AlertBook(store, clock, Ids(clock, random))
        self._alerting = Alerting(self.book, clock, random, metrics)
        self._publish = publish
        self._watch = Watch(clock, metrics, self._alerting.raise_all, self._press)
        self._oddities = Oddities(clock, self._alerting.raise_all)
        self._trouble = Trouble(clock, self._alerting.raise_all)
        self._states: Callable[[float], Iterable[tuple[str, State]]] = lambda now: ()
        self._metrics = metrics
        self.failures: Callable[[], int] = lambda: 0
        self._standings: list[Spending] = []
        self._config: Config | None = None
        self._task: asyncio.Task[None] | None = None
        self._begun = False
        self._looks = 0

    @property
    def projections(self) -> Mapping[str, Projection]:
        """By account, what is to be expected of it."""
        return self._watch.projections

    def standings(self) -> list[dict[str, Any]]:
        """The accounts of budgets of which a fiftieth or more is spent, the fullest first, as of the last look."""
        known = self._watch.projections
        return [describe(one, known[one.account]) for one in self._standings if one.account in known]

    def look_after(self, states: Callable[[float], Iterable[tuple[str, State]]]) -> None:
        """Have somebody told of deployments that only an operator can mend: how they stand at a monotonic time."""
        self._states = states

    def tell(self, alert: Alert) -> None:
        """Somebody should know of this."""
        self._begin()
        self._alerting.raise_all([alert])

    def adopt(self, config: Config) -> None:
        """Go by this configuration from now on."""
        before = self._config.alerts.webhook if self._config is not None else None
        self._config, webhook = config, config.alerts.webhook
        if webhook is not None:
            self._begin()
        if webhook != before:
            self._alerting.adopt(Webhook(webhook.url, webhook.secret.reveal()) if webhook is not None else None)
        if self._task is None and (webhook is not None or (self._database is not None and self._watches(config))):
            self._begin()
            self._task = asyncio.get_running_loop().create_task(self._run(), name="steward")

    def _watches(self, config: Config) -> bool:
        return config.alerts.anomaly or any(rule.kind == "budget" for rule in config.rules)

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._alerting.begin()

    async def aclose(self, patience: float = 0.0) -> None:
        """Watch no more; what was raised is noted. Before the store is closed.

        Args:
            patience: of whoever does not come back soon: there is a last look, and for so many seconds it is tried to
                send what is told.
        """
        task, self._task = self._task, None
        try:
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
                if patience:
                    await self._look_once()
        finally:
            await self._alerting.aclose(patience)
            if self._own is not None:
                self._own.close()

    async def _run(self) -> None:
        while True:
            await self._look_once()
            await self._clock.sleep(LOOK_SECONDS)

    async def _look_once(self) -> None:
        try:
            await self._look()
        except StoreFailed as error:
            log.warning("spending cannot be watched: %s", error)
        except Exception:
            log.exception("spending cannot be watched")

    async def _look(self) -> None:
        config, database = self._config, self._database
        assert config is not None
        self._looks += 1
        counts = {("loop", labels[0]): times for labels, times in self._metrics.repeats.series.items()}
        scopes = {rule.scope for rule in config.rules if rule.kind == "budget" and rule.hard}
        for (scope, what), times in self._metrics.short.series.items():
            if what == "refused" and scope in scopes:
                counts["budget.refused", scope] = times
        counts["ledger.refused", "journal"] = sum(self._metrics.unwritten.series.values())
        counts["ledger.failing", "store"] = float(self.failures())
        self._trouble.look(self._states(self._clock.monotonic()), counts)
        if database is not None:
            await self._look_at_books(config, database)
        if self._looks % FORGET_EVERY == 0:
            await self.book.forget_old()

    async def _look_at_books(self, config: Config, database: Database) -> None:
        now = self._clock.wall()
        windows = {rule.id: window_at(rule.period, rule.zone, now) for rule in config.rules if rule.kind == "budget"}
        budgets = [(rule, windows[rule.id].start) for rule in config.rules if rule.id in windows]
        filled: list[Filled] = await database.read(lambda connection: fullest(connection, budgets)) if budgets else []
        # Of what a rule is not for, or a more exact one is now, it has nothing to say.
        holds = Rules(config.rules).holds
        spent = (
            Spending(one.rule, one.value, one.window, windows[one.rule.id].end, one.spent)
            for one in filled
            if holds(one.rule, one.value)
        )
        self._standings = sorted(spent, key=lambda one: one.spent / one.rule.limit, reverse=True)
        await self._watch.look_gently(self._standings)
        if config.alerts.anomaly and self._looks % ODDITIES_EVERY == 1:
            await self._look_for_oddities(database)

    async def _look_for_oddities(self, database: Database) -> None:
        oddities = self._oddities
        hour = oddities.hour
        if oddities.known != hour:
            # A week at a time: others ask the store too. And what is usual is reckoned in its thread, beside the loop.
            past: dict[str, dict[int, int]] = {}
            for week in range(hour - HISTORY, hour, WEEK):
                until = min(week + WEEK, hour)
                for name, spends in (await database.read(partial(hourly, since=week, until=until))).items():
                    past.setdefault(name, {}).update(spends)
            oddities.adopt(hour, await database.read(lambda connection: learn(largest(past), hour)))
        now = await database.read(partial(hourly, since=hour, until=hour + 1))
        if oddities.hour == hour:
            oddities.look({name: spends.get(hour, 0) for name, spends in now.items()})

    def _press(self, pressures: Mapping[str, float]) -> None:
        self._publish(PRESSURE, encode_pressures(pressures))
