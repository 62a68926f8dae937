"""The sweep alone: how many late connections are closed in how long, and what of others' time that takes."""

from __future__ import annotations

from itertools import pairwise

from penstock.server.sweep import CUT_AT_ONCE, SWEEP_SECONDS, SWEPT_AT_ONCE, Found, Sweep
from penstock.testing import FakeClock

STEP = 0.001


class Edge:
    """Connections that are late from the beginning, or read nothing; those that are closed are gone."""

    def __init__(self, late: int = 0, stuck: int = 0, well: int = 0, *, hurried: bool = False) -> None:
        self.clock = FakeClock()
        self.connections: dict[One, None] = {}
        self.hurried = hurried
        self.dates = 0
        self.looks = 0
        self.closed: list[tuple[Found, float]] = []
        self.began = self.clock.monotonic()
        self.sweep = Sweep(self.clock, self.connections, lambda: self.hurried, self.tell)
        for at in range(max(late, stuck, well)):
            for found, number in ((Found.LATE, late), (Found.STUCK, stuck), (Found.WELL, well)):
                if at < number:
                    self.connections[One(self, found)] = None
                    self.sweep.begin()

    def tell(self) -> None:
        self.dates += 1

    def pass_by(self, seconds: float) -> list[int]:
        """How many were closed in each millisecond."""
        closed = []
        for _ in range(round(seconds / STEP)):
            before, self.looks = len(self.closed), 0
            self.clock.advance(STEP)
            assert self.looks <= SWEPT_AT_ONCE + CUT_AT_ONCE + 1
            closed.append(len(self.closed) - before)
        return closed

    def times(self, found: Found) -> list[float]:
        """When those were closed."""
        return [at - self.began for kind, at in self.closed if kind is found]


class One:
    """A connection."""

    def __init__(self, edge: Edge, found: Found) -> None:
        self.edge = edge
        self.found = found

    def enforce(self, now: float, *, spare: bool) -> Found:
        self.edge.looks += 1
        if self.found is not Found.WELL and not spare and self in self.edge.connections:
            del self.edge.connections[self]
            self.edge.closed.append((self.found, now))
        return self.found


def test_a_crowd_that_is_late_together_is_cut_one_by_one() -> None:
    edge = Edge(late=1_000, well=4_000)
    closed = edge.pass_by(6)
    assert len(edge.times(Found.LATE)) == 1_000
    assert max(closed) == 1
    assert 3.9 < edge.times(Found.LATE)[-1] - SWEEP_SECONDS < 4.3, "250 a second"
    assert len(edge.connections) == 4_000


def test_those_that_do_not_read_are_reset_eighty_a_second_and_others_do_not_wait_for_it() -> None:
    edge = Edge(late=1_000, stuck=1_000)
    closed = edge.pass_by(19)
    assert max(closed) <= 2
    refused, reset = edge.times(Found.LATE), edge.times(Found.STUCK)
    assert len(refused) == len(reset) == 1_000
    assert refused[-1] < 6
    apart = [after - before for before, after in pairwise(reset)]
    assert min(apart) > 0.005
    assert reset[0] < SWEEP_SECONDS + 0.1
    assert 12 < reset[-1] - reset[0] < 13.5


def test_one_that_has_read_meanwhile_stays() -> None:
    edge = Edge(stuck=100)
    edge.pass_by(SWEEP_SECONDS + 0.1)
    assert 0 < len(edge.closed) < 10
    *_, last = edge.connections
    first = next(iter(edge.connections))
    first.found = last.found = Found.WELL
    edge.pass_by(5)
    assert list(edge.connections) == [first, last]


def test_where_there_is_no_room_all_are_closed_at_once_but_others_have_their_turn() -> None:
    edge = Edge(late=1_000, stuck=1_000, hurried=True)
    closed = edge.pass_by(SWEEP_SECONDS + 0.7)
    assert max(closed) == CUT_AT_ONCE
    assert not edge.connections


def test_a_loop_that_was_late_makes_up_for_it_a_few_at_a_time() -> None:
    edge = Edge(late=100)
    edge.pass_by(SWEEP_SECONDS + 0.1)
    before = len(edge.closed)
    timer_comes_late = 1.0
    edge.clock.monotonic = lambda now=edge.clock.monotonic: now() + timer_comes_late  # type: ignore[method-assign, misc]
    edge.pass_by(0.005)
    assert len(edge.closed) - before in (CUT_AT_ONCE, CUT_AT_ONCE + 1)


def test_the_date_is_told_every_second_in_a_long_round_too_and_nothing_runs_without_connections() -> None:
    edge = Edge(late=1_000)
    edge.pass_by(4.5)
    assert edge.dates == 5
    edge.pass_by(10)
    told = edge.dates
    assert not edge.connections
    edge.pass_by(10)
    assert edge.dates == told
    edge.connections[One(edge, Found.WELL)] = None
    edge.sweep.begin()
    edge.sweep.begin()
    assert edge.dates == told + 1
    edge.sweep.end()
    edge.pass_by(3)
    assert edge.dates == told + 1
