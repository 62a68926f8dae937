"""Whether a fallback answered, told from what was decided; and how much of a name is kept."""

from __future__ import annotations

import pytest

from penstock.records import LONGEST_NAME, Attempt, Decision, Record, kept, shortened


def decided(*what: str, at: float = 100.0) -> list[Decision]:
    pairs = (each.partition(" ") for each in what)
    return [Decision(kind, deployment, "", at) for kind, _, deployment in pairs]


@pytest.mark.parametrize(
    ("attempts", "decisions", "used"),
    [
        ("a/m", (), False),
        ("b/n", ("passed_over a/m", "chosen b/n"), True),
        ("b/n", ("chosen b/n",), False),  # a strategy's first choice
        ("a/m b/n", ("failed a/m", "chosen b/n"), True),
        ("a/m b/n a/m", ("failed a/m", "chosen b/n", "failed b/n", "chosen a/m"), False),
        ("a/m#one a/m#two", ("failed a/m#one", "chosen a/m#two"), False),
        ("a/m#one b/n", ("failed a/m#one", "chosen b/n"), True),
        ("a/m b/n", ("hedged b/n",), True),
        ("b/n", ("failed a/m", "chosen b/n"), True),  # there was no place at the first
        ("a/m", ("queued a/m",), False),
        ("a/m", ("waited ", "queued a/m"), False),
    ],
)
def test_another_than_the_first_choice_answered(attempts: str, decisions: tuple[str, ...], used: bool) -> None:
    record = Record("id", "chat", 100.0, 0.0)
    record.attempts = [Attempt(each, 100.0, 100.0) for each in attempts.split()]
    record.decisions = decided(*decisions)
    record.deployment = attempts.split()[-1].partition("#")[0]
    assert record.fallback_used is used


@pytest.mark.parametrize(("answered", "used"), [("a/m", False), ("b/n", True)])
def test_of_two_that_were_asked_together_the_first_is_the_choice(answered: str, used: bool) -> None:
    record = Record("id", "chat", 100.0, 0.0, [Attempt("a/m", 100.0, 100.0), Attempt("b/n", 101.0, 101.0)])
    record.decisions = [*decided("hedged b/n", at=101.0), *decided("failed b/n", at=102.0)]
    record.deployment = answered
    assert record.fallback_used is used


def test_who_is_passed_over_while_the_first_is_asked_was_no_choice() -> None:
    record = Record("id", "chat", 100.0, 0.0, [Attempt("a/m", 100.0, 100.0)])
    record.deployment, record.decisions = "a/m", decided("passed_over b/n", at=101.0)
    assert record.fallback_used is False


def test_a_fixed_text_is_no_fallback() -> None:
    record = Record("id", "chat", 100.0, 0.0, [Attempt("a/m", 100.0, 100.0), Attempt("b/n", 100.0, 100.0)])
    record.deployment, record.degraded = "c/o", True
    assert record.fallback_used is False


def test_a_shortened_name_stays_itself() -> None:
    name = "m" * 5_000_000
    assert shortened(name) == shortened(name)
    assert len(shortened(name)) == LONGEST_NAME
    assert shortened(name).startswith("m" * 200)
    assert len({shortened(name), shortened(name + "m"), shortened(name[:-1] + "n")}) == 3
    assert len(shortened("\ud800" * 300)) == LONGEST_NAME


def test_what_a_provider_calls_its_model_is_kept_short() -> None:
    assert kept("m" * 300) == shortened("m" * 300)
    assert kept("m" * LONGEST_NAME) == "m" * LONGEST_NAME
    assert (kept(""), kept(None), kept(7)) == (None, None, None)
