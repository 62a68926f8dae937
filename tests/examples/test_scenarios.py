"""Every scenario of `examples/scenarios/` is run as its reader would run it, and shows what its comment says."""

from __future__ import annotations

from functools import cache

import pytest

from penstock.testing.simulate import Report, load_scenario, simulate
from tests.house.trees import ROOT

FOLDER = ROOT / "examples" / "scenarios"


@cache
def play(name: str) -> Report:
    return simulate(load_scenario(FOLDER / f"{name}.yaml"))


NAMES = ["brownout", "cut_streams", "outage", "rate_limits", "slow_first_tokens", "spike"]


def test_all_of_them_are_run() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_comes_out_as_expected(name: str) -> None:
    assert play(name).expected == []


@pytest.mark.parametrize("name", NAMES)
def test_its_comment_says_what_it_shows_and_what_to_look_at(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    assert text.startswith("# ")
    assert "# Look at" in text


def test_an_outage_costs_a_fallback_until_the_breaker_opens() -> None:
    report = play("outage")
    primary = report.deployments[0]
    down = 600.0
    assert report.total.fallbacks <= 60
    # Semantics: at most 1.1 times what is sent there, and one a second; the breaker makes it far less.
    assert primary.outcomes["unavailable"] < down / 10
    opened = next(change for change in report.changes if change.state == "open")
    assert 600.0 <= opened.at <= 610.0
    well = report.changes[-1]
    assert (well.state, well.deployment) == ("ready", primary.id)
    assert well.at <= 1200.0 + 22.0 + 2.0


def test_a_brownout_beside_a_good_one_is_hardly_seen() -> None:
    report = play("brownout")
    assert report.total.success is not None
    assert report.total.success >= 0.999
    series = report.series
    quiet = [p99 for at, p99 in enumerate(series.first_token_p99) if p99 and at * series.step < 300]
    rough = [p99 for at, p99 in enumerate(series.first_token_p99) if p99 and 300 <= at * series.step < 900]
    assert sum(rough) / len(rough) - sum(quiet) / len(quiet) < 1.0


def test_two_credentials_bear_each_others_limits() -> None:
    report = play("rate_limits")
    a, b = report.deployments
    assert a.paused_seconds > b.paused_seconds > 0
    assert a.open_seconds == b.open_seconds == 0
    storm = slice(int(480 / report.series.step), int(600 / report.series.step))
    failed = sum(report.series.failed)
    assert failed - sum(report.series.failed[storm]) < 0.02 * report.total.requests
