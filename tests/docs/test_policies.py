"""The policies' pages state the defaults that the code has, and reliability.md leads to every one of them."""

from __future__ import annotations

import re

import pytest

from penstock.config.schema import Policies, Server
from penstock.routing import timeouts
from penstock.routing.judge import LONGEST_SECONDS, SHORT_SECONDS, THROTTLED, TRANSIENT
from penstock.routing.plan import Hedge, Retry
from penstock.server.lookout import FALL, FIRST_SECONDS, JITTER
from penstock.stores.breaker import BreakerRules
from penstock.stores.gate import CALM_SECONDS, LEFT, GateRules
from penstock.stores.quota import CAPACITY
from tests.house.trees import ROOT

PAGES = {path.stem: path.read_text() for path in (ROOT / "docs" / "policies").glob("*.md")}
RULES, RETRY, ALL = BreakerRules(), Retry(), Policies()

STATED = {
    "retries": [
        f"max_attempts: {RETRY.max_attempts}", f"max_total: {RETRY.max_total}", f"base: {RETRY.base * 1000:.0f}ms",
        f"throttle_base: {RETRY.throttle_base:.0f}s", f"max_wait: {RETRY.max_wait:.0f}s", f"{CAPACITY} tokens",
        f"takes {TRANSIENT}, after a 429 {THROTTLED}", f"Up to {SHORT_SECONDS:.0f} s",
        f"beyond {LONGEST_SECONDS:.0f} s",
    ],
    "breaker": [
        f"failures: {RULES.failures}", f"ratio: {RULES.ratio}", f"minimum: {RULES.minimum}",
        f"window: {RULES.window:.0f}s", f"open: {RULES.open:.0f}s", f"max_open: {RULES.max_open:.0f}s",
        f"calm: {RULES.calm / 60:.0f}m", f"successes: {RULES.successes}", "slow: off",
    ],
    "timeouts": [
        f"connect: {ALL.timeouts.connect:.0f}s", f"{timeouts.FIRST_TOKEN_SECONDS:.0f} s and 1 s for every",
        f"{timeouts.TOKENS_A_SECOND:,} tokens", f"{timeouts.REASONING_SECONDS:.0f} s where the model reasons",
        f"{timeouts.IDLE_SECONDS:.0f} s;", f"{timeouts.UNARY_SECONDS / 60:.0f} min",
        f"keepalive: {Server().keepalive:.0f}s",
    ],
    "concurrency": [f"queue: {GateRules().queue}", f"factor {LEFT}"],
    "balancing": [f"`{ALL.strategy}` (default)"],
    "hedging": [f"most: {Hedge().most:.0%}"],
    "streams": [f"`{ALL.on_stream_cut}` (default)"],
    "health": [f"fall {FALL}", f"+-{JITTER:.0%}".replace("%", " %")],
}  # fmt: skip


@pytest.mark.parametrize("page", STATED)
def test_the_defaults_are_those_of_the_code(page: str) -> None:
    missing = [text for text in STATED[page] if text not in PAGES[page]]
    assert not missing
    assert FIRST_SECONDS == 60
    assert CALM_SECONDS == 300


def test_what_is_off_is_said_to_be() -> None:
    assert ALL.hedge is None
    assert ALL.fallback == ()
    assert ALL.on_failure is None
    assert ALL.rehearse is None


def test_every_page_is_reached() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    assert set(PAGES) == set(re.findall(r"\(policies/([\w-]+)\.md\)", page))
