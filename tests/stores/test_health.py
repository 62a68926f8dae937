"""How deployments stand as their callers see it: each effect, credentials that are shared, permits, operators' words.

Here the authority is in the same process, as in the library; that workers see the same is `test_health_link.py`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.standing import Effect, Standing
from penstock.stores.authority import Authority
from penstock.stores.breaker import BreakerRules, Position
from penstock.stores.condition import Order
from penstock.stores.health import Health, OwnDesk
from penstock.stores.register import MOST_STRANGERS
from penstock.testing import FakeClock

T = TypeVar("T")

USUAL = BreakerRules()
FAILURE = Effect("failure", None, "unavailable (503)")
REFUSED = Effect("credential", None, "upstream_credential (401)")


def now_of(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine that waits for nothing returns."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


class House:
    """An authority, its clock, and healths."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.moves: list[tuple[str, Position]] = []
        self.refused: list[str] = []
        self.authority = Authority(lambda: 0.5, lambda id, to: self.moves.append((id, to)), self.refused.append)
        self.desk = OwnDesk(self.authority, self.clock)

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    def health(self, id: str = "a/m", credential: str = "", rules: BreakerRules | None = USUAL) -> Health:
        health = Health(id, self.desk)
        health.adopt(credential or id.partition("/")[0], rules)
        return health

    def after(self, seconds: float, health: Health) -> Standing:
        self.clock.advance(seconds)
        return health.standing(self.now)

    def fail(self, health: Health, effect: Effect = FAILURE, times: int = 1) -> Standing:
        for _ in range(times):
            health.sent(self.now)
            health.failed(self.now, effect)
        return health.standing(self.now)

    def succeed(self, health: Health, times: int = 1) -> None:
        for _ in range(times):
            health.sent(self.now)
            health.passed(self.now, 0.1)

    def trial(self, health: Health, *, early: bool = False) -> bool:
        return now_of(health.try_trial(20.0, early=early))


@pytest.fixture
def house() -> House:
    return House()


def test_at_first_it_may_be_asked_freely(house: House) -> None:
    health = house.health()
    assert not health.blocked
    assert health.standing(house.now).state == "ready"


def test_five_failures_block_it_for_five_seconds_then_one_at_a_time_then_three_free_it(house: House) -> None:
    health = house.health()
    standing = house.fail(health, times=5)
    assert health.blocked
    assert standing == ("open", house.now + 5, "5 failures in a row, the last one: unavailable (503)")
    assert health.since == house.now
    assert not house.trial(health)
    assert house.after(5, health).state == "trial"
    for _ in range(3):
        assert health.blocked
        assert house.trial(health)
        assert not house.trial(health), "one permit"
        health.passed(house.now, 0.1, trial=True)
    assert not health.blocked
    assert house.moves == [("a/m", "open"), ("a/m", "half_open"), ("a/m", "closed")]


def test_a_trial_that_fails_opens_it_again_for_twice_as_long(house: House) -> None:
    health = house.health()
    house.fail(health, times=5)
    house.after(5, health)
    assert house.trial(health)
    health.failed(house.now, FAILURE, trial=True)
    assert health.standing(house.now)[:2] == ("open", house.now + 10)
    assert health.since == house.now


@pytest.mark.parametrize("kind", ["failure", "slow", "overloaded"])
def test_these_count_for_the_breaker(house: House, kind: Any) -> None:
    assert house.fail(house.health(), Effect(kind), 5).state == "open"


@pytest.mark.parametrize("kind", ["throttled", "credential", "exhausted", "misconfigured", "none", "fine"])
def test_these_do_not(house: House, kind: Any) -> None:
    house.fail(house.health(), Effect(kind, 1.0, kind), 100)
    assert house.moves == []


def test_a_cancelled_trial_gives_its_permit_back_and_says_nothing(house: House) -> None:
    health = house.health()
    house.fail(health, times=5)
    house.after(5, health)
    assert house.trial(health)
    health.release_trial()
    assert house.trial(health)
    assert house.moves == [("a/m", "open"), ("a/m", "half_open")]


def test_a_permit_that_nobody_gives_back_lapses(house: House) -> None:
    health = house.health()
    house.fail(health, times=5)
    house.after(5, health)
    assert house.trial(health)
    house.clock.advance(19.9)
    assert not house.trial(health)
    house.clock.advance(0.1)
    assert house.trial(health)


def test_whose_permit_has_lapsed_gives_nobody_else_s_back(house: House) -> None:
    health, authority = house.health(), house.authority
    house.fail(health, times=5)
    house.clock.advance(5)
    assert authority.try_trial("a/m", house.now, 1.0, "one")
    house.clock.advance(1)
    assert authority.try_trial("a/m", house.now, 10.0, "other")
    authority.tried("a/m", house.now, 1, "one")
    assert not authority.try_trial("a/m", house.now, 10.0, "third")
    authority.release("a/m", "other")
    assert authority.try_trial("a/m", house.now, 10.0, "third")


def test_early_it_is_tried_once_in_each_open_period(house: House) -> None:
    health = house.health()
    house.fail(health, times=5)
    house.clock.advance(1)
    assert house.trial(health, early=True)
    health.failed(house.now, FAILURE, trial=True)
    assert not house.trial(health, early=True)
    assert health.standing(house.now)[:2] == ("open", house.now + 4)
    house.clock.advance(4)
    assert house.trial(health)
    health.failed(house.now, FAILURE, trial=True)
    assert house.trial(health, early=True)
    health.passed(house.now, 0.1, trial=True)
    assert health.standing(house.now).state == "trial"


def test_early_is_no_way_round_anything_but_the_breaker(house: House) -> None:
    health = house.health()
    house.fail(health, times=5)
    house.fail(health, Effect("throttled", 3.0))
    assert not house.trial(health, early=True)
    house.clock.advance(3)
    assert house.trial(health, early=True)


def test_slow_answers_count_where_configured(house: House) -> None:
    health = house.health(rules=BreakerRules(slow=2.0))
    for _ in range(5):
        health.passed(house.now, 2.1)
    assert health.standing(house.now).why == "5 failures in a row, the last one: first output after 2.1 s"
    usual = house.health("b/m")
    for _ in range(100):
        usual.passed(house.now, 500.0)
    assert not usual.blocked


def test_off_means_that_nothing_opens(house: House) -> None:
    assert house.fail(house.health(rules=None), times=1000).state == "ready"


# --- 429


def test_too_many_requests_pause_it_until_retry_after_and_no_trial_is_needed_then(house: House) -> None:
    health = house.health()
    assert house.fail(health, Effect("throttled", 7.0, "rate_limited (429)")) == (
        "paused", house.now + 7, "rate_limited (429)",
    )  # fmt: skip
    assert house.after(6.9, health).state == "paused"
    assert house.after(0.1, health).state == "ready"
    assert not health.blocked


def test_retry_after_is_never_undercut_by_a_later_one(house: House) -> None:
    health = house.health()
    house.fail(health, Effect("throttled", 7.0))
    assert house.fail(health, Effect("throttled", 2.0)).until == house.now + 7
    assert house.fail(health, Effect("throttled", 9.0)).until == house.now + 9


def test_without_retry_after_a_second_doubled_to_three_while_it_goes_on(house: House) -> None:
    health = house.health()
    lengths = []
    for _ in range(7):
        until = house.fail(health, Effect("throttled")).until
        assert house.fail(health, Effect("throttled")).until == until, "those under way double nothing"
        lengths.append(until - house.now)
        house.clock.advance(until - house.now)
    assert lengths == [1, 2, 3, 3, 3, 3, 3]
    house.succeed(health)
    assert house.fail(health, Effect("throttled")).until == house.now + 1


# --- credentials


def test_a_refused_credential_is_skipped_for_a_minute_then_probed_by_one(house: House) -> None:
    one, other = house.health("a/one"), house.health("a/other")
    assert house.fail(one, REFUSED) == ("suspended", house.now + 60, "upstream_credential (401)")
    assert other.blocked, "it is asked with the same"
    assert other.standing(house.now).state == "suspended"
    house.clock.advance(60)
    assert one.standing(house.now).state == other.standing(house.now).state == "trial"
    assert house.trial(other)
    assert not house.trial(one), "one probe for all models"
    other.passed(house.now, 0.1, trial=True)
    assert not one.blocked
    assert not other.blocked


def test_calls_that_were_under_way_when_it_was_refused_do_not_lengthen_the_minute(house: House) -> None:
    health = house.health()
    until = house.fail(health, REFUSED).until
    house.clock.advance(30)
    assert house.fail(health, REFUSED).until == until


def test_a_probe_that_is_refused_begins_another_minute(house: House) -> None:
    health = house.health()
    house.fail(health, REFUSED)
    house.clock.advance(60)
    assert house.trial(health)
    health.failed(house.now, REFUSED, trial=True)
    assert health.standing(house.now)[:2] == ("suspended", house.now + 60)


def test_a_probe_that_fails_otherwise_leaves_it_to_the_next_one(house: House) -> None:
    health = house.health()
    house.fail(health, REFUSED)
    house.clock.advance(60)
    assert house.trial(health)
    health.failed(house.now, FAILURE, trial=True)
    assert health.standing(house.now).state == "trial"
    assert house.trial(health)


def test_other_credentials_of_the_provider_are_not_concerned(house: House) -> None:
    one, other = house.health("a/m#1", "a#1"), house.health("a/m#2", "a#2")
    house.fail(one, REFUSED)
    assert one.blocked
    assert not other.blocked


def test_what_is_asked_for_the_first_time_with_a_refused_credential_is_blocked_at_once(house: House) -> None:
    house.fail(house.health("a/one"), REFUSED)
    later = house.health("a/later")
    assert later.standing(house.now).state == "suspended"


def test_another_secret_begins_without_a_stain(house: House) -> None:
    health = house.health("a/m", "a@old")
    house.fail(health, REFUSED)
    health.adopt("a@new", BreakerRules())
    assert health.standing(house.now).state == "ready"
    house.fail(house.health("a/other", "a@new"), REFUSED)
    assert health.standing(house.now).state == "suspended"


def test_an_exhausted_credential_rests_until_its_reset_or_for_an_hour_then_is_probed(house: House) -> None:
    health = house.health()
    assert house.fail(health, Effect("exhausted", None, "upstream_quota (429)"))[:2] == ("exhausted", house.now + 3600)
    assert house.after(3600, health).state == "trial"
    told = house.health("b/m")
    assert house.fail(told, Effect("exhausted", 120.0, "spent"))[:2] == ("exhausted", house.now + 120)


def test_a_misconfigured_deployment_is_skipped_for_a_minute_then_tried(house: House) -> None:
    health, other = house.health("a/gone"), house.health("a/there")
    house.fail(health, Effect("misconfigured", None, "not_found (404)"))
    assert health.standing(house.now)[:2] == ("misconfigured", house.now + 60)
    assert not other.blocked
    assert house.after(60, health).state == "trial"
    assert house.trial(health)
    health.passed(house.now, 0.1, trial=True)
    assert not health.blocked


def test_of_several_reasons_the_one_that_lasts_longest_is_told_and_a_trial_needs_both_permits(house: House) -> None:
    one, other = house.health("a/one"), house.health("a/other")
    house.fail(one, times=5)
    house.fail(one, REFUSED)
    assert one.standing(house.now).state == "suspended"
    house.clock.advance(60)
    assert house.trial(other), "the credential's probe is taken"
    assert not house.trial(one)
    other.release_trial()
    assert house.trial(one)
    assert not house.trial(other)


# --- operators


@pytest.mark.parametrize(("order", "state"), [("drain", "drained"), ("isolate", "isolated")])
def test_what_an_operator_stops_stays_so_until_restored(house: House, order: Order, state: str) -> None:
    health = house.health()
    assert house.authority.order("a/m", order, house.now) == ["a/m"]
    assert house.after(1e6, health)[:2] == (state, float("inf"))
    assert not house.trial(health)
    assert not house.trial(health, early=True)
    house.succeed(health)
    house.authority.order("a/m", "restore", house.now)
    assert not health.blocked


def test_restore_closes_the_breaker_by_hand_and_ends_every_pause(house: House) -> None:
    health = house.health()
    house.fail(health, times=5)
    house.fail(health, Effect("throttled", 1000.0))
    house.fail(health, Effect("exhausted"))
    house.authority.order("a/m", "restore", house.now)
    assert not health.blocked
    assert house.moves[-1] == ("a/m", "closed")


def test_without_a_credential_all_that_have_one_are_meant(house: House) -> None:
    one, two, other = house.health("a/m#1", "a#1"), house.health("a/m#2", "a#2"), house.health("a/mm")
    assert house.authority.order("a/m", "drain", house.now) == ["a/m#1", "a/m#2"]
    assert one.blocked
    assert two.blocked
    assert not other.blocked
    assert house.authority.order("a/m#2", "restore", house.now) == ["a/m#2"]
    assert one.blocked
    assert not two.blocked
    assert house.authority.order("a/unknown", "drain", house.now) == []


# --- retries


def test_retries_are_counted_against_requests_and_refusals_are_told(house: House) -> None:
    health = house.health()
    house.succeed(health, 200)
    granted = [now_of(health.try_retry(14)) for _ in range(40)]
    assert granted == [True] * 30 + [False] * 10, "a tenth of 200, and ten saved up"
    assert house.refused == ["a/m"] * 10


def test_a_retry_is_no_request_and_its_success_returns_its_cost(house: House) -> None:
    health = house.health()
    house.succeed(health, 1000)
    house.clock.advance(0.5)
    while now_of(health.try_retry(14)):
        pass
    quota = house.authority.register.named("a/m")[0].quota
    left = quota.tokens
    assert left == 500 - 35 * 14
    health.passed(house.now, 0.1, after_retry=14)
    health.flush()
    assert quota.tokens == left + 14
    assert now_of(health.try_retry(14))


def test_successes_of_long_ago_do_not_hide_a_failing_half(house: House) -> None:
    """What was counted belongs to the second in which it was, though it is passed on later."""
    health = house.health()
    house.succeed(health, 1000)
    house.clock.advance(40)
    for _ in range(10):
        house.fail(health)
        house.succeed(health)
    assert house.fail(health).state == "open"


# --- what is kept


def test_rules_change_by_binding_and_nothing_is_forgotten(house: House) -> None:
    health = house.health()
    house.fail(health, times=5)
    health.adopt("a", BreakerRules(failures=50))
    assert health.standing(house.now).state == "open"
    health.adopt("a", None)
    assert not health.blocked, "off"


def test_deployments_that_callers_made_up_fill_no_memory(house: House) -> None:
    kept = house.health("a/declared")
    house.fail(kept, times=5)
    for number in range(MOST_STRANGERS + 10):
        Health(f"a/{number}", house.desk).adopt("a", BreakerRules(), declared=False)
    assert len(list(house.authority.register.subjects())) == MOST_STRANGERS + 2
    assert house.authority.standing("a/declared", house.now).state == "open"


def test_what_callers_made_up_may_be_declared_later_and_stays_so(house: House) -> None:
    health = Health("a/m", house.desk)
    told: list[bool] = []
    for declared in (False, False, True, False, True):
        health.adopt("a", USUAL, declared=declared)
        told.append(house.authority.register.is_stranger("a/m"))
    assert told == [True, True, False, False, False]


def test_alone_it_decides_by_itself() -> None:
    health = Health("a/m")
    for _ in range(5):
        health.failed(0.0, FAILURE)
    assert health.blocked
    assert asyncio.run(health.try_retry(14))


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["one", "other"]),
        st.sampled_from(
            ["pass", "failure", "throttled", "credential", "exhausted", "misconfigured", "drain", "restore"]
        ),
        st.floats(0.0, 30.0),
    ),
    max_size=80,
)


@given(EVENTS)
def test_blocked_is_never_false_where_it_may_not_be_asked_and_trials_are_one_at_a_time(
    events: list[tuple[str, str, float]],
) -> None:
    house = House()
    healths = {"one": house.health("a/one"), "other": house.health("a/other")}
    trying: dict[str, float] = {}
    for name, event, pause in events:
        house.clock.advance(pause)
        health, now = healths[name], house.now
        if event in ("drain", "restore"):
            house.authority.order(health.id, event, now)  # type: ignore[arg-type]
        elif not health.blocked or health.standing(now).state == "ready":
            if event == "pass":
                health.passed(now, 0.1)
            else:
                health.failed(now, Effect(event, None, event))  # type: ignore[arg-type]
        elif house.trial(health):
            assert trying.get(name, now) <= now, "a permit was given twice"
            trying[name] = now + 20.0
        elif trying.pop(name, now) > now:
            if event == "pass":
                health.passed(now, 0.1, trial=True)
            else:
                health.failed(now, Effect(event, None, event), trial=True)  # type: ignore[arg-type]
        for each in healths.values():
            if house.authority.standing(each.id, house.now).state != "ready":
                assert each.blocked
            assert each.standing(house.now)[:2] == house.authority.standing(each.id, house.now)[:2]


def test_what_refuses_and_is_to_be_left_alone_besides_is_left_alone() -> None:
    """Found by simulation: a credential that was suspended was asked in vain, though a pause was running as well."""
    house = House()
    health = house.health()
    assert not health.refuses(house.now)
    health.failed(house.now, REFUSED)
    assert health.refuses(house.now)
    health.failed(house.now, Effect("throttled", 5.0, "429"))
    assert house.after(0.0, health).state == "suspended"
    assert not health.refuses(house.now)
    house.clock.advance(5.0)
    assert health.refuses(house.now)
    house.authority.order("a/m", "drain", house.now)
    assert not health.refuses(house.now)
    house.authority.order("a/m", "restore", house.now)
    assert not health.refuses(house.now)
