"""What became of a request: filled in as it goes, read by the log line, the metrics and the response headers.

Times are the clock's monotonic seconds. Nothing here ever holds content or a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TypeVar

import msgspec

from penstock.reservation import Remaining
from penstock.usage import Usage, added

__all__ = ["AFTERWARDS", "LONGEST_NAME", "Attempt", "Decision", "Record", "kept", "quick", "shortened"]

T = TypeVar("T")

# Characters that a record keeps of a name that somebody made up: no model that can be asked for has more.
LONGEST_NAME = 256

# What can only be decided once something has been asked.
AFTERWARDS = frozenset(("failed", "hedged", "resumed", "gave_up", "degraded"))

# Of what names a deployment, what may be the first to be said of the first choice.
_OF_THE_FIRST = frozenset(("chosen", "passed_over", "queued", "failed"))


def quick(kind: type[T]) -> type[T]:
    """A kind of record whose attributes are set as any object's.

    msgspec's own way of setting them tells the collector of it once that matters, and takes five times as long: the
    interpreter can't specialize it. So only for those that the collector never looks at (`gc=False`), or always does,
    since they hold a list from the beginning.
    """
    kind.__delattr__ = object.__delattr__  # type: ignore[method-assign]
    kind.__setattr__ = object.__setattr__  # type: ignore[method-assign]
    return kind


def shortened(name: str) -> str:
    """A name that is longer than `LONGEST_NAME`, as a record keeps it: its beginning, and a digest of all of it.

    A request's line must stay small whatever its caller writes into it; and two that differ stay two.
    """
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{name[: LONGEST_NAME - len(digest) - 3]}...{digest}"


def kept(name: object) -> str | None:
    """What a provider calls something, as a record keeps it; None where that is no name."""
    if not isinstance(name, str) or not name:
        return None
    return name if len(name) <= LONGEST_NAME else shortened(name)


@quick
class Attempt(msgspec.Struct, gc=False, eq=False):
    """One wire attempt, and what came of it.

    Attributes:
        deployment: `provider/model`, with `#credential` where the provider has several.
        started, sent, answered: when it began, when the request was on its way, when the first output was in hand.
        status: the provider's HTTP status, 0 if there was none.
        outcome: `ok`, an error's code, `cancelled`, or `open` while it runs.
        kind: `first`; `retry`: the same deployment again; `fallback`: the next one; `hedge`; `resume`.
        wait: seconds waited before it.
        ambiguous: it failed after the request was sent, so that the provider may have answered, and charge for it.
        unsent: it ended before anything was sent.
        lost: another attempt at the same time was quicker: its answer is nobody's.
        settle: to be called, once, when it is known what one that was lost is billed; None where nobody waits for it.
        usage, cost, price_table: what it used and costs (nano-dollars), as a `Record` has it.
        response_model, finish_reason, dropped_events, stream_error, dropped, clamped: as a `Record` has them; the two
            names as `kept` gives them.
    """

    deployment: str
    started: float
    sent: float
    answered: float = 0.0
    status: int = 0
    outcome: str = "open"
    kind: str = "first"
    wait: float = 0.0
    ambiguous: bool = False
    unsent: bool = False
    lost: bool = False
    settle: Callable[[], None] | None = None
    usage: Usage | None = None
    cost: int | None = None
    price_table: str | None = None
    response_model: str | None = None
    finish_reason: str | None = None
    dropped_events: int = 0
    stream_error: str | None = None
    dropped: tuple[str, ...] = ()
    clamped: tuple[str, ...] = ()


class Decision(msgspec.Struct, gc=False, eq=False):
    """One thing that was decided about a request, and why.

    Attributes:
        what: `chosen`, `passed_over`, `failed`, `waited`, `queued`, `hedged`, `resumed`, `gave_up`, `degraded`,
            `refused`.
        deployment: about which; "" where it is about the request.
        why: a few words; a state's name, an error's code.
        at: monotonic time.
        wait: seconds that were, or must be, waited.
    """

    what: str
    deployment: str
    why: str
    at: float
    wait: float = 0.0


@quick
class Record(msgspec.Struct, gc=False, eq=False):
    """What is known of one request.

    Attributes:
        id: UUIDv7.
        operation: `chat`, `embeddings`, `models` or the path's kind.
        started: when its last byte arrived; `first_output`, `ended`: 0.0 until known.
        wall: Unix time of `started`.
        waited: seconds spent waiting for providers up to the first output.
        overhead: seconds spent inside Penstock up to the first output: all of it less `waited`.
        tags: what its caller files it under: names and values.
        address: the caller's, as far as it is known.
        path: what was asked for in place of an operation: without its query, and as `kept` gives it.
        model: the name asked for; `deployment`: what was chosen; `response_model`: what the provider says answered.
        status: the HTTP status the caller got (499: it left first); `error`: the error's code, if any.
        stream_error: the code of an error told inside a stream that had begun.
        dropped_events: events of the stream that were not valid in their dialect.
        dropped, clamped: what of the request was left out or made smaller in translation, in the caller's words; what
            of the answer was left out, in the provider's.
        cost: nano-dollars that providers charge for it; None where that is not known, or nothing was used.
        price_table: where the price is from: the hash of the table, or of what the configuration declares.
        bytes_in, bytes_out: size of the request's body and of the answer's.
        candidates: the deployments it could have gone to, as listed.
        decisions: what was decided besides the obvious: a request that the first candidate answered at once has none.
        degraded: it was answered by other means than asked for (`on_failure`).
        limits: how what limits it stood once it was admitted, or refused: of requests and of tokens what was nearest to
            its end; times count from `wall`.
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
    tags: tuple[tuple[str, str], ...] = ()
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
    candidates: tuple[str, ...] = ()
    decisions: list[Decision] = []
    degraded: bool = False
    path: str | None = None
    limits: Sequence[Remaining] = ()

    def adopt(self, attempt: Attempt) -> None:
        """That attempt's whole answer is the one the caller gets; what all attempts cost is the request's cost."""
        self.response_model = attempt.response_model
        self.finish_reason = attempt.finish_reason
        self.usage = attempt.usage
        self.cost = attempt.cost
        self.price_table = attempt.price_table
        self.dropped = attempt.dropped
        self.clamped = attempt.clamped
        if len(self.attempts) > 1:
            self._sum()

    def adopt_stream(self, attempt: Attempt) -> None:
        """The same where it was a stream, which may have had errors, and may have been gone on with."""
        self.adopt(attempt)
        self.dropped_events, self.stream_error = attempt.dropped_events, attempt.stream_error
        resumes = [one for one in self.attempts if one.kind == "resume"]
        if resumes:
            self._join(attempt, resumes)

    def _join(self, first: Attempt, resumes: list[Attempt]) -> None:
        """The first one's answer broke off and was gone on with: what all of them used belongs to it, and how it ended
        is told by the last, unless that came to nothing."""
        for one in resumes:
            self.dropped_events += one.dropped_events
            if one.usage is not None:
                self.usage = added(self.usage, one.usage) if self.usage is not None else one.usage
        last = resumes[-1]
        if last.outcome in ("ok", "cancelled"):
            self.finish_reason, self.stream_error = last.finish_reason, None

    def _sum(self) -> None:
        used = [attempt for attempt in self.attempts if attempt.usage is not None]
        known = [attempt.cost for attempt in used if attempt.cost is not None]
        self.cost = sum(known) if used and len(known) == len(used) else None

    @property
    def fallback_used(self) -> bool:
        """Whether another deployment answered than the first choice; another credential of the same is none."""
        attempts = self.attempts
        if self.degraded or not attempts or not self.decisions:
            return False
        choice = attempts[0].deployment
        for each in self.decisions:
            late = each.what == "passed_over" and each.at > attempts[0].started
            if each.what in _OF_THE_FIRST and not late:
                choice = each.deployment
                break
            if each.what in AFTERWARDS:
                break
        return choice != self.deployment and not choice.startswith(f"{self.deployment}#")

    def give_up(self) -> None:
        """No attempt answered: what they cost is all there is."""
        self._sum()
