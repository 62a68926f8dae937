"""When a process takes no more, and what looks like a loop: its settings, and the refusal."""

from __future__ import annotations

import msgspec

from penstock.errors import Overloaded

__all__ = ["AdmissionRules", "Repeats", "full", "shed"]


class Repeats(msgspec.Struct, frozen=True):
    """The same prompt over and over: more than `same` within `per` seconds, of one caller, is slowed down."""

    same: int = 20
    per: float = 60.0


class AdmissionRules(msgspec.Struct, frozen=True):
    """What each worker takes at a time.

    Attributes:
        most: calls that run at a time; None: as many as come.
        queue: calls that may wait, by priority.
        loop_lag: seconds that the loop may be late before calls of the lowest priorities are refused; None: never.
        repeats: None: nobody looks.
    """

    most: int | None = None
    queue: int = 1000
    # Then a turn of the loop takes twice as long: some thousand calls have something to be done at once, and whoever
    # reads a stream sees it. A machine whose cores are shared by others may be late by half of that for a while.
    loop_lag: float | None = 0.2
    repeats: Repeats | None = None


# No caller is told to wait for longer before it asks again.
LONGEST_SECONDS = 60.0


def full(most: int, wait: float) -> Overloaded:
    """What one is told for whom the process has no place."""
    return Overloaded(
        f"this gateway answers {most:,} calls already, which is as many as it takes at a time",
        do="Wait as long as retry-after says.",
        retry_after=min(wait, LONGEST_SECONDS),
    )


def shed(priority: str, wait: float) -> Overloaded:
    """What one is told whose priority is refused for a moment, since the process has too much to do."""
    return Overloaded(
        f"this gateway has more to do than it can; calls of priority {priority} are refused for a moment",
        do="Wait as long as retry-after says. What is urgent can say so with x-penstock-priority.",
        retry_after=wait,
    )
