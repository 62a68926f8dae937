"""What a simulation says: plain records, the same for the same seed to the last byte."""

from __future__ import annotations

import msgspec

__all__ = ["Change", "Deployment", "Event", "Report", "Row", "Series", "encode_report"]


class Row(msgspec.Struct, omit_defaults=False):
    """What became of some of the requests. Times in seconds; None where there is nothing to measure.

    Attributes:
        good: answered to the end, by whichever deployment; `degraded`: with the text of `on_failure` instead.
        refused: ended by Penstock before any attempt was made.
        cut: streams that broke off.
        success: `good` as a part of all.
        first_token, total: of good answers.
        queued: waited for a place at a deployment (`concurrency`).
        attempts: wire attempts for each request; `retries`, `fallbacks`, `hedges`, `resumes`: of these.
        spend: dollars; `unpriced`: requests whose cost nobody knows.
    """

    name: str
    requests: int
    good: int
    degraded: int
    refused: int
    failed: int
    cut: int
    success: float | None
    first_token_p50: float | None
    first_token_p99: float | None
    total_p50: float | None
    total_p99: float | None
    attempts: float | None
    queued: int
    retries: int
    fallbacks: int
    hedges: int
    resumes: int
    input_tokens: int
    output_tokens: int
    spend: float
    spend_per_hour: float
    unpriced: int


class Deployment(msgspec.Struct):
    """What became of the attempts at one deployment.

    Attributes:
        outcomes: how many ended how: `ok`, or an error's code.
        answered: the part of all good answers that came from it.
        open_seconds: how long its breaker was open or half-open.
        paused_seconds: how long it was left alone for another reason.
    """

    id: str
    attempts: int
    outcomes: dict[str, int]
    answered: float | None
    first_token_p50: float | None
    first_token_p99: float | None
    spend: float
    open_seconds: float
    paused_seconds: float


class Change(msgspec.Struct):
    """A deployment began to stand otherwise, `at` seconds after the beginning."""

    at: float
    deployment: str
    state: str
    why: str


class Event(msgspec.Struct):
    """A fault or a spike, from when until when; `until` is None for what is done at once."""

    at: float
    until: float | None
    what: str


class Series(msgspec.Struct):
    """What happened in each step of so many seconds.

    Attributes:
        requests, good, failed: by when the request came.
        first_token_p50, first_token_p99, total_p99: of good answers.
        attempts: at each deployment, by when they began.
        spend: dollars.
    """

    step: float
    requests: list[int]
    good: list[int]
    failed: list[int]
    first_token_p50: list[float | None]
    first_token_p99: list[float | None]
    attempts: dict[str, list[int]]
    spend: list[float]


class Report(msgspec.Struct):
    """All of it.

    Attributes:
        penstock: the version that ran.
        scenario: where it was read from.
        seconds: of virtual time, until the last answer was over.
        errors: how many requests ended with which code.
        expected: what the scenario expects and did not come out; empty: all is well.
    """

    penstock: str
    scenario: str
    seed: int
    seconds: float
    workers: int
    total: Row
    traffic: list[Row]
    models: list[Row]
    deployments: list[Deployment]
    errors: dict[str, int]
    changes: list[Change]
    events: list[Event]
    series: Series
    expected: list[str]


def encode_report(report: Report) -> bytes:
    """As JSON, for people's eyes too."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
