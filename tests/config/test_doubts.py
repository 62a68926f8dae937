"""What is allowed and most likely not meant, and the units people write instead of ours."""

from __future__ import annotations

import pytest

from penstock.config import values
from penstock.config.load import load_config
from penstock.config.yaml_file import read_yaml
from tests.config.test_load import ENV

SIM = "providers: {sim: {}}\nauth: open\n"
DOUBTS: list[tuple[str, list[str]]] = [
    ("providers: {sim: {}}\nauth: open", []),
    ("providers: {openai: {api_key: 'env:NOPE?'}, sim: {}}\nauth: open\nmodels:\n  a: {targets: [openai/x]}", [
        '4:3: model "a" cannot be asked for: the provider "openai" is switched off: NOPE is not set']),
    ("providers: {openai: {api_key: 'env:NOPE?'}, sim: {}}\nauth: open\ndefault_model: openai/x", [
        '3:16: default_model leads to the provider "openai", which is switched off: NOPE is not set']),
    ("providers: {sim: {}}\nkeys:\n  - {name: a, key: env:APP_KEY}\n  - {name: b, key: env:OTHER_KEY, models: ['*']}", [
        '3:5: key "a" may ask for nothing: without models it may ask for what stands under models, and nothing does;'
        ' write models: ["*"] to allow everything']),
    ("providers: {openai: {}}\nmodels: {fast: {targets: [openai/x]}}\n"
     "keys: [{name: a, key: env:APP_KEY, models: [gpt-5*, fsat*, '*-mini']}]", [
        '3:53: key "a" may ask for "fsat*", which no model fits (did you mean "fast"?)']),
    ("providers: {openai: {}, sim: {}}\nmodels: {a: {targets: [sim/small]}}\n"
     "keys: [{name: a, key: env:APP_KEY, models: [a, 'gpt-*']}]", []),
    ("auth: open\nproviders: {a: {kind: vllm, base_url: http://h:8000},"
     "b: {kind: anthropic, api_key: none, base_url: https://h}}", [
        "2:39: base_url has no path, and nearly all that speak as vllm does answer below /v1: add it"]),
    (SIM + "models: {a: {targets: [sim/small], timeouts: {first_token: auto, total: 1s}}}", []),
    ("providers: {sim: {}}\nmodels: {a: {targets: [sim/small]}}\nkeys: [{name: a, key: env:SHORT_KEY}]", [
        '3:23: what "env:SHORT_KEY" leads to has fewer than 16 characters, so that it can be guessed:'
        " openssl rand -hex 24 makes one"]),
    ("providers: {openai: {}, other: {kind: openai}, sim: {}}\nmodels: {a: {targets: [sim/small]}}\n"
     "keys: [{name: a, key: env:APP_KEY, models: [a, 'openai/gpt-*']}]", [
        '1:25: provider "other" is used by no model, and no key may ask for it']),
    ("providers: {openai: {}, sim: {}}\nmodels: {a: {targets: [sim/small]}}\n"
     "keys: [{name: a, key: env:APP_KEY, models: ['o*']}]", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), DOUBTS)
def test_doubts(text: str, expected: list[str]) -> None:
    tree = read_yaml(text.encode(), "p.yaml")
    load_config(tree, ENV)
    assert tree.problems.doubts == [f"p.yaml:{line}" for line in expected]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (75, "75s"), ("75", "75s"), ("5 s", "5s"), ("5sec", "5s"), ("2 Minutes", "2m"), ("1.5hours", "1.5h"),
        ("3D", "3d"), ("10msec", "10ms"), (1.5, "1.5s"), ("1,000", "1000s"),
    ],
)  # fmt: skip
def test_durations_that_were_meant(written: object, meant: str) -> None:
    with pytest.raises(ValueError) as caught:
        values.duration(written)
    assert str(caught.value).endswith(f'(did you mean "{meant}"?)')
    values.duration(meant)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("32MB", "32MiB"), ("32 M", "32MiB"), ("64k", "64KiB"), (33554432, "32MiB"), ("1gb", "1GiB"), (1000, "1000B")],
)
def test_sizes_that_were_meant(written: object, meant: str) -> None:
    with pytest.raises(ValueError) as caught:
        values.size(written)
    assert str(caught.value).endswith(f'(did you mean "{meant}"?)')
    values.size(meant)


@pytest.mark.parametrize(("written", "meant"), [("32K", "32k"), ("1m", "1M"), ("8,192", "8192"), ("8_192", "8192")])
def test_counts_that_were_meant(written: object, meant: str) -> None:
    with pytest.raises(ValueError) as caught:
        values.count(written)
    assert str(caught.value).endswith(f'(did you mean "{meant}"?)')
    values.count(meant)


@pytest.mark.parametrize("written", ["5 fortnights", "soon", "5y", "", "-5s", None, True, [], "0", "0.0", "1e9"])
def test_nothing_is_guessed_where_it_could_be_anything(written: object) -> None:
    for parse in (values.duration, values.size, values.count):
        with pytest.raises(ValueError) as caught:
            parse(written)
        assert "did you mean" not in str(caught.value)
