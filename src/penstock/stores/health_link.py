"""A worker's side of deployments' health: its healths' desk, with the authority at the other end of a channel.

What fails is told at once, what succeeds a tenth of a second's worth at a time, and before any failure or question of
the same deployment, so that the order is kept. Where nothing happens nothing is sent, and no timer runs. A worker
whose centre is gone, or does not answer in time, may not retry and may not try.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from penstock.clock import Clock, Timer
from penstock.standing import Effect
from penstock.stores.breaker import BreakerRules
from penstock.stores.health import Board, Health
from penstock.stores.health_messages import (
    Adopted,
    Answered,
    AskRetry,
    AskTrial,
    Failed,
    FromHealth,
    Noted,
    Released,
    Shown,
    Tried,
    Watch,
)
from penstock.stores.message import Message
from penstock.stores.outlook import Block, Outlook

__all__ = ["HealthLink"]

NOTE_SECONDS = 0.1
# The centre answers within a millisecond; it may be busy with a reload.
ANSWER_SECONDS = 1.0


class _Question(NamedTuple):
    """One that waits for its answer; `deployment` is whose permit it is about, "" for a retry."""

    answer: asyncio.Future[bool]
    deployment: str


class HealthLink:
    """The desk of one worker.

    Args:
        send: to the centre.
    """

    def __init__(self, send: Callable[[Message], object], clock: Clock) -> None:
        self.board = Board()
        self._send = send
        self._clock = clock
        self._counting: dict[Health, None] = {}
        self._counts: list[tuple[str, int, int, int]] = []
        self._gathering = False
        self._timer: Timer | None = None
        self._questions: dict[int, _Question] = {}
        self._asked = 0
        self._lost = False

    def __repr__(self) -> str:
        return f"<HealthLink, {len(self._questions)} questions open{', the centre is gone' if self._lost else ''}>"

    def watch(self) -> None:
        """Begin: have the centre say how everything stands."""
        self._send(Watch())

    # --- what comes from the centre

    def received(self, message: FromHealth) -> None:
        """The centre says something."""
        if isinstance(message, Shown):
            now = self._clock.monotonic()
            blocks = tuple(Block(state, now + left, why) for state, left, why in message.blocks)
            self.board.show(message.subject, Outlook(blocks, message.trial, now - message.age))
        else:
            self._answered(message)

    def lost(self) -> None:
        """The centre is gone: every question is answered by no, those to come too."""
        self._lost = True
        for question in self._questions.values():
            if not question.answer.done():
                question.answer.set_result(False)
        self._questions.clear()

    def close(self) -> None:
        """Pass on what is still counted; the worker ends."""
        if self._timer is not None:
            self._timer.cancel()
        self._note()

    # --- what goes there

    def adopt(self, health: Health, rules: BreakerRules | None, *, declared: bool) -> None:
        self._send(Adopted(health.id, health.credential, rules, declared))

    def touched(self, health: Health) -> None:
        self._counting[health] = None
        if self._timer is None:
            self._timer = self._clock.call_later(NOTE_SECONDS, self._note)

    def counted(self, health: Health, at: float, sent: int, passed: int, refund: int) -> None:
        self._counts.append((health.id, sent, passed, refund))
        if not self._gathering:
            self._send_counts()

    def failed(self, id: str, now: float, effect: Effect, *, trial: bool) -> None:
        self._send(Failed(id, effect, trial))

    def tried(self, id: str, now: float, refund: int) -> None:
        self._send(Tried(id, refund))

    def release(self, id: str) -> None:
        self._send(Released(id))

    def _note(self) -> None:
        self._timer = None
        counting, self._counting = self._counting, {}
        self._gathering = True
        for health in counting:
            health.flush()
            health.rest()
        self._gathering = False
        self._send_counts()

    def _send_counts(self) -> None:
        if self._counts:
            counts, self._counts = self._counts, []
            self._send(Noted(counts))

    # --- questions

    async def try_retry(self, id: str, cost: int) -> bool:
        return await self._ask(lambda number: AskRetry(number, id, cost), "")

    async def try_trial(self, id: str, life: float, *, early: bool) -> bool:
        return await self._ask(lambda number: AskTrial(number, id, life, early), id)

    async def _ask(self, question: Callable[[int], Message], deployment: str) -> bool:
        if self._lost:
            return False
        self._asked += 1
        number = self._asked
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._questions[number] = _Question(answer, deployment)
        self._send(question(number))
        try:
            async with self._clock.timeout(ANSWER_SECONDS):
                return await answer
        except BaseException as error:
            if answer.done() and not answer.cancelled() and answer.result():
                # It came in the moment in which whoever asked was stopped.
                self._unused(deployment)
            if isinstance(error, TimeoutError):
                return False
            raise

    def _answered(self, message: Answered) -> None:
        question = self._questions.pop(message.number, None)
        if question is None:
            return
        if not question.answer.done():
            question.answer.set_result(message.granted)
        elif message.granted:
            self._unused(question.deployment)

    def _unused(self, deployment: str) -> None:
        """What was granted nobody waits for any more."""
        if deployment:
            self._send(Released(deployment))
