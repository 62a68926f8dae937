"""How many requests may be sent in excess."""

from __future__ import annotations

from random import Random

import pytest

from penstock.stores.extra import SAVED, Extra


def extra(most: float = 0.02) -> Extra:
    made = Extra("smart")
    made.most = most
    return made


def test_one_in_fifty_may_be_sent_twice_from_the_first_fifty_on() -> None:
    made = extra()
    taken = []
    for number in range(1, 201):
        made.asked()
        if made.try_take():
            taken.append(number)
    assert taken == [50, 100, 150, 200]
    assert repr(made) == "<Extra smart: 2.0%, 0 left>"


def test_what_is_saved_is_bounded() -> None:
    made = extra(0.5)
    for _ in range(1000):
        made.asked()
    assert sum(made.try_take() for _ in range(1000)) == SAVED


@pytest.mark.parametrize("most", [0.001, 0.02, 0.3])
def test_over_any_stretch_never_more_than_its_part_and_what_was_saved(most: float) -> None:
    chance, made = Random(3), extra(most)
    taken = [0]
    for _ in range(20_000):
        made.asked()
        taken.append(taken[-1] + (chance.random() < 0.4 and made.try_take()))
    assert taken[-1] <= 20_000 * most
    worst = max(taken[end] - taken[start] - (end - start) * most for start in range(0, 20_000, 97)
                for end in range(start, 20_000, 501))  # fmt: skip
    assert worst <= SAVED
