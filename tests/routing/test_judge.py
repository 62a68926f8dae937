"""The table of semantics.md ("Attempts, retries, fallbacks"), row by row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import errors as e
from penstock.routing.judge import THROTTLED, TRANSIENT, Failure, Option, Tried, effect_of, failure_of, options
from penstock.routing.plan import Candidate, Plan, Retry
from penstock.standing import NO_EFFECT, READY, Standing
from penstock.wire import openai_errors


class Standings:
    """A health that stands as told."""

    def __init__(self, standing: Standing = READY) -> None:
        self.told = standing

    def standing(self, now: float) -> Standing:
        return self.told


def candidate(id: str, target: int = 0, standing: Standing = READY, **more: Any) -> Candidate:
    return Candidate(id, id.partition("#")[0], target, None, Standings(standing), None, **more)


def said(status: int, headers: dict[bytes, bytes] | None = None, body: bytes = b"{}") -> e.UpstreamError:
    """What a provider of OpenAI's dialect said."""
    return openai_errors.classify(status, headers or {}, body)


def error_body(code: str) -> bytes:
    return b'{"error":{"message":"m","code":"%b"}}' % code.encode()


BROKEN = e.Unavailable("the provider closed the connection")
SILENT = e.UpstreamTimeout("the provider was silent for too long")
QUOTA = ("insufficient_quota", "credit_balance_exhausted", "x_spend_limit_exceeded", "y_usage_limit_exceeded")
ROWS: list[tuple[str, e.PenstockError, bool, str, str]] = [
    ("connect error", e.Unavailable("no connection"), True, "any", "failure"),
    *((str(status), said(status), True, "any", "failure") for status in (408, 409, 500, 502, 503, 520, 521, 522, 523)),
    *((str(status), said(status), True, "any", "failure") for status in (504, 524, 530, 501, 599)),
    ("529", said(529), True, "any", "overloaded"),
    ("broken", BROKEN, True, "any", "failure"),
    ("no answer", e.ProtocolError("html"), True, "any", "failure"),
    ("cut before output", e.StreamInterrupted("cut"), True, "any", "failure"),
    ("429", said(429), True, "any", "throttled"),
    ("429 with retry-after", said(429, {b"retry-after": b"2"}), True, "any", "throttled"),
    ("498", said(498), True, "any", "throttled"),
    *(
        (code, said(429, body=error_body(code)), False, "credential", "exhausted")
        for code in (
            "insufficient_quota",
            "credit_balance_exhausted",
            "x_spend_limit_exceeded",
            "y_usage_limit_exceeded",
        )
    ),
    ("402", said(402), False, "credential", "exhausted"),
    ("401", said(401), False, "credential", "credential"),
    ("403", said(403), False, "credential", "credential"),
    ("404", said(404), False, "any", "misconfigured"),
    *((str(status), said(status), False, "none", "none") for status in (400, 413, 422)),
    ("context", said(400, body=error_body("context_length_exceeded")), False, "larger", "none"),
    ("filter", said(400, body=error_body("content_filter")), False, "filtered", "none"),
    ("silence", SILENT, False, "any", "slow"),
    ("no place here", e.Overloaded("full"), False, "any", "none"),
    ("no word for it there", e.InvalidRequest("logit_bias"), False, "any", "none"),
    ("the caller's fault", e.UnknownModel("m"), False, "none", "none"),
    ("its time is over", e.DeadlineExceeded("late"), False, "none", "none"),
]


@pytest.mark.parametrize(("name", "error", "again", "onward", "effect"), ROWS, ids=[row[0] for row in ROWS])
def test_the_table(name: str, error: e.PenstockError, again: bool, onward: str, effect: str) -> None:
    failure = failure_of(error)
    assert (failure.again, failure.onward) == (again, onward)
    assert effect_of(error).kind == effect


@pytest.mark.parametrize("told", [True, False])
def test_the_provider_may_say_whether_to_try_again(told: bool) -> None:
    header = {b"x-should-retry": b"true" if told else b"false"}
    for status in (400, 401, 500, 429):
        assert failure_of(said(status, header)).again is told
    assert failure_of(said(500, {b"x-should-retry": b"perhaps"})).again


def test_a_quota_that_is_used_up_is_not_tried_again_whatever_the_provider_says() -> None:
    assert not failure_of(said(402, {b"x-should-retry": b"true"})).again


def test_a_callers_own_credential_says_nothing_of_ours() -> None:
    error = said(401)
    error.blame_caller()
    assert effect_of(error) is NO_EFFECT


def test_a_request_that_costs_more_than_is_left_stops_no_credential() -> None:
    error = said(402, body=b'{"error":{"message":"You requested up to 9000 tokens, but can only afford 70."}}')
    assert failure_of(error) == Failure(again=False, onward="credential")
    assert effect_of(error) is NO_EFFECT


# --- what may follow


def chosen(
    error: e.PenstockError,
    candidates: tuple[Candidate, ...],
    tried: dict[str, int] | None = None,
    chance: float = 0.5,
    now: float = 100.0,
    **plan: Any,
) -> list[tuple[str, str, float, int]]:
    """What may follow a failure at the first candidate."""
    made = Plan("m", candidates, tuple(one.id for one in candidates), **plan)
    failure = failure_of(error)
    known = {id: Tried(count, failure, now) for id, count in (tried or {candidates[0].id: 1}).items()}
    found = options(made, candidates, known, candidates[0], now, lambda: chance)
    return [(one.candidate.id, one.kind, round(one.wait, 6), one.cost) for one in found]


A, B, C = candidate("a/m", 0), candidate("b/m", 1), candidate("c/m", 2)


def test_one_not_tried_goes_before_a_retry() -> None:
    assert chosen(BROKEN, (A, B, C)) == [
        ("b/m", "fallback", 0.0, 0),
        ("c/m", "fallback", 0.0, 0),
        ("a/m", "retry", 0.025, TRANSIENT),
    ]


@pytest.mark.parametrize("kind", [e.BudgetExceeded, e.UnknownPrice, e.RateLimited, e.LargerThanLimit])
def test_a_shortage_at_one_leads_to_the_next_and_is_no_attempt(kind: type[e.PenstockError]) -> None:
    assert chosen(kind("short"), (A, B, C)) == [("b/m", "fallback", 0.0, 0), ("c/m", "fallback", 0.0, 0)]
    assert failure_of(kind("short")) == Failure(again=False, onward="any", unsent=True)
    assert effect_of(kind("short")) is NO_EFFECT
    # Nothing was sent, so the next is not the last attempt that there is.
    assert chosen(kind("short"), (A, B), {"a/m": 0}, retry=Retry(max_total=1)) == [("b/m", "fallback", 0.0, 0)]


def test_a_silent_one_is_not_asked_again() -> None:
    assert chosen(SILENT, (A, B)) == [("b/m", "fallback", 0.0, 0)]
    assert chosen(SILENT, (A,)) == []


@pytest.mark.parametrize(("count", "wait"), [(1, 0.025), (2, 0.05)])
def test_backoff_doubles(count: int, wait: float) -> None:
    assert chosen(BROKEN, (A,), {"a/m": count}) == [("a/m", "retry", wait, TRANSIENT)]
    longer = [("a/m", "retry", wait * 20, THROTTLED)]
    assert chosen(said(429), (A,), {"a/m": count}) == longer


def test_backoff_has_a_longest() -> None:
    many = candidate("a/m", max_attempts=40)
    assert chosen(BROKEN, (many,), {"a/m": 39}, chance=1.0) == [("a/m", "retry", 20.0, TRANSIENT)]


def test_so_many_attempts_and_no_more() -> None:
    assert chosen(BROKEN, (A,), {"a/m": 3}) == []
    assert chosen(BROKEN, (candidate("a/m", max_attempts=1), B)) == [("b/m", "fallback", 0.0, 0)]


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_retry_after_is_never_undercut(chance: float) -> None:
    (option,) = chosen(said(429, {b"retry-after": b"2"}), (A,), chance=chance)
    assert 2.0 <= option[2] <= 3.0
    # 3 s and less are waited for here; where it is longer another one is asked first.
    near = chosen(said(429, {b"retry-after": b"3"}), (A, B), chance=chance)
    assert [(one[0], one[1]) for one in near] == [("a/m", "retry"), ("b/m", "fallback")]
    far = chosen(said(429, {b"retry-after": b"4"}), (A, B), chance=chance)
    assert [(one[0], one[1]) for one in far] == [("b/m", "fallback"), ("a/m", "retry")]
    assert far[1][2] >= 4.0
    assert chosen(said(429, {b"retry-after": b"121"}), (A,), chance=chance) == []


@pytest.mark.parametrize(
    "header", [{b"retry-after": b"0"}, {b"retry-after": b"Wed, 21 Oct 2015 07:28:00 GMT"}, {b"retry-after-ms": b"0"}]
)
def test_a_wait_that_is_none_is_no_wait_that_was_named(header: dict[bytes, bytes]) -> None:
    """Zero, and a moment that is over: to come back at once, and all others with it, is what made it refuse."""
    for status in (429, 503):
        error = openai_errors.classify(status, header, b"{}", now=1.7e9)
        assert failure_of(error) == failure_of(said(status))
        assert chosen(error, (A, B)) == chosen(said(status), (A, B))
        assert effect_of(error).seconds is None


def test_another_credential_once_then_another_provider() -> None:
    pool = (candidate("a/m#1", 0), candidate("a/m#2", 0), candidate("a/m#3", 0), B)
    for error in (said(401), said(402)):
        first = [one[0] for one in chosen(error, pool)]
        assert first == ["a/m#2", "a/m#3", "b/m"]
        second = chosen(error, (pool[1], pool[0], *pool[2:]), {"a/m#1": 1, "a/m#2": 1})
        assert [one[0] for one in second] == ["b/m"]


def test_trouble_of_the_provider_goes_to_another_target_before_another_credential() -> None:
    pool = (candidate("a/m#1", 0), candidate("a/m#2", 0), B)
    assert [one[0] for one in chosen(said(503), pool)] == ["b/m", "a/m#2", "a/m#1"]
    assert [one[0] for one in chosen(said(429), pool)][:2] == ["a/m#2", "b/m"]


def test_a_prompt_too_long_goes_to_a_larger_window() -> None:
    error = said(400, body=error_body("context_length_exceeded"))
    small, same, large = (candidate(f"{n}/m", n, window=size) for n, size in enumerate((8000, 8000, 128_000)))
    unknown = candidate("u/m", 9)
    assert [one[0] for one in chosen(error, (small, same, large, unknown))] == ["2/m", "u/m"]
    assert chosen(error, (large, small)) == []
    assert chosen(error, (candidate("a/m#1", 0), candidate("a/m#2", 0))) == []


def test_a_content_filter_goes_on_only_where_that_is_said() -> None:
    error = said(400, body=error_body("content_filter"))
    assert chosen(error, (A, B)) == []
    assert [one[0] for one in chosen(error, (A, B), content_filter=True)] == ["b/m"]


def test_how_others_stand() -> None:
    there = [
        candidate("open/m", 1, Standing("open", 105.0)),
        candidate("paused/m", 2, Standing("paused", 103.0)),
        candidate("long/m", 3, Standing("paused", 400.0)),
        candidate("trial/m", 4, Standing("trial")),
        candidate("drained/m", 5, Standing("drained")),
    ]
    assert chosen(SILENT, (A, *there)) == [("trial/m", "fallback", 0.0, 0), ("paused/m", "fallback", 3.0, 0)]


def test_those_that_failed_before_may_be_asked_once_more() -> None:
    found = chosen(BROKEN, (A, B), {"a/m": 3, "b/m": 1})
    assert found == [("b/m", "retry", 0.025, TRANSIENT)]


def test_one_that_asked_for_a_wait_is_waited_for_where_the_next_has_no_credential() -> None:
    made = Plan("m", (A, B), ("a/m", "b/m"))
    tried = {
        "a/m": Tried(1, failure_of(said(429, {b"retry-after": b"9"})), 100.0),
        "b/m": Tried(1, failure_of(said(401)), 100.0),
    }
    (option,) = options(made, (A, B), tried, B, 100.0, lambda: 0.0)
    assert (option.candidate, option.kind, option.wait) == (A, "retry", 9.0)


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 5), st.sampled_from([row[1] for row in ROWS]))
def test_no_option_is_in_the_past_or_beyond_its_attempts(chance: float, count: int, error: e.PenstockError) -> None:
    made = Plan("m", (A, B), ("a/m", "b/m"), retry=Retry())
    tried = {"a/m": Tried(count, failure_of(error), 100.0)}
    for option in options(made, (A, B), tried, A, 100.0, lambda: chance):
        assert isinstance(option, Option)
        assert option.wait >= 0.0
        assert option.candidate is B or count < 3
        assert (option.cost > 0) == (option.kind == "retry")


def elsewhere() -> e.Overloaded:
    """What a gate says that has no room, where another has."""
    error = e.Overloaded("busy, and another deployment is not")
    error.elsewhere = True
    return error


@pytest.mark.parametrize("failure", [BROKEN, SILENT, said(429), said(401), said(404)])
def test_who_was_passed_over_because_another_had_room_is_waited_for_once_that_has_failed(failure: Exception) -> None:
    """Found by simulation: the first deployment was busy for a moment, the second was down; the request was lost."""
    busy, down, third = candidate("a/m", 0, max_attempts=1), candidate("b/m", 1), candidate("c/m", 2)
    order = (busy, down, third)
    plan = Plan("m", order, tuple(one.id for one in order))
    tried = {"a/m": Tried(0, failure_of(elsewhere()), 10.0)}
    assert list(options(plan, order, tried, busy, 10.0, lambda: 0.5)) == [
        Option(down, 0.0, "fallback"), Option(third, 0.0, "fallback"), Option(busy, 0.0, "fallback"),
    ]  # fmt: skip
    tried["b/m"] = Tried(1, failure_of(failure), 10.0)
    assert list(options(plan, order, tried, down, 10.0, lambda: 0.5))[:2] == [
        Option(third, 0.0, "fallback"), Option(busy, 0.0, "fallback"),
    ]  # fmt: skip
    tried["a/m"] = Tried(0, failure_of(e.Overloaded("busy, and so is its queue")), 10.0)
    assert busy not in [option.candidate for option in options(plan, order, tried, down, 10.0, lambda: 0.5)]


def test_the_last_attempt_is_for_another_target() -> None:
    """Found by simulation: a pool's credentials, each told to wait, used up all six beside one that was well."""
    first, second, third = (candidate(f"a/m#{number}", 0) for number in (1, 2, 3))
    well = candidate("b/m", 1)
    order = (first, second, third, well)
    plan = Plan("m", order, tuple(one.id for one in order))
    throttled = failure_of(said(429, {b"retry-after": b"1"}))
    tried = {"a/m#1": Tried(3, throttled, 10.0), "a/m#2": Tried(1, throttled, 10.0)}
    assert [one.candidate for one in options(plan, order, tried, second, 10.0, lambda: 0.5)][:2] == [second, third]
    tried["a/m#2"].count = 2
    assert [one.candidate for one in options(plan, order, tried, second, 10.0, lambda: 0.5)][:2] == [well, third]
