"""Where requests for one name may go, and by which rules: made once for each configuration, read by the layers."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from penstock.routing.names import Found
from penstock.routing.timeouts import Timeouts

__all__ = ["Candidate", "Hedge", "Plan", "Retry", "Strategy"]

Strategy = Literal["ordered", "weighted", "latency", "cost", "least_busy"]


class Retry(msgspec.Struct, frozen=True):
    """How often and how late a request is tried again (semantics.md: One loop, Backoff). Seconds.

    Attributes:
        max_attempts: at one deployment, the first included; a target may say otherwise.
        max_total: of one request at all deployments, hedges and resumes included.
        base: of the backoff after a transient error; `throttle_base`: after a refusal for too many requests.
        max_wait: the longest backoff.
    """

    max_attempts: int = 3
    max_total: int = 6
    base: float = 0.05
    throttle_base: float = 1.0
    max_wait: float = 20.0


class Hedge(msgspec.Struct, frozen=True):
    """When a second deployment is asked beside the first (semantics.md: Hedging).

    Attributes:
        after: seconds without output until then; None: the p95 of first outputs of prompts of the same size.
        most: the largest part of requests that may be sent in excess, over the last minutes.
    """

    after: float | None = None
    most: float = 0.02


class Candidate(msgspec.Struct, eq=False):
    """A deployment that may answer.

    Attributes:
        id: the deployment's; `name`: the same without its credential.
        target: the number of the target it stands for; those that differ only by credential have the same.
        deployment: what providers know how to reach.
        health: how it stands (`stores/health.py`).
        pace: how fast and how busy it is (`stores/pace.py`).
        weight: its target's part where the strategy is `weighted`.
        share: its credential's part of what goes to its target.
        max_attempts: of one request at it.
        window: its model's context window in tokens, None where unknown.
        price: what a thousand tokens in and a thousand out cost, in pico-dollars; None where unknown.
        reasons: its model thinks before it answers.
        foreign: it stands under another name, which is fallen back to.
        under: that name, as found (`routing/names.py`); None for one that is not foreign.
    """

    id: str
    name: str
    target: int
    deployment: Any
    health: Any
    pace: Any
    weight: int = 1
    share: int = 1
    max_attempts: int = 3
    window: int | None = None
    price: int | None = None
    reasons: bool = False
    foreign: bool = False
    under: Found | None = None


class Plan(msgspec.Struct, eq=False):
    """What may happen to a request for one name.

    Attributes:
        name: the name asked for, as found.
        candidates: in the order in which they are listed, those of `fallback` behind; never empty.
        ids: the candidates' ids.
        settled: the first candidate is always the one to begin with, as long as it may be asked.
        strategy: how the first is chosen among those that are not `foreign`; the rest follow as listed.
        content_filter: whether another deployment is asked after a content filter's refusal.
        on_stream_cut: what happens to a stream that breaks off after its first output.
        on_failure: the text to answer with when all fail; None: the error.
        extra: how many requests may be sent twice (`stores/extra.py`), where there is a `hedge`.
        lasting: it is made for the configuration, and not for one request.
    """

    name: str
    candidates: tuple[Candidate, ...]
    ids: tuple[str, ...]
    settled: bool = True
    strategy: Strategy = "ordered"
    timeouts: Timeouts = Timeouts()
    retry: Retry = Retry()
    hedge: Hedge | None = None
    content_filter: bool = False
    on_stream_cut: Literal["error", "resume"] = "error"
    on_failure: str | None = None
    extra: Any = None
    lasting: bool = False
