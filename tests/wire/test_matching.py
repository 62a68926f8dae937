"""A text told again, in pieces of any size."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.matching import Rest, kept_for

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
CUTS = st.lists(st.integers(0, 40), max_size=12)


def pieces(text: str, cuts: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(edges)]


def fed(rest: Rest, parts: list[str]) -> str | None:
    new = ""
    for part in parts:
        more = rest.feed(part)
        if more is None:
            return None
        new += more
    return new


@given(TEXT, TEXT, CUTS)
def test_the_same_text_goes_on_behind_what_was_told_at_any_cutting(told: str, more: str, cuts: list[int]) -> None:
    rest = Rest(told)
    assert fed(rest, pieces(told + more, cuts)) == more
    assert rest.reached


@given(TEXT, TEXT, CUTS)
def test_another_text_never_goes_on(told: str, other: str, cuts: list[int]) -> None:
    rest = Rest(told)
    new = fed(rest, pieces(other, cuts))
    if other.startswith(told):
        assert new == other[len(told) :]
        assert rest.reached
    elif told.startswith(other):
        assert new == ""
        assert not rest.reached
    else:
        assert new is None


@given(TEXT, TEXT, CUTS)
def test_nothing_is_passed_on_before_all_of_it_has_come_by(told: str, other: str, cuts: list[int]) -> None:
    rest = Rest(told)
    for part in pieces(other, cuts):
        new = rest.feed(part)
        assert not new or rest.reached
        if new is None:
            break


SPACE = st.text(" \n\t", max_size=4)


@given(TEXT, SPACE, TEXT, CUTS)
def test_gone_on_with_whether_the_space_comes_again_or_not(text: str, space: str, more: str, cuts: list[int]) -> None:
    told = text + space
    kept, rest = kept_for(told)
    assert kept == told.rstrip()
    more = "w" + more
    assert fed(rest, pieces(told[len(kept) :] + more, cuts)) == more
    _, rest = kept_for(told)
    assert rest.reached
    assert fed(rest, pieces(more, cuts)) == more
