"""How many tokens a text likely has, from its bytes by script, without a tokenizer. Pure.

Vocabularies differ by model, so what comes out is multiplied by a factor that is learned from the counts that each
model's provider returns (`stores/factors.py`). First figures: o200k_base on English, code, Russian, Arabic, Chinese
and Hindi; a model that splits otherwise is known after a few answers.
"""

from __future__ import annotations

__all__ = ["Estimate", "estimate"]

# Of a byte of ASCII, of a letter of two bytes in UTF-8 (Latin with marks, Greek, Cyrillic, Hebrew, Arabic), of three
# (Chinese, Japanese, Korean, the scripts of India), of four (emoji).
_ASCII, _TWO, _THREE, _FOUR = 0.25, 0.35, 0.8, 1.2
# Where less than such a part is anything else, it does not matter what.
FEW = 10
_LEADS_TWO = bytes(range(0xC2, 0xE0))
_LEADS_THREE = bytes(range(0xE0, 0xF0))
_LEADS_FOUR = bytes(range(0xF0, 0xF5))
_ALL = bytes(range(256))
_ASCII_BYTES = bytes(range(128))
_BUT_TWO = bytes(byte for byte in _ALL if byte not in _LEADS_TWO)
_BUT_THREE = bytes(byte for byte in _ALL if byte not in _LEADS_THREE)
_BUT_FOUR = bytes(byte for byte in _ALL if byte not in _LEADS_FOUR)
# `\u00e9` in JSON: six bytes for a letter.
_ESCAPE = 6
_BACKSLASH = ord("\\")


# What a text likely has: tokens, before any factor; what most of them are of, `ascii`, `two`, `three` or `four`, each
# of which has a factor of its own. Each request has one: a plain tuple takes a third of a named one's time.
Estimate = tuple[float, str]


def estimate(text: bytes, unescaped: bool = False) -> Estimate:
    """For UTF-8, or JSON with letters written as escapes.

    Args:
        unescaped: none of its letters is.
    """
    escaped = text.count(b"\\u") if not unescaped and _BACKSLASH in text else 0
    if not escaped and text.isascii():
        return len(text) * _ASCII, "ascii"
    # Most bytes of most texts are ASCII: what is left without them is short.
    rest = text.translate(None, _ASCII_BYTES)
    if not escaped and len(rest) * FEW < len(text):
        return (len(text) - len(rest)) * _ASCII + len(rest) / 3 * _THREE, "ascii"
    low = text.count(b"\\u0") if escaped else 0
    two = len(rest.translate(None, _BUT_TWO))
    three = len(rest.translate(None, _BUT_THREE))
    four = len(rest.translate(None, _BUT_FOUR))
    plain = max(0, len(text) - len(rest) - _ESCAPE * escaped) * _ASCII
    of_two, of_three, of_four = (two + low) * _TWO, (three + escaped - low) * _THREE, four * _FOUR
    most = max(plain, of_two, of_three, of_four)
    script = "ascii" if plain == most else "two" if of_two == most else "three" if of_three == most else "four"
    return plain + of_two + of_three + of_four, script
