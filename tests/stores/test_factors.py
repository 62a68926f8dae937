"""What a model's own counts say of estimates."""

from __future__ import annotations

import pytest

from penstock.stores.factors import MOST_KEPT, Factors


def test_what_is_not_known_is_taken_as_it_is() -> None:
    assert Factors().of("m", "ascii") == 1.0


def test_it_is_learned_by_model_and_script() -> None:
    factors = Factors()
    factors.learn("m", "ascii", 100.0, 130)
    assert (factors.of("m", "ascii"), factors.of("m", "three"), factors.of("n", "ascii")) == (1.3, 1.0, 1.0)
    factors.learn("m", "ascii", 100.0, 110)
    assert factors.of("m", "ascii") == pytest.approx(1.2)


def test_an_answer_after_many_moves_it_by_a_twentieth() -> None:
    factors = Factors()
    for _ in range(100):
        factors.learn("m", "ascii", 100.0, 100)
    factors.learn("m", "ascii", 100.0, 300)
    assert factors.of("m", "ascii") == pytest.approx(1.1)
    for _ in range(200):
        factors.learn("m", "ascii", 100.0, 300)
    assert factors.of("m", "ascii") == pytest.approx(3.0, rel=0.01)


def test_what_cannot_be_is_bounded_and_what_is_too_short_says_nothing() -> None:
    factors = Factors()
    factors.learn("m", "ascii", 100.0, 10**9)
    assert factors.of("m", "ascii") == 5.0
    factors.learn("n", "ascii", 15.0, 100)
    factors.learn("n", "ascii", 100.0, 0)
    assert factors.of("n", "ascii") == 1.0


def test_names_that_callers_make_up_fill_no_memory() -> None:
    factors = Factors()
    for number in range(MOST_KEPT + 10):
        factors.learn(f"m{number}", "ascii", 100.0, 200)
    assert repr(factors) == f"<Factors of {MOST_KEPT} models and scripts>"
    assert (factors.of("m0", "ascii"), factors.of(f"m{MOST_KEPT + 9}", "ascii")) == (1.0, 2.0)
