"""What became of a request: filled in as it goes, read by the log line, the metrics and the response headers.

Times are the clock's monotonic seconds. Nothing here ever holds content or a secret.
"""

from __future__ import annotations

from penstock.usage import Usage

__all__ = ["Attempt", "Record"]


class Attempt:
    """One wire attempt.

    Attributes:
        deployment: `provider/model`.
        started, sent, answered: when it began, when the request was on its way, when the first output was in hand.
        status: the provider's HTTP status, 0 if there was none.
        outcome: `ok`, an error's code, `cancelled`, or `open` while it runs.
    """

    __slots__ = ("answered", "deployment", "outcome", "sent", "started", "status")

    def __init__(self, deployment: str, started: float) -> None:
        self.deployment = deployment
        self.started = started
        self.sent = started
        self.answered = 0.0
        self.status = 0
        self.outcome = "open"


class Record:
    """What is known of one request.

    Attributes:
        id: UUIDv7.
        operation: `chat`, `embeddings`, `models` or the path's kind.
        started: when its last byte arrived; `first_output`, `ended`: 0.0 until known.
        wall: Unix time of `started`.
        model: the name asked for; `deployment`: what was chosen; `response_model`: what the provider says answered.
        status: the HTTP status the caller got (499: it left first); `error`: the error's code, if any.
        stream_error: the code of an error told inside a stream that had begun.
        dropped_events: events of the stream that were not valid in their dialect.
        bytes_in, bytes_out: size of the request's body and of the answer's.
    """

    __slots__ = (
        "attempts",
        "bytes_in",
        "bytes_out",
        "deployment",
        "dropped_events",
        "ended",
        "error",
        "finish_reason",
        "first_output",
        "id",
        "key",
        "model",
        "operation",
        "project",
        "response_model",
        "started",
        "status",
        "stream",
        "stream_error",
        "task",
        "tenant",
        "usage",
        "user",
        "wall",
    )

    def __init__(self, id: str, operation: str, started: float, wall: float) -> None:
        self.id = id
        self.operation = operation
        self.started = started
        self.wall = wall
        self.stream = False
        self.first_output = 0.0
        self.ended = 0.0
        self.key: str | None = None
        self.tenant: str | None = None
        self.project: str | None = None
        self.user: str | None = None
        self.task: str | None = None
        self.model = ""
        self.deployment = ""
        self.response_model: str | None = None
        self.attempts: list[Attempt] = []
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.status = 0
        self.error: str | None = None
        self.stream_error: str | None = None
        self.dropped_events = 0
        self.bytes_in = 0
        self.bytes_out = 0

    def overhead(self, now: float) -> float:
        """Seconds spent inside Penstock since the start: all of it less the waits for providers."""
        waited = 0.0
        for attempt in self.attempts:
            if attempt.answered:
                waited += attempt.answered - attempt.sent
        return now - self.started - waited
