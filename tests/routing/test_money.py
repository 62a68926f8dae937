"""What an attempt reserves, and what is told where it cannot: semantics.md, Money, with numbers."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.errors import BudgetExceeded, InvalidRequest, LargerThanLimit, RateLimited, UnknownPrice
from penstock.providers.bounds import Bound, bound_of
from penstock.providers.prices import declared
from penstock.reservation import Level, RequestBudget, Rule, Shortage
from penstock.routing.allowance import Allowance, allowance_of
from penstock.routing.money import NO_CLAIM, Claim, Use, check_bounded, exhausted, shortened, shrunk
from penstock.wire.dialect import ModelFacts
from penstock.wire.extent import Extent

# One dollar a million of input, ten a million of output: 1,000 and 10,000 nano-dollars a token.
PRICE = declared({"input": 1_000_000, "output": 10_000_000})
USD = Rule("usd", "tenant", "budget", "usd", 50_000_000, period="day")
TOKENS = Rule("tokens", "user", "budget", "tokens", 20_000, period="day")
REQUESTS = Rule("requests", "key", "budget", "requests", 10, period="day")
SCOPES = [(USD, "acme"), (TOKENS, "acme/u1"), (REQUESTS, "app")]


def bound(taken: int = 1_000, output: int | None = 500, *, thinking: int = 0, **facts: Any) -> Bound:
    return bound_of(Extent(taken, output=output, thinking=thinking), ModelFacts(**facts), PRICE, 0.0)


def level(rule: Rule, left: int) -> Level:
    return Level(rule, "acme", rule.limit - left, left, 60.0)


def test_of_each_account_what_its_rule_counts() -> None:
    rates = [
        Rule("burst requests", "provider", "burst", "requests", 9),
        Rule("burst tokens", "provider", "burst", "tokens", 9),
        Rule("strict requests", "provider", "strict", "requests", 9),
        Rule("strict tokens", "provider", "strict", "tokens", 9),
    ]
    claim = Claim([*SCOPES, *((rate, "up") for rate in rates)])
    assert claim.accounts.scopes[:3] == tuple(SCOPES)
    # Of what even themselves out it is what is likely; each attempt that is sent is a request to its provider.
    assert claim.amounts(Use(6_000_000, 1_500, 0, 700, 1)) == (6_000_000, 1_500, 0, 1, 700, 1, 1_500)
    assert claim.kept == [0, 1, 2]
    assert claim.budgets.scopes == tuple(SCOPES[:2])
    assert Claim([(TOKENS, "acme/u1")]).amounts(Use(5, 6)) == (6,)
    assert NO_CLAIM.amounts(Use(5, 6)) == ()


def test_a_request_without_a_limit_of_its_own_holds_a_tenth_of_what_is_left() -> None:
    free = bound(output=None)
    assert free.given == 8_192
    # Of 50 thousandths of a dollar 5: one for the input, and 400 tokens of output.
    assert shortened([level(USD, 50_000_000)], None, free, free.given) == 400
    assert shortened([level(TOKENS, 20_000)], None, free, free.given) == 1_000
    assert shortened([level(USD, 50_000_000), level(TOKENS, 13_000)], None, free, free.given) == 300
    # Never less than the least that is of use; whether that is there the reservation finds.
    assert shortened([level(USD, 0)], None, free, free.given) == 16
    # With a limit of its own it holds that.
    assert shortened([level(USD, 5_000_000)], None, bound(output=500), 500) == 500
    soft = Rule("soft", "tenant", "budget", "usd", 50_000_000, period="day", hard=False)
    assert shortened([level(soft, 0)], None, free, free.given) == 8_192


def test_a_request_shrinks_with_what_is_left_down_to_16_tokens() -> None:
    assert shrunk(Shortage(USD, "acme", 3_000_000, 60.0), bound(), 500, 0.0) == 200
    assert shrunk(Shortage(USD, "acme", 1_160_000, 60.0), bound(), 500, 0.0) == 16
    with pytest.raises(BudgetExceeded):
        shrunk(Shortage(USD, "acme", 1_159_999, 60.0), bound(), 500, 0.0)
    assert shrunk(Shortage(TOKENS, "acme/u1", 1_016, 60.0), bound(), 500, 0.0) == 16
    with pytest.raises(BudgetExceeded):
        shrunk(Shortage(TOKENS, "acme/u1", 1_015, 60.0), bound(), 500, 0.0)
    # Less every time, though others may have left more meanwhile.
    assert shrunk(Shortage(USD, "acme", 9_000_000, 60.0), bound(), 500, 0.0) == 499


def test_what_thinks_shrinks_to_what_it_thinks_and_1024() -> None:
    thinks = bound(output=8_000, thinking=2_000)
    assert shrunk(Shortage(USD, "acme", 31_240_000, 60.0), thinks, 8_000, 0.0) == 3_024
    with pytest.raises(BudgetExceeded):
        shrunk(Shortage(USD, "acme", 31_239_999, 60.0), thinks, 8_000, 0.0)


def test_refuse_where_the_rule_says_so() -> None:
    strict = Rule("usd", "tenant", "budget", "usd", 50_000_000, period="day", clamp=False)
    with pytest.raises(BudgetExceeded):
        shrunk(Shortage(strict, "acme", 3_000_000, 60.0), bound(), 500, 0.0)
    with pytest.raises(BudgetExceeded):
        shrunk(Shortage(REQUESTS, "app", 0, 60.0), bound(), 500, 0.0)


def test_a_refusal_says_which_scope_how_much_and_when_it_is_there_again() -> None:
    with pytest.raises(BudgetExceeded) as raised:
        shrunk(Shortage(USD, "acme", 1_000_000, 3_600.0), bound(), 500, 1_764_000_000.0)
    assert raised.value.told == (
        "The budget of tenant 'acme' has too little left: 0.001 USD of 0.05 USD a day, and this call takes at"
        " least 0.00116 USD. Send a shorter prompt, ask for a cheaper model, or have it raised. It is there again"
        " at 2025-11-24 17:00:00 UTC."
    )
    assert (raised.value.retry_after, raised.value.retryable, raised.value.status) == (3_600.0, False, 429)
    with pytest.raises(BudgetExceeded, match=r"of user 'u1' has too little left: 15 tokens"):
        shrunk(Shortage(TOKENS, "acme/u1", 15, 60.0), bound(), 500, 0.0)


def test_of_a_budget_by_the_hour_it_says_so() -> None:
    rule = Rule("few", "user", "budget", "requests", 2, period="hour")
    with pytest.raises(BudgetExceeded, match=r"left: none of 2 requests an hour"):
        shrunk(Shortage(rule, "acme/u1", 0, 3_600.0), bound(), 500, 0.0)


def test_only_what_can_help_is_advised() -> None:
    with pytest.raises(BudgetExceeded) as raised:
        shrunk(Shortage(TOKENS, "acme/u1", 15, 60.0), bound(), 500, 0.0)
    assert "15 tokens of 20000 tokens a day" in raised.value.told
    assert "Send a shorter prompt, or have it raised." in raised.value.told
    strict = Rule("usd", "tenant", "budget", "usd", 50_000_000, period="day", clamp=False)
    with pytest.raises(BudgetExceeded) as raised:
        shrunk(Shortage(strict, "acme", 3_000_000, 60.0), bound(), 500, 0.0)
    assert "Send a shorter prompt or answer, ask for a cheaper model, or have it raised." in raised.value.told


def test_a_budget_of_requests_is_not_helped_by_a_cheaper_model() -> None:
    rule = Rule("few", "user", "budget", "requests", 2, period="day")
    with pytest.raises(BudgetExceeded) as raised:
        shrunk(Shortage(rule, "acme/u1", 0, 3_600.0), bound(), 500, 1_764_000_000.0)
    assert raised.value.told == (
        "The budget of user 'u1' has too little left: none of 2 requests a day. Have it raised. It is there again at"
        " 2025-11-24 17:00:00 UTC."
    )


def test_what_others_spend_is_not_told() -> None:
    for scope in ("global", "provider", "deployment", "model"):
        rule = Rule("x", scope, "budget", "usd", 50_000_000, period="day")
        with pytest.raises(BudgetExceeded) as raised:
            shrunk(Shortage(rule, "up", 123_456, 60.0), bound(), 500, 0.0)
        assert "USD" not in raised.value.message


def test_a_rate_says_exactly_how_long_to_wait() -> None:
    rate = Rule("rate", "provider", "burst", "tokens", 20_000, seconds=60)
    with pytest.raises(RateLimited) as raised:
        shrunk(Shortage(rate, "up", 10, 4.321), bound(), 500, 0.0)
    assert (raised.value.retry_after, raised.value.unit) == (4.321, "tokens")
    small = Rule("rate", "provider", "strict", "tokens", 1_000, seconds=60)
    with pytest.raises(LargerThanLimit, match="1500 tokens, and the limit of tokens of provider 'up' admits 1000"):
        shrunk(Shortage(small, "up", 1_000, float("inf")), bound(), 500, 0.0)


# --- what has no bound


def test_a_hard_budget_wants_a_bound_and_a_price() -> None:
    unbounded = bound_of(Extent(10, stored=True, uses=None), ModelFacts(context_window=1_000), PRICE, 0.0)
    unknown = bound_of(Extent(10), ModelFacts(), None, 0.0)
    soft = Rule("usd", "tenant", "budget", "usd", 5, period="day", hard=False)
    rate = Rule("rate", "provider", "burst", "tokens", 20_000, seconds=60)
    for scopes in ([(soft, "acme")], [(REQUESTS, "app")], [(rate, "up")], []):
        assert not check_bounded(Claim(scopes), None, unbounded, "up/m")
        assert not check_bounded(Claim(scopes), None, unknown, "up/m")
    assert check_bounded(Claim([(TOKENS, "acme/u1")]), None, unknown, "up/m")
    assert check_bounded(Claim([(USD, "acme")]), None, bound(), "up/m")
    with pytest.raises(UnknownPrice):
        check_bounded(Claim([(USD, "acme")]), None, unknown, "up/m")
    with pytest.raises(UnknownPrice):
        check_bounded(Claim([]), Allowance(5, None, clamp=True, where="max_cost_usd"), unknown, "up/m")
    for rule in (USD, TOKENS):
        with pytest.raises(InvalidRequest, match="has no bound"):
            check_bounded(Claim([(rule, "acme")]), None, unbounded, "up/m")


# --- what one request may use


def test_the_least_of_what_one_request_may_use_holds() -> None:
    budgets = [
        RequestBudget("usd", 900),
        RequestBudget("usd", 500, key="app"),
        RequestBudget("tokens", 70, clamp=False),
        RequestBudget("usd", 1, key="other"),
    ]
    found = allowance_of(budgets, "app", 700)
    assert found is not None
    assert (found.usd, found.tokens, found.clamp, found.where) == (500, 70, False, "scope: request")
    found = allowance_of(budgets[:1], "app", 700)
    assert found is not None
    assert (found.usd, found.tokens, found.clamp, found.where) == (700, None, True, "max_cost_usd")
    assert allowance_of([], "app", None) is None
    assert allowance_of(budgets[3:], "app", None) is None


def test_attempts_share_it() -> None:
    money = Allowance(1_000, 50, clamp=True, where="max_cost_usd")
    assert money.take(600, 20)
    assert not money.take(401, 20)
    assert not money.take(400, 31)
    assert (money.usd, money.tokens) == (400, 30)
    money.give(500, 10)  # it took 100, and 10 tokens
    assert money.take(900, 40)
    money.give(-5, 0)
    assert money.usd == -5


def test_a_request_shrinks_to_what_it_may_use_itself() -> None:
    assert shortened([], Allowance(3_000_000, None, clamp=True, where="w"), bound(), 500) == 200
    assert shortened([], Allowance(None, 1_200, clamp=True, where="w"), bound(), 500) == 200
    assert shortened([], Allowance(3_000_000, None, clamp=False, where="w"), bound(), 500) == 500
    refused = exhausted(Allowance(3_000_000, None, clamp=False, where="max_cost_usd"), bound(), 500)
    assert refused.message == "0.003 USD is left to this request by max_cost_usd, and it may take 0.006 USD"
    assert refused.do == "Raise it, send a shorter prompt, ask for less output, or ask for a model that costs less."
    # What the prompt alone costs is more.
    refused = exhausted(Allowance(5, None, clamp=False, where="max_cost_usd"), bound(), 500)
    assert refused.do == "Raise it, send a shorter prompt, or ask for a model that costs less."
    refused = exhausted(Allowance(None, 1_200, clamp=False, where="scope: request"), bound(), 500)
    assert refused.message == "1200 tokens is left to this request by scope: request, and it may take 1500 tokens"
    assert refused.do == "Have it raised, send a shorter prompt, or ask for less output."
