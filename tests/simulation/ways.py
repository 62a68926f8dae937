"""How the way between a caller and the gateway is, and what a caller does with its end of it.

Bytes are counted, so that chance has no part in it: the same caller always meets the same.
"""

from __future__ import annotations

from penstock.transport.link import Connection, Link

__all__ = ["AT_LENGTH", "LONG_SCRIPT", "PART", "TAKES_IN_THE_END", "WAYS", "is_broken", "lay"]

# `torn`, `half dark`: it breaks, or goes dark, in the midst of the request. `reset`, `dark`: of the answer. `said`: the
# caller says that it sends no more, which means that it has left. `unread`: it reads nothing for a minute.
WAYS = ("crumbs", "far", "thin", "torn", "half dark", "reset", "dark", "said", "unread")
# Of these no whole request arrives.
PART = ("torn", "half dark")
# These ask for so much that what the gateway and the wire hold does not suffice.
AT_LENGTH = ("thin", "unread")
LONG_SCRIPT = "tokens=400,burst=20"
# So long `unread` waits.
TAKES_IN_THE_END = 60.0
_FAR = 0.2
# Bytes a second, by which such an answer takes some ten seconds.
_THIN = 8192
# What the wire then holds.
_LITTLE = 512
# No request is shorter.
_REQUEST = 200
# An answer's head, and some of what follows.
_ANSWER = 900


def lay(connection: Connection, way: str, number: int, latency: float) -> None:
    """Make a connection that was just opened such a way.

    Args:
        number: of the ask: decides after how many bytes it breaks.
        latency: of a good one.
    """
    up = down = good = Link(latency=latency)
    if way == "crumbs":
        up = down = Link(latency=latency, chunking="bytes")
    elif way == "far":
        up = down = Link(latency=_FAR)
    elif way == "thin":
        down = Link(latency=latency, bandwidth=_THIN)
    elif way == "torn":
        up = Link(latency=latency, reset_after=number * 37 % _REQUEST)
    elif way == "half dark":
        up = Link(latency=latency, vanish_after=number * 37 % _REQUEST)
    elif way == "reset":
        down = Link(latency=latency, reset_after=number * 53 % _ANSWER)
    elif way == "dark":
        down = Link(latency=latency, vanish_after=number * 53 % _ANSWER)
    connection.up.link, connection.down.link = up, down
    if down is not good or way == "unread":
        connection.down.capacity = _LITTLE


def is_broken(connection: Connection) -> bool:
    """Whether it was the way that broke."""
    return connection.state.value == "broken"
