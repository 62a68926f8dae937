"""From a seed to a verdict: plays its history, judges it, and where it is guilty makes it as small as it goes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from penstock.testing import SimDeadlock, SimTimeout
from tests.simulation.histories import History, make_history
from tests.simulation.invariants import Violation, judge
from tests.simulation.playing import play

__all__ = ["commit", "prove", "shrink", "told", "try_history"]

_TOLD = 8
# What may be left out of a history, and by which name.
_PARTS = ("spells", "events", "asks")

Trial = Callable[[History], list[Violation]]


def _play_and_judge(history: History) -> list[Violation]:
    return judge(play(history))


def try_history(history: History, trial: Trial = _play_and_judge) -> list[Violation]:
    """What it violates; a crash, a leak or a deadlock of the whole is a violation too."""
    try:
        return trial(history)
    except (AssertionError, SimDeadlock, SimTimeout) as error:
        return [f"{type(error).__name__}: {error}"]


def prove(seed: int, requests: int = 80) -> None:
    """Raises AssertionError where a seed's history violates anything: with the smallest history that still does."""
    history = make_history(seed, requests)
    found = try_history(history)
    if found:
        raise AssertionError(told(history, found, try_history))


def told(history: History, found: Sequence[Violation], trial: Trial) -> str:
    """Seed and commit, what is violated, and the smallest history that violates the same."""
    small = shrink(history, found[0].partition(":")[0], trial)
    said = [f"seed {history.seed}, commit {commit()}: {len(found)} violations", *found[:_TOLD]]
    said += [f"the smallest history with '{found[0].partition(':')[0]}':", repr(small), *trial(small)[:_TOLD]]
    return "\n".join(said)


def shrink(history: History, name: str, trial: Trial) -> History:
    """Leave out whatever may be while that invariant is still violated: halves first, then one by one."""

    def guilty(candidate: History) -> bool:
        return any(violation.startswith(name) for violation in trial(candidate))

    for part in _PARTS:
        kept: tuple[Any, ...] = getattr(history, part)
        size = len(kept)
        while size and kept:
            at = 0
            while at < len(kept):
                fewer = kept[:at] + kept[at + size :]
                candidate = msgspec.structs.replace(history, **{part: fewer})
                if guilty(candidate):
                    history, kept = candidate, fewer
                else:
                    at += size
            size //= 2
    return history


def commit() -> str:
    """The code's, as git says it."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
