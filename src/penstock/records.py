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
        overhead: seconds spent inside Penstock up to the first output: all of it less the waits for providers.
        address: the caller's, as far as it is known.
        model: the name asked for; `deployment`: what was chosen; `response_model`: what the provider says answered.
        status: the HTTP status the caller got (499: it left first); `error`: the error's code, if any.
        stream_error: the code of an error told inside a stream that had begun.
        dropped_events: events of the stream that were not valid in their dialect.
        dropped, clamped: what of the request was left out or made smaller in translation, in the caller's words.
        bytes_in, bytes_out: size of the request's body and of the answer's.
    """

    # Defaults stand on the class: most requests set few of them, and this is made once a request.
    stream = False
    first_output = 0.0
    overhead = 0.0
    ended = 0.0
    key: str | None = None
    tenant: str | None = None
    project: str | None = None
    user: str | None = None
    task: str | None = None
    address: str | None = None
    model = ""
    deployment = ""
    response_model: str | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    status = 0
    error: str | None = None
    stream_error: str | None = None
    dropped_events = 0
    dropped: tuple[str, ...] = ()
    clamped: tuple[str, ...] = ()
    bytes_in = 0
    bytes_out = 0

    def __init__(self, id: str, operation: str, started: float, wall: float) -> None:
        self.id = id
        self.operation = operation
        self.started = started
        self.wall = wall
        self.attempts: list[Attempt] = []

    def waited(self) -> float:
        """Seconds spent waiting for providers."""
        return sum([attempt.answered - attempt.sent for attempt in self.attempts if attempt.answered])
