"""The centre's side of deployments' health: one authority, and all workers that hear from it and ask it."""

from __future__ import annotations

from typing import Protocol

from penstock.clock import Clock
from penstock.stores.authority import Authority
from penstock.stores.health_messages import (
    Adopted,
    Answered,
    AskRetry,
    AskTrial,
    Failed,
    HealthMessage,
    Noted,
    Released,
    Shown,
    Tried,
    Watch,
)
from penstock.stores.message import Message
from penstock.stores.outlook import Outlook

__all__ = ["HealthCentre"]

# Permits expire two missed heartbeats of 5 s after their holder (semantics.md: Leases).
EXPIRY_SECONDS = 10.0


class Listener(Protocol):
    """The channel to a worker."""

    def send(self, message: Message) -> None:
        """Send, without waiting."""


class HealthCentre:
    """Carries workers' words to the authority, and its word to all of them.

    Attributes:
        authority: who decides.
    """

    def __init__(self, authority: Authority, clock: Clock) -> None:
        self.authority = authority
        self._now = clock.monotonic
        self._watchers: dict[Listener, None] = {}
        authority.publish = self._publish

    def received(self, worker: Listener, message: HealthMessage) -> None:
        """A worker says or asks something."""
        authority, now = self.authority, self._now()
        if isinstance(message, Noted):
            for id, sent, passed, refund in message.counts:
                authority.counted(id, now, sent, passed, refund)
        elif isinstance(message, Failed):
            authority.failed(message.id, now, message.effect, worker if message.trial else None)
        elif isinstance(message, Tried):
            authority.tried(message.id, now, message.refund, worker)
        elif isinstance(message, Released):
            authority.release(message.id, worker)
        elif isinstance(message, AskRetry):
            worker.send(Answered(message.number, authority.try_retry(message.id, now, message.cost)))
        elif isinstance(message, AskTrial):
            granted = authority.try_trial(message.id, now, message.life, worker, early=message.early)
            worker.send(Answered(message.number, granted))
        elif isinstance(message, Adopted):
            authority.adopt(message.id, message.credential, message.rules, now, declared=message.declared)
        elif isinstance(message, Watch):
            self._watchers[worker] = None
            for subject in authority.register.subjects():
                outlook = subject.outlook(now)
                if outlook.blocks or outlook.trial:
                    worker.send(_shown(subject.id, outlook, now))

    def left(self, worker: Listener) -> None:
        """A worker is gone."""
        self._watchers.pop(worker, None)
        self.authority.left(worker, self._now() + EXPIRY_SECONDS)

    def _publish(self, subject: str, outlook: Outlook) -> None:
        message = _shown(subject, outlook, self._now())
        for watcher in self._watchers:
            watcher.send(message)


def _shown(subject: str, outlook: Outlook, now: float) -> Shown:
    blocks = [(block.state, block.until - now, block.why) for block in outlook.blocks]
    return Shown(subject, blocks, outlook.trial, now - outlook.since)
