"""Every kind of fault does what docs/scenario.md says, where and when it is said, and to as many as it is said."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.testing.simulate import Report, load_scenario, simulate
from penstock.testing.simulate.scenario import FAULTS

CONFIG: dict[str, Any] = {
    "auth": "open",
    "providers": {
        "openai": {"credentials": [{"name": "a", "api_key": "env:A"}, {"name": "b", "api_key": "env:B"}]},
        "anthropic": {"api_key": "env:C"},
    },
    "models": {
        "pair": {"targets": ["openai/gpt-5-mini", "anthropic/claude-haiku-4-5"]},
        "alone": {"targets": ["anthropic/claude-sonnet-4-5"], "retry": "off", "breaker": "off", "concurrency": "off"},
    },
    "defaults": {"timeouts": {"first_token": "4s", "idle": "5s"}},
}


def play(*faults: dict[str, Any], model: str = "alone", **more: Any) -> Report:
    """A minute at four requests a second; faults are at anthropic from 20 s to 40 s unless they say otherwise."""
    written = {
        "config": CONFIG,
        "duration": "1m",
        "traffic": {"chat": {"model": model, "rate": "4/s", "output": 100}},
        "faults": [_placed(fault) for fault in faults],
        **more,
    }
    return simulate(load_scenario(written))


def _placed(fault: dict[str, Any]) -> dict[str, Any]:
    of_a_vendor = fault["fault"] not in ("clock", "kill", "reload")
    return {"from": "20s", "until": "40s", **({"at": "anthropic"} if of_a_vendor else {}), **fault}


def hurt(report: Report) -> tuple[int, int]:
    """How many requests went wrong among those that came in the fault, and among the others."""
    series = report.series
    inside = slice(int(20 / series.step), int(40 / series.step))
    bad = sum(series.failed[inside])
    return bad, sum(series.failed) - bad


def came(report: Report) -> int:
    """How many came in the fault."""
    series = report.series
    return sum(series.requests[int(20 / series.step) : int(40 / series.step)])


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"fault": "outage"}, "unavailable"),
        ({"fault": "outage", "status": "refused"}, "unavailable"),
        ({"fault": "outage", "status": "silent"}, "upstream_timeout"),
        ({"fault": "brownout"}, "unavailable"),
        ({"fault": "reset"}, "unavailable"),
        ({"fault": "silence"}, "upstream_timeout"),
        ({"fault": "late", "first_token": "30s"}, "upstream_timeout"),
        ({"fault": "script", "script": "html"}, "protocol_error"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_it_fails_what_comes_in_its_time(fault: dict[str, str], error: str) -> None:
    report = play(fault)
    inside, outside = hurt(report)
    assert inside >= 0.9 * came(report)
    # Streams that run when connections break are those that came before.
    assert outside <= 8
    assert error in report.errors


@pytest.mark.parametrize("kind", ["cut", "stall"])
def test_streams_end_in_their_middle(kind: str) -> None:
    report = play({"fault": kind, "after": "50%"})
    assert report.total.cut == hurt(report)[0] == came(report)
    assert set(report.errors) <= {"stream_interrupted", "upstream_timeout"}
    # Their beginnings were charged for, and were received.
    assert report.total.output_tokens > 100 * report.total.good


def test_an_event_that_cannot_be_read_is_left_out_and_a_whole_answer_is_an_error() -> None:
    traffic = {
        "streams": {"model": "alone", "rate": "2/s"},
        "whole": {"model": "alone", "rate": "2/s", "stream": False},
    }
    report = play({"fault": "malformed"}, traffic=traffic)
    streams, whole = report.traffic
    assert streams.success == 1.0
    assert whole.failed == report.errors["protocol_error"] > 20


def test_a_share_hits_so_many() -> None:
    report = play({"fault": "brownout", "share": "25%"}, traffic={"chat": {"model": "alone", "rate": "20/s"}})
    assert hurt(report)[0] / came(report) == pytest.approx(0.25, abs=0.06)
    assert hurt(report)[1] == 0


def test_it_comes_again_after_so_long() -> None:
    report = play({"fault": "outage", "from": "10s", "until": "15s", "every": "20s"})
    bad = {int(at * report.series.step) for at, failed in enumerate(report.series.failed) if failed}
    assert bad <= {*range(10, 16), *range(30, 36), *range(50, 56)}
    assert all(any(at in bad for at in range(start, start + 5)) for start in (10, 30, 50))


def test_slow_is_so_many_times_as_slow() -> None:
    report = play({"fault": "slow", "factor": 4, "from": "0s", "until": "60s"}, config={**CONFIG, "defaults": {}})
    usual = play(config={**CONFIG, "defaults": {}})
    for name in ("first_token_p50", "total_p50"):
        # The network's own way is what it was.
        assert getattr(report.total, name) / getattr(usual.total, name) == pytest.approx(4.0, rel=0.12)


def test_a_pause_is_kept_and_another_credential_asked() -> None:
    report = play({"fault": "throttle", "at": "openai#a", "retry_after": "30s"}, model="pair")
    a, b, other = report.deployments[:3]
    assert report.total.success == 1.0
    assert 0 < a.outcomes["upstream_rate_limited"] <= 4
    assert a.paused_seconds == pytest.approx(30.0, abs=2.0)
    assert "upstream_rate_limited" not in b.outcomes
    assert other.attempts <= 5


@pytest.mark.parametrize(
    ("kind", "outcome", "state"),
    [("revoke", "upstream_credential", "suspended"), ("exhaust", "upstream_quota", "exhausted")],
)
def test_a_credential_that_is_refused_is_left_alone(kind: str, outcome: str, state: str) -> None:
    report = play({"fault": kind, "at": "openai#a"}, model="pair")
    a, b = report.deployments[:2]
    assert report.total.success == 1.0
    assert 0 < a.outcomes[outcome] <= 4
    assert outcome not in b.outcomes
    assert any(change.deployment == a.id and change.state == state for change in report.changes)


def test_of_one_model_and_not_of_another() -> None:
    report = play({"fault": "outage", "at": "anthropic/claude-opus-4-1"})
    assert report.total.success == 1.0


def test_the_wall_clock_jumps_and_nobody_minds() -> None:
    report = play(*({"fault": "clock", "jump": jump} for jump in ("+1h", "-2h")))
    assert report.total.success == 1.0
    assert [event.what for event in report.events] == ["clock moved by 3600 s", "clock moved by -7200 s"]


def test_a_worker_dies_with_its_calls_and_the_others_go_on() -> None:
    report = play({"fault": "kill", "worker": 2}, workers=3)
    assert 1 <= report.errors.pop("worker_ended") <= 12
    assert not report.errors
    alone = play({"fault": "kill"})
    # Until another one serves there is nobody.
    assert 1 <= alone.errors["no_worker"] <= 12


def test_a_reload_drops_nothing_and_forgets_nothing() -> None:
    outage = {"fault": "outage", "from": "10s", "until": "50s"}
    report = play({"fault": "reload", "from": "25s"}, outage, model="pair", config=ONLY_CLAUDE_FIRST)
    assert report.total.success == 1.0
    # The breaker stays open through it: no second row of five failures.
    opened = [change for change in report.changes if change.state == "open" and "in a row" in change.why]
    assert len(opened) == 1


ONLY_CLAUDE_FIRST = {
    **CONFIG,
    "models": {"pair": {"targets": ["anthropic/claude-haiku-4-5", "openai/gpt-5-mini"]}},
}


def test_another_configuration_is_taken(tmp_path: Any) -> None:
    text = """
auth: open
providers: {xai: {api_key: env:X}}
models: {alone: {targets: [xai/grok-4]}}
"""
    (tmp_path / "other.yaml").write_text(text)
    (tmp_path / "scenario.yaml").write_text(
        """
config: {auth: open, providers: {anthropic: {api_key: env:X}}, models: {alone: {targets: [anthropic/claude-haiku-4-5]}}}
duration: 1m
traffic: {chat: {model: alone, rate: 2/s}}
faults: [{fault: reload, config: other.yaml, from: 30s}]
"""
    )
    report = simulate(load_scenario(tmp_path / "scenario.yaml"))
    assert report.total.success == 1.0
    attempts = report.series.attempts
    half = len(attempts["xai/grok-4"]) // 2
    assert sum(attempts["xai/grok-4"][:half]) == 0
    assert sum(attempts["anthropic/claude-haiku-4-5"][half + 1 :]) == 0
    assert sum(attempts["xai/grok-4"][half:]) > 20


def test_a_vendor_has_its_limits() -> None:
    most = play(vendors={"anthropic": {"most": 2, "over": 503}}, traffic={"chat": {"model": "alone", "rate": "10/s"}})
    assert most.errors["unavailable"] > 300
    limit = play(vendors={"anthropic": {"limit": "120/min"}})
    assert limit.total.good == pytest.approx(120, rel=0.05)
    assert set(limit.errors) == {"upstream_rate_limited"}


def test_every_kind_of_fault_is_tried_here() -> None:
    with open(__file__) as file:
        text = file.read()
    assert [kind for kind in FAULTS if f'"{kind}"' not in text] == []
