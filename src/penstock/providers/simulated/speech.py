"""Seeded prose, and a tokenizer that is simple and quick: the tokens joined are the text again.

Pure. Lengths are in these tokens, which is what the simulated provider counts and bills.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from penstock.providers.simulated.chance import Dice
from penstock.providers.simulated.words import NOUNS, OPENINGS, PLACES, SENTENCES, THOUGHTS, VERBS

__all__ = ["count_tokens", "first_words", "prose", "thoughts", "tokenize"]

# A word with the space before it, in pieces of at most eight letters; marks by up to three; white space.
_TOKEN = re.compile(r" ?\w{1,8}| ?[^\s\w]{1,3}|\s+")

# A longer answer repeats its beginning: what matters about it is its length.
_FRESH = 400
_COUNTED = 8_192  # characters


def tokenize(text: str) -> list[str]:
    """The tokens of a text; `"".join` of them is the text."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """How many tokens a text has; a long one is judged by its beginning."""
    if len(text) <= _COUNTED:
        return len(_TOKEN.findall(text))
    return len(_TOKEN.findall(text[:_COUNTED])) * len(text) // _COUNTED


def first_words(text: str, count: int = 6) -> str:
    """The first words of a prompt, on one line and without its last full stop."""
    words = text[: count * 40].split(None, count)[:count]
    return " ".join(words)[:80].rstrip(".!?:;, ")


def prose(dice: Dice, prompt: str, length: int, *, exact: bool = False) -> list[str]:
    """An answer that begins with what was asked: about `length` tokens in whole sentences, or exactly so many."""
    opening = dice.choice(OPENINGS).format(first_words(prompt)) if prompt.strip() else "Hello."
    return _speak(dice, opening, SENTENCES, length, exact)


def thoughts(dice: Dice, length: int) -> list[str]:
    """Reasoning of exactly `length` tokens."""
    return _speak(dice, "Let me think.", THOUGHTS, length, True)


def _speak(dice: Dice, opening: str, forms: Sequence[str], length: int, exact: bool) -> list[str]:
    tokens = tokenize(opening)
    while len(tokens) < min(length, _FRESH):
        tokens += tokenize(" " + _sentence(dice, forms))
    if not exact:
        return tokens
    if len(tokens) < length:
        tokens *= -(-length // len(tokens))
    return tokens[:length]


def _sentence(dice: Dice, forms: Sequence[str]) -> str:
    text = dice.choice(forms).format(noun=dice.choice(NOUNS), verb=dice.choice(VERBS), place=dice.choice(PLACES))
    return text[0].upper() + text[1:]
