"""A hundred histories of a fleet, of which every invariant must hold; a million requests of them are in `make soak`."""

from __future__ import annotations

import logging

import msgspec
import pytest

from tests.simulation.histories import make_history
from tests.simulation.playing import play
from tests.simulation.proving import prove, shrink, told

SEEDS = 60
BLOCKS = 10


@pytest.mark.parametrize("block", range(BLOCKS))
def test_histories(block: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "penstock.server")
    for seed in range(block * SEEDS // BLOCKS, (block + 1) * SEEDS // BLOCKS):
        prove(seed)


@pytest.mark.parametrize("seed", [3, 8, 16])
def test_the_same_seed_is_the_same_story(seed: int) -> None:
    history = make_history(seed)
    first, second = play(history), play(history)
    assert first.digest == second.digest
    assert (len(first.arrivals), first.log) == (len(second.arrivals), second.log)
    assert first.digest != play(make_history(seed + 1)).digest


def test_histories_have_all_that_can_go_wrong() -> None:
    histories = [make_history(seed) for seed in range(100)]
    kinds = {spell.kind for history in histories for spell in history.spells}
    assert {"outage", "brownout", "storm", "slow", "silent", "cut", "half open", "crumbs", "lossy", "quota"} <= kinds
    assert {event.kind for history in histories for event in history.events} == {"kill", "reload", "renew", "jump"}
    assert {ask.wrong for history in histories for ask in history.asks} == {"", "json", "model", "messages", "key"}
    assert any(ask.patience for history in histories for ask in history.asks)


def test_what_is_guilty_is_made_small() -> None:
    """By a crime that two of its requests and one spell commit together."""
    history = make_history(8)
    assert len(history.spells) > 1
    guilty = history.spells[-1]

    def trial(candidate: object) -> list[str]:
        asked = {ask.number for ask in candidate.asks}  # type: ignore[attr-defined]
        return ["crime: done"] if guilty in candidate.spells and {7, 60} <= asked else []  # type: ignore[attr-defined]

    small = shrink(history, "crime", trial)
    assert small.spells == (guilty,)
    assert small.events == ()
    assert [ask.number for ask in small.asks] == [7, 60]
    said = told(history, ["crime: done"], trial)
    assert "seed 8, commit " in said
    assert "Spell(" in said


def test_what_is_left_out_changes_nothing_else() -> None:
    history = make_history(5)
    half = msgspec.structs.replace(history, asks=history.asks[::2])
    whole, part = play(history), play(half)
    assert {ask.number for ask in half.asks} == {got.ask.number for got in part.got}
    met = {(a.ask, a.script) for a in whole.arrivals}
    assert any((a.ask, a.script) in met for a in part.arrivals)
