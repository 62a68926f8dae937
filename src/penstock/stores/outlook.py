"""How something stands and will stand if nothing more is heard of it: what the authority tells whoever calls. Pure."""

from __future__ import annotations

from typing import NamedTuple

from penstock.standing import READY, Standing, State

__all__ = ["REST", "Block", "Outlook", "worst"]


class Block(NamedTuple):
    """A reason not to call, and when it ends by itself: a monotonic time, or infinite."""

    state: State
    until: float
    why: str


class Outlook(NamedTuple):
    """Of a deployment, or of a credential.

    Attributes:
        blocks: what keeps calls off.
        trial: why one call at a time may pass, with a permit, once no block is left; "": all may.
        since: when it came to stand as it does, monotonic.
    """

    blocks: tuple[Block, ...] = ()
    trial: str = ""
    since: float = 0.0

    def standing(self, now: float) -> Standing:
        """How it stands: of several blocks the one that lasts longest is told."""
        left = [block for block in self.blocks if block.until > now]
        if left:
            return Standing(*max(left, key=_until))
        return Standing("trial", 0.0, self.trial) if self.trial else READY


REST = Outlook()


def worst(one: Standing, other: Standing) -> Standing:
    """How something stands that depends on both."""
    if one.state in _PASSABLE and other.state in _PASSABLE:
        return one if one.state == "trial" else other
    if one.state in _PASSABLE:
        return other
    if other.state in _PASSABLE:
        return one
    return one if one.until >= other.until else other


_PASSABLE = ("ready", "trial")


def _until(block: Block) -> float:
    return block.until
