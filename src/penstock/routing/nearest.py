"""Which of the names that exist did somebody mean? Pure; for unknown models and unknown config keys."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

__all__ = ["did_you_mean", "nearest", "quoted"]

# difflib is quadratic in the length and linear in the names: a stranger's word must not buy more than this.
_MOST_LETTERS = 80
_MOST_NAMES = 200


def quoted(word: str) -> str:
    """`word` in double quotes, cut to 80 characters, what cannot be printed as `?`: fit for any message."""
    cut = word if len(word) <= _MOST_LETTERS else word[: _MOST_LETTERS - 3] + "..."
    return '"' + "".join(letter if letter.isprintable() else "?" for letter in cut) + '"'


def nearest(word: str, known: Iterable[str], most: int = 3, *, alike: float = 0.6) -> list[str]:
    """At most `most` of `known` that look like `word`, nearest first; of `known` the first 200 are looked at.

    Args:
        alike: how much, from 0 to 1.
    """
    lower = {name.lower(): name for name in islice(known, _MOST_NAMES)}
    found = difflib.get_close_matches(word[:_MOST_LETTERS].lower(), lower, n=most, cutoff=alike)
    return [lower[name] for name in found]


def did_you_mean(word: str, known: Iterable[str], *, alike: float = 0.6) -> str:
    """` (did you mean "x"?)`, or nothing where no name is near."""
    found = nearest(word, known, alike=alike)
    if not found:
        return ""
    return f" (did you mean {' or '.join(quoted(name) for name in found)}?)"
