"""When a second deployment is asked, which, and what must never be sent twice."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.routing.hedging import is_repeatable, latest_moment, other_for
from penstock.routing.plan import Candidate, Plan
from penstock.standing import READY, Standing
from penstock.stores.gate import Gate, GateRules
from penstock.stores.pace import Pace


def fields(**more: Any) -> dict[str, msgspec.Raw]:
    body = {"model": "m", "messages": [], **more}
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in body.items()}


FUNCTION = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"store": False},
        {"store": None, "background": False, "conversation": None, "previous_response_id": None},
        {"tools": []},
        {"tools": None},
        {"tools": [FUNCTION, {"type": "custom", "custom": {"name": "g"}}]},
        # Anthropic's own words for a tool that the caller runs.
        {"tools": [{"name": "f", "input_schema": {}}]},
    ],
)
def test_what_only_answers_may_be_asked_twice(more: dict[str, Any]) -> None:
    assert is_repeatable(fields(**more))


@pytest.mark.parametrize(
    "more",
    [
        {"store": True},
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"conversation": {"id": "conv_1"}},
        {"background": True},
        {"web_search_options": {}},
        {"container": "c"},
        {"mcp_servers": [{"url": "https://x"}]},
        {"tools": [FUNCTION, {"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [{"type": "code_interpreter"}]},
        {"tools": [{"type": "mcp"}]},
        {"tools": "what"},
        {"tools": [1]},
    ],
)
def test_what_is_kept_or_done_there_is_asked_once(more: dict[str, Any]) -> None:
    assert not is_repeatable(fields(**more))


# --- when


def tail(*samples: float) -> list[float]:
    """The slowest twentieth, as a pace gives it."""
    pace = Pace("a")
    for sample in samples:
        pace.first_output(sample, 0, 1000.0, stream=True)
    found = pace.tail(0, stream=True)
    assert found is not None
    return found.samples


def test_where_five_in_a_hundred_may_be_sent_twice_it_is_the_p95() -> None:
    found = tail(*(number / 1000 for number in range(1, 1001)))
    assert latest_moment(found, 0.05) == 0.95
    assert latest_moment(found, 0.5) == 0.95


def test_where_nothing_tells_the_late_from_the_stuck_it_is_the_p95() -> None:
    # Evenly spread: the longer one has waited, the less there is left.
    assert latest_moment(tail(*(number / 1000 for number in range(1, 1001))), 0.02) == 0.95


def test_with_two_in_a_hundred_it_is_where_the_stuck_part_from_the_late() -> None:
    # 970 answer within 0.9 s, 30 take ten times as long; the p95 is 0.88 s, and two in five there are about to answer.
    well = [0.1 + 0.8 * number / 969 for number in range(970)]
    stuck = [1.0 + 8.0 * number / 29 for number in range(30)]
    found = tail(*well, *stuck)
    assert found[0] == pytest.approx(0.883, abs=0.001)
    assert 0.9 <= latest_moment(found, 0.02) <= 1.0


def test_it_is_never_so_late_that_the_budget_cannot_be_spent() -> None:
    # One in a hundred is stuck for ever, but two in a hundred may be sent twice.
    found = tail(*(number / 1000 for number in range(1, 991)), *([1000.0] * 10))
    assert latest_moment(found, 0.02) == 0.98
    assert latest_moment(found, 0.01) == 0.99


@given(st.lists(st.floats(0, 1e6), min_size=200, max_size=1000), st.floats(0.0001, 1))
def test_it_is_between_the_p95_and_the_slowest(samples: list[float], most: float) -> None:
    found = tail(*samples)
    moment = latest_moment(found, most)
    assert found[0] <= moment <= found[-1]
    left = sum(sample > moment for sample in found)
    assert moment == found[0] or left <= len(found)


# --- whom


class Stands:
    """A health that stands as told."""

    def __init__(self, standing: Standing = READY) -> None:
        self._standing = standing

    def standing(self, now: float) -> Standing:
        return self._standing


def candidate(id: str, target: int, **more: Any) -> Candidate:
    return Candidate(id, id.partition("#")[0], target, None, Stands(), Pace(id), **more)


def other(*candidates: Candidate, first: int = 0) -> str | None:
    found = other_for(Plan("m", candidates, ()), candidates[first], 0.0)
    return found.id if found is not None else None


def test_it_is_another_target_before_another_credential() -> None:
    assert other(candidate("a#x", 0), candidate("a#y", 0), candidate("b", 1)) == "b"
    assert other(candidate("a#x", 0), candidate("a#y", 0)) == "a#y"
    assert other(candidate("a", 0), candidate("b", 1), first=1) == "a"


def test_nobody_else_is_nobody() -> None:
    assert other(candidate("a", 0)) is None
    assert other(candidate("a", 0), candidate("x", 1, foreign=True)) is None


@pytest.mark.parametrize("state", ["trial", "paused", "open", "drained", "isolated", "exhausted", "misconfigured"])
def test_only_those_that_are_ready(state: Any) -> None:
    second, third = candidate("b", 1), candidate("c", 2)
    second.health = Stands(Standing(state))
    assert other(candidate("a", 0), second, third) == "c"


def test_only_those_that_have_room() -> None:
    second = candidate("b", 1)
    gate = second.pace.gate = Gate(second.pace)
    gate.set_rules(GateRules(1), None)
    assert other(candidate("a", 0), second) == "b"
    second.pace.in_flight = 1
    assert other(candidate("a", 0), second) is None
