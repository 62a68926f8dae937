"""Patterns in which `*` stands for anything, and which of several fits a name most exactly. Pure."""

from __future__ import annotations

import re

__all__ = ["exactness", "expression"]


def expression(pattern: str) -> str:
    """A regular expression for the whole of a name; `pattern` holds at least one `*`."""
    # Each middle part is taken where it first occurs and never sought again (atomic groups): without that, a
    # pattern of many stars would cost a power of the name's length, and the name is a stranger's.
    first, *middle, last = map(re.escape, pattern.split("*"))
    return first + "".join(f"(?>.*?{part})" for part in middle) + ".*" + last


def exactness(pattern: str) -> int:
    """How many letters of a name it says: the more, the more exact."""
    return len(pattern) - pattern.count("*")
