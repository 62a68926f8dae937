"""Every scenario of `examples/scenarios/` is run as its reader would run it, and shows what its comment says."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from penstock.testing.simulate import Report, load_scenario, simulate
from tests.house.trees import ROOT

FOLDER = ROOT / "examples" / "scenarios"


@cache
def play(name: str) -> Report:
    return simulate(load_scenario(FOLDER / f"{name}.yaml"))


def without(name: str, policy: str, tmp_path: Path) -> Report:
    """The same with a policy switched off, or at its default, as its comment proposes."""
    text = (FOLDER / f"{name}.yaml").read_text()
    other, count = re.subn(
        rf"^( +{policy.partition(':')[0]}): .*$", rf"\1:{policy.partition(':')[2]}", text, flags=re.M
    )
    assert count == 1
    (tmp_path / "other.yaml").write_text(other)
    return simulate(load_scenario(tmp_path / "other.yaml"))


NAMES = ["brownout", "budget", "cut_streams", "outage", "rate_limits", "slow_first_tokens", "spike"]


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
    assert failed - sum(report.series.failed[storm]) < 0.03 * report.total.requests


def test_hedging_halves_the_slowest_first_tokens(tmp_path: Path) -> None:
    hedged, plain = play("slow_first_tokens"), without("slow_first_tokens", "hedge: off", tmp_path)
    assert 0 < hedged.total.hedges <= 0.02 * hedged.total.requests + 1
    assert hedged.total.first_token_p99 is not None
    assert plain.total.first_token_p99 is not None
    assert hedged.total.first_token_p99 < plain.total.first_token_p99 / 2
    assert hedged.total.first_token_p50 == pytest.approx(plain.total.first_token_p50, rel=0.03)
    assert plain.total.hedges == 0


def test_cut_streams_are_gone_on_with(tmp_path: Path) -> None:
    resumed, cut = play("cut_streams"), without("cut_streams", "on_stream_cut: error", tmp_path)
    assert resumed.total.cut == 0
    assert resumed.total.resumes > 100
    assert cut.total.resumes == 0
    assert cut.errors == {"stream_interrupted": cut.total.cut}
    assert cut.total.cut > 100


def test_in_a_spike_the_important_callers_are_served(tmp_path: Path) -> None:
    guarded, overrun = play("spike"), without("spike", "concurrency: off", tmp_path)
    people, batch = guarded.traffic
    assert people.success is not None
    assert batch.success is not None
    assert people.success >= 0.99
    assert people.success > batch.success + 0.3
    assert people.total_p99 is not None
    assert people.total_p99 < 12.0
    assert guarded.total.queued > 1000
    # Nobody is more important where nobody waits.
    crowd, others = overrun.traffic
    assert crowd.success == pytest.approx(others.success, abs=0.05)
    assert crowd.success is not None
    assert crowd.success < 0.6
    assert overrun.total.good < guarded.total.good


def test_a_budget_stops_a_script_that_runs_wild_and_nobody_else() -> None:
    report = play("budget")
    app, script = report.traffic
    assert app.success == 1.0
    assert set(report.errors) == {"budget_exceeded"}
    assert script.success is not None
    assert script.success < 0.5
    # Two hours of a dollar, and the moment of a third in which the last answers come.
    assert 0.9 < script.spend_per_hour <= 1.05
