"""Tokens, in the field's standard words: what every dialect's own count is turned into."""

from __future__ import annotations

import msgspec

__all__ = ["Usage"]


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one call.

    `input_tokens` includes those read from and written to a prompt cache; `output_tokens` includes reasoning.
    `estimated` marks a count that was made here because the provider gave none.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
