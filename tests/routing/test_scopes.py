"""Which rules hold for a call: the most exact of one scope and kind alone, of different scopes all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.reservation import Rule, RuleKind, Scope, Unit
from penstock.routing.scopes import Facts, Rules


def rule(
    scope: Scope,
    match: str = "",
    unit: Unit = "tokens",
    kind: RuleKind = "budget",
    period: str = "day",
) -> Rule:
    return Rule(f"{kind} {scope} {unit} {period} {match}", scope, kind, unit, 1000, match, period)


def held(rules: Sequence[Rule], facts: Facts) -> list[tuple[str, str, str]]:
    return [(found.scope, found.match, value) for found, value in Rules(rules).of(facts)]


CALL = Facts(
    tenant="acme",
    project="web",
    key="app",
    user="u1",
    task="search",
    tags=(("feature", "chat"), ("team", "red")),
    model="fast",
    provider="openai",
    deployment="openai/gpt-5-mini",
)
NAMELESS = Facts(model="fast")

EACH: list[tuple[Scope, list[str], list[str]]] = [
    ("global", [""], [""]),
    ("provider", ["openai"], []),
    ("deployment", ["openai/gpt-5-mini"], []),
    ("model", ["fast"], ["fast"]),
    ("tenant", ["acme"], ["-"]),
    ("project", ["acme/web"], ["-/-"]),
    ("key", ["app"], ["-"]),
    ("user", ["acme/u1"], ["-/-"]),
    ("task", ["acme/search"], ["-/-"]),
    ("tag", ["acme/feature=chat", "acme/team=red"], []),
]


@pytest.mark.parametrize(("scope", "named", "nameless"), EACH)
def test_the_value_of_each_scope(scope: Scope, named: list[str], nameless: list[str]) -> None:
    rules = Rules([rule(scope)])
    assert [value for _, value in rules.of(CALL)] == named
    assert [value for _, value in rules.of(NAMELESS)] == nameless


MATCHES: list[tuple[Scope, list[str], Facts, list[str]]] = [
    # A name before a pattern, a longer pattern before a shorter one, either before none.
    ("tenant", ["", "acme"], Facts("acme"), ["acme"]),
    ("tenant", ["", "acme"], Facts("other"), [""]),
    ("tenant", ["free-*", "", "free-e*", "free-eu"], Facts("free-eu"), ["free-eu"]),
    ("tenant", ["free-*", "", "free-e*", "free-eu"], Facts("free-es"), ["free-e*"]),
    ("tenant", ["free-*", "", "free-e*", "free-eu"], Facts("free-us"), ["free-*"]),
    ("tenant", ["free-*", "free-eu"], Facts("paid"), []),
    ("tenant", ["*-eu", "free*"], Facts("free-eu"), ["free*"]),
    ("tenant", ["free-*", "*-free"], Facts("free-free"), ["free-*"]),  # as exact as each other: the first
    ("tenant", ["*a*", "ab*"], Facts("ab"), ["ab*"]),
    ("tenant", ["-"], Facts(), ["-"]),
    ("model", [""], Facts("acme"), []),
    ("tenant", ["*a*a*a*a*"], Facts("a" * 4000 + "!"), ["*a*a*a*a*"]),
    # A tenant's own values, with and without it.
    ("user", ["u1"], Facts("acme", user="u1"), ["u1"]),
    ("user", ["u1"], Facts("other", user="u1"), ["u1"]),
    ("user", ["u1", "acme/u1"], Facts("acme", user="u1"), ["acme/u1"]),
    ("user", ["u1", "acme/u1"], Facts("other", user="u1"), ["u1"]),
    ("user", ["acme/*", "u*"], Facts("acme", user="u1"), ["acme/*"]),
    ("user", ["acme/*"], Facts("other", user="u1"), []),
    ("user", ["acme/u1"], Facts("other", user="acme/u1"), []),
    ("user", ["other/acme/u1"], Facts("other", user="acme/u1"), ["other/acme/u1"]),
    ("user", ["bot-*"], Facts("bot-acme", user="u1"), []),
    ("tag", ["feature=*"], Facts("acme", tags=(("feature", "x"), ("team", "x"))), ["feature=*"]),
    ("tag", ["feature=x", ""], Facts("acme", tags=(("feature", "x"), ("team", "x"))), ["feature=x", ""]),
    ("tag", ["a=b"], Facts("acme", tags=(("a", "b"), ("a", "b"))), ["a=b"]),
    ("deployment", ["openai/*", "openai/gpt-5"], Facts(provider="openai", deployment="openai/gpt-5"), ["openai/gpt-5"]),
    ("deployment", ["openai/*"], Facts(provider="azure", deployment="azure/gpt-5"), []),
    ("model", ["openai/*"], Facts(model="openai/o3"), ["openai/*"]),
]


@pytest.mark.parametrize(("scope", "matches", "facts", "expected"), MATCHES)
def test_the_most_exact_match_holds_alone(scope: Scope, matches: list[str], facts: Facts, expected: list[str]) -> None:
    assert [match for _, match, _ in held([rule(scope, match) for match in matches], facts)] == expected


def test_every_window_of_the_most_exact_match_holds() -> None:
    rules = [
        rule("tenant", period="day"),
        rule("tenant", "acme", period="hour"),
        rule("tenant", "acme", period="month"),
    ]
    assert [found.period for found, _ in Rules(rules).of(Facts("acme"))] == ["hour", "month"]
    assert [found.period for found, _ in Rules(rules).of(Facts("other"))] == ["day"]


def test_what_counts_something_else_holds_beside_it() -> None:
    rules = [
        rule("tenant", unit="requests", kind="burst"),
        rule("tenant", kind="burst"),
        rule("tenant", unit="requests", kind="concurrency"),
        rule("tenant", unit="usd"),
        rule("tenant"),
        # A strict rate takes the place of one that allows bursts, and of nothing else.
        rule("tenant", "acme", kind="strict"),
    ]
    assert held(rules, Facts("acme")) == [
        ("tenant", "", "acme"),
        ("tenant", "acme", "acme"),
        *[("tenant", "", "acme")] * 3,
    ]


def test_rules_of_different_scopes_all_hold() -> None:
    rules = [rule(scope) for scope, _, _ in EACH]
    assert [scope for scope, _, _ in held(rules, CALL)] == [*(scope for scope, _, _ in EACH), "tag"]


def test_whether_a_rule_is_for_a_value_is_what_holds_for_who_has_it() -> None:
    facts = [
        Facts(tenant=tenant, user=user, tags=(("a", user),)) for tenant in ("t", "free-1") for user in ("u1", "b/c")
    ]
    matches: dict[Scope, tuple[str, ...]] = {
        "tenant": ("", "t", "free-*"), "user": ("", "u1", "t/u1", "free-1/*"), "tag": ("a=*", "t/a=u1"),
        "global": ("",),
    }  # fmt: skip
    rules = [rule(scope, match) for scope, of_scope in matches.items() for match in of_scope]
    of = Rules(rules)
    for each in facts:
        found = of.of(each)
        assert len(found) == 4
        values = {one.scope: value for one, value in found}
        assert {one.id for one in rules if of.holds(one, values[one.scope])} == {one.id for one, _ in found}
    assert not of.holds(rule("task"), "t/x")


def test_what_is_remembered_of_strangers_ends_somewhere() -> None:
    rules = Rules([rule("user")])
    for index in range(10_000):
        assert rules.of(Facts("acme", user=f"u{index}"))[0][1] == f"acme/u{index}"
    assert len(rules._kept) <= 1024


@pytest.mark.parametrize("scope", [scope for scope, _, _ in EACH])
def test_what_decides_is_what_is_remembered(scope: Scope) -> None:
    """With one thing after another changed, the answer is that of rules which are asked for the first time."""
    rules = Rules([rule(scope), rule(scope, "x*")])
    others = Facts("x1", "x2", "x3", "x4", "x5", (("x6", "x7"),), "x8", "x9", "x9/y")
    for name in Facts._fields:
        for facts in (CALL, CALL._replace(**{name: getattr(others, name)}), NAMELESS):
            assert rules.of(facts) == Rules([rule(scope), rule(scope, "x*")]).of(facts), name
    rules = Rules([rule("model")])
    for index in range(100):
        rules.of(Facts(user=f"u{index}", model="fast"))
    assert len(rules._kept) == 1


def test_no_rules() -> None:
    assert not Rules([])
    assert Rules([]).of(CALL) == ()


# --- against the rule as a person would apply it, by hand

LETTERS = st.text("ab/-", min_size=1, max_size=4)
MATCH = st.text("ab/*-", max_size=4).filter(lambda match: match != "*")
SCOPE = st.sampled_from(["tenant", "user", "tag", "deployment", "model"])


def fits(pattern: str, name: str) -> bool:
    """`*` stands for anything, letter by letter."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(fits(pattern[1:], name[at:]) for at in range(len(name) + 1))
    return bool(name) and name[0] == pattern[0] and fits(pattern[1:], name[1:])


def by_hand(rules: list[Rule], scope: str, qualifier: str, name: str) -> set[str]:
    """The ids of those that hold for one value."""
    ours = [each for each in rules if each.scope == scope]
    whole = f"{qualifier}/{name}" if qualifier else name

    def matches(each: Rule) -> bool:
        if not each.match:
            return True
        if not qualifier:
            return fits(each.match, name)
        # A match with a slash says whose it is; one without is for any tenant's.
        if "/" in each.match:
            return fits(each.match, whole)
        return fits(each.match, name)

    holding = [each for each in ours if matches(each)]
    if not holding:
        return set()
    # A name before a pattern, more of a name before less, any match before none; of equals the first.
    first = max(holding, key=lambda each: (each.match != "", "*" not in each.match, len(each.match.replace("*", ""))))
    return {each.id for each in holding if each.match == first.match}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(SCOPE, MATCH, st.sampled_from(["day", "month"])), max_size=8, unique=True),
    st.text("ab", min_size=1, max_size=2),
    LETTERS,
    st.lists(st.tuples(st.text("ab", min_size=1, max_size=1), LETTERS), max_size=2, unique=True),
)
def test_it_holds_what_holds_by_hand(
    written: list[tuple[Scope, str, str]], tenant: str, name: str, tags: list[tuple[str, str]]
) -> None:
    rules = [rule(scope, match, period=period) for scope, match, period in written]
    facts = Facts(tenant, user=name, tags=tuple(tags), model=name, deployment=name)
    found = {(each.id, value) for each, value in Rules(rules).of(facts)}
    expected = {(id, tenant) for id in by_hand(rules, "tenant", "", tenant)}
    expected |= {(id, f"{tenant}/{name}") for id in by_hand(rules, "user", tenant, name)}
    expected |= {(id, name) for scope in ("model", "deployment") for id in by_hand(rules, scope, "", name)}
    for key, value in tags:
        expected |= {(id, f"{tenant}/{key}={value}") for id in by_hand(rules, "tag", tenant, f"{key}={value}")}
    assert found == expected
