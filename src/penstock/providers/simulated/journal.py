"""What the simulated provider has seen: counters and a bounded log of requests, for tests to assert on."""

from __future__ import annotations

from collections import deque

import msgspec

__all__ = ["Journal", "Seen"]


class Seen(msgspec.Struct):
    """One request.

    Attributes:
        time, ended: `Clock.monotonic` when it was complete and when its response was over; None while it is open.
        model: as asked for, without a fault script; empty where there was none.
        headers: as received, names in lower case; credentials are replaced by `***`.
        script: the fault script that applied, in canonical form.
        outcome: open, done, cut (a script ended the connection) or disconnected (the peer did).
        written: bytes of response handed to the transport.
        query: the query string, without its `?`.
        prompt, completion: tokens of the request and of the whole answer, whatever the script has told of them.
    """

    time: float
    method: str
    path: str
    headers: dict[bytes, bytes]
    body: bytes
    model: str = ""
    stream: bool = False
    script: str = ""
    outcome: str = "open"
    ended: float | None = None
    written: int = 0
    query: str = ""
    prompt: int = 0
    completion: int = 0


class Journal:
    """Counts requests and remembers the last `keep` of them.

    Attributes:
        requests: seen so far.
        open: whose response is not over.
        disconnects: whose connection the peer closed before the response was over.
    """

    def __init__(self, keep: int) -> None:
        self.requests = 0
        self.open = 0
        self.disconnects = 0
        self.log: deque[Seen] = deque(maxlen=keep)

    def begin(self, seen: Seen) -> None:
        """Count a request in."""
        self.requests += 1
        self.open += 1
        self.log.append(seen)

    def end(self, seen: Seen, outcome: str, time: float, written: int) -> None:
        """Count it out; only the first call for a request has an effect."""
        if seen.ended is not None:
            return
        seen.outcome, seen.ended, seen.written = outcome, time, written
        self.open -= 1
        if outcome == "disconnected":
            self.disconnects += 1
