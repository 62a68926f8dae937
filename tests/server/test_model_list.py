"""The list of models in pages, as Anthropic's clients turn them."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.errors import InvalidRequest
from penstock.server.model_list import anthropic_page

CARDS: list[dict[str, Any]] = [{"id": name} for name in ("a/1", "a/2", "b", "c", "d")]


def ids(query: bytes) -> tuple[str, bool]:
    page = anthropic_page(CARDS, query)
    names = [card["id"] for card in page["data"]]
    assert (page["first_id"], page["last_id"]) == ((names[0], names[-1]) if names else (None, None))
    return " ".join(names), page["has_more"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", ("a/1 a/2 b c d", False)),
        (b"beta=true", ("a/1 a/2 b c d", False)),
        (b"limit=1000", ("a/1 a/2 b c d", False)),
        (b"limit=5", ("a/1 a/2 b c d", False)),
        (b"limit=2", ("a/1 a/2", True)),
        (b"limit=2&after_id=a%2F2", ("b c", True)),
        (b"after_id=c&limit=2", ("d", False)),
        (b"after_id=d", ("", False)),
        (b"after_id=b", ("c d", False)),
        (b"limit=2&before_id=d", ("b c", True)),
        (b"limit=2&before_id=b", ("a/1 a/2", False)),
        (b"before_id=b", ("a/1 a/2", False)),
        (b"limit=3&before_id=a/1", ("", False)),
    ],
)
def test_a_page_is_what_was_asked_for(query: bytes, expected: tuple[str, bool]) -> None:
    assert ids(query) == expected


def test_pages_are_turned_to_the_end() -> None:
    seen, page = [], anthropic_page(CARDS, b"limit=2")
    while True:
        seen += page["data"]
        if not page["has_more"]:
            break
        page = anthropic_page(CARDS, b"limit=2&after_id=" + page["last_id"].encode())
    assert seen == CARDS


def test_a_list_of_nothing_is_whole() -> None:
    assert anthropic_page([], b"limit=20") == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize("query", [b"limit=0", b"limit=1001", b"limit=-1", b"limit=x", b"limit=", b"limit=1e3"])
def test_a_limit_that_is_none_is_refused(query: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        anthropic_page(CARDS, query)
    assert caught.value.param == "limit"


@pytest.mark.parametrize("name", ["after_id", "before_id"])
def test_a_place_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        anthropic_page(CARDS, f"{name}=gone".encode())
    assert caught.value.param == name
