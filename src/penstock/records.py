"""What became of a request: filled in as it goes, read by the log line, the metrics and the response headers.

Times are the clock's monotonic seconds. Nothing here ever holds content or a secret.
"""

from __future__ import annotations

import msgspec

from penstock.usage import Usage

__all__ = ["Attempt", "Record"]


class Attempt(msgspec.Struct, gc=False, eq=False):
    """One wire attempt.

    Attributes:
        deployment: `provider/model`.
        started, sent, answered: when it began, when the request was on its way, when the first output was in hand.
        status: the provider's HTTP status, 0 if there was none.
        outcome: `ok`, an error's code, `cancelled`, or `open` while it runs.
    """

    deployment: str
    started: float
    sent: float
    answered: float = 0.0
    status: int = 0
    outcome: str = "open"


class Record(msgspec.Struct, gc=False, eq=False):
    """What is known of one request.

    Attributes:
        id: UUIDv7.
        operation: `chat`, `embeddings`, `models` or the path's kind.
        started: when its last byte arrived; `first_output`, `ended`: 0.0 until known.
        wall: Unix time of `started`.
        waited: seconds spent waiting for providers up to the first output.
        overhead: seconds spent inside Penstock up to the first output: all of it less `waited`.
        address: the caller's, as far as it is known.
        model: the name asked for; `deployment`: what was chosen; `response_model`: what the provider says answered.
        status: the HTTP status the caller got (499: it left first); `error`: the error's code, if any.
        stream_error: the code of an error told inside a stream that had begun.
        dropped_events: events of the stream that were not valid in their dialect.
        dropped, clamped: what of the request was left out or made smaller in translation, in the caller's words.
        cost: nano-dollars that providers charge for it; None where that is not known, or nothing was used.
        price_table: where the price is from: the hash of the table, or of what the configuration declares.
        bytes_in, bytes_out: size of the request's body and of the answer's.
    """

    id: str
    operation: str
    started: float
    wall: float
    attempts: list[Attempt] = []
    stream: bool = False
    first_output: float = 0.0
    waited: float = 0.0
    overhead: float = 0.0
    ended: float = 0.0
    key: str | None = None
    tenant: str | None = None
    project: str | None = None
    user: str | None = None
    task: str | None = None
    address: str | None = None
    model: str = ""
    deployment: str = ""
    response_model: str | None = None
    usage: Usage | None = None
    cost: int | None = None
    price_table: str | None = None
    finish_reason: str | None = None
    status: int = 0
    error: str | None = None
    stream_error: str | None = None
    dropped_events: int = 0
    dropped: tuple[str, ...] = ()
    clamped: tuple[str, ...] = ()
    bytes_in: int = 0
    bytes_out: int = 0
