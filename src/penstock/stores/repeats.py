"""Who asks the same again and again: most likely a loop, which nobody has noticed and everybody pays for.

Of each prompt only a keyed hash is kept: the interpreter's own (SipHash, PEP 456), whose key is made anew for each
process and which costs a fifth of BLAKE2's. The bound is a rate (GCRA, as limits have it): `same` at once, then one
every `per / same`; so a loop is slowed down, not stopped.
"""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Repeats"]

# Prompts that are remembered; of more the oldest are forgotten, as if they had never been asked.
MOST = 10_000
NEVER = float("-inf")


class Repeats:
    """Of one process.

    Args:
        same: so often one caller may ask the same within `per` seconds.
    """

    __slots__ = ("_each", "_kept", "_whole", "same")

    def __init__(self, same: int, per: float) -> None:
        self.same = same
        self._each = per / same
        self._whole = per
        # By caller and prompt: until when what was asked counts (GCRA's TAT), and when it was last told.
        self._kept: dict[int, list[float]] = {}

    def __repr__(self) -> str:
        return f"<Repeats {len(self._kept)} prompts>"

    def asked(self, what: Hashable, now: float) -> float:
        """It is asked once more; 0.0, or how many seconds it is too early, and then it does not count.

        Args:
            what: who asks, and the prompt as bytes.
        """
        kept, hashed = self._kept, hash(what)
        until = kept.pop(hashed, None)
        if until is None:
            if len(kept) >= MOST:
                del kept[next(iter(kept))]
            until = [now, NEVER]
        kept[hashed] = until  # behind all others
        due = max(until[0], now) + self._each
        if due - now > self._whole + 1e-9:
            return due - now - self._whole
        until[0] = due
        return 0.0

    def news(self, what: Hashable, now: float) -> bool:
        """Whether this is to be told: once in `per` seconds for each prompt."""
        until = self._kept[hash(what)]
        if now - until[1] < self._whole:
            return False
        until[1] = now
        return True
