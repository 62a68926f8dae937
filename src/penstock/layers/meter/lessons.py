"""What of a prompt is likely to be counted by its provider: as estimated, times what is learned from what it counts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, cycle, repeat
from math import floor
from typing import Any, Protocol

from penstock.metrics import Metrics

__all__ = ["Factors", "Lessons"]

# After so many answers there is little to be learned of each.
LEARNED_FIRST = 200
LEARNED_THEN = 16


class Factors(Protocol):
    """What is known of how models split a text (`stores/factors.py`)."""

    def of(self, model: str, script: str) -> float: ...
    def learn(self, model: str, script: str, estimated: float, counted: int) -> None: ...


class Lessons:
    """From the provider's count of the input beside what was expected.

    Args:
        factors: None where nothing is learned.
        every: one answer of so many is learned from after the first ones.

    Attributes:
        due: whether this answer is one to learn from; to be asked once of each.
    """

    def __init__(self, factors: Factors | None, metrics: Metrics, every: int = LEARNED_THEN) -> None:
        self._factors = factors
        self._metrics = metrics
        then = cycle([*repeat(False, every - 1), True])
        turns = chain(repeat(True, LEARNED_FIRST), then) if factors is not None else repeat(False)
        self.due: Callable[[], bool] = turns.__next__

    def factor(self, name: str, script: str) -> float:
        """What an estimate is multiplied by."""
        return self._factors.of(name, script) if self._factors is not None else 1.0

    def expected(self, name: str, bound: Any) -> int:
        """How many tokens of input a deployment will likely count."""
        factors = self._factors
        taken: int | None = bound.taken
        likely: int = floor(bound.likely * (factors.of(name, bound.script) if factors is not None else 1.0)) + 1
        return likely if not taken or likely < taken else taken

    def learn(self, name: str, expected: int, bound: Any, counted: int) -> None:
        """Its provider counted so many where so many were expected."""
        if bound.free or not bound.script or self._factors is None:
            return
        self._metrics.note_estimate(name, expected, counted)
        self._factors.learn(name, bound.script, bound.likely, counted)
