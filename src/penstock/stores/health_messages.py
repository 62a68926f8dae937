"""What workers and the centre tell each other about the health of deployments; carried as `stores/centre.py` says.

Times cross as seconds from now, so that the clocks of both sides need not agree: what is under way makes them a little
longer for whoever must wait.
"""

from __future__ import annotations

from penstock.standing import Effect, State
from penstock.stores.breaker import BreakerRules
from penstock.stores.message import Message

__all__ = [
    "Adopted",
    "Answered",
    "AskRetry",
    "AskTrial",
    "Failed",
    "FromHealth",
    "HealthMessage",
    "Noted",
    "Released",
    "Shown",
    "ToHealth",
    "Tried",
    "Watch",
]


class HealthMessage(Message, frozen=True):
    """What a worker says or asks."""


class Watch(HealthMessage, frozen=True, tag=True):
    """A worker wants to know how everything stands, now and from now on."""


class Adopted(HealthMessage, frozen=True, tag=True):
    """A worker's configuration has that deployment, or a caller asked for it; as `Health.adopt`."""

    id: str
    credential: str
    rules: BreakerRules | None
    declared: bool


class Noted(HealthMessage, frozen=True, tag=True):
    """What a worker counted: per deployment requests sent, successes, and what of the retry quota these return."""

    counts: list[tuple[str, int, int, int]]


class Failed(HealthMessage, frozen=True, tag=True):
    """A call ended badly; `trial`: it went with a permit."""

    id: str
    effect: Effect
    trial: bool


class Tried(HealthMessage, frozen=True, tag=True):
    """A call that went with a permit succeeded."""

    id: str
    refund: int


class Released(HealthMessage, frozen=True, tag=True):
    """A call that went with a permit said nothing."""

    id: str


class AskRetry(HealthMessage, frozen=True, tag=True):
    """May a retry be sent?"""

    number: int
    id: str
    cost: int


class AskTrial(HealthMessage, frozen=True, tag=True):
    """May one call be sent to what is not simply ready?"""

    number: int
    id: str
    life: float
    early: bool


class Answered(Message, frozen=True, tag=True):
    """The answer to the question with that number."""

    number: int
    granted: bool


class Shown(Message, frozen=True, tag=True):
    """How a deployment or a credential stands from now on (`stores/outlook.py`).

    Attributes:
        blocks: each a state, the seconds that it still lasts, and why.
        age: for how many seconds it has stood so.
    """

    subject: str
    blocks: list[tuple[State, float, str]]
    trial: str
    age: float


ToHealth = Watch | Adopted | Noted | Failed | Tried | Released | AskRetry | AskTrial
FromHealth = Answered | Shown
