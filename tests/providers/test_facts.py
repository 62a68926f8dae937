"""The table of models: every row is whole and says where it is from, and names lead to the right one."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.providers.facts import abilities_of, facts_of
from penstock.providers.facts import facts_by_hand as by_hand
from penstock.providers.models import CAPABILITIES, models_of, tables
from penstock.wire.dialect import ModelFacts

TABLE: dict[str, Any] = tomllib.loads(resources.files("penstock.providers").joinpath("models.toml").read_text("utf-8"))
ROWS = [(kind, row) for kind, written in TABLE.items() for row in written["families"]]


@pytest.mark.parametrize(("kind", "row"), ROWS, ids=lambda each: each if isinstance(each, str) else each["models"][0])
def test_a_row_leads_to_what_it_says(kind: str, row: dict[str, Any]) -> None:
    said = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    assert str(said.pop("source")).startswith("https://")
    for name in said.pop("models"):
        facts = by_hand(kind, name)
        assert {key: getattr(facts, key) for key in said} == said
        assert by_hand(kind, f"{name}-2026-01-31") == facts


def test_no_name_stands_twice() -> None:
    for kind in TABLE:
        names = [name for of, row in ROWS if of == kind for name in row["models"]]
        assert len(names) == len(set(names))


def test_models_that_reason_take_no_max_tokens() -> None:
    openai = [row["models"][0] for kind, row in ROWS if kind == "openai"]
    assert all(by_hand("openai", model).output_field == "max_completion_tokens" for model in openai)
    assert by_hand("openai", "llama3.2").output_field == "max_tokens"


@pytest.mark.parametrize(
    ("model", "same_as"),
    [
        ("claude-opus-4-6-20260205", "claude-opus-4-6"),
        ("anthropic/claude-opus-4.6", "claude-opus-4-6"),
        ("us.anthropic.claude-opus-4-6-v1:0", "claude-opus-4-6"),
        ("anthropic.claude-sonnet-4-20250514-v1:0", "claude-sonnet-4"),
        ("claude-opus-4-1@20250805", "claude-opus-4-1"),
        ("claude-opus-4-6[1m]", "claude-opus-4-6"),
        ("Claude-Haiku-4-5", "claude-haiku-4-5"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("claude-3-opus-20240229", "claude-3"),
        ("claude-2.1", "claude-2"),
    ],
)
def test_claudes_by_other_names(model: str, same_as: str) -> None:
    assert by_hand("anthropic", model) == by_hand("anthropic", same_as)
    assert by_hand("anthropic", model) != by_hand("anthropic", "claude")


@pytest.mark.parametrize(
    ("model", "same_as"),
    [
        ("gpt-4o-2024-11-20", "gpt-4o"),
        ("openai/gpt-5-mini", "gpt-5"),
        ("gpt-5.1-codex-max", "gpt-5.1"),
        ("ft:gpt-4.1-mini-2025-04-14:org::id", "gpt-4.1"),
        ("gpt-5-chat-latest", "gpt-5-chat"),
        ("gpt-4-0613", "gpt-4"),
        ("gpt-4-0125-preview", "gpt-4-turbo"),
        ("gpt-4-vision-preview", "gpt-4-turbo"),
        ("o1-2024-12-17", "o1"),
    ],
)
def test_openais_by_other_names(model: str, same_as: str) -> None:
    assert by_hand("openai", model) == by_hand("openai", same_as)


def test_the_longest_beginning_holds_and_ends_where_a_word_ends() -> None:
    assert by_hand("openai", "gpt-4o").max_output_tokens == 16_384
    assert by_hand("openai", "gpt-4").max_output_tokens == 8_192
    assert by_hand("openai", "gpt-4zero") == by_hand("openai", "nobody-knows")
    assert by_hand("openai", "o30") == by_hand("openai", "nobody-knows")


def test_how_claudes_think() -> None:
    styles = {model: by_hand("anthropic", model).thinking for model in (
        "claude-opus-5-5", "claude-sonnet-4-6", "claude-sonnet-4-5", "claude-3-7-sonnet-latest", "claude-3-haiku",
    )}  # fmt: skip
    assert list(styles.values()) == ["adaptive", "adaptive", "budget", "budget", "none"]


def test_a_claude_after_the_table_and_another_vendors_model() -> None:
    newer, other = by_hand("anthropic", "claude-opus-7"), by_hand("anthropic", "MiniMax-M9")
    assert (newer.thinking, newer.max_output_tokens, newer.sampling) == ("adaptive", None, False)
    assert (other.thinking, other.max_output_tokens, other.sampling) == ("budget", None, True)


def test_a_kind_without_a_table() -> None:
    assert by_hand("sim", "small") == ModelFacts(reasons=True), "of what nobody knows it may be"


@given(st.text())
def test_any_name_has_facts(model: str) -> None:
    for kind in TABLE:
        assert by_hand(kind, model).default_output_tokens == 8192


def test_the_compiled_table_adds_sizes_and_never_changes_what_is_written_by_hand() -> None:
    facts = facts_of("openai", "gpt-5-mini-2025-08-07")
    assert facts.context_window == 400_000
    assert facts == msgspec.structs.replace(by_hand("openai", "gpt-5-mini"), context_window=400_000, reasons=True)
    assert facts_of("openai", "gpt-4").max_output_tokens == 8192, "though the compiled table says 4,096"
    hosted = facts_of("openai", "openai/gpt-oss-120b", "groq")
    assert (hosted.context_window, hosted.max_output_tokens, hosted.output_field) == (131_072, 65_536, "max_tokens")
    assert facts_of("openai", "nobody-knows", "vllm") == by_hand("openai", "nobody-knows")


def test_what_a_model_can_do() -> None:
    claude = abilities_of("anthropic", "claude-sonnet-4-5")
    assert claude["tools"] is claude["prefill"] is claude["vision"] is claude["thinking"] is True
    assert claude["audio"] is False, "by hand, of which the compiled table says nothing"
    assert abilities_of("openai", "o1-mini")["vision"] is False
    assert abilities_of("groq", "openai/gpt-oss-120b").keys() < set(CAPABILITIES)
    assert abilities_of("vllm", "llama") == {}


def test_capabilities_have_the_tables_words() -> None:
    said = {word for kind in tables() for model in models_of(kind) for word in f"{model.can} {model.cannot}".split()}
    assert said == set(CAPABILITIES)
