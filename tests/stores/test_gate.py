"""How many calls run at a deployment at a time, and who goes next."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from penstock.stores.gate import CALM_SECONDS, Gate, GateRules, Place
from penstock.stores.pace import Pace
from penstock.testing import SimLoop, run

NEVER = float("inf")


class Door:
    """A gate, and calls that come and end as the breaker's layer has them do."""

    def __init__(self, most: int | None = None, queue: int = 1000) -> None:
        self.pace = Pace("a/b")
        self.gate = self.pace.gate = Gate(self.pace)
        self.gate.set_rules(GateRules(most, queue), None)

    def come(self, rank: int = 2, deadline: float = NEVER) -> Place | None:
        """None where it was let in at once; a refusal is an AssertionError."""
        self.pace.in_flight += 1
        if self.gate.try_enter():
            return None
        place = self.gate.queue(rank, deadline)
        if place is None:
            self.pace.ended()
            raise AssertionError("refused")
        return place

    def enter(self, count: int) -> None:
        for _ in range(count):
            assert self.come() is None

    def end(self, count: int = 1) -> None:
        for _ in range(count):
            self.pace.ended()

    def give_up(self, place: Place) -> None:
        self.gate.leave(place)
        self.pace.ended()

    def refuse(self, sent: float, now: float) -> None:
        """The provider refuses a call, which ends."""
        self.gate.throttled(sent, now)
        self.pace.ended()


def on_loop(test: Callable[[], None]) -> Callable[[], None]:
    """Futures want a loop."""

    def wrapped() -> None:
        async def main(loop: SimLoop) -> None:
            test()

        run(main)

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped


# --- how many


@on_loop
def test_no_limit_until_somebody_refuses() -> None:
    door = Door()
    assert door.gate.limit is None
    door.enter(500)
    assert repr(door.gate) == "<Gate a/b: 500 of any number, 0 waiting>"


@on_loop
def test_at_most_so_many_run() -> None:
    door = Door(most=3)
    door.enter(3)
    places = [door.come() for _ in range(2)]
    assert (door.gate.running, door.gate.has_room) == (3, False)
    assert repr(door.gate) == "<Gate a/b: 3 of 3, 2 waiting>"
    door.end()
    assert [place.turn.done() for place in places if place] == [True, False]
    assert door.gate.running == 3
    door.end(3)
    assert [place.turn.result() for place in places if place] == ["go", "go"]
    assert door.gate.running == 1
    door.end()
    assert door.gate.has_room


@on_loop
def test_a_refusal_leaves_nine_tenths_of_what_was_in_flight() -> None:
    door = Door()
    door.enter(100)
    door.refuse(sent=5.0, now=6.0)
    assert door.gate.limit == 90
    assert door.gate.running == 99
    # Nobody comes in until it is below that, and who waits then does.
    place = door.come()
    door.end(9)
    assert place is not None
    assert (door.gate.running, place.turn.done()) == (90, False)
    door.end()
    assert (door.gate.running, place.turn.done()) == (90, True)


@on_loop
def test_a_burst_that_is_refused_counts_once() -> None:
    door = Door()
    door.enter(100)
    for number in range(50):
        door.refuse(sent=5.0, now=6.0 + number / 100)
    assert door.gate.limit == 90
    door.refuse(sent=6.5, now=7.0)
    assert door.gate.limit == 45


@on_loop
def test_one_is_always_let_in() -> None:
    door = Door()
    for number in range(5):
        door.enter(1)
        door.refuse(sent=float(number), now=number + 0.5)
    assert door.gate.limit == 1
    door.enter(1)
    assert not door.gate.has_room


@on_loop
def test_it_grows_by_one_after_as_many_successes_as_it_is() -> None:
    door = Door()
    door.enter(10)
    door.refuse(sent=5.0, now=6.0)
    assert door.gate.limit == 9
    for _ in range(8):
        door.gate.passed(7.0)
    assert door.gate.limit == 9
    door.gate.passed(7.0)
    assert door.gate.limit == 10
    for _ in range(10):
        door.gate.passed(7.0)
    assert door.gate.limit == 11


@on_loop
def test_growth_lets_in_who_waits() -> None:
    door = Door()
    door.enter(2)
    door.refuse(sent=5.0, now=6.0)
    first, second = door.come(), door.come()
    door.gate.passed(7.0)
    assert first is not None
    assert second is not None
    assert (door.gate.limit, first.turn.done(), second.turn.done()) == (2, True, False)


@on_loop
def test_it_never_grows_beyond_the_most() -> None:
    door = Door(most=5)
    door.enter(5)
    door.refuse(sent=5.0, now=6.0)
    assert door.gate.limit == 4
    for _ in range(100):
        door.gate.passed(7.0)
    assert door.gate.limit == 5


@on_loop
def test_after_five_calm_minutes_what_was_learnt_is_forgotten() -> None:
    door = Door()
    door.enter(10)
    door.refuse(sent=5.0, now=6.0)
    door.gate.passed(6.0 + CALM_SECONDS - 1)
    assert door.gate.limit == 9
    door.gate.passed(6.0 + CALM_SECONDS)
    assert door.gate.limit is None


@on_loop
def test_it_is_not_forgotten_while_somebody_waits() -> None:
    door = Door()
    door.enter(2)
    door.refuse(sent=5.0, now=6.0)
    place, other = door.come(), door.come()
    door.gate.passed(6.0 + CALM_SECONDS)
    assert place is not None
    assert other is not None
    assert (door.gate.limit, place.turn.done(), other.turn.done()) == (2, True, False)


# --- who goes next


@on_loop
def test_the_most_urgent_goes_first_then_who_has_less_time() -> None:
    door = Door(most=1)
    door.enter(1)
    came = [(4, 5.0), (2, 9.0), (2, 7.0), (0, NEVER), (2, 7.0), (1, NEVER), (3, 1.0)]
    for rank, deadline in came:
        assert door.come(rank, deadline) is not None
    going = []
    while door.gate.running:
        waiting = [place.number for place in door.gate._queue]
        door.end()
        going += [number for number in waiting if number not in [place.number for place in door.gate._queue]]
    assert going == [4, 6, 3, 5, 2, 7, 1]


@on_loop
def test_who_has_given_up_is_passed_over() -> None:
    door = Door(most=1)
    door.enter(1)
    first, second = door.come(), door.come()
    assert first is not None
    assert second is not None
    door.give_up(first)
    door.gate.leave(first)
    door.end()
    assert (first.turn.done(), second.turn.result()) == (False, "go")
    assert door.gate.running == 1


@on_loop
def test_who_gives_up_in_the_moment_of_its_turn_frees_it() -> None:
    door = Door(most=1)
    door.enter(1)
    first, second = door.come(), door.come()
    assert first is not None
    assert second is not None
    door.end()
    assert first.turn.done()
    door.give_up(first)
    assert second.turn.result() == "go"
    door.end()
    assert door.pace.in_flight == 0


@on_loop
def test_who_is_cancelled_and_has_not_left_yet_keeps_nobody_out() -> None:
    door = Door(most=1, queue=2)
    door.enter(1)
    first, second = door.come(rank=3), door.come(rank=4)
    assert first is not None
    assert second is not None
    first.turn.cancel()
    second.turn.cancel()
    third = door.come(rank=0)
    assert third is not None
    third.turn.cancel()
    door.end()
    for place in (first, second, third):
        door.give_up(place)
    assert (door.pace.in_flight, door.gate.running) == (0, 0)
    door.enter(1)


@on_loop
def test_a_full_queue_refuses() -> None:
    door = Door(most=1, queue=2)
    door.enter(1)
    door.come()
    door.come()
    with pytest.raises(AssertionError, match="refused"):
        door.come()
    assert (door.gate.running, door.pace.in_flight) == (1, 3)
    door = Door(most=1, queue=0)
    door.enter(1)
    with pytest.raises(AssertionError, match="refused"):
        door.come(rank=0)


@on_loop
def test_of_a_full_queue_the_least_urgent_makes_place() -> None:
    door = Door(most=1, queue=2)
    door.enter(1)
    low, normal = door.come(rank=3), door.come(rank=2)
    critical = door.come(rank=0)
    assert low is not None
    assert normal is not None
    assert low.turn.result() == "shed"
    door.pace.ended()
    assert not normal.turn.done()
    with pytest.raises(AssertionError, match="refused"):
        door.come(rank=2)
    door.end()
    assert critical is not None
    assert critical.turn.result() == "go"


@on_loop
def test_its_time_is_over_but_once() -> None:
    door = Door(most=1)
    door.enter(1)
    place = door.come()
    assert place is not None
    door.gate.late(place)
    door.gate.late(place)
    assert place.turn.result() == "late"
    door.pace.ended()
    assert (door.pace.in_flight, door.gate.running) == (1, 1)


@on_loop
def test_the_wait_to_expect() -> None:
    door = Door(most=2)
    door.enter(2)
    assert door.gate.expected() == 1.0
    door.pace.first_output(4.0, 0, 1000.0, stream=True)
    assert door.gate.expected() == 2.0
    door.come()
    assert door.gate.expected() == 4.0


# --- reloads


@on_loop
def test_rules_that_change_keep_who_runs_and_who_waits() -> None:
    door = Door(most=2)
    door.enter(2)
    places = [door.come() for _ in range(3)]
    door.gate.set_rules(GateRules(4), None)
    assert [place.turn.done() for place in places if place] == [True, True, False]
    door.gate.set_rules(GateRules(1), None)
    door.end(3)
    assert (door.gate.running, places[2] is not None and places[2].turn.done()) == (1, False)
    door.end()
    assert door.gate.running == 1
    assert door.gate.waiting("") == 0


@on_loop
def test_what_was_learnt_outlives_a_change_of_rules() -> None:
    door = Door()
    door.enter(10)
    door.refuse(sent=5.0, now=6.0)
    door.gate.set_rules(GateRules(50), None)
    assert door.gate.limit == 9
    door.gate.set_rules(GateRules(4), None)
    assert door.gate.limit == 4


@on_loop
def test_a_gate_that_is_lifted_holds_nobody() -> None:
    door = Door(most=1)
    door.enter(1)
    door.refuse(sent=5.0, now=6.0)
    door.enter(1)
    place = door.come()
    assert door.pace.limited
    door.gate.lift()
    assert place is not None
    assert (door.gate.limit, place.turn.result()) == (None, "go")
    assert not door.pace.limited


# --- whatever happens


def test_whatever_happens_no_more_run_than_may_and_none_waits_without_need() -> None:
    """A thousand random steps against the plainest account of who runs and who waits."""

    def play(seed: int) -> Callable[[SimLoop], Coroutine[Any, Any, None]]:
        async def main(loop: SimLoop) -> None:
            chance, door = Random(seed), Door(most=3, queue=6)
            running, waiting = 0, list[Place]()
            for step in range(300):
                waited = [place for place in waiting if not place.turn.done()]
                running += sum(place.turn.result() == "go" for place in waiting if place.turn.done())
                for place in waiting:
                    if place.turn.done() and place.turn.result() != "go":
                        door.pace.ended()
                waiting = waited
                draw = chance.random()
                if draw < 0.5:
                    try:
                        came = door.come(chance.randrange(5), chance.random())
                    except AssertionError:
                        assert len(waiting) == 6
                        continue
                    if came is None:
                        running += 1
                    else:
                        waiting.append(came)
                elif draw < 0.7 and running:
                    running -= 1
                    door.end()
                elif draw < 0.8 and waiting:
                    door.give_up(waiting.pop(chance.randrange(len(waiting))))
                elif draw < 0.85 and waiting:
                    door.gate.late(chance.choice(waiting))
                elif draw < 0.9 and running:
                    running -= 1
                    door.refuse(step - 1.0, float(step))
                else:
                    door.gate.passed(float(step))
                went = sum(place.turn.done() and place.turn.result() == "go" for place in waiting)
                out = sum(place.turn.done() and place.turn.result() != "go" for place in waiting)
                assert door.gate.running - out == running + went
                assert door.pace.limited is (door.gate.limit is not None)
                left = len(waiting) - went - out
                assert not left or running + went + out >= (door.gate.limit or 0)

        return main

    for seed in range(40):
        run(play(seed))
