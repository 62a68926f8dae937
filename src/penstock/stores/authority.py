"""The one place that decides how deployments stand, for all who call them.

In the library it is in the process itself (`stores/health.py`), under `serve` at the centre
(`stores/health_centre.py`). It keeps a `Condition` for each deployment, hears how calls ended, and gives out permits
and retries; whoever has to be told that something stands otherwise now is told by `publish`. Pure but for what it
keeps: time is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from penstock.standing import READY, Effect, Standing, State
from penstock.stores.breaker import BreakerRules, Position
from penstock.stores.condition import Condition, Order, Subject
from penstock.stores.outlook import Outlook, worst
from penstock.stores.quota import CAPACITY, SAVED
from penstock.stores.register import Register

__all__ = ["Account", "Authority"]

_OF_CREDENTIAL = ("credential", "exhausted")


class Account(NamedTuple):
    """What is told of a deployment.

    Attributes:
        since: when it came to stand so, monotonic; 0.0: it always has.
        tokens: what is left of its retry quota's bucket.
        retries: how many retries its requests of the last minute would still carry.
    """

    standing: Standing
    since: float
    tokens: int
    retries: int


def _badness(account: Account) -> tuple[int, float]:
    return _BEST.get(account.standing.state, len(_BEST)), account.standing.until


_BEST = {"ready": 0, "trial": 1}


class Authority:
    """Keeps every deployment's condition.

    Args:
        chance: draws from [0, 1).
        moved: told where which deployment's breaker goes, for the metrics.
        refused: told which deployment was refused a retry.

    Attributes:
        publish: told of each outlook that is another one now, by the deployment's or credential's id.
        register: which deployments there are.
    """

    def __init__(
        self,
        chance: Callable[[], float] = lambda: 0.5,
        moved: Callable[[str, Position], object] = lambda id, position: None,
        refused: Callable[[str], object] = lambda id: None,
    ) -> None:
        self.publish: Callable[[str, Outlook], object] = lambda subject, outlook: None
        self.register = Register(chance, moved)
        self._refused = refused

    def __repr__(self) -> str:
        return f"<Authority over {len(self.register)} deployments>"

    # --- which there are

    def adopt(self, id: str, credential: str, rules: BreakerRules | None, now: float, *, declared: bool = True) -> None:
        """That deployment exists, is asked with that credential and has those rules; nothing is forgotten by it.

        Args:
            credential: the id of what it is asked with; another secret has another id, and begins without a stain.
        """
        condition = self.register.enter(id, credential, declared=declared)
        condition.breaker.rules = rules
        self._look(condition, now)

    def standing(self, id: str, now: float) -> Standing:
        """How a deployment stands, its credential included."""
        condition = self.register.get(id)
        if condition is None:
            return READY
        return worst(condition.outlook(now).standing(now), condition.credential.outlook(now).standing(now))

    def standings(self, now: float) -> Iterator[tuple[str, State]]:
        """In which state each deployment is; of those that no configuration names, only what is out of order."""
        for condition in self.register:
            state = self.standing(condition.id, now).state
            if state != "ready" or not self.register.is_stranger(condition.id):
                yield condition.id, state

    def account(self, name: str, now: float) -> Account:
        """How a deployment stands; of several with that name, which differ by their credential, the one that is best.

        What nobody has called yet stands well.
        """
        accounts = [self._account(condition, now) for condition in self.register.named(name)]
        return min(accounts, key=_badness, default=Account(READY, 0.0, CAPACITY, int(SAVED)))

    def _account(self, condition: Condition, now: float) -> Account:
        outlooks = condition.outlook(now), condition.credential.outlook(now)
        standings = [outlook.standing(now) for outlook in outlooks]
        told = worst(*standings)
        since = max(
            outlook.since for outlook, each in zip(outlooks, standings, strict=True) if each.state == told.state
        )
        return Account(told, since, condition.quota.tokens, condition.quota.left(now))

    # --- what came of calls

    def counted(self, id: str, now: float, sent: int, passed: int, refund: int) -> None:
        """Since the last time so many requests that are no retries were sent, and so many calls succeeded.

        Args:
            refund: what of the retry quota comes back by these successes.
        """
        condition = self.register.get(id)
        if condition is None:
            return
        if sent:
            condition.quota.sent(now, sent)
        if passed:
            condition.passed(now, passed, refund)

    def failed(self, id: str, now: float, effect: Effect, holder: object = None) -> None:
        """A call ended badly; `holder` is who took the permit it went with, None without one."""
        condition = self.register.get(id)
        if condition is None:
            return
        self._look(condition, now)
        self._give(condition, holder)
        condition.failed(now, effect, trial=holder is not None)
        if effect.kind in _OF_CREDENTIAL:
            condition.credential.failed(now, effect)
        self._look(condition, now)

    def tried(self, id: str, now: float, refund: int, holder: object) -> None:
        """A call with a permit succeeded: what it was asked with is well too."""
        condition = self.register.get(id)
        if condition is None:
            return
        self._look(condition, now)
        self._give(condition, holder)
        condition.tried(now, refund)
        condition.credential.skipped.end()
        self._look(condition, now)

    def learnt(self, provider: str, now: float, tell: Callable[[Condition], object]) -> None:
        """Something is known of a provider without a call: `tell` says it to each of its deployments."""
        for condition in self.register:
            if condition.id.partition("/")[0] == provider:
                self._look(condition, now)
                tell(condition)
                self._look(condition, now)

    def release(self, id: str, holder: object) -> None:
        """A call with a permit ended without a word about the deployment."""
        condition = self.register.get(id)
        if condition is not None:
            self._give(condition, holder)

    def left(self, holder: object, until: float) -> None:
        """Somebody is gone who may have had permits: these lapse then at the latest.

        Not at once: what it began may still go on at the other end.
        """
        for subject in self.register.subjects():
            subject.permit.shorten(until, lambda held: isinstance(held, tuple) and held[1] is holder)

    # --- what is given out

    def try_retry(self, id: str, now: float, cost: int) -> bool:
        """Whether a retry may be sent there."""
        condition = self.register.get(id)
        if condition is None:
            return False
        if condition.quota.try_take(now, cost):
            return True
        self._refused(id)
        return False

    def try_trial(self, id: str, now: float, life: float, holder: object, *, early: bool = False) -> bool:
        """Whether one call may be sent to what is not simply ready; its permit lapses after `life` seconds."""
        condition = self.register.get(id)
        if condition is None:
            return False
        self._look(condition, now)
        own, lent = condition.outlook(now), condition.credential.outlook(now)
        state = worst(own.standing(now), lent.standing(now)).state
        if state == "ready":
            return True
        needed = [subject for subject, outlook in ((condition, own), (condition.credential, lent)) if outlook.trial]
        if not all(subject.permit.free(now) for subject in needed):
            return False
        if state != "trial" and not (early and state == "open" and self._try_early(condition, lent, now)):
            return False
        for subject in needed:
            subject.permit.take(now, life, (id, holder))
        condition.breaker.halve(now)
        return True

    def _try_early(self, condition: Condition, lent: Outlook, now: float) -> bool:
        """Where the breaker is all that is in the way."""
        return len(condition.outlook(now).blocks) == 1 and not lent.blocks and condition.breaker.try_early(now)

    # --- operators

    def order(self, name: str, order: Order, now: float) -> list[str]:
        """What an operator wants of a deployment, or of all with that name whatever their credential; their ids."""
        found = self.register.named(name)
        for condition in found:
            self._look(condition, now)
            condition.order(order, now)
            self._look(condition, now)
        return [condition.id for condition in found]

    # --- who hears of it

    def _look(self, condition: Condition, now: float) -> None:
        self._tell(condition, now)
        self._tell(condition.credential, now)

    def _tell(self, subject: Subject, now: float) -> None:
        outlook, told = subject.outlook(now), subject.told
        # What ends by itself need not be told.
        if outlook.trial != told.trial or outlook.blocks != tuple(each for each in told.blocks if each.until > now):
            subject.told = outlook
            self.publish(subject.id, outlook)

    def _give(self, condition: Condition, holder: object) -> None:
        if holder is not None:
            condition.permit.give((condition.id, holder))
            condition.credential.permit.give((condition.id, holder))
