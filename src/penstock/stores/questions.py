"""Questions from a worker to the centre, each with one answer: what a caller asks about itself, and only the centre
knows. Bytes go in and bytes come out; a topic says what they mean.

At both ends what is open is bounded, a worker waits no longer than a second, and whoever stops waiting leaves nothing
behind: the answer that comes all the same is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable

from penstock.clock import Clock
from penstock.errors import Overloaded
from penstock.stores.message import Message

__all__ = ["ANSWER_SECONDS", "MOST_OPEN", "Answers", "Question", "Questions", "Replied", "Topic"]

log = logging.getLogger("penstock.centre")

ANSWER_SECONDS = 1.0
# At a worker, and from a worker at the centre.
MOST_OPEN = 256

Topic = Callable[[bytes], Awaitable[bytes | None]]
"""Answers a topic's questions; None where there is nothing to tell."""


class Question(Message, frozen=True, tag=True):
    """A worker asks something."""

    number: int
    topic: str
    asked: bytes


class Replied(Message, frozen=True, tag=True):
    """The answer to the question with that number; `known`: there is one, and it may be none."""

    number: int
    told: bytes | None
    known: bool = True


class Questions:
    """A worker's side.

    Args:
        send: to the centre.
    """

    def __init__(self, send: Callable[[Message], object], clock: Clock) -> None:
        self._send = send
        self._clock = clock
        self._open: dict[int, asyncio.Future[Replied]] = {}
        self._asked = 0
        self._lost = False

    def __repr__(self) -> str:
        return f"<Questions, {len(self._open)} open{', the centre is gone' if self._lost else ''}>"

    async def ask(self, topic: str, asked: bytes = b"") -> bytes | None:
        """What the centre tells; None where it has nothing to tell.

        Raises:
            Overloaded: too many ask already, or the centre is gone or does not answer.
        """
        if self._lost or len(self._open) >= MOST_OPEN:
            raise _unanswered()
        self._asked += 1
        number = self._asked
        answer: asyncio.Future[Replied] = asyncio.get_running_loop().create_future()
        self._open[number] = answer
        try:
            self._send(Question(number, topic, asked))
            async with self._clock.timeout(ANSWER_SECONDS):
                replied = await answer
        except TimeoutError:
            raise _unanswered() from None
        finally:
            self._open.pop(number, None)
        if not replied.known:
            raise _unanswered()
        return replied.told

    def received(self, message: Replied) -> None:
        """The centre has answered."""
        answer = self._open.pop(message.number, None)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def lost(self) -> None:
        """The centre is gone: whoever waits hears so, and so does who asks from now on."""
        self._lost = True
        for number in list(self._open):
            self.received(Replied(number, None, known=False))


class Answers:
    """The centre's side.

    Attributes:
        topics: who answers, by topic; one that nobody answers is answered by not known.
    """

    def __init__(self, clock: Clock) -> None:
        self.topics: dict[str, Topic] = {}
        self._clock = clock
        self._tasks: dict[Hashable, set[asyncio.Task[None]]] = {}

    def received(self, worker: Hashable, send: Callable[[Message], object], message: Question) -> None:
        """A worker asks."""
        tasks = self._tasks.setdefault(worker, set())
        topic = self.topics.get(message.topic)
        if topic is None or len(tasks) >= MOST_OPEN:
            send(Replied(message.number, None, known=False))
            return
        task = asyncio.get_running_loop().create_task(self._answer(topic, send, message))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def left(self, worker: Hashable) -> None:
        """It is gone: what it asked needs no answer."""
        for task in self._tasks.pop(worker, ()):
            task.cancel()

    def close(self) -> None:
        """Answer nothing more."""
        for worker in list(self._tasks):
            self.left(worker)

    async def _answer(self, topic: Topic, send: Callable[[Message], object], message: Question) -> None:
        replied = Replied(message.number, None, known=False)
        try:
            async with self._clock.timeout(ANSWER_SECONDS):
                replied = Replied(message.number, await topic(message.asked))
        except TimeoutError:
            pass
        except Exception:
            log.exception("a question about %s could not be answered", message.topic)
        send(replied)


def _unanswered() -> Overloaded:
    return Overloaded("that cannot be told at the moment", do="Ask again in a moment.", retry_after=1.0)
