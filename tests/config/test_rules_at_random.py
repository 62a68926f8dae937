"""Limits and budgets put together at random: refused with a place, or the same after every detour."""

from __future__ import annotations

from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from penstock.config.load import load_config
from penstock.config.parcel import decode_config, encode_config
from penstock.config.resolved import resolved
from penstock.config.tree import from_mapping
from penstock.errors import ConfigError
from penstock.reservation import SCOPES
from penstock.routing.scopes import Facts, Rules
from tests.config.test_load import ENV, tree
from tests.config.test_resolved import anywhere


def mostly(good: list[Any], bad: list[Any]) -> st.SearchStrategy[Any]:
    """One in forty is wrong."""
    return st.integers(0, 39).flatmap(lambda draw: st.sampled_from(bad if draw == 39 else good))


NAMES: dict[Any, list[Any]] = {
    **{scope: [None, "*", "a*", ["acme", "free-*"], "-"] for scope in SCOPES},
    "global": [None],
    "provider": [None, "sim", "s*"],
    "deployment": [None, "sim/small", ["sim/*", "sim/large"]],
    "model": [None, "fast", ["slow", "f*"]],
    "tag": [None, "x=y", "x=*"],
    "tennant": [None],
    5: [None],
}


def for_whom(scope: Any) -> st.SearchStrategy[dict[str, Any]]:
    def said(match: Any) -> dict[str, Any]:
        return {"scope": scope} if match is None else {"scope": scope, "match": match}

    return mostly(NAMES[scope], ["", "a b", [], ["x", "x"]]).map(said)


def with_whom(rest: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    whom = mostly(list(SCOPES), ["tennant", 5]).flatmap(for_whom)
    return st.tuples(whom, rest).map(lambda both: both[0] | both[1])


RATE = mostly(["600/min", "10/s", "1.5k/h", "1M/day", "17/min"], ["16/min", "0/s", "5 / min", 60, "600 rpm"])
QUEUE = mostly(["5s", "250ms"], ["0s", 5])
HELD = st.one_of(
    st.fixed_dictionaries({"requests": RATE}, optional={"burst": mostly([50, "1k"], [0, "x"]), "queue": QUEUE}),
    st.fixed_dictionaries({"requests": RATE, "tokens": RATE, "kind": mostly(["leaky", "burst"], ["lazy"])}),
    st.fixed_dictionaries({"tokens": mostly(["20k/min"], ["5k/h"]), "kind": st.just("strict")}),
    st.fixed_dictionaries({"concurrency": mostly([1, 50], [0, "5", 10**7])}, optional={"queue": QUEUE}),
)
LOW = mostly(["clamp", "refuse"], ["x"])
AMOUNT = mostly(
    ["50 USD/day", "0.1USD/week", "2M tokens/month", "1000 requests/hour", "1.5k tokens/minute"],
    ["5/day", 5, "-1 USD/day", "0.05 USD"],
)
OPTIONS: dict[Any, Any] = {
    "zone": mostly(["UTC", "Europe/Berlin", "Asia/Kolkata"], ["Mars/Olympus", "", 5]),
    "alert_at": mostly([[], [0.5], [0.5, "90%"], [0.123456, 1]], [[0.8, 0.5], ["0%"], [1.5], 0.5]),
}
SPENT = st.one_of(
    st.fixed_dictionaries({"limit": AMOUNT}, optional={**OPTIONS, "on_low_budget": LOW}),
    st.fixed_dictionaries(
        {"limit": AMOUNT, "hard": mostly([False], [True, "no"])},
        optional={
            **OPTIONS,
            "on_soft": mostly(["alert", "throttle", {"downgrade": "fast"}], [{"downgrade": "no"}, {}, 5]),
        },
    ),
)
ONE = st.fixed_dictionaries(
    {"scope": st.just("request"), "limit": mostly(["0.05 USD", "20k tokens"], ["5 USD/day", 5])},
    optional={"on_low_budget": LOW},
)
CONFIG = st.fixed_dictionaries(
    {
        "providers": st.just({"sim": {}}),
        "models": st.just({"fast": {"targets": ["sim/small"]}, "slow": {"targets": ["sim/large"]}}),
        "keys": st.lists(
            st.fixed_dictionaries(
                {"name": st.just("app"), "key": st.just("env:APP_KEY")},
                optional={"limits": st.lists(HELD, max_size=1), "budgets": st.lists(st.one_of(SPENT, ONE), max_size=1)},
            ),
            min_size=1,
            max_size=1,
        ),
        "limits": st.lists(with_whom(HELD), max_size=3),
        "budgets": st.lists(st.one_of(with_whom(SPENT), with_whom(SPENT), ONE), max_size=3),
    }
)
EVERYBODY = Facts("acme", "web", "app", "u1", "t", (("x", "y"),), "fast", "sim", "sim/small")


@settings(max_examples=60, deadline=None)
@given(CONFIG)
def test_it_is_refused_with_a_place_or_survives_every_detour(source: dict[str, Any]) -> None:
    try:
        config = load_config(source, ENV)
    except ConfigError as error:
        for line in str(error).splitlines():
            assert line.startswith(("limits[", "budgets[", "keys[")), line
        return
    names = [rule.id for rule in config.rules]
    assert len(set(names)) == len(names)
    assert decode_config(encode_config(config)) == config
    again = load_config(tree(resolved(config, from_mapping(source))), ENV)
    assert anywhere(again).rules == anywhere(config).rules
    assert anywhere(again).request_budgets == anywhere(config).request_budgets
    held = Rules(anywhere(config).rules).of(EVERYBODY)
    assert held == Rules(anywhere(again).rules).of(EVERYBODY)
    event("loaded")
