"""Tokens, in the field's standard words: what every dialect's own count is turned into; and how money is written."""

from __future__ import annotations

import msgspec

__all__ = ["BYTES_A_TOKEN", "Usage", "added", "less", "usd"]

# Where nobody has counted: of English text and JSON about so many bytes are a token.
BYTES_A_TOKEN = 4

_NANOS = 1_000_000_000
# Of so many digits of nano-dollars, below a dollar.
_BEFORE = [f"0.{'0' * (9 - digits)}" for digits in range(10)]


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one call.

    `input_tokens` includes those read from and written to a prompt cache; `output_tokens` includes reasoning.
    `estimated` marks a count that was made here because the provider gave none. What follows is there only for the
    price: which of the cache's writes were for an hour, what was sound, the provider's own searches of the web, and
    the tier that served it (`flex`, `priority`, `batch`, ...; "" is the standard one). `odd` marks what is plausible in
    place of a count that cannot be.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    cache_write_1h_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    web_searches: int = 0
    tier: str = ""
    odd: bool = False


def added(one: Usage, other: Usage) -> Usage:
    """What two attempts at one answer used together; the tier is the later one's."""
    before, after = msgspec.structs.asdict(one), msgspec.structs.asdict(other)
    tier = after.pop("tier")
    total = {name: before[name] + count for name, count in after.items()}
    marks = {"estimated": one.estimated or other.estimated, "odd": one.odd or other.odd}
    return Usage(**{**total, **marks}, tier=tier)


def less(total: Usage, part: Usage) -> Usage:
    """What of a total is left without one of its parts; the tier is the total's."""
    whole, counts = msgspec.structs.asdict(total), msgspec.structs.asdict(part)
    kept = {name: whole.pop(name) for name in ("estimated", "tier", "odd")}
    return Usage(**{name: max(0, count - counts[name]) for name, count in whole.items()}, **kept)


def usd(nanos: int) -> str:
    """Nano-dollars as dollars, all nine decimals: `0.000120000`."""
    if 0 <= nanos < _NANOS:  # most calls cost less than a dollar; a format with a width takes four times as long
        digits = str(nanos)
        return _BEFORE[len(digits)] + digits
    return f"{nanos // _NANOS}.{nanos % _NANOS:09d}"
