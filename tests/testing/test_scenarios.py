"""How scenarios are read: what they may say, what is wrong with them and where, and the shapes of traffic."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from typing import Any

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from penstock.errors import ConfigError
from penstock.testing.simulate import load_scenario
from penstock.testing.simulate.curves import Rate, Spike, arrivals
from penstock.testing.simulate.keys import json_schema
from penstock.testing.simulate.spread import Spread
from penstock.testing.simulate.tally import percentile
from tests.house.trees import ROOT

CONFIG = """config:
  auth: required
  providers: {openai: {credentials: [{name: a, api_key: env:A}]}, sim: {}}
  models: {fast: {targets: [openai/gpt-5-mini]}}
  keys: [{name: app, key: env:APP}]
"""
NEAR = 'no provider of the configuration is named "opnai" (did you mean'
GOOD = "traffic: {chat: {model: fast, rate: 5/s}}\n"


def wrong(tmp_path: Path, text: str) -> list[str]:
    """What is said of a scenario, without the folder it lies in."""
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_scenario(path)
    return [line.removeprefix(f"{tmp_path}/") for line in caught.value.message.splitlines()]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trafic: {}", ["1:1: traffic is missing: write traffic: ", 'unknown key "trafic" (did']),
        ("traffic: {}", ["6:10: nobody comes: write traffic: {chat: {model: fast, rate: 5/s}}"]),
        ("traffic: {chat: {model: fast}}", ["6:11: rate is missing: write rate: 5/s"]),
        ("traffic: {chat: {model: fats, rate: 5/s}}", ['6:25: unknown model "fats"']),
        ("traffic: {chat: {model: fast, rate: 5}}", ['"5" is not a rate: write 5/s, 120/min or 300/h']),
        ("traffic: {chat: {model: fast, rate: {ramp: {from: 1/s}}}}", ["to is missing: write to: 20/s"]),
        (
            "traffic: {chat: {model: fast, rate: {constant: 1/s, day: {low: 1/s, high: 2/s}}}}",
            ["one of constant, ramp, day and replay"],
        ),
        ("traffic: {chat: {model: fast, rate: 5/s, key: ap}}", ['no key of the configuration is named "ap" (did']),
        ("traffic: {chat: {model: fast, rate: 5/s, prompt: {median: 500}}}", ["write {median: ..., p95: ...}"]),
        ("traffic: {chat: {model: fast, rate: 5/s, prompt: {median: 500, p95: 20}}}", ["p95 is less than median"]),
        ("traffic: {chat: {model: fast, rate: 5/s, stream: 120%}}", ["is not a part: write 50%"]),
        ("traffic: {chat: {model: fast, rate: 5/s, headers: {x-penstock-retries: \"9\"}}}", ["a number from 0 to 5"]),
        (GOOD + "faults: [{at: openai}]", ["7:10: fault is missing"]),
        (GOOD + "faults: [{fault: outtage, at: openai}]", ["write outage or brownout or"]),
        (GOOD + "faults: [{fault: outage}]", ["at is missing: write at: provider"]),
        (GOOD + "faults: [{fault: outage, at: opnai}]", [NEAR]),
        (GOOD + "faults: [{fault: outage, at: openai#b}]", ['openai has no credential named "b" (it has: a)']),
        (GOOD + "faults: [{fault: outage, at: sim}]", ['"sim" runs inside Penstock']),
        (GOOD + "faults: [{fault: reset, at: openai, status: 500}]", ["reset has no status (it has: at)"]),
        (GOOD + "faults: [{fault: outage, at: openai, from: 5m, until: 1m}]", ["until lies before from"]),
        (GOOD + "faults: [{fault: outage, at: openai, for: 5m, until: 1m}]", ["for stands instead of until"]),
        (GOOD + "faults: [{fault: outage, at: openai, for: 5m, every: 1m}]", ["every is shorter than what it repeats"]),
        (GOOD + "faults: [{fault: outage, at: openai, status: 200}]", ["a whole number from 400 to 599"]),
        (GOOD + "faults: [{fault: script, at: openai, script: no_dome}]", ["Unknown key 'no_dome'"]),
        (GOOD + "faults: [{fault: clock}]", ["jump is missing"]),
        (GOOD + "faults: [{fault: clock, jump: 1h}]", ["does not say which way: write +1h or -30s"]),
        (GOOD + "faults: [{fault: kill, worker: 2}]", ["there is no worker 2"]),
        (GOOD + "faults: [{fault: reload, config: none.yaml}]", ["none.yaml: cannot be read"]),
        (GOOD + "vendors: {opnai: {}}", ['7:11: no provider of the configuration is named "opnai"']),
        (GOOD + "vendors: {openai: {speed: 0}}", ["is not a number of more than 0"]),
        (GOOD + "expect: {succes: 99%}", ['unknown key "succes" (did you mean "success"?)']),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, said: list[str]) -> None:
    found = wrong(tmp_path, CONFIG + text + "\n")
    assert len(found) == len(said), found
    for line, words in zip(found, said, strict=True):
        assert line.startswith("s.yaml:") or "none.yaml" in line
        assert words in line


def test_what_is_wrong_with_the_configuration_is_told_by_its_own_place(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text("auth: open\nproviders: {openai: {regoin: eu}}\n")
    found = wrong(tmp_path, f"config: penstock.yaml\n{GOOD}duration: 5")
    assert found == [
        's.yaml:3:11: "5" is not a duration: write 250ms, 5s, 2m, 1h or 7d (did you mean "5s"?)',
        'penstock.yaml:2:22: unknown key "regoin" (did you mean "region"?)',
    ]
    inline = wrong(tmp_path, f"config: {{auth: open, providers: {{openai: {{regoin: eu}}}}}}\n{GOOD}")
    assert inline == ['s.yaml:1:43: unknown key "regoin" (did you mean "region"?)']


def test_nothing_is_kept_and_nobody_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    held = "  alerts: {webhook: {url: https://hooks.example.com/x, secret: env:HOOK}, anomaly: off}\n"
    held += "  state: env:DATABASE_URL\n  budgets: [{scope: tenant, limit: 5 USD/day}]\n"
    path.write_text(CONFIG + held + GOOD)
    config = load_scenario(path).config
    assert (config.state, config.alerts.webhook, config.alerts.anomaly) == ("memory", None, False)
    assert [rule.id for rule in config.rules] == ["budget tenant usd day@UTC"]


def test_no_secret_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    secret = tmp_path / "key"
    secret.write_text("sk-real")
    mine = {"kind": "openai", "base_url": "https://a.b/v1", "api_key": f"file:{secret}"}
    scenario = load_scenario(
        {
            "config": {
                "auth": "open",
                "providers": {"openai": {}, "mine": mine},
            },
            "traffic": {"chat": {"model": "openai/gpt-5", "rate": "1/s"}},
        }
    )
    for provider in scenario.config.providers.values():
        assert provider.api_key is not None
        assert provider.api_key.reveal() != "sk-real"
        assert provider.proxy is None


def test_the_examples_are_good_by_the_schema_and_a_mistake_is_not() -> None:
    schema: Any = jsonschema_rs.validator_for(json_schema())
    for path in (ROOT / "examples" / "scenarios").glob("*.yaml"):
        written = YAML(typ="safe", pure=True).load(path)
        assert schema.is_valid(written), [error.message for error in schema.iter_errors(written)]
        assert not schema.is_valid({**written, "trafic": 1})
        assert not schema.is_valid({**written, "faults": [{"fault": "outtage"}]})


# --- traffic


def test_so_many_come_as_the_rate_says() -> None:
    for rate, expected in (
        (Rate("constant", 5.0, 5.0), 5.0 * 3600),
        (Rate("ramp", 0.0, 10.0), 5.0 * 3600),
        (Rate("constant", 1.0, 1.0, spikes=(Spike(600.0, 1200.0, 11.0),)), 3600 + 6000),
    ):
        moments = list(arrivals(rate, 0.0, 3600.0, Random(1)))
        assert len(moments) == pytest.approx(expected, abs=4 * math.sqrt(expected))
        assert moments == sorted(moments)
        assert all(0 <= moment < 3600 for moment in moments)


def test_a_spike_is_where_it_is() -> None:
    rate = Rate("constant", 1.0, 1.0, spikes=(Spike(600.0, 1200.0, 11.0),))
    moments = list(arrivals(rate, 0.0, 3600.0, Random(2)))
    assert sum(600 <= moment < 1200 for moment in moments) == pytest.approx(6600, rel=0.05)
    # Spikes that do not overlap do not multiply what is drawn.
    many = Rate("constant", 1.0, 1.0, spikes=tuple(Spike(at * 10.0, at * 10.0 + 1, 10.0) for at in range(100)))
    assert many.most == 10.0


def test_a_day_has_its_peak_where_it_is_said() -> None:
    rate = Rate("day", 1.0, 9.0, peak=14 * 3600.0)
    assert rate.at(14 * 3600.0, 0, 86400) == pytest.approx(9.0)
    assert rate.at(2 * 3600.0, 0, 86400) == pytest.approx(1.0)
    moments = list(arrivals(rate, 0.0, 86400.0, Random(3)))
    assert len(moments) == pytest.approx(5 * 86400, rel=0.02)


def test_moments_are_replayed_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "moments.txt").write_text("0\n2.5\n1\n")
    (tmp_path / "s.yaml").write_text(CONFIG + "traffic: {a: {model: fast, rate: {replay: moments.txt}, from: 10s}}\n")
    traffic = load_scenario(tmp_path / "s.yaml").traffic[0]
    assert list(arrivals(traffic.rate, 10.0, 12.0, Random(0))) == [10.0, 11.0]
    found = wrong(tmp_path, CONFIG + "traffic: {a: {model: fast, rate: {replay: nothing.txt}}}\n")
    assert "cannot be read" in found[0]


def test_values_are_spread_as_they_are_said() -> None:
    random = Random(4)
    values = sorted(Spread("lognormal", (400.0, 2000.0)).draw(random) for _ in range(20_000))
    assert values[10_000] == pytest.approx(400, rel=0.03)
    assert values[19_000] == pytest.approx(2000, rel=0.05)
    flat = [Spread("uniform", (10.0, 20.0)).draw(random) for _ in range(1000)]
    assert 10 <= min(flat) < 10.2
    assert 19.8 < max(flat) <= 20
    assert {Spread("list", (1.0, 5.0)).draw(random) for _ in range(100)} == {1.0, 5.0}
    assert Spread("fixed", (7.0,)).draw(random) == 7.0


def test_a_percentile_is_the_nearest_rank() -> None:
    assert percentile([], 0.5) is None
    assert percentile([3.0], 0.99) == 3.0
    hundred = [float(value) for value in range(1, 101)]
    assert percentile(hundred, 0.5) == 50.0
    assert percentile(hundred, 0.99) == 99.0
    assert percentile(hundred, 1.0) == 100.0
