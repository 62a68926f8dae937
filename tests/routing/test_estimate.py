"""Tokens from bytes, by script."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from penstock.routing.estimate import estimate

# A sentence, and its tokens as o200k_base has them.
SENTENCES = {
    "The quick brown fox jumps over the lazy dog near the old stone bridge at noon.": ("ascii", 17),
    "Быстрая коричневая лиса прыгает через ленивую собаку у старого каменного моста.": ("two", 27),
    "敏捷的棕色狐狸在正午时分跳过老石桥附近的懒狗。": ("three", 23),
    "🙂🙂🙂🙂🙂🙂🙂🙂": ("four", 8),
}


@pytest.mark.parametrize("text", SENTENCES)
def test_it_is_near_what_a_vocabulary_has(text: str) -> None:
    script, tokens = SENTENCES[text]
    found, of = estimate(text.encode())
    assert of == script
    assert found == pytest.approx(tokens, rel=0.25)


@pytest.mark.parametrize("text", SENTENCES)
def test_letters_written_as_escapes_count_once(text: str) -> None:
    (plain, _), (escaped, _) = estimate(text.encode()), estimate(json.dumps(text)[1:-1].encode())
    # A pair of surrogates stands for an emoji: two escapes of which each counts as a letter of three bytes.
    assert escaped == pytest.approx(plain, rel=0.4)


@given(some.text(max_size=200))
def test_never_less_than_nothing_nor_more_than_two_a_letter(text: str) -> None:
    found, _ = estimate(text.encode("utf-8", "surrogatepass"))
    assert 0 <= found <= 2 * len(text) + 1


@given(some.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    assert estimate(data)[0] >= 0
