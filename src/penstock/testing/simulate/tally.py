"""Counts what became of the requests of a simulation."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence

from penstock.records import Record
from penstock.testing.simulate.report import Deployment, Row, Series

__all__ = ["Tally", "percentile"]

_DOLLAR = 1e-9  # of a nano-dollar
_MOST_STEPS = 120
_STEPS = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0)


def percentile(values: Sequence[float], part: float) -> float | None:
    """The smallest value that so large a part does not exceed (nearest rank). `values` in order."""
    if not values:
        return None
    rank = max(1, -int(-part * len(values) // 1))
    return round(values[min(rank, len(values)) - 1], 6)


class Group:
    """Some of the requests."""

    def __init__(self) -> None:
        self.requests = self.good = self.degraded = self.refused = self.failed = self.cut = 0
        self.queued = 0
        self.attempts = self.input = self.output = self.cost = self.unpriced = 0
        self.kinds: Counter[str] = Counter()
        self.first, self.total = array("d"), array("d")

    def add(self, record: Record, kind: str) -> None:
        """Count one in."""
        self.requests += 1
        setattr(self, kind, getattr(self, kind) + 1)
        self.attempts += len(record.attempts)
        if len(record.attempts) > 1:
            self.kinds.update(attempt.kind for attempt in record.attempts)
        if record.decisions and any(decision.what == "queued" for decision in record.decisions):
            self.queued += 1
        if record.usage is not None:
            self.input += record.usage.input_tokens
            self.output += record.usage.output_tokens
            self.unpriced += record.cost is None
        self.cost += record.cost or 0
        if kind == "good":
            self.first.append(record.first_output - record.started)
            self.total.append(record.ended - record.started)

    def row(self, name: str, seconds: float) -> Row:
        """What it comes to."""
        first, total = sorted(self.first), sorted(self.total)
        spend = self.cost * _DOLLAR
        return Row(
            name=name,
            requests=self.requests,
            good=self.good,
            degraded=self.degraded,
            refused=self.refused,
            failed=self.failed,
            cut=self.cut,
            success=_part(self.good, self.requests),
            first_token_p50=percentile(first, 0.5),
            first_token_p99=percentile(first, 0.99),
            total_p50=percentile(total, 0.5),
            total_p99=percentile(total, 0.99),
            attempts=_part(self.attempts, self.requests),
            queued=self.queued,
            retries=self.kinds["retry"],
            fallbacks=self.kinds["fallback"],
            hedges=self.kinds["hedge"],
            resumes=self.kinds["resume"],
            input_tokens=self.input,
            output_tokens=self.output,
            spend=round(spend, 9),
            spend_per_hour=round(spend * 3600 / seconds, 9) if seconds else 0.0,
            unpriced=self.unpriced,
        )


class Asked:
    """The attempts at one deployment."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.answered = self.cost = 0
        self.first = array("d")


class Tally:
    """All of the requests, by what one may want to know of them.

    Args:
        zero: the clock's time at the scenario's beginning.
        duration: of the scenario, in seconds.
    """

    def __init__(self, zero: float, duration: float) -> None:
        self._zero = zero
        self.total = Group()
        self.traffic: dict[str, Group] = {}
        self.models: dict[str, Group] = {}
        self.deployments: dict[str, Asked] = {}
        self.errors: Counter[str] = Counter()
        self.step = next((step for step in _STEPS if duration / step <= _MOST_STEPS), duration / _MOST_STEPS)
        self._steps = max(1, -int(-duration // self.step))
        self._by_step = [Step() for _ in range(self._steps)]

    def expect(self, traffic: str, models: Sequence[str]) -> None:
        """Have rows for these, even if nobody comes."""
        self.traffic.setdefault(traffic, Group())
        for model in models:
            self.models.setdefault(model, Group())

    def add(self, traffic: str, record: Record) -> None:
        """Count a request in that is over."""
        kind = _kind(record)
        for group in (self.total, self.traffic[traffic], self.models[record.model]):
            group.add(record, kind)
        error = record.error or record.stream_error
        if error is not None:
            self.errors[error] += 1
        step = self._at(record.started)
        step.add(record, kind)
        for attempt in record.attempts:
            asked = self.deployments.get(attempt.deployment)
            if asked is None:
                asked = self.deployments[attempt.deployment] = Asked()
            asked.outcomes[attempt.outcome] += 1
            asked.cost += attempt.cost or 0
            if attempt.outcome == "ok":
                asked.first.append(attempt.answered - attempt.started)
            self._at(attempt.started).attempts[attempt.deployment] += 1
        if kind == "good" and record.attempts:
            self.deployments[_answerer(record)].answered += 1

    def _at(self, time: float) -> Step:
        return self._by_step[min(self._steps - 1, int((time - self._zero) // self.step))]

    # --- what it comes to

    def deployment(self, id: str, open_seconds: float, paused_seconds: float) -> Deployment:
        """One deployment's."""
        asked = self.deployments.get(id) or Asked()
        first = sorted(asked.first)
        return Deployment(
            id=id,
            attempts=sum(asked.outcomes.values()),
            outcomes=dict(sorted(asked.outcomes.items())),
            answered=_part(asked.answered, self.total.good),
            first_token_p50=percentile(first, 0.5),
            first_token_p99=percentile(first, 0.99),
            spend=round(asked.cost * _DOLLAR, 9),
            open_seconds=round(open_seconds, 6),
            paused_seconds=round(paused_seconds, 6),
        )

    def series(self, deployments: Sequence[str]) -> Series:
        """What happened when."""
        steps = self._by_step
        ordered = [sorted(step.first) for step in steps]
        return Series(
            step=self.step,
            requests=[step.requests for step in steps],
            good=[step.good for step in steps],
            failed=[step.requests - step.good for step in steps],
            first_token_p50=[percentile(first, 0.5) for first in ordered],
            first_token_p99=[percentile(first, 0.99) for first in ordered],
            attempts={id: [step.attempts[id] for step in steps] for id in deployments},
            spend=[round(step.cost * _DOLLAR, 9) for step in steps],
        )


class Step:
    """What happened in one of the steps."""

    def __init__(self) -> None:
        self.requests = self.good = self.cost = 0
        self.first = array("d")
        self.attempts: Counter[str] = Counter()

    def add(self, record: Record, kind: str) -> None:
        """Count one in that came in it."""
        self.requests += 1
        self.cost += record.cost or 0
        if kind == "good":
            self.good += 1
            self.first.append(record.first_output - record.started)


def _kind(record: Record) -> str:
    if record.stream_error is not None:
        return "cut"
    if record.error is not None:
        return "failed" if record.attempts else "refused"
    return "degraded" if record.degraded else "good"


def _answerer(record: Record) -> str:
    """Which deployment's attempt the answer is from: the last that went well."""
    good = [attempt.deployment for attempt in record.attempts if attempt.outcome == "ok"]
    return good[-1] if good else record.attempts[-1].deployment


def _part(some: int, all: int) -> float | None:
    return round(some / all, 6) if all else None
