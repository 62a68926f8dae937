"""The requests of the last moments: the last 10,000, and those that went wrong a little longer."""

from __future__ import annotations

from penstock.stores.recent import MOST, MOST_WRONG, Recent


def ids(first: int, last: int) -> list[str]:
    return [f"{number:06d}" for number in range(first, last)]


def fill(recent: Recent, first: int, last: int, wrong: int = 0, size: int = 1) -> None:
    """Add them one after another; every `wrong`-th went wrong."""
    for at, id in enumerate(ids(first, last)):
        told = (id, b"x" * size)
        recent.add([told], [told] if wrong and at % wrong == 0 else [])


def test_the_last_ten_thousand_are_there_and_no_more() -> None:
    recent = Recent()
    fill(recent, 0, MOST + 50)
    assert len(recent) == MOST == 10_000
    assert [recent.find(id) for id in ("000049", "000050", f"{MOST + 49:06d}")] == [None, b"x", b"x"]


def test_what_went_wrong_stays_longer() -> None:
    recent = Recent()
    fill(recent, 0, 2 * MOST, wrong=100)
    assert recent.find("000000") == b"x"
    assert recent.find("000001") is None
    assert len(recent) == MOST + 100
    fill(recent, 2 * MOST, 2 * MOST + MOST_WRONG, wrong=1)
    assert recent.find("000000") is None


def test_what_is_only_told_as_wrong_is_among_all() -> None:
    recent = Recent()
    recent.add([("000001", b"a")], [("000002", b"b")])
    assert recent.before("", 9) == [("000002", b"b"), ("000001", b"a")]


def test_a_line_that_comes_again_takes_the_place_of_the_first() -> None:
    recent = Recent(most=2)
    for line in (b"a", b"b"):
        recent.add([("000001", line)], [])
    assert (len(recent), recent.find("000001")) == (1, b"b")


def test_the_bytes_of_all_are_bounded() -> None:
    recent = Recent(most_bytes=4000)
    fill(recent, 0, 100, size=100)
    assert len(recent) == 30
    assert recent.find("000099") is not None
    fill(recent, 100, 101, size=5000)
    assert len(recent) == 0


def test_those_before_one_are_found_though_that_one_is_gone() -> None:
    recent = Recent(most=10, most_wrong=2)
    fill(recent, 0, 20, wrong=10)
    assert [id for id, _ in recent.before("", 3)] == ["000019", "000018", "000017"]
    assert [id for id, _ in recent.before("000012", 9)] == ["000011", "000010", "000000"]
    assert recent.before("000000", 9) == []
