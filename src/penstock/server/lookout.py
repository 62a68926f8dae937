"""The lookout: at the supervisor, looks for providers and rehearses deployments before callers need them.

Each has its own time, drawn by chance, so that many gateways do not ask together. What is found goes to the health of
deployments, to the metrics, to the log where somebody has to do something, and is kept for whoever asks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from penstock.clock import Clock, Random
from penstock.config.schema import Config
from penstock.gateway import Shared
from penstock.gateway.probing import Probe, Probed
from penstock.gateway.rehearsal import Rehearsal, Rehearsed
from penstock.metrics import Metrics
from penstock.standing import Effect
from penstock.stores.authority import Authority
from penstock.stores.condition import Condition
from penstock.transport.http import Pool

__all__ = ["FALL", "Lookout", "Seen"]

log = logging.getLogger("penstock.lookout")

# So many probes in a row must fail before a provider is left alone (HAProxy's `fall`, and Kubernetes'
# failureThreshold, are 3); one that succeeds brings it back.
FALL = 3
# What the last failed probe says holds for so many intervals: a lookout that has ended keeps nobody away.
HOLDS = 3.0
# The first rehearsal comes within so long, so that a key that never worked is told at once.
FIRST_SECONDS = 60.0
# What was found so lately is told again instead of being asked again.
FRESH_SECONDS = 5.0
# By how much times differ from the interval, as a part of it.
JITTER = 0.1
# What is a deployment's own fault, or its account's: nothing else is known better by one token than by traffic.
_TELLING = ("misconfigured", "credential", "exhausted")


class Seen(msgspec.Struct):
    """How a provider was found.

    Attributes:
        failures: in a row.
        failure: why the last probe failed, "" where it did not.
        refused: names of credentials that it does not take.
        wall: Unix time of the last probe.
    """

    failures: int = 0
    failure: str = ""
    refused: tuple[str, ...] = ()
    wall: float = 0.0


class Lookout:
    """Looks out for the deployments of the configuration it was given last.

    Args:
        health: who decides how deployments stand.
        shared: by what rehearsals are paid and booked; asked for with the first.

    Attributes:
        providers: how each that is probed was found last.
        rehearsed: what came of each deployment's last rehearsal.
    """

    def __init__(
        self, clock: Clock, random: Random, health: Authority, metrics: Metrics,
        shared: Callable[[], Shared] | None = None,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._random = random
        self._health = health
        self._metrics = metrics
        self._shared = shared
        self._pool = Pool(clock)
        self._probes: dict[str, tuple[Probe, float]] = {}
        self._config = Config(source="", providers={})
        self._rehearsal: Rehearsal | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closing: asyncio.Task[None] | None = None
        self.providers: dict[str, Seen] = {}
        self.rehearsed: dict[str, Rehearsed] = {}

    def adopt(self, config: Config) -> None:
        """Look out for these from now on; what was found of those that stay is kept."""
        self._cancel()
        old, self._rehearsal, self._config = self._rehearsal, None, config
        if old is not None:
            self._closing = asyncio.get_running_loop().create_task(old.retire())
        self._probes = Probe.all_of(config, self._pool)
        self.providers = {name: self.providers.get(name, Seen()) for name in self._probes}
        for name, (_, interval) in self._probes.items():
            self._begin(name, interval, interval, self.providers[name].wall, partial(self.probe, name))
        if not any(each.rehearse for each in (config.defaults, *config.models.values())):
            return
        intervals = self._cast().intervals
        self.rehearsed = {id: found for id, found in self.rehearsed.items() if id in intervals}
        for id, every in intervals.items():
            if every is not None:
                known = self.rehearsed.get(id)
                last = known.wall if known is not None else 0.0
                self._begin(id, every, min(every, FIRST_SECONDS), last, partial(self._rehearse, id))

    async def rehearse(self, id: str = "") -> list[Rehearsed]:
        """Rehearse a deployment now, or all that names under `models:` lead to ("").

        What was asked a moment ago is not asked again: a caller in haste spends nothing.

        Raises:
            KeyError: no deployment has that id.
        """
        rehearsal, wall = self._cast(), self._clock.wall()
        ids = [id] if id else list(rehearsal.intervals)
        known = {one: self.rehearsed[one] for one in ids if one in self.rehearsed}
        fresh = {one: told for one, told in known.items() if 0 <= wall - told.wall < FRESH_SECONDS}
        asked = await rehearsal.ask_all([one for one in ids if one not in fresh])
        for one in asked:
            self._tell_rehearsed(one)
        found = fresh | {one.deployment: one for one in asked}
        return [found[one] for one in ids]

    def _cast(self) -> Rehearsal:
        """Who can be asked; made when it is needed first."""
        if self._rehearsal is None:
            self._rehearsal = Rehearsal(
                self._config, self._clock, self._random, self._shared() if self._shared is not None else None
            )
        return self._rehearsal

    async def aclose(self) -> None:
        """Look out no more."""
        tasks = self._cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._pool.aclose()
        if self._rehearsal is not None:
            await self._rehearsal.aclose()

    def _cancel(self) -> list[asyncio.Task[None]]:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        return tasks

    # --- when

    def _begin(
        self, name: str, interval: float, first: float, last: float, look: Callable[[], Awaitable[None]]
    ) -> None:
        """Look again and again; `last` is when that was done before, in Unix time, 0 for never."""
        passed = self._clock.wall() - last
        wait = max(interval - passed, 0.0) if last and passed >= 0 else first * self._random.random()
        self._tasks.append(
            asyncio.get_running_loop().create_task(self._run(wait, interval, look), name=f"lookout {name}")
        )

    async def _run(self, wait: float, interval: float, look: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._clock.sleep(wait)
            try:
                await look()
            except Exception:  # a mistake of ours, and not a reason to look no more
                log.exception("the lookout failed")
            wait = interval * (1 + JITTER * (2 * self._random.random() - 1))

    # --- probes

    async def probe(self, name: str) -> None:
        """Look for a provider now. Raises KeyError where it is not one that is probed."""
        probe, interval = self._probes[name]
        seen = self.providers[name]
        found = await probe.ask()
        now = self._clock.monotonic()
        seen.wall = self._clock.wall()
        down = seen.failures >= FALL
        seen.failure, seen.failures = found.failure, seen.failures + 1 if found.failure else 0
        if seen.failures >= FALL:
            why = f"{seen.failures} probes in a row failed: {found.failure}"
            until = now + HOLDS * interval
            self._health.learnt(name, now, lambda condition: condition.probed(until, why))
            if not down:
                log.warning("provider %s is unreachable: %s. Check it, and the way to it: penstock doctor", name, why)
        elif not found.failure:
            self._health.learnt(name, now, lambda condition: condition.probed(now, ""))
            if down:
                log.warning("provider %s is there again", name)
        self._metrics.probe_up.set(float(seen.failures < FALL), (name,))
        if not found.failure:
            self._judge_keys(name, seen, found, now)

    def _judge_keys(self, name: str, seen: Seen, found: Probed, now: float) -> None:
        refusal = Effect("credential", None, f"refused a probe ({found.status})")

        def tell(condition: Condition) -> None:
            credential = condition.id.rpartition("#")[2] if condition.id.endswith(marks) else ""
            if credential in found.refused:
                condition.credential.failed(now, refusal)
            elif credential in found.accepted:
                condition.credential.accepted()

        marks = tuple(f"#{credential}" for credential in (*found.refused, *found.accepted) if credential)
        self._health.learnt(name, now, tell)
        for credential in found.refused:
            if credential not in seen.refused:
                log.warning("provider %s refuses its credential%s", name, f" {credential}" if credential else "")
        seen.refused = tuple(found.refused)

    # --- rehearsals

    async def _rehearse(self, id: str) -> None:
        if self._health.standing(id, self._clock.monotonic()).state == "isolated":
            return  # what an operator wants to be sent nothing is sent nothing by itself
        # Of one that is isolated its operator wants nothing, not even to know how it is.
        if self._health.standing(id, self._clock.monotonic()).state != "isolated":
            self._tell_rehearsed(await self._cast().ask(id))

    def _tell_rehearsed(self, found: Rehearsed) -> None:
        id, now = found.deployment, self._clock.monotonic()
        before = self.rehearsed.get(id)
        self.rehearsed[id] = found
        self._metrics.rehearsal_ok.set(float(found.ok), (id,))
        if found.cost:
            self._metrics.rehearsal_cost.inc((id,), found.cost / 1e9)
        if not found.ok:
            if found.effect.kind in _TELLING:
                self._health.failed(id, now, found.effect)
            log.warning("rehearsal: %s would not answer: %s: %s %s", id, found.code, found.told, found.do)
        elif before is not None and not before.ok:
            if self._health.standing(id, now).state in ("trial", "misconfigured", "suspended", "exhausted"):
                self._health.tried(id, now, 0, None)
            log.warning("rehearsal: %s answers again", id)
