"""Lists in pages: `limit` and `cursor` in, a slice and the next cursor out. Pure."""

from __future__ import annotations

import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from penstock.errors import InvalidRequest

__all__ = ["LARGEST", "USUAL", "cursor_of", "id_of", "joined_page", "limit_of", "page"]

_ANY = re.compile(r"[^\x00-\x1f]{1,200}")
USUAL = 100
LARGEST = 1000


def page(ids: Sequence[str], query: Mapping[str, Any]) -> tuple[Sequence[str], str | None]:
    """The ids that were asked for, and the cursor of those after them, None at the end.

    A cursor names the last id seen, so what is added in between neither repeats nor hides anything.

    Raises:
        InvalidRequest: `limit` or `cursor` is not one.
    """
    start = _after(ids, query["cursor"]) if "cursor" in query else 0
    end = start + limit_of(query)
    shown = ids[start:end]
    return shown, cursor_of(shown[-1]) if shown and end < len(ids) else None


def limit_of(query: Mapping[str, Any]) -> int:
    """How many are asked for. Raises InvalidRequest."""
    text = query["limit"] if "limit" in query else str(USUAL)
    # Not int() alone: it takes signs, underscores, other alphabets' digits, and any length.
    if text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST)) and 1 <= int(text) <= LARGEST:
        return int(text)
    raise InvalidRequest(f"limit must be a number from 1 to {LARGEST}", do="Change or leave it out.", param="limit")


def cursor_of(id: str) -> str:
    """The cursor that names that id."""
    return urlsafe_b64encode(id.encode("utf-8", "surrogatepass")).decode()


def id_of(query: Mapping[str, Any], form: re.Pattern[str]) -> str:
    """The id that the cursor names, "" without one: for lists whose order is that of their ids.

    Args:
        form: what such an id looks like.

    Raises:
        InvalidRequest: it is no cursor.
    """
    if "cursor" not in query:
        return ""
    id = _named(query["cursor"])
    if not form.fullmatch(id):
        raise _out_of_date()
    return id


async def joined_page(
    query: Mapping[str, Any],
    declared: Sequence[dict[str, Any]],
    stored: Callable[[str, int], Awaitable[list[dict[str, Any]]]],
) -> dict[str, Any]:
    """A page of what the file declares, and after it of what is stored; each has an `id`.

    Args:
        declared: in its order; their ids have a colon, which no stored one has.
        stored: gives so many with ids above one, in the order of these.

    Raises:
        InvalidRequest: `limit` or `cursor` is not one.
    """
    limit, after = limit_of(query), id_of(query, _ANY)
    rest = list(declared)
    if ":" in after:
        rest = rest[_after([each["id"] for each in declared], query["cursor"]) :]
    found = rest[: limit + 1] if not after or ":" in after else []
    if len(found) <= limit:
        found += await stored("" if ":" in after else after, limit + 1 - len(found))
    following = cursor_of(found[limit - 1]["id"]) if len(found) > limit else None
    return {"data": found[:limit], "next_cursor": following}


def _after(ids: Sequence[str], cursor: str) -> int:
    try:
        return ids.index(_named(cursor)) + 1
    except ValueError:  # no longer there
        raise _out_of_date() from None


def _named(cursor: str) -> str:
    try:
        # Strictly: without `validate` whatever is not of the alphabet is passed over.
        return b64decode(cursor.encode(), b"-_", validate=True).decode("utf-8", "surrogatepass")
    except ValueError:  # not base64, or not text
        raise _out_of_date() from None


def _out_of_date() -> InvalidRequest:
    return InvalidRequest(
        "cursor is not one that this list gave, or is out of date", do="Begin again without it.", param="cursor"
    )
