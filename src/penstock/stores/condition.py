"""All that is known of one deployment's health, and of one credential's (semantics.md: the table of signals). Pure.

The authority keeps one `Condition` per deployment and one `Credential` per credential, which all models asked with it
share. What they say is an `Outlook`; what is told to them is how calls ended, and what operators want.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from penstock.standing import Effect, State
from penstock.stores.breaker import Breaker, Position
from penstock.stores.outlook import Block, Outlook
from penstock.stores.quota import Quota

__all__ = ["Condition", "Credential", "Order", "Permit"]

Order = Literal["drain", "isolate", "restore"]

# A credential that is refused, and a model that is not there, are tried again after so long.
SKIP_SECONDS = 60.0
# A quota that does not say when it is there again is looked at once an hour: most are daily or monthly.
EXHAUSTED_SECONDS = 3600.0
# Too many requests without a word about when to come again: so long, doubled while that goes on.
PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 3.0
LONGEST_SECONDS = 86400.0
FOREVER = float("inf")
_STOPPED: dict[Order, Block] = {
    "drain": Block("drained", FOREVER, "drained by an operator"),
    "isolate": Block("isolated", FOREVER, "isolated by an operator"),
}


class Permit:
    """The right to try something, for one call at a time; it lapses."""

    __slots__ = ("_holder", "_until")

    def __init__(self) -> None:
        self._holder: object = None
        self._until = 0.0

    def free(self, now: float) -> bool:
        """Whether nobody has it."""
        return self._holder is None or now >= self._until

    def take(self, now: float, life: float, holder: object) -> None:
        """It is somebody's, for so many seconds at most."""
        self._holder, self._until = holder, now + life

    def shorten(self, until: float, is_holder: Callable[[object], bool]) -> None:
        """Its holder is gone: it lapses then at the latest."""
        if self._holder is not None and is_holder(self._holder):
            self._until = min(self._until, until)

    def give(self, holder: object) -> None:
        """Somebody needs it no more; does nothing if it had lapsed and is another's now."""
        if self._holder == holder:
            self._holder = None


class Skipped:
    """What is skipped for a while, then tried until a call succeeds.

    Attributes:
        why: what happened; "" while nothing is the matter.
    """

    __slots__ = ("state", "until", "why")

    def __init__(self) -> None:
        self.state: State = "ready"
        self.until = 0.0
        self.why = ""

    def begin(self, state: State, until: float, why: str) -> None:
        """Skip it until then; what is skipped already is not skipped for less."""
        if not self.why or until > self.until:
            self.state, self.until, self.why = state, until, why or state

    def end(self) -> None:
        """Nothing is the matter any more."""
        self.state, self.until, self.why = "ready", 0.0, ""

    def block(self, now: float) -> Block | None:
        """What keeps calls off now."""
        return Block(self.state, self.until, self.why) if self.why and self.until > now else None


class Subject:
    """What has an outlook that others are told.

    Attributes:
        id: a deployment's, or a credential's: `provider` or `provider#name`.
        told: the outlook they were told last.
    """

    def __init__(self, id: str) -> None:
        self.id = id
        self.permit = Permit()
        self.skipped = Skipped()
        self.told = Outlook()
        self._state: State = "ready"
        self._changed = 0.0

    def outlook(self, now: float) -> Outlook:
        """How it stands and will stand."""
        outlook = Outlook(self._blocks(now), self._trial(now))
        return outlook._replace(since=self._since(outlook.standing(now).state, now))

    def _blocks(self, now: float) -> tuple[Block, ...]:
        block = self.skipped.block(now)
        return (block,) if block is not None else ()

    def _trial(self, now: float) -> str:
        return self.skipped.why

    def _ends(self) -> tuple[float, ...]:
        return (self.skipped.until,)

    def _since(self, state: State, now: float) -> float:
        """When this state began: at the last word of it, or when the last block ended by itself."""
        if state != self._state:
            self._state = state
            ended = max((end for end in self._ends() if end <= now), default=0.0)
            self._changed = ended if state in ("ready", "trial") and ended > self._changed else now
        return self._changed


class Credential(Subject):
    """One credential of a provider."""

    def failed(self, now: float, effect: Effect) -> None:
        """The provider refused it, or says that its quota is used up."""
        if effect.kind == "exhausted":
            seconds = EXHAUSTED_SECONDS if effect.seconds is None else min(effect.seconds, LONGEST_SECONDS)
            self.skipped.begin("exhausted", now + seconds, effect.why)
        elif self.skipped.block(now) is None:
            # Calls that were under way when the first was refused say nothing new.
            self.skipped.begin("suspended", now + SKIP_SECONDS, effect.why)

    def accepted(self) -> None:
        """The provider took it, without a call: that says nothing about its quota."""
        if self.skipped.state == "suspended":
            self.skipped.end()


class Condition(Subject):
    """One deployment.

    Args:
        chance: draws from [0, 1).
        moved: told where its breaker goes.

    Attributes:
        credential: what it is asked with.
    """

    def __init__(
        self, id: str, credential: Credential, chance: Callable[[], float], moved: Callable[[Position], object]
    ) -> None:
        super().__init__(id)
        self.credential = credential
        self.quota = Quota()
        self.breaker = Breaker(chance, moved)
        self._stopped: Block | None = None
        self._paused = Skipped()
        self._pauses = 0
        self._unreached = Skipped()

    # --- how it stands

    def _blocks(self, now: float) -> tuple[Block, ...]:
        found = [self._stopped, *(each.block(now) for each in (self.skipped, self._paused, self._unreached))]
        if self.breaker.position(now) == "open":
            found.append(Block("open", self.breaker.until, self.breaker.why))
        return tuple(block for block in found if block is not None)

    def _trial(self, now: float) -> str:
        return self.skipped.why or (self.breaker.why if self.breaker.position(now) != "closed" else "")

    def _ends(self) -> tuple[float, ...]:
        return self.skipped.until, self._paused.until, self._unreached.until, self.breaker.until

    # --- what came of calls

    def passed(self, now: float, calls: int, refund: int) -> None:
        """So many calls without a permit succeeded."""
        self.quota.refund(refund)
        self.breaker.passed(now, calls)
        self._unpause(now)

    def failed(self, now: float, effect: Effect, *, trial: bool) -> None:
        """A call failed; what that says of the credential is told to the credential."""
        if effect.kind in ("failure", "slow", "overloaded"):
            if trial:
                self.breaker.tried(now, effect.why or effect.kind)
            else:
                self.breaker.failed(now, effect.why or effect.kind)
        elif effect.kind == "throttled":
            self._pause(now, effect)
        elif effect.kind == "misconfigured" and self.skipped.block(now) is None:
            self.skipped.begin("misconfigured", now + SKIP_SECONDS, effect.why)

    def tried(self, now: float, refund: int) -> None:
        """A call with a permit succeeded."""
        self.quota.refund(refund)
        self.skipped.end()
        self.breaker.tried(now)
        self._unpause(now)

    def probed(self, until: float, why: str) -> None:
        """Its provider was looked for: for that reason it is not to be asked until then; "": it is there."""
        if why:
            self._unreached.begin("unreachable", until, why)
        else:
            self._unreached.end()

    def _pause(self, now: float, effect: Effect) -> None:
        if effect.seconds is not None:
            self._paused.begin("paused", now + min(effect.seconds, LONGEST_SECONDS), effect.why)
        elif self._paused.block(now) is None:
            # Those that were under way when the first was refused do not double it.
            seconds = min(PAUSE_SECONDS * 2.0**self._pauses, MAX_PAUSE_SECONDS)
            self._pauses = min(self._pauses + 1, 10)
            self._paused.begin("paused", now + seconds, effect.why)

    def _unpause(self, now: float) -> None:
        if self._paused.block(now) is None:
            self._pauses = 0

    # --- operators

    def order(self, order: Order, now: float) -> None:
        """What an operator wants holds until it is restored; that also closes the breaker and ends every pause."""
        self._stopped = _STOPPED.get(order)
        if order == "restore":
            self.breaker.close(now)
            self.skipped.end()
            self.credential.skipped.end()
            self._paused.end()
            self._unreached.end()
            self._pauses = 0
