"""When a process takes no more, and what looks like a loop: settings, as the configuration has them."""

from __future__ import annotations

import msgspec

__all__ = ["AdmissionRules", "Repeats"]


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
    loop_lag: float | None = 0.05
    repeats: Repeats | None = None
