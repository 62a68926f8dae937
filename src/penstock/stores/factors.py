"""How many more tokens a model has for a script than `routing/estimate.py` says: learned from what it counts."""

from __future__ import annotations

__all__ = ["Factors"]

# The first answers count for more; from the twentieth on each weighs a twentieth.
MOST_WEIGHT = 20
# No vocabulary is further off than this; what says so counts something else, such as a hidden prompt.
LEAST, MOST = 0.2, 5.0
# Callers may name any model.
MOST_KEPT = 2_000
# What is so short is mostly frame.
SHORTEST = 16.0
_UNKNOWN = (1.0, 0)


class Factors:
    """By model and script."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[float, int]] = {}

    def __repr__(self) -> str:
        return f"<Factors of {len(self._kept)} models and scripts>"

    def of(self, model: str, script: str) -> float:
        """What an estimate is multiplied by; 1 where nothing is known."""
        found = self._kept.get((model, script))
        return found[0] if found is not None else 1.0

    def learn(self, model: str, script: str, estimated: float, counted: int) -> None:
        """Its provider has counted so many where so many were estimated, before any factor."""
        if estimated < SHORTEST or counted <= 0:
            return
        kept, key = self._kept, (model, script)
        factor, times = kept.get(key, _UNKNOWN)
        if not times and len(kept) >= MOST_KEPT:
            del kept[next(iter(kept))]
        if times < MOST_WEIGHT:
            times += 1
        ratio = counted / estimated
        if not LEAST < ratio < MOST:
            ratio = LEAST if ratio <= LEAST else MOST
        kept[key] = (factor + (ratio - factor) / times, times)
