"""The centre's account of leases: what is granted, who is asked to give back, and that it never adds up to too much."""

from __future__ import annotations

from random import Random

import pytest

from penstock.stores.leases import Decision, Leases

GUARD = "connections"


def grants(decisions: list[Decision[str]]) -> dict[str, int]:
    return {each.holder: each.granted for each in decisions if each.granted}


def recalls(decisions: list[Decision[str]]) -> dict[str, tuple[int, int]]:
    return {each.holder: (each.unused, each.owed) for each in decisions if not each.granted}


def test_there_is_some_beyond_what_was_asked_for_while_much_is_free() -> None:
    leases: Leases[str] = Leases()
    assert grants(leases.lease("a", GUARD, 1, 4000)) == {"a": 1 + 3999 // 20}
    free = 4000 - 200
    assert grants(leases.lease("b", GUARD, 10, 4000)) == {"b": 10 + (free - 10) // 40}, "shared among two"
    assert grants(leases.lease("a", "few", 1, 10)) == {"a": 1}, "in the last twentieth each one is asked for"


def test_a_line_is_served_in_its_order_as_others_give_back() -> None:
    leases: Leases[str] = Leases()
    assert grants(leases.lease("a", GUARD, 4, 4)) == {"a": 4}
    assert recalls(leases.lease("b", GUARD, 2, 4)) == {"a": (2, 2)}
    assert leases.lease("c", GUARD, 1, 4) == [], "a was asked and has not answered"
    assert leases.held(GUARD) == {"a": 4}
    decided = leases.settle("a", GUARD, 1)
    assert grants(decided) == {"b": 1}
    assert recalls(decided) == {"a": (2, 2)}, "its share of three is 1, it holds 3"
    decided = leases.settle("a", GUARD, 2)
    assert grants(decided) == {"b": 1, "c": 1}
    assert leases.held(GUARD) == {"a": 1, "b": 2, "c": 1}


def test_nobody_is_made_to_give_back_its_share() -> None:
    leases: Leases[str] = Leases()
    leases.lease("a", GUARD, 2, 4)
    leases.lease("b", GUARD, 2, 4)
    assert recalls(leases.lease("b", GUARD, 3, 4)) == {"a": (2, 0)}, "only what it does not use"
    leases.settle("a", GUARD, 2)
    assert leases.held(GUARD) == {"b": 4}
    assert recalls(leases.lease("a", GUARD, 1, 4)) == {"b": (2, 2)}, "whoever waits itself gives back what is too much"


def test_of_what_comes_back_each_gets_its_share_first() -> None:
    leases: Leases[str] = Leases()
    leases.lease("a", GUARD, 6, 6)
    leases.lease("a", GUARD, 6, 6)
    leases.lease("b", GUARD, 6, 6)
    leases.settle("a", GUARD, 6)
    assert leases.held(GUARD) == {"a": 3, "b": 3}
    leases.settle("b", GUARD, 1)
    assert leases.held(GUARD) == {"a": 3, "b": 3}, "it has less than its share again"


def test_what_a_dead_one_held_is_free_when_it_expires_and_not_before() -> None:
    leases: Leases[str] = Leases()
    leases.lease("a", GUARD, 3, 3)
    leases.lease("b", GUARD, 1, 3)
    assert leases.withdraw("a") == []
    assert leases.holds("a")
    assert leases.held(GUARD) == {"a": 3}
    assert grants(leases.expire("a")) == {"b": 1}
    assert not leases.holds("a")
    assert leases.expire("a") == []
    leases.settle("b", GUARD, 1)
    assert repr(leases) == "<Leases nothing>"


def test_a_dead_one_waits_no_more() -> None:
    leases: Leases[str] = Leases()
    leases.lease("a", GUARD, 2, 2)
    leases.lease("b", GUARD, 2, 2)
    leases.lease("c", GUARD, 1, 2)
    assert leases.withdraw("b") == []
    assert not leases.holds("b")
    assert grants(leases.settle("a", GUARD, 1)) == {"c": 1}


def test_a_smaller_total_takes_effect_as_permits_come_back() -> None:
    leases: Leases[str] = Leases()
    leases.lease("a", GUARD, 8, 8)
    assert grants(leases.lease("b", GUARD, 1, 4)) == {}
    assert grants(leases.settle("a", GUARD, 4)) == {}
    assert grants(leases.settle("a", GUARD, 1)) == {"b": 1}


def test_nobody_gives_back_more_than_it_has() -> None:
    leases: Leases[str] = Leases()
    leases.lease("a", GUARD, 1, 2)
    leases.settle("a", GUARD, 5)
    leases.settle("a", GUARD, 5)
    leases.settle("a", "unheard of", 1)
    assert grants(leases.lease("b", GUARD, 9, 2)) == {"b": 2}


def test_who_waits_no_more_says_so_and_is_asked_again() -> None:
    leases: Leases[str] = Leases()
    leases.lease("a", GUARD, 1, 2)
    leases.lease("b", GUARD, 1, 2)
    assert leases.lease("a", GUARD, 1, 2) == [Decision("b", GUARD, unused=1)]
    assert leases.lease("b", GUARD, 1, 2) == [], "a waits itself"
    assert recalls(leases.settle("a", GUARD, 0, unasked=1)) == {"a": (1, 0)}
    assert grants(leases.settle("a", GUARD, 1)) == {"b": 1}


def test_where_nobody_waits_any_more_who_was_asked_may_keep_what_it_has() -> None:
    leases: Leases[str] = Leases()
    leases.lease("a", GUARD, 2, 2)
    assert recalls(leases.lease("b", GUARD, 1, 2)) == {"a": (1, 1)}
    assert leases.settle("b", GUARD, 0, unasked=1) == [Decision("a", GUARD)]
    assert recalls(leases.lease("b", GUARD, 1, 2)) == {"a": (1, 1)}, "it is asked again"


def test_nobody_waits_for_less_than_nothing() -> None:
    leases: Leases[str] = Leases()
    leases.lease("a", GUARD, 2, 2)
    leases.lease("b", GUARD, 1, 2)
    assert leases.settle("b", GUARD, 0, unasked=3) == [Decision("a", GUARD)]
    assert grants(leases.settle("a", GUARD, 2)) == {}
    assert repr(leases) == "<Leases nothing>"


@pytest.mark.parametrize("seed", range(100))
def test_it_never_adds_up_to_too_much_and_whoever_waits_is_served_in_the_end(seed: int) -> None:
    random = Random(seed)
    total = random.choice([1, 2, 7, 50, 1000])
    names = [f"w{number}" for number in range(random.randint(1, 5))]
    leases: Leases[str] = Leases()
    held = dict.fromkeys(names, 0)
    wanted = dict.fromkeys(names, 0)

    def take(decisions: list[Decision[str]]) -> None:
        for holder, _, granted, unused, owed in decisions:
            held[holder] += granted
            wanted[holder] = max(0, wanted[holder] - granted)
            assert granted >= 0
            assert granted or 0 <= owed <= unused <= held[holder]
        assert leases.held(GUARD) == {name: count for name, count in held.items() if count}
        assert sum(held.values()) <= total

    for _ in range(200):
        name = random.choice(names)
        choice = random.random()
        if choice < 0.5:
            amount = random.randint(1, max(1, total // 10))
            wanted[name] += amount
            take(leases.lease(name, GUARD, amount, total))
        elif choice < 0.9 and held[name]:
            returned = random.randint(1, held[name])
            held[name] -= returned
            take(leases.settle(name, GUARD, returned))
        elif 0.9 <= choice < 0.95 and wanted[name]:
            unasked = random.randint(1, wanted[name])
            wanted[name] -= unasked
            take(leases.settle(name, GUARD, 0, unasked))
        elif choice > 0.97:
            wanted[name] = 0
            take(leases.withdraw(name))
            held[name] = 0
            take(leases.expire(name))
    for _ in range(20_000):
        if not any(wanted.values()):
            break
        name = random.choice([name for name in names if held[name]])
        held[name] -= 1
        take(leases.settle(name, GUARD, 1))
    assert not any(wanted.values()), "somebody waits for ever"
