"""The list of what a key may ask for, as each vendor tells it; Anthropic's in pages.

https://platform.claude.com/docs/en/api/models-list: `limit` (1 to 1000), `after_id`, `before_id`; `has_more` tells of
more in the direction that was asked for. Without `limit` all are told at once: whoever does not turn pages misses none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_plus

from penstock.errors import InvalidRequest
from penstock.routing.names import Found

__all__ = ["anthropic_cards", "anthropic_page", "openai_cards"]

Card = dict[str, Any]

_BORN = "1970-01-01T00:00:00Z"
_MOST = 1000


def openai_cards(found: Sequence[Found]) -> list[Card]:
    """One card for each name."""
    return [{"id": each.name, "object": "model", "created": 0, "owned_by": each.provider} for each in found]


def anthropic_cards(found: Sequence[Found]) -> list[Card]:
    """One card for each name."""
    born = {"type": "model", "created_at": _BORN, "lifecycle": "active"}
    return [{**born, "id": each.name, "display_name": each.name} for each in found]


def anthropic_page(cards: list[Card], query: bytes) -> Card:
    """The page that `query` asks for.

    Raises:
        InvalidRequest: `limit` is no number from 1 to 1000, or a page is to begin at a name that is not there.
    """
    asked = dict(pair.split("=", 1) for pair in query.decode("latin-1").split("&") if "=" in pair)
    limit = _limit(asked.get("limit"), len(cards))
    ids = [card["id"] for card in cards]
    if "before_id" in asked:
        end = _place(ids, asked, "before_id")
        page, more = cards[max(0, end - limit) : end], end > limit
    else:
        begin = _place(ids, asked, "after_id") + 1 if "after_id" in asked else 0
        page, more = cards[begin : begin + limit], begin + limit < len(cards)
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return {"data": page, "has_more": more, "first_id": first, "last_id": last}


def _limit(said: str | None, every: int) -> int:
    if said is None:
        return max(every, 1)
    if not (said.isascii() and said.isdigit() and len(said) <= 4 and 1 <= int(said) <= _MOST):
        raise InvalidRequest("limit is no number of models", do=f"Write 1 to {_MOST}.", param="limit")
    return int(said)


def _place(ids: list[str], asked: dict[str, str], name: str) -> int:
    wanted = unquote_plus(asked[name])
    if wanted not in ids:
        raise InvalidRequest(
            f"{name} is no model of this list", do="Write the first_id or last_id of a page.", param=name
        )
    return ids.index(wanted)
