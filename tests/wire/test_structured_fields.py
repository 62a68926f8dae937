"""Dictionaries of RFC 9651: what is read of them, what is refused, and that what is written reads the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from penstock.wire.structured_fields import KEY, read_dictionary, write_dictionary


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("   ", {}),
        ("feature=search", {"feature": "search"}),
        ('feature="a \\"b\\" \\\\c", team=core', {"feature": 'a "b" \\c', "team": "core"}),
        ("a=1, b=-2.5, c=?0, d=?1, e", {"a": "1", "b": "-2.5", "c": "false", "d": "true", "e": "true"}),
        ('a=1;x;y="z; q", b;w=2', {"a": "1", "b": "true"}),
        ("a=1 \t,\t b=2  ", {"a": "1", "b": "2"}),
        ("a=1,b=2,a=3", {"b": "2", "a": "3"}),
        ('a=%"f%c3%bc%c3%bc"', {"a": "füü"}),
        ("*a-b_c.d*=t/o:k~en", {"*a-b_c.d*": "t/o:k~en"}),
    ],
)
def test_what_is_read(text: str, found: dict[str, str]) -> None:
    assert read_dictionary(text) == found
    assert list(read_dictionary(text)) == list(found)


@pytest.mark.parametrize(
    "text",
    [
        "Feature=search", "=x", "a=", "a=(1 2)", "a=:YWI=:", "a=1 b=2", "a=1,", 'a="x', 'a="é"', "a=?2", "a=1.2345",
        "a=1234567890123456", 'a=%"%ff"', 'a=%"%C3%BC"', 'a="\\x"', "a=1;", "a = 1", ",a=1", "1a=2", "a=\x00",
    ],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"character|comma"):
        read_dictionary(text)


@given(some.dictionaries(some.from_regex(KEY, fullmatch=True), some.text(some.characters(codec="utf-8"))))
def test_what_is_written_reads_the_same(pairs: dict[str, str]) -> None:
    text = write_dictionary(pairs.items())
    assert text.isascii()
    assert text.isprintable() or not text
    assert read_dictionary(text) == pairs


@given(some.text(some.characters(codec="ascii"), max_size=60))
def test_whatever_comes_is_read_or_refused(text: str) -> None:
    try:
        found = read_dictionary(text)
    except ValueError:
        return
    assert all(KEY.fullmatch(name) for name in found)
