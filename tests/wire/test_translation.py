"""What is carried, dropped or refused: every feature through every pair of dialects, against the one table."""

from __future__ import annotations

import json

import msgspec
import pytest

from penstock.prompt import Prompt
from penstock.wire import anthropic_request, openai_request
from penstock.wire.dialects import CALLERS, CHAT
from penstock.wire.translation import FEATURES, fate
from scripts import dialect_samples as samples
from scripts.dialects import CAPABLE, measure, pairs

SAYS = {"openai_chat": openai_request.SAYS, "anthropic_messages": anthropic_request.SAYS}
FATES = {"carried": "carried", "drop": "dropped", "refuse": "refused"}
ASKED = [(caller, provider, feature) for caller, provider in pairs() for feature in samples.FEATURES[caller]]
OTHERS = [(caller, provider, text) for caller, provider in pairs() for text in samples.OTHERS[caller]]
# Carried in words that read back as another feature: an image after the tool messages, "Error: " before a result, a
# shorter list of tools; thinking that the model decides on by itself is what holds without a word.
OTHERWISE = frozenset(("tool_result_images", "tool_errors", "allowed_tools", "thinking"))
LOST = [asked for asked in ASKED if FATES[fate(asked[2], SAYS[asked[1]])] == "refused"]


def read(caller: str, fields: samples.Fields) -> Prompt:
    dialect = CALLERS[caller]
    return dialect.decode_prompt(
        dialect.decode_request(json.dumps({**samples.BASES[caller], **fields}).encode()).fields
    )


def test_every_dialect_is_in_the_tables() -> None:
    assert set(SAYS) == set(CHAT)
    assert set(samples.BASES) == set(samples.FEATURES) == set(samples.OTHERS) == set(CALLERS)


def test_every_feature_can_be_asked_for_somewhere() -> None:
    assert {feature for asked in samples.FEATURES.values() for feature in asked} == set(FEATURES)
    assert all(says <= set(FEATURES) for says in SAYS.values())


@pytest.mark.parametrize(
    ("caller", "feature"), [(caller, f) for caller, asked in samples.FEATURES.items() for f in asked]
)
def test_a_feature_is_noted_in_the_callers_words(caller: str, feature: str) -> None:
    given = read(caller, samples.FEATURES[caller][feature]).given
    assert feature in given
    assert set(given) <= set(samples.FEATURES[caller])


@pytest.mark.parametrize(("caller", "provider", "feature"), ASKED)
def test_its_fate_is_the_one_in_the_table(caller: str, provider: str, feature: str) -> None:
    found = measure(caller, provider, samples.FEATURES[caller][feature])
    assert found.fate(found.words[feature]) == FATES[fate(feature, SAYS[provider])]
    assert found.refused in ("", found.words[feature])


@pytest.mark.parametrize(("caller", "provider", "feature"), LOST)
def test_what_is_refused_can_be_dropped_instead(caller: str, provider: str, feature: str) -> None:
    prompt = read(caller, samples.FEATURES[caller][feature])
    written = CHAT[provider].encode_prompt(prompt, "m", CAPABLE, lenient=True)
    assert prompt.given[feature] in written.dropped


@pytest.mark.parametrize(("caller", "provider", "text"), OTHERS)
def test_nothing_else_is_lost_in_silence(caller: str, provider: str, text: str) -> None:
    fields = samples.OTHERS[caller][text]
    found = measure(caller, provider, fields)
    assert found.refused in fields or set(found.dropped) & set(fields)
    assert bool(found.refused) != bool(found.dropped)


@pytest.mark.parametrize(("caller", "provider"), pairs())
def test_a_plain_request_loses_nothing(caller: str, provider: str) -> None:
    assert measure(caller, provider, {}).fate() == "carried"


@pytest.mark.parametrize(("caller", "provider", "feature"), ASKED)
def test_what_is_written_is_a_request_of_the_other_dialect(caller: str, provider: str, feature: str) -> None:
    prompt = read(caller, samples.FEATURES[caller][feature])
    body = CHAT[provider].encode_prompt(prompt, "m", CAPABLE, lenient=True).body
    decoded = CHAT[provider].decode_request(body)
    assert decoded.model == "m"
    again = CHAT[provider].decode_prompt(decoded.fields)
    carried = {name for name in prompt.given if FATES[fate(name, SAYS[provider])] == "carried"}
    assert carried - OTHERWISE <= set(again.given)
    assert (again.hints, again.demands) == ({}, {})
    assert msgspec.json.decode(body)["model"] == "m"
