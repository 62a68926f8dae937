"""What a model's keys mean to each other and to other models: contradictions are refused, what is idle doubted."""

from __future__ import annotations

import jsonschema_rs
import pytest

from penstock.config.json_schema import json_schema
from penstock.config.load import load_config
from penstock.config.naming import names_of, targets_behind
from tests.config.test_json_schema import plain
from tests.config.test_load import ENV, problems, tree

SIM = "providers: {openai: {region: us}, sim: {region: eu}, off: {kind: openai, api_key: 'env:NOPE?'}}\nauth: open\n"
HAS_IT = "has it from defaults: write fallback: off there"
BAD: list[tuple[str, list[str]]] = [
    # Loops.
    ("models:\n  a: {targets: [sim/x], fallback: [a]}", ['4:36: model "a" falls back to itself: leave it out']),
    ("models:\n  a: {targets: [sim/x], fallback: [b]}\n  b: {targets: [sim/x], fallback: {models: [sim/y, a]}}", [
        "4:36: fallback loops: a -> b -> a"]),
    ("models:\n  x: {targets: [sim/x], fallback: [a]}\n  a: {targets: [sim/x], fallback: [b]}\n"
     "  b: {targets: [sim/x], fallback: [c]}\n  c: {targets: [sim/x], fallback: [sim/y, a]}", [
        "5:36: fallback loops: a -> b -> c -> a"]),
    ("defaults: {fallback: [a]}\nmodels:\n  a: {targets: [sim/x], fallback: [b]}\n  b: {targets: [sim/y]}", [
        f'5:36: fallback loops: a -> b -> a; "b" {HAS_IT}']),
    # Names.
    ("models:\n  fast: {targets: [sim/x], fallback: [smrt, opnai/x, fsat]}\n  smart: {targets: [sim/x]}", [
        '4:39: fallback leads to "smrt", which is no model (did you mean "smart"?)',
        '4:45: fallback leads to "opnai/x", which is no model (did you mean "openai/x"?)',
        '4:54: fallback leads to "fsat", which is no model (did you mean "fast" or "smart"?)',
    ]),
    ("defaults: {fallback: [smrt]}\nmodels:\n  smart: {targets: [sim/x]}", [
        '3:23: fallback leads to "smrt", which is no model (did you mean "smart"?)']),
    # Regions.
    ("models:\n  a: {targets: [sim/x], regions: [eu, us, eu-2]}", [
        '4:39: no target is in "us": leave it out; they are in "eu"',
        '4:43: no target is in "eu-2": leave it out; they are in "eu"',
    ]),
    ("models:\n  a: {targets: [sim/x], regions: [eu], fallback: [b]}\n  b: {targets: [sim/y], fallback: [openai/x]}", [
        '4:51: model "a" may use "eu", and its fallback "b" leads to "openai", which is in "us": leave it out']),
    ("models:\n  a: {targets: [sim/x], regions: [eu]}\ndefaults: {fallback: [off/x]}", [
        '5:23: model "a" may use "eu", and its fallback "off/x" leads to "off", which is in no region: leave it out']),
    # Weights.
    ("models:\n  a: {strategy: weighted, targets: [{target: sim/x, weight: 0}, {target: sim/y, weight: 0}]}", [
        "4:61: every target's weight is 0: give one of them more"]),
    ("models:\n  a: {strategy: weighted, targets: [{target: sim/x, weight: 0}]}", [
        "4:61: every target's weight is 0: give one of them more"]),
    ("models:\n  a: {retry: {max_total: 4}, targets: [{target: sim/x, max_attempts: 5}]}", [
        "4:70: max_attempts 5 is more than max_total 4, which one request may have in all: write retry:"
        " {max_total: ...} too, or lower it"]),
    # A second to ask.
    ("models:\n  a: {targets: [sim/x], hedge: {after: 1s}}", [
        "4:25: hedge asks a second target, and there is one: add another, or write hedge: off"]),
    ("providers: {theirs: {kind: openai, credentials: caller, probe: 5s}}\nauth: open", [
        "1:57: probe asks with a credential of yours, and callers bring theirs"]),
]  # fmt: skip


def whole(text: str) -> str:
    return text if text.startswith("providers") else SIM + text


@pytest.mark.parametrize(("text", "expected"), BAD)
def test_what_contradicts_itself_is_told_with_its_place(text: str, expected: list[str]) -> None:
    assert sorted(problems(tree(whole(text)))) == sorted(f"p.yaml:{line}" for line in expected)
    # Only the loader can know it.
    assert jsonschema_rs.validator_for(json_schema()).is_valid(plain(whole(text)))


DOUBTS: list[tuple[str, list[str]]] = [
    ("models:\n  a: {targets: [off/x, off/y]}", [
        '4:3: model "a" cannot be asked for: the provider "off" is switched off: NOPE is not set']),
    ("defaults: {breaker: {open: 6s}}\nmodels:\n  a: {targets: [sim/x, sim/y], concurrency: 5}\n"
     "  b: {targets: [sim/y, sim/z], breaker: off, concurrency: 6}\n  c: {targets: [sim/z], breaker: off}\n"
     "  d: {targets: [sim/z]}", [
        '6:32: of sim/y it is the breaker of model "a" that holds, which stands first',
        '6:46: of sim/y it is the concurrency of model "a" that holds, which stands first',
    ]),
    ("providers: {theirs: {kind: openai, credentials: caller}}\nauth: open\n"
     "models:\n  a: {targets: [theirs/x], rehearse: 1h}", [
        '4:28: rehearse never holds for "theirs": callers bring its credentials']),
    ("models:\n  a: {targets: [{target: sim/x, weight: 3}, sim/y]}", [
        "4:33: weight never holds: the strategy is ordered; write strategy: weighted"]),
    ("models:\n  a: {targets: [sim/x], fallback: {content_filter: true}}", [
        "4:36: content_filter never holds: there is one target, and nothing to fall back to"]),
    ("models:\n  a: {targets: [sim/x, sim/y], fallback: [sim/y, openai/z]}", [
        '4:43: "sim/y" is a target of this model already: it is asked before']),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), DOUBTS)
def test_what_never_holds_is_doubted(text: str, expected: list[str]) -> None:
    read = tree(whole(text))
    load_config(read, ENV)
    assert read.problems.doubts == [f"p.yaml:{line}" for line in expected]


@pytest.mark.parametrize(
    "text",
    [
        # All who fall back to a fall back to b: no loop.
        "defaults: {fallback: [a, b]}\nmodels: {a: {targets: [sim/x]}, b: {targets: [sim/y]}, c: {targets: [sim/z]}}",
        # Two ways to one place.
        "models: {a: {targets: [sim/x], fallback: [b, c]}, b: {targets: [sim/y], fallback: [c]}, "
        "c: {targets: [sim/z]}}",
        # What is switched off for now is declared all the same.
        "models: {a: {targets: [sim/x, off/y], fallback: [off/x, gpt-5]}}",
        "models: {a: {strategy: weighted, targets: [{target: sim/x, weight: 0}, sim/y]}}",
        "models: {a: {targets: [sim/x, openai/x], regions: [eu, us], fallback: [openai/z]}}",
        # One target with two credentials is two deployments.
        "providers: {openai: {credentials: [{name: a, api_key: env:APP_KEY}, {name: b, api_key: env:OTHER_KEY}]}}\n"
        "auth: open\nmodels: {a: {targets: [openai/x], hedge: {}}}",
        # A provider that is only fallen back to is used.
        "providers: {openai: {}, sim: {}}\nkeys: [{name: k, key: env:APP_KEY}]\n"
        "models: {a: {targets: [sim/x], fallback: [openai/x]}}",
        "providers: {openai: {}, sim: {}}\nkeys: [{name: k, key: env:APP_KEY}]\ndefaults: {fallback: [openai/x]}\n"
        "models: {a: {targets: [sim/x]}}",
        # Hedged wherever there is a second.
        "defaults: {hedge: {}}\nmodels: {a: {targets: [sim/x]}, b: {targets: [sim/x, sim/y]}}",
    ],
)
def test_what_is_sound_is_not_doubted(text: str) -> None:
    read = tree(whole(text))
    load_config(read, ENV)
    assert read.problems.doubts == []


def test_what_a_call_may_reach_by_falling_back() -> None:
    config = load_config(
        tree(SIM + "models:\n  a: {targets: [sim/x, openai/x], fallback: [b, gpt-5, off/z]}\n  b: {targets: [sim/y]}"),
        ENV,
    )
    found = targets_behind("a", config, names_of(config))
    assert list(map(str, found)) == ["sim/x", "openai/x", "sim/y", "openai/gpt-5", "off/z"]
