"""How long each part of a request may take (semantics.md: Deadlines). Pure."""

from __future__ import annotations

import re

import msgspec

__all__ = ["DURATION", "LONGEST_SECONDS", "SECONDS", "Timeouts", "read_seconds"]

# How a duration is written, in configurations and by callers.
DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# Loops count in milliseconds in 64 bits; ten years is for ever here.
LONGEST_SECONDS = 3650 * 86400.0

UNARY_SECONDS = 600.0
# `auto`: so long, and one second more for every so many tokens of the prompt; where the model reasons, at least that.
FIRST_TOKEN_SECONDS = 10.0
TOKENS_A_SECOND = 10_000
REASONING_SECONDS = 120.0
IDLE_SECONDS = 30.0


class Timeouts(msgspec.Struct, frozen=True):
    """In seconds.

    Attributes:
        connect: until the connection stands.
        first_token: until the first output of a stream; None (`auto`) is 10 s and 1 s for every 10,000 tokens of the
            prompt, and 120 s where the model reasons.
        idle: between two pieces of a stream; None (`auto`) is 30 s, and 120 s where the model reasons.
        total: the whole request, waits included; None is 600 s for a unary call and no end for a stream.
        attempt: one attempt at a unary answer; None is what is left of `total`, shared among the deployments that
            have not been tried.
    """

    connect: float = 5.0
    first_token: float | None = None
    idle: float | None = None
    total: float | None = None
    attempt: float | None = None

    def first_output(self, prompt_tokens: float, *, reasons: bool) -> float:
        """How long a stream's first output may take."""
        if self.first_token is not None:
            return self.first_token
        wait = FIRST_TOKEN_SECONDS + prompt_tokens / TOKENS_A_SECOND
        return max(wait, REASONING_SECONDS) if reasons else wait

    def silence(self, *, reasons: bool) -> float:
        """How long a stream may be silent."""
        if self.idle is not None:
            return self.idle
        return REASONING_SECONDS if reasons else IDLE_SECONDS

    def whole(self, *, stream: bool) -> float | None:
        """How long the whole request may take; None: no end."""
        return self.total if self.total is not None or stream else UNARY_SECONDS


def read_seconds(text: str) -> float | None:
    """What a duration such as `250ms` or `2m` is in seconds; None for what is none, or longer than ten years."""
    match = DURATION.fullmatch(text)
    if match is None:
        return None
    seconds = float(match[1]) * SECONDS[match[2]]
    return seconds if seconds <= LONGEST_SECONDS else None
