"""What may be said of models, and of all of them under `defaults:`: each key read, and each mistake told."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from penstock.config.load import load_config
from penstock.config.parcel import decode_config, encode_config
from penstock.config.schema import Config, Defaults, Policies, Route, Terms, Timeouts
from penstock.config.yaml_file import read_yaml
from penstock.routing.names import Target
from penstock.routing.plan import Hedge, Retry
from penstock.stores.breaker import BreakerRules
from penstock.stores.gate import GateRules
from tests.config.test_load import ENV, problems, tree

POLICIES = """\
server: {keepalive: 5s}
providers:
  openai: {probe: 30s, region: us}
  other: {kind: openai, api_key: env:OTHER_KEY, probe: off, region: eu}
  sim: {probe: 2s}
models:
  fast:
    strategy: weighted
    targets:
      - {target: openai/gpt-5-mini, weight: 9, max_attempts: 2}
      - {target: other/prod-1, is: openai/gpt-5, weight: 0}
      - sim/small
    timeouts: {connect: 1s, first_token: 9s, idle: auto, total: 1m, attempt: 20s}
    retry: {max_attempts: 2, max_total: 4, base: 100ms, throttle_base: 2s, max_wait: 9s}
    breaker:
      {failures: 3, ratio: 0.25, minimum: 10, window: 1m, open: 9s, max_open: 90s, calm: 9m, successes: 1, slow: 4s}
    concurrency: {most: 50, queue: 0}
    hedge: {after: 800ms, most: 1.5%}
    on_stream_cut: resume
    on_failure: {message: "Back soon: really"}
    fallback: {models: [smart, sim/large], content_filter: true}
    rehearse: 1h
  smart: {targets: [other/x, sim/large], strategy: least_busy, retry: off, breaker: off, concurrency: off, hedge: {}}
  plain: {targets: [sim/small], concurrency: 7, fallback: off, on_failure: error, rehearse: off, breaker: {open: 6s}}
defaults:
  strategy: cost
  timeouts: {idle: 20s}
  retry: {base: 70ms}
  breaker: {failures: 9}
  concurrency: {queue: 11}
  on_failure: {message: "Sorry."}
  fallback: [plain]
  rehearse: 2h
keys: [{name: app, key: env:APP_KEY, overrides: allowed}, {name: b, key: env:OTHER_KEY, overrides: refused}]
layers: ["my_package.layers:MyLayer", other:Layer]
"""


def loaded(text: str, env: Mapping[str, str] = ENV) -> Config:
    return load_config(tree(text), env)


def test_all_that_may_be_said_of_a_model() -> None:
    config = loaded(POLICIES)
    assert config.models["fast"] == Route(
        name="fast",
        targets=(Target("openai", "gpt-5-mini"), Target("other", "prod-1"), Target("sim", "small")),
        terms={Target("openai", "gpt-5-mini"): Terms(9, 2), Target("other", "prod-1"): Terms(0)},
        strategy="weighted",
        timeouts=Timeouts(1.0, 9.0, None, 60.0, 20.0),
        retry=Retry(2, 4, 0.1, 2.0, 9.0),
        breaker=BreakerRules(3, 0.25, 10, 60.0, 9.0, 90.0, 540.0, 1, 4.0),
        concurrency=GateRules(50, 0),
        hedge=Hedge(0.8, 0.015),
        on_stream_cut="resume",
        on_failure="Back soon: really",
        fallback=("smart", "sim/large"),
        content_filter=True,
        rehearse=3600.0,
    )
    assert config.known_as == {"other/prod-1": "openai/gpt-5"}


def test_what_is_not_said_is_as_under_defaults_and_else_as_built_in() -> None:
    config = loaded(POLICIES)
    assert config.defaults == Defaults(
        strategy="cost",
        timeouts=Timeouts(idle=20.0),
        retry=Retry(base=0.07),
        breaker=BreakerRules(failures=9),
        concurrency=GateRules(queue=11),
        on_failure="Sorry.",
        fallback=("plain",),
        rehearse=7200.0,
    )
    smart, plain = config.models["smart"], config.models["plain"]
    assert (smart.breaker, smart.concurrency, smart.hedge) == (None, None, Hedge())
    assert smart.retry == Retry(max_attempts=1, base=0.07)
    assert (smart.on_failure, smart.fallback, smart.rehearse) == ("Sorry.", ("plain",), 7200.0)
    assert plain.breaker == BreakerRules(failures=9, open=6.0)
    assert plain.concurrency == GateRules(7, 11)
    assert (plain.on_failure, plain.fallback, plain.rehearse, plain.strategy) == (None, (), None, "cost")


def test_what_may_be_said_elsewhere() -> None:
    config = loaded(POLICIES)
    assert [provider.probe for provider in config.providers.values()] == [30.0, None, 2.0]
    assert config.server.keepalive == 5.0
    assert [key.overrides for key in config.keys] == [True, False]
    assert config.layers == ("my_package.layers:MyLayer", "other:Layer")


def test_workers_are_sent_all_of_it() -> None:
    config = loaded(POLICIES)
    assert decode_config(encode_config(config)) == config


def test_nothing_said_is_what_the_semantics_say() -> None:
    """The numbers of semantics.md, "Attempts, retries, fallbacks"."""
    plain = loaded("providers: {sim: {}}\nauth: open\nmodels: {a: {targets: [sim/small]}}").models["a"]
    assert plain == Route(name="a", targets=(Target("sim", "small"),))
    assert Policies() == Policies(
        timeouts=Timeouts(5.0, None, None, None, None),
        retry=Retry(3, 6, 0.05, 1.0, 20.0),
        breaker=BreakerRules(5, 0.5, 20, 30.0, 5.0, 20.0, 300.0, 3, None),
        concurrency=GateRules(None, 1000),
        hedge=None,
        strategy="ordered",
        on_stream_cut="error",
    )


def test_a_policy_that_is_off_for_all_may_be_on_for_one() -> None:
    config = loaded(
        "providers: {sim: {}}\nauth: open\ndefaults: {breaker: off, concurrency: off, retry: off}\n"
        "models: {a: {targets: [sim/small], breaker: {}, concurrency: {}, retry: {max_attempts: 3}},"
        " b: {targets: [sim/small], breaker: , concurrency: , retry: }}"
    )
    a, b = config.models.values()
    assert (a.breaker, a.concurrency, a.retry) == (BreakerRules(), GateRules(), Retry())
    # Nothing written changes nothing.
    assert (b.breaker, b.concurrency, b.retry) == (None, None, Retry(max_attempts=1))


def test_what_all_fall_back_to_falls_back_to_what_stands_behind_it() -> None:
    config = loaded(
        "providers: {sim: {}}\nauth: open\ndefaults: {fallback: {models: [a, b, c], content_filter: true}}\nmodels:\n"
        + "".join(f"  {name}: {{targets: [sim/small]}}\n" for name in "xabc")
    )
    assert {name: route.fallback for name, route in config.models.items()} == {
        "x": ("a", "b", "c"),
        "a": ("b", "c"),
        "b": ("c",),
        "c": (),
    }
    assert all(route.content_filter for route in config.models.values())


def test_what_was_said_elsewhere_is_cut_to_what_is_said_here() -> None:
    text = "providers: {sim: }\nauth: open\ndefaults: {timeouts: {first_token: 1m}, retry: {max_total: 2}}\n"
    config = loaded(
        text + "models: {a: {targets: [sim/small], timeouts: {total: 2s}, retry: {max_wait: 500ms},"
        " breaker: {max_open: 3s}}}"
    )
    a = config.models["a"]
    assert a.timeouts == Timeouts(connect=2.0, first_token=2.0, total=2.0)
    assert a.retry == Retry(max_attempts=2, max_total=2, throttle_base=0.5, max_wait=0.5)
    assert a.breaker == BreakerRules(open=3.0, max_open=3.0)


def test_what_there_is_no_second_to_ask_is_not_hedged() -> None:
    config = loaded(
        "providers: {sim: }\nauth: open\ndefaults: {hedge: {}}\n"
        "models: {a: {targets: [sim/x]}, b: {targets: [sim/x, sim/y]}}"
    )
    assert [route.hedge for route in config.models.values()] == [None, Hedge()]


# --- what is wrong

TWO = "providers: {openai: {}, sim: {}}\nauth: open\nmodels:\n  a: {targets: [openai/x, sim/small], "
BAD: list[tuple[str, list[str]]] = [
    # Forms.
    (TWO + "strategy: fastest}", ["4:49: write ordered or weighted or latency or cost or least_busy"]),
    (TWO + "retry: 3}", ["4:46: write off, or {max_attempts: 2}"]),
    (TWO + "retry: {max_attempts: 0, max_total: 21, base: 0s, backoff: 1s}}", [
        "4:61: max_attempts is a number from 1 to 20",
        "4:75: max_total is a number from 1 to 20",
        '4:85: "0s" must be more than nothing',
        '4:89: unknown key "backoff" (retry has: max_attempts, max_total, base, throttle_base, max_wait)',
    ]),
    (TWO + "breaker: on}", ["4:48: write off, or {failures: 5, open: 5s}"]),
    (TWO + "breaker: {failures: 0, ratio: 1.5, minimum: 10001, window: 2h, slow: 0s}}", [
        "4:59: failures is a number from 1 to 10000",
        '4:69: "1.5" is not a part of a whole: write 0.5 or 50% (did you mean "1.5%"?)',
        "4:83: minimum is a number from 1 to 10000",
        "4:98: 2h is too long: at most 60m",
        '4:108: "0s" must be more than nothing',
    ]),
    (TWO + "breaker: {ratio: 0}}", ['4:56: "0" is not a part of a whole: write 0.5 or 50%']),
    (TWO + "breaker: {ratio: -1}}", ['4:56: "-1" is not a part of a whole: write 0.5 or 50%']),
    (TWO + "breaker: {ratio: yes}}", ['4:56: "yes" is not a part of a whole: write 0.5 or 50%']),
    (TWO + "breaker: {ratio: true}}", ['4:56: "true" is not a part of a whole: write 0.5 or 50%']),
    (TWO + "breaker: {ratio: 101%}}", ['4:56: "101%" is not a part of a whole: write 0.5 or 50%']),
    (TWO + "concurrency: fifty}", ["4:52: write off, a number such as 50, or {most: 50, queue: 1000}"]),
    (TWO + "concurrency: 0}", ["4:52: most is a number from 1 to 1000000"]),
    (TWO + "concurrency: {most: 0, queue: -1}}", [
        "4:59: most is a number from 1 to 1000000", "4:69: queue is a number from 0 to 1000000"]),
    (TWO + "hedge: on}", ["4:46: write off, or {after: auto, most: 2%}"]),
    (TWO + "hedge: {after: 0s, most: 2}}", [
        '4:54: "0s" must be more than nothing',
        '4:64: "2" is not a part of a whole: write 0.5 or 50% (did you mean "2%"?)',
    ]),
    (TWO + "on_stream_cut: retry}", ["4:54: write error or resume"]),
    (TWO + "on_failure: cached}", ['4:51: "cached" is not in this version; write error, or {message: TEXT}']),
    (TWO + "on_failure: sorry}", ["4:51: write error, or {message: TEXT}"]),
    (TWO + "on_failure: {}}", ["4:51: message is missing: write {message: TEXT}"]),
    (TWO + "on_failure: {message: ''}}", ['4:61: text is expected here, not ""']),
    (TWO + "fallback: smart}", ["4:49: write off, or a list: [smart, openai/gpt-5]"]),
    (TWO + "fallback: [sim/large, sim/large]}", ['4:61: "sim/large" stands there twice']),
    (TWO + "fallback: {models: [sim/large], content_filter: on}}", ['4:87: write true or false, not "on"']),
    (TWO + "rehearse: 5}", [
        '4:49: "5" is not a duration: write 250ms, 5s, 2m, 1h or 7d (did you mean "5s"?)']),
    (TWO + "timeouts: {attempt: off, idle: off}}", [
        '4:59: "off" is not a duration: write 250ms, 5s, 2m, 1h or 7d',
        '4:70: "off" is not a duration: write 250ms, 5s, 2m, 1h or 7d',
    ]),
    # Targets.
    (TWO + "}\n  b: {targets: [{target: sim/small, weight: -1, max_attempts: 0}]}", [
        "5:45: weight is a number from 0 to 1000000", "5:63: max_attempts is a number from 1 to 20"]),
    (TWO + "}\n  b: {targets: [sim/small, openai/x, {target: sim/small}]}", [
        '5:38: the target "sim/small" stands there twice']),
    # What contradicts itself.
    (TWO + "timeouts: {first_token: 2m, idle: 90s, attempt: 61s, connect: 62s, total: 1m}}\n"
           "defaults: {timeouts: {connect: 2h, total: 1h}}", [
        "4:63: first_token 2m is more than total 60s: lower it, or raise total",
        "4:73: idle 90s is more than total 60s: lower it, or raise total",
        "4:87: attempt 61s is more than total 60s: lower it, or raise total",
        "4:101: connect 62s is more than attempt 61s: lower it, or raise attempt",
        "4:101: connect 62s is more than total 60s: lower it, or raise total",
        "5:32: connect 2h is more than total 60m: lower it, or raise total",
    ]),
    # One of them under `defaults:`.
    (TWO + "timeouts: {first_token: 2m}}\ndefaults: {timeouts: {total: 1m}}", [
        "4:63: first_token 2m is more than total 60s: lower it, or raise total"]),
    (TWO + "retry: {max_attempts: 9}}", [
        "4:61: max_attempts 9 is more than max_total 6: lower it, or raise max_total"]),
    (TWO + "retry: {base: 30s, throttle_base: 21s}}", [
        "4:53: base 30s is more than max_wait 20s: lower it, or raise max_wait",
        "4:73: throttle_base 21s is more than max_wait 20s: lower it, or raise max_wait"]),
    (TWO + "breaker: {open: 60s}}", ["4:55: open 60s is more than max_open 20s: lower it, or raise max_open"]),
    # The rest.
    ("providers: {sim: {probe: 5}}\nauth: open", [
        '1:26: "5" is not a duration: write 250ms, 5s, 2m, 1h or 7d (did you mean "5s"?)']),
    ("providers: {sim: }\nauth: open\nserver: {keepalive: 0s}", ['3:21: "0s" must be more than nothing']),
    ("providers: {sim: }\nauth: open\nlayers: [MyLayer, 'a-b:C', a:B, a:B]", [
        '3:10: "MyLayer" is not module:name: write my_package:MyLayer',
        '3:19: "a-b:C" is not module:name: write my_package:MyLayer',
        '3:33: the layer "a:B" stands there twice',
    ]),
    ("providers: {sim: }\nkeys: [{name: a, key: env:APP_KEY, overrides: yes}]", ["2:47: write allowed or refused"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BAD)
def test_what_is_wrong_is_told_with_its_place(text: str, expected: list[str]) -> None:
    assert sorted(problems(read_yaml(text.encode(), "p.yaml"))) == sorted(f"p.yaml:{line}" for line in expected)
