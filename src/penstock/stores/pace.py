"""How fast and how busy a deployment is, as this process sees it: what balancing and hedging go by.

A first output is a stream's first text, reasoning, tool call or refusal, or the whole of a unary answer.
"""

from __future__ import annotations

from collections import deque
from math import exp, floor
from typing import Any

__all__ = ["BANDS", "DECAY_SECONDS", "ENOUGH", "KEPT", "Pace", "Tail"]

# In the mean a sample so old counts 1/e of a new one (Finagle's and Linkerd's peak EWMA decay by the same time).
DECAY_SECONDS = 10.0
# So many first outputs a band must have seen before its p95 means something (semantics.md: Hedging), and of so many of
# the last ones it is.
ENOUGH = 200
KEPT = 1000
# It is computed anew after so many further samples.
RENEWED = 50
# Bands of prompts' sizes: below 1,024 tokens, then each four times as wide as the one before; the last has no end.
BANDS = 6
NARROWEST = 1024


class Tail:
    """The slowest twentieth of some first outputs.

    Attributes:
        samples: in seconds, ascending from their p95.
        moments: what was worked out of them, by what: kept for as long as they are the last.
    """

    __slots__ = ("moments", "samples")

    def __init__(self, samples: list[float]) -> None:
        self.samples = samples
        self.moments: dict[float, float] = {}


class _Band:
    """The last first outputs of prompts about as large."""

    __slots__ = ("known", "samples", "seen", "slowest")

    def __init__(self) -> None:
        self.samples: deque[float] = deque(maxlen=KEPT)
        self.seen = 0
        self.known = -RENEWED
        self.slowest = Tail([])

    def tail(self) -> Tail:
        """The largest twentieth, ascending from the smallest that at least 95 of a hundred do not exceed."""
        if self.seen - self.known >= RENEWED:
            samples = sorted(self.samples)
            self.slowest = Tail(samples[-(-len(samples) * 95 // 100) - 1 :])
            self.known = self.seen
        return self.slowest


class Pace:
    """Of one deployment.

    Attributes:
        in_flight: attempts at it that have begun and not ended; a stream ends when its reply is closed. One begins by
            adding 1; exactly one `ended` must follow.
        gate: what holds calls back while there are too many (`stores/gate.py`), to be told when one has ended; None
            where nothing does.
        limited: the gate has a limit now, which the gate keeps true.
    """

    __slots__ = ("_at", "_bands", "_sum", "_weight", "gate", "id", "in_flight", "limited")

    def __init__(self, id: str) -> None:
        self.id = id
        self.in_flight = 0
        self.gate: Any = None
        self.limited = False
        self._sum = 0.0
        self._weight = 0.0
        self._at = 0.0
        # Those of unary answers by negative numbers.
        self._bands: dict[int, _Band] = {}

    def __repr__(self) -> str:
        mean = self.ewma
        told = "no output yet" if mean is None else f"first output after {mean:.3f} s"
        return f"<Pace {self.id}: {self.in_flight} in flight, {told}>"

    @property
    def ewma(self) -> float | None:
        """The mean of first outputs in seconds, of streams and unary answers together; None before the first.

        Each sample's weight is `exp(-age / DECAY_SECONDS)`, so many of one moment are all heard, and while none
        comes the mean stays as it is.
        """
        return self._sum / self._weight if self._weight else None

    def ended(self) -> None:
        """An attempt is over: answered whole, failed, cancelled, or its stream closed."""
        self.in_flight -= 1
        if self.limited:
            self.gate.ended()

    def first_output(self, seconds: float, prompt_tokens: float, now: float, *, stream: bool) -> None:
        """An attempt's first output came so late.

        One that was given up while it was silent (a timeout, a hedge that lost) is told as well, with the time it had:
        it would have taken at least that. Else the slow ones would be missing, and the p95 would sink with each hedge.
        """
        decay = exp((self._at - now) / DECAY_SECONDS)
        self._at = now
        self._sum = self._sum * decay + seconds
        self._weight = self._weight * decay + 1.0
        number = 0
        if prompt_tokens >= NARROWEST:
            number = min((floor(prompt_tokens) >> 10).bit_length() + 1 >> 1, BANDS - 1)
        band = self._bands.get(number if stream else ~number)
        if band is None:
            band = self._bands[number if stream else ~number] = _Band()
        band.seen += 1
        band.samples.append(seconds)

    def tail(self, prompt_tokens: float, *, stream: bool) -> Tail | None:
        """The slowest twentieth of first outputs of prompts of about that size.

        Of the last 1,000 in the band, streams and unary answers apart; None below 200. At most 50 samples behind.
        """
        number = min((int(prompt_tokens) >> 10).bit_length() + 1 >> 1, BANDS - 1)
        band = self._bands.get(number if stream else ~number)
        return band.tail() if band is not None and band.seen >= ENOUGH else None

    def p95(self, prompt_tokens: float, *, stream: bool) -> float | None:
        """What 95 of a hundred first outputs of prompts of about that size did not exceed; else as `tail`."""
        tail = self.tail(prompt_tokens, stream=stream)
        return tail.samples[0] if tail is not None else None
