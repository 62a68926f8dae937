"""What other people made up and a terminal shows: nothing in it is obeyed, and nothing turns a line round."""

from __future__ import annotations

import pytest

from penstock.cli.tables import clean, table

OBEYED = [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)]


@pytest.mark.parametrize("letter", OBEYED)
def test_what_a_terminal_obeys_is_left_out(letter: int) -> None:
    assert clean(f"a{chr(letter)}b") == "ab"
    assert table(["name", "n"], [[f"a{chr(letter)}b", "1"]]) == "name  n\nab    1"


def test_what_is_written_stays() -> None:
    for text in ("plain", "é中\U0001f600", "\u05d0\u0627", "zero\u200dwidth"):
        assert clean(text) == text
