"""Lists in pages: `limit` and `cursor` in, a slice and the next cursor out. Pure."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.errors import InvalidRequest

__all__ = ["LARGEST", "USUAL", "page"]

USUAL = 100
LARGEST = 1000


def page(ids: Sequence[str], query: Mapping[str, Any]) -> tuple[Sequence[str], str | None]:
    """The ids that were asked for, and the cursor of those after them, None at the end.

    A cursor names the last id seen, so what is added in between neither repeats nor hides anything.

    Raises:
        InvalidRequest: `limit` or `cursor` is not one.
    """
    start = _after(ids, query["cursor"]) if "cursor" in query else 0
    end = start + _limit(query["limit"] if "limit" in query else str(USUAL))
    shown = ids[start:end]
    return shown, _cursor(shown[-1]) if shown and end < len(ids) else None


def _limit(text: str) -> int:
    # Not int() alone: it takes signs, underscores, other alphabets' digits, and any length.
    if text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST)) and 1 <= int(text) <= LARGEST:
        return int(text)
    raise InvalidRequest(f"limit must be a number from 1 to {LARGEST}", do="Change or leave it out.", param="limit")


def _cursor(id: str) -> str:
    return urlsafe_b64encode(id.encode("utf-8", "surrogatepass")).decode()


def _after(ids: Sequence[str], cursor: str) -> int:
    try:
        return ids.index(urlsafe_b64decode(cursor.encode()).decode("utf-8", "surrogatepass")) + 1
    except ValueError:  # not base64, not text, or no longer there
        raise InvalidRequest(
            "cursor is not one that this list gave, or is out of date", do="Begin again without it.", param="cursor"
        ) from None
