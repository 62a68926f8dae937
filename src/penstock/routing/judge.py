"""What an attempt's failure means, and what may be tried next, and when: semantics.md's table as code. Pure.

`effect_of` says what it means for the deployment; `options` what may follow, best first. Whether a retry may be paid
from its deployment's quota is not known here: who goes on takes the first option that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from penstock import errors as e
from penstock.routing.plan import Candidate, Plan, Retry
from penstock.standing import NO_EFFECT, Effect

__all__ = [
    "FINAL",
    "LONGEST_SECONDS",
    "OVERLOADED",
    "THROTTLED",
    "TRANSIENT",
    "Failure",
    "Option",
    "Tried",
    "effect_of",
    "failure_of",
    "options",
]

# What a retry costs of its deployment's quota (AWS SDK, retry behaviour "standard").
TRANSIENT = 14
THROTTLED = 5
OVERLOADED = 529
_TIMED_OUT = frozenset((504, 524))
# A wait of so long is waited for at the same deployment before another one is asked.
SHORT_SECONDS = 3.0
# What asks for more is not asked again.
LONGEST_SECONDS = 120.0


class Failure(NamedTuple):
    """What an attempt's end allows.

    Attributes:
        again: the same deployment may be asked again.
        onward: another may be: `any`; `larger`: one with a larger window; `filtered`: where the configuration says so;
            `credential`: one with another credential before all; `none`.
        throttled: too many requests, which takes a longer backoff and costs less of the quota.
        seconds: how long the provider asks to be left alone.
        busy: nothing was sent, for another may have room: after that one this one may be waited for.
        unsent: nothing was sent, for a limit or a budget has too little left: that is no attempt.
    """

    again: bool
    onward: str
    throttled: bool = False
    seconds: float | None = None
    busy: bool = False
    unsent: bool = False


# Too dear, or nobody knows how dear, where a budget holds; or a limit of its own is reached.
_SHORT = (e.BudgetExceeded, e.UnknownPrice, e.RateLimited, e.LargerThanLimit)
# It is the request that is wrong, wherever it goes.
FINAL = Failure(again=False, onward="none")


def failure_of(error: BaseException) -> Failure:
    """What may follow it."""
    failure = _failure_of(error)
    told = _should_retry(error)
    if told is None or isinstance(error, e.UpstreamQuota):
        # Anthropic says of any 429 that it may be tried again; of a quota that is used up it never is.
        return failure
    return failure._replace(again=told)


def _should_retry(error: BaseException) -> bool | None:
    """What the provider says of a retry (`x-should-retry`), None where it says nothing."""
    answer = error.answer if isinstance(error, e.UpstreamError) else None
    told = answer.headers.get(b"x-should-retry", b"").lower() if answer is not None else b""
    return True if told == b"true" else False if told == b"false" else None


def _failure_of(error: BaseException) -> Failure:
    if isinstance(error, e.UpstreamRateLimited):
        return Failure(again=True, onward="any", throttled=True, seconds=_named(error))
    if isinstance(error, e.UpstreamCredential | e.UpstreamQuota):
        return Failure(again=False, onward="credential")
    if isinstance(error, e.UpstreamNotFound):
        return Failure(again=False, onward="any")
    if isinstance(error, e.UpstreamContextTooLong):
        return Failure(again=False, onward="larger")
    if isinstance(error, e.ContentFiltered):
        return Failure(again=False, onward="filtered")
    if isinstance(error, e.UpstreamRefused):
        return FINAL
    if isinstance(error, e.UpstreamTimeout):
        # One that the provider itself reports; where it was silent it is not asked again.
        return Failure(again=error.answer is not None, onward="any", seconds=_named(error))
    if isinstance(error, e.UpstreamError):
        return Failure(again=True, onward="any", seconds=_named(error))
    if isinstance(error, e.Overloaded | e.RateLimited) and error.elsewhere:
        return Failure(again=True, onward="any", busy=True)
    if isinstance(error, e.Overloaded | e.CircuitOpen | e.InvalidRequest):
        # No place at this one, or no word for what is asked in its dialect.
        return Failure(again=False, onward="any")
    if isinstance(error, _SHORT):
        return Failure(again=False, onward="any", unsent=True)
    return FINAL


def _named(error: e.UpstreamError) -> float | None:
    """How long the provider asks to be left alone. Zero names no time (nor do OpenAI's own clients take it for one):
    to come back at once, and everybody else with it, is what made it refuse.
    """
    return error.retry_after or None


def effect_of(error: BaseException) -> Effect:
    """What it means for the deployment."""
    if not isinstance(error, e.UpstreamError):
        return NO_EFFECT
    status = error.answer.status if error.answer is not None else 0
    why = f"{error.code} ({status})" if status else error.code
    if isinstance(error, e.UpstreamRateLimited):
        return Effect("throttled", _named(error), why)
    if isinstance(error, e.UpstreamCredential | e.UpstreamQuota):
        if error.callers_own or (isinstance(error, e.UpstreamQuota) and error.partly):
            return NO_EFFECT
        kind = "credential" if isinstance(error, e.UpstreamCredential) else "exhausted"
        return Effect(kind, _named(error), why)  # type: ignore[arg-type]
    if isinstance(error, e.UpstreamNotFound):
        return Effect("misconfigured", None, why)
    if isinstance(error, e.UpstreamRefused | e.ContentFiltered):
        return NO_EFFECT
    if isinstance(error, e.UpstreamTimeout):
        return Effect("failure" if status in _TIMED_OUT else "slow", None, why)
    return Effect("overloaded" if status == OVERLOADED else "failure", _named(error), why)


class Tried(msgspec.Struct, eq=False):
    """How often a candidate was asked, and how it ended the last time."""

    count: int = 0
    failure: Failure = FINAL
    ready_at: float = 0.0


class Option(NamedTuple):
    """Something that may be done next.

    Attributes:
        candidate: whom to ask.
        wait: in how many seconds.
        kind: `retry` or `fallback`.
        cost: what it takes from the candidate's retry quota; 0 for a fallback.
    """

    candidate: Candidate
    wait: float
    kind: str
    cost: int = 0


def options(
    plan: Plan,
    order: tuple[Candidate, ...],
    tried: dict[str, Tried],
    current: Candidate,
    now: float,
    chance: Callable[[], float],
) -> Iterator[Option]:
    """What may follow a failure at `current`, best first.

    Args:
        order: the plan's candidates in the order chosen for this request.
        tried: by candidate's id; what is there of `current` is its last failure.
        chance: draws from [0, 1).
    """
    failure = tried[current.id].failure
    if failure.onward == "none" and not failure.again:
        return
    here = _again(plan, current, tried[current.id], now, chance)
    # The last of its attempts is for whoever is likeliest to answer: another target, if any is left.
    last = sum(known.count for known in tried.values()) + 1 >= plan.retry.max_total
    waits_here = failure.throttled and failure.seconds is not None and failure.seconds <= SHORT_SECONDS and not last
    if here is not None and waits_here:
        yield here
    later: list[Option] = []
    if failure.onward != "none":
        onward = failure._replace(throttled=False) if last else failure
        for candidate in _onward(plan, order, tried, current, onward):
            standing = candidate.health.standing(now)
            if standing.state in ("ready", "trial"):
                yield Option(candidate, 0.0, "fallback")
            elif standing.state == "paused" and standing.until - now <= LONGEST_SECONDS:
                later.append(Option(candidate, standing.until - now, "fallback"))
    if here is not None and not waits_here:
        later.append(here)
    if failure.onward in ("any", "credential"):
        later += _others_again(plan, order, tried, current, now, chance)
    yield from sorted(later, key=lambda option: option.wait)


def _others_again(
    plan: Plan,
    order: tuple[Candidate, ...],
    tried: dict[str, Tried],
    current: Candidate,
    now: float,
    chance: Callable[[], float],
) -> Iterator[Option]:
    """Those tried before that may be asked once more."""
    for candidate in order:
        known = tried.get(candidate.id)
        if known is not None and candidate is not current and not known.failure.busy:
            option = _again(plan, candidate, known, now, chance)
            if option is not None:
                yield option


def _again(plan: Plan, candidate: Candidate, known: Tried, now: float, chance: Callable[[], float]) -> Option | None:
    failure = known.failure
    if failure.busy:
        return Option(candidate, 0.0, "fallback")
    if not failure.again or known.count >= candidate.max_attempts or (failure.seconds or 0.0) > LONGEST_SECONDS:
        return None
    return Option(
        candidate,
        max(0.0, known.ready_at + _backoff(plan.retry, known, chance()) - now),
        "retry",
        THROTTLED if failure.throttled else TRANSIENT,
    )


def _backoff(retry: Retry, known: Tried, chance: float) -> float:
    """How long after the failure it may be asked again."""
    failure = known.failure
    if failure.seconds is not None:
        return failure.seconds * (1 + chance / 2)
    base = retry.throttle_base if failure.throttled else retry.base
    return chance * min(base * 2.0 ** (known.count - 1), retry.max_wait)


def _onward(
    plan: Plan, order: tuple[Candidate, ...], tried: dict[str, Tried], current: Candidate, failure: Failure
) -> Iterator[Candidate]:
    """Who has not been asked and may be, those at another target first, unless it is about the credential.

    Whoever was passed over because another had room comes last.
    """
    fresh = [candidate for candidate in order if candidate.id not in tried]
    fresh += [one for one in order if one is not current and one.id in tried and tried[one.id].failure.busy]
    if failure.onward == "larger":
        fresh = [candidate for candidate in fresh if _is_larger(candidate, current)]
    elif failure.onward == "filtered":
        fresh = [candidate for candidate in fresh if plan.content_filter and candidate.name != current.name]
    alike = [candidate for candidate in fresh if candidate.target == current.target]
    others = [candidate for candidate in fresh if candidate.target != current.target]
    if failure.onward == "credential":
        # Another credential once: two that are refused are hardly the credentials' own fault.
        asked = (tried[one.id] for one in order if one.target == current.target and one.id in tried)
        refused = sum(1 for known in asked if not known.failure.busy)
        yield from alike if refused < 2 else ()
        yield from others
    elif failure.throttled:
        yield from alike
        yield from others
    else:
        yield from others
        yield from alike


def _is_larger(candidate: Candidate, current: Candidate) -> bool:
    if candidate.name == current.name:
        return False
    return candidate.window is None or current.window is None or candidate.window > current.window
