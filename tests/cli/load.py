"""Callers that ask a running gateway on and on, from threads of their own, each in its way; and what became of it."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from penstock.clock import SystemClock
from tests.end_to_end.process import SECONDS, Served

__all__ = ["EVERY_WAY", "Load", "call"]

HEADERS = {"content-type": "application/json"}
# A connection for each request; one for all as long as the gateway keeps it; the same with streams that take a while.
EVERY_WAY = ("once", "kept", "stream")
_STREAMED = "sim/small:tokens=20,between=10ms"
# After a failure, as any client does; else those that are refused would take the core from who is to answer them.
PAUSE_SECONDS = 0.02
_now = SystemClock.monotonic


def _body(model: str, **more: Any) -> str:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}], **more})


def call(port: int, model: str = "sim/small") -> int:
    """The status of one call on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        return _ask(connection, _body(model))
    finally:
        connection.close()


def _ask(connection: http.client.HTTPConnection, body: str) -> int:
    connection.request("POST", "/v1/chat/completions", body, HEADERS)
    answer = connection.getresponse()
    read = answer.read()
    if '"stream": true' in body and answer.status == 200 and not read.endswith(b"data: [DONE]\n\n"):
        raise http.client.IncompleteRead(read)
    return answer.status


class Load:
    """Asks from `__enter__` on, until its end.

    Args:
        ways: one caller for each, of `EVERY_WAY`.

    Attributes:
        statuses: of every answer so far.
        moments: when each came.
        failures: of requests that got no whole answer.
    """

    def __init__(self, served: Served, ways: Sequence[str] = ("once",) * 4) -> None:
        self._port = served.port
        self._stop = threading.Event()
        self._counted = threading.Condition()
        self.statuses: list[int] = []
        self.moments: list[float] = []
        self.failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._ask, args=(way,), daemon=True) for way in ways]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.more(20)
        return self

    def __exit__(self, *exc: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(SECONDS)
            assert not thread.is_alive(), "a caller hangs"

    def _ask(self, way: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SECONDS)
        body = _body(_STREAMED, stream=True) if way == "stream" else _body("sim/small")
        while not self._stop.is_set():
            try:
                status = _ask(connection, body)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                with self._counted:
                    self.failures.append(error)
                self._stop.wait(PAUSE_SECONDS)
            else:
                with self._counted:
                    self.statuses.append(status)
                    self.moments.append(_now())
                    self._counted.notify_all()
            if way == "once":
                connection.close()
        connection.close()

    def more(self, answers: int) -> None:
        """Wait until so many more have been answered."""
        with self._counted:
            wanted = len(self.statuses) + answers
            assert self._counted.wait_for(lambda: len(self.statuses) >= wanted, SECONDS), self.failures

    def longest_silence(self, since: float) -> float:
        """The longest time without an answer from a moment on, in seconds."""
        with self._counted:
            moments = [since, *(moment for moment in self.moments if moment >= since)]
        return max((after - before for before, after in pairwise(moments)), default=0.0)
