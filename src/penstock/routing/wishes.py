"""What a caller asks for besides the answer: by when, how urgently, how often and where else it is tried. Pure.

It comes as headers, as fields of `/v1/generate` and as arguments of the library, always in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from penstock.errors import InvalidRequest
from penstock.routing.nearest import did_you_mean, quoted
from penstock.routing.timeouts import read_seconds

__all__ = ["HEADERS", "MOST_RETRIES", "NORMAL", "PRIORITIES", "RANKS", "Wishes", "at_most", "read_wishes", "wishes_of"]

PRIORITIES = ("critical", "high", "normal", "low", "sheddable")
# What a priority comes to: the lower, the sooner.
RANKS = {priority: rank for rank, priority in enumerate(PRIORITIES)}
NORMAL = RANKS["normal"]
MOST_RETRIES = 5
_MOST_FALLBACKS = 10
_MONEY = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,9}))?")
# By its header, which no other starts with.
HEADERS: dict[bytes, str] = {
    b"x-penstock-deadline": "deadline",
    b"x-penstock-priority": "priority",
    b"x-penstock-max-cost-usd": "max_cost_usd",
    b"x-penstock-timeout": "timeout",
    b"x-penstock-retries": "retries",
    b"x-penstock-fallbacks": "fallbacks",
}


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What one request asks for. Seconds.

    Attributes:
        deadline: within which the whole request must be over, counted from its arrival.
        priority: how urgent it is among those that wait.
        timeout: of one attempt: to a stream's first output, or to the whole of another answer; None: as configured.
        retries: further attempts at one deployment; None: as configured.
        fallbacks: names to ask when the model's own deployments have failed; None: as configured.
        max_cost_usd: what the whole request may cost at most, all its attempts together, in nano-dollars; None:
            no more is said than budgets say.
    """

    deadline: float | None = None
    priority: str = "normal"
    timeout: float | None = None
    retries: int | None = None
    fallbacks: tuple[str, ...] | None = None
    max_cost_usd: int | None = None

    @property
    def overrides(self) -> str:
        """Which of them are for those alone whose key allows it; "" for none."""
        said = (name for name in ("timeout", "retries", "fallbacks") if getattr(self, name) is not None)
        return ", ".join(said)


def wishes_of(headers: Mapping[bytes, bytes]) -> Wishes | None:
    """What the headers ask for; None for nothing.

    Args:
        headers: by lower-case names.

    Raises:
        InvalidRequest: one of them cannot be read; it is named.
    """
    # Asked one by one: this is for every request whose head is new, and nearly none has one.
    if not (
        b"x-penstock-deadline" in headers
        or b"x-penstock-priority" in headers
        or b"x-penstock-timeout" in headers
        or b"x-penstock-retries" in headers
        or b"x-penstock-fallbacks" in headers
        or b"x-penstock-max-cost-usd" in headers
    ):
        return None
    said = {name: headers[header].decode("latin-1") for header, name in HEADERS.items() if header in headers}
    return read_wishes(said, prefix="x-penstock-")


def read_wishes(said: Mapping[str, str], base: Wishes | None = None, *, prefix: str = "") -> Wishes:
    """What is asked for in so many words.

    Args:
        said: by the names of `Wishes`.
        base: what was asked for elsewhere, which holds for what is not said here.
        prefix: what stands before each name where it was written.

    Raises:
        InvalidRequest: one of them cannot be read; `param` is its name.
    """
    found: dict[str, object] = {}
    for name, text in said.items():
        try:
            found[name] = _READ[name](text.strip())
        except ValueError as error:
            written = prefix + name.replace("_", "-") if prefix else name
            raise InvalidRequest(f"{written}: {error}", do="Correct it, or leave it out.", param=written) from None
    return msgspec.structs.replace(base if base is not None else Wishes(), **found)


@lru_cache(1024)
def at_most(wishes: Wishes | None, priority: str) -> Wishes:
    """The same, no more urgent than that; so urgent where nothing was asked for at all."""
    if wishes is None:
        return Wishes(priority=priority)
    urgent = max(wishes.priority, priority, key=PRIORITIES.index)
    return wishes if urgent == wishes.priority else msgspec.structs.replace(wishes, priority=urgent)


def _seconds(text: str) -> float:
    seconds = read_seconds(text)
    if seconds is None or seconds <= 0:
        near = f" (did you mean {quoted(text + 's')}?)" if text.isascii() and text.isdigit() and int(text) else ""
        raise ValueError(f"{quoted(text)} is not a duration: write 250ms, 20s or 2m{near}")
    return seconds


def _priority(text: str) -> str:
    if text not in PRIORITIES:
        near = did_you_mean(text, PRIORITIES)
        raise ValueError(f"{quoted(text)} is not a priority: write one of {', '.join(PRIORITIES)}{near}")
    return text


def _retries(text: str) -> int:
    if not (len(text) == 1 and text in "0123456789") or int(text) > MOST_RETRIES:
        raise ValueError(f"{quoted(text)} is not a number from 0 to {MOST_RETRIES}")
    return int(text)


def _fallbacks(text: str) -> tuple[str, ...]:
    if text == "off":
        return ()
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if not all(names):
        raise ValueError("write the names of models with commas between them, or off")
    if len(names) > _MOST_FALLBACKS:
        raise ValueError(f"there are {len(names)} names, and at most {_MOST_FALLBACKS} may be")
    return names


def _cost(text: str) -> int:
    # A decimal, no float: 0.1 shall be 0.1. More than a nano-dollar tells no budget anything.
    found = _MONEY.fullmatch(text)
    if found is None:
        raise ValueError(f"{quoted(text)} is no amount of dollars: write 0.01, with at most nine decimals")
    return int(found[1]) * 1_000_000_000 + int((found[2] or "").ljust(9, "0"))


_READ = {
    "deadline": _seconds,
    "priority": _priority,
    "timeout": _seconds,
    "retries": _retries,
    "fallbacks": _fallbacks,
    "max_cost_usd": _cost,
}
