"""What happened in one case: what its caller got, and what its two providers saw of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Asked", "Outcome", "Story"]


@dataclass(frozen=True)
class Asked:
    """One request as a provider saw it; the time is in seconds from when the case began."""

    time: float
    outcome: str
    stream: bool


@dataclass
class Outcome:
    """What a caller got of one request.

    Attributes:
        began, seconds: when it was sent, from when the case began, and how long it took.
        text, finish, model, output_tokens: of the answer, as far as it came.
        status: of the response; an error within a stream has 200.
        error: what the client's library said was wrong; "" where nothing was.
        headers: of the response.
        line: the gateway's log line.
    """

    began: float = 0.0
    seconds: float = 0.0
    text: str = ""
    finish: str | None = None
    model: str = ""
    output_tokens: int | None = None
    status: int = 200
    error: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    line: dict[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """Which deployment answered, as the gateway told the caller."""
        return self.headers.get("x-penstock-target", "")


@dataclass
class Story:
    """A case that is over.

    Attributes:
        reference: the answer of a provider in good health.
        outcomes: of its requests, in the order in which they were sent.
        primary, fallback: what each provider saw, by time.
    """

    reference: str
    outcomes: list[Outcome]
    primary: list[Asked]
    fallback: list[Asked]

    @property
    def only(self) -> Outcome:
        """Of a case with one request."""
        (outcome,) = self.outcomes
        return outcome

    @property
    def attempts(self) -> list[Asked]:
        """All of them, by time."""
        return sorted([*self.primary, *self.fallback], key=lambda asked: asked.time)

    def most_within(self, seconds: float) -> int:
        """The most attempts in any so long a time."""
        times = [asked.time for asked in self.attempts]
        return max((sum(start <= time < start + seconds for time in times) for start in times), default=0)

    @property
    def told(self) -> str:
        """For who reads a failure or the table: what was asked of whom, when, and what came of it."""
        asked = ", ".join(
            f"{name} {[f'{one.time:.2f}' for one in seen]}"
            for name, seen in (("primary", self.primary), ("fallback", self.fallback))
        )
        ends = "; ".join(
            f"{one.status} {one.finish or one.error or 'unfinished'} in {one.seconds:.2f} s"
            for one in self.outcomes[:5]
        )
        return f"asked at: {asked}; got: {ends}; log: {self.outcomes[-1].line}"
