"""Scenarios: the same seed gives the same report, faults hit what and when they are said to, and all is counted."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.testing.simulate import Report, encode_report, load_scenario, simulate

CONFIG = {
    "auth": "open",
    "providers": {"openai": {"api_key": "env:OPENAI_API_KEY"}, "anthropic": {"api_key": "file:/run/secrets/none"}},
    "models": {"fast": {"targets": ["openai/gpt-5-mini"]}, "other": {"targets": ["anthropic/claude-haiku-4-5"]}},
}


def play(seed: int = 0, **scenario: Any) -> Report:
    """A minute of five requests a second, unless it is said otherwise."""
    written = {"config": CONFIG, "duration": "1m", "traffic": {"chat": {"model": "fast", "rate": "5/s"}}}
    return simulate(load_scenario({**written, **scenario}), seed)


def test_a_good_minute() -> None:
    report = play()
    total = report.total
    assert 240 < total.requests < 360
    assert total.good == total.requests
    assert total.success == 1.0
    assert total.attempts == 1.0
    assert total.first_token_p50 == pytest.approx(0.43, abs=0.05)
    assert total.spend > 0
    assert not total.unpriced
    assert not report.changes
    assert not report.events
    assert sum(report.series.requests) == total.requests
    assert sum(report.series.attempts["openai/gpt-5-mini"]) == total.requests


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    fault = {"fault": "brownout", "at": "openai", "share": 0.3}
    first = encode_report(play(7, faults=[fault]))
    assert encode_report(play(7, faults=[fault])) == first
    assert encode_report(play(8, faults=[fault])) != first


def test_an_outage_fails_what_comes_in_it_and_nothing_else() -> None:
    report = play(duration="2m", faults=[{"fault": "outage", "at": "openai", "from": "20s", "for": "20s"}])
    series = report.series
    hurt = [at * series.step for at, failed in enumerate(series.failed) if failed]
    assert min(hurt) >= 19.0
    # Invariant 12: within 22 seconds and a request all is well again.
    assert max(hurt) <= 63.0
    assert set(report.errors) == {"unavailable", "circuit_open"}
    assert report.total.failed > 0
    assert report.total.refused > 50
    states = [change.state for change in report.changes]
    assert states[:2] == ["open", "trial"]
    assert states[-1] == "ready"
    assert 20.0 <= report.changes[0].at <= 22.0
    assert report.changes[1].at - report.changes[0].at == pytest.approx(5.0, abs=0.6)
    # Open sends nothing, half-open one at a time: what is asked are five failures, what was under way, and trials.
    asked = next(iter(report.deployments)).outcomes["unavailable"]
    assert asked <= 15 + states.count("trial")


def test_both_dialects_and_whole_answers() -> None:
    report = play(
        traffic={
            "messages": {"model": "other", "rate": "2/s", "dialect": "anthropic"},
            "across": {"model": "other", "rate": "2/s"},
            "whole": {"model": "fast", "rate": "2/s", "stream": False},
        }
    )
    assert report.total.success == 1.0
    whole = next(row for row in report.traffic if row.name == "whole")
    # Of a whole answer nothing is seen before all of it is there.
    assert whole.first_token_p50 is not None
    assert whole.total_p50 == whole.first_token_p50 > 1.0
