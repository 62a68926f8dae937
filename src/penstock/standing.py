"""How a deployment stands, and what an attempt's end means for that: plain values that every room may name."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["FINE", "NO_EFFECT", "READY", "Effect", "Standing", "State"]

State = Literal[
    "ready", "trial", "paused", "open", "misconfigured", "unreachable", "suspended", "exhausted", "drained", "isolated"
]


class Standing(NamedTuple):
    """Whether a deployment may be asked.

    Attributes:
        state: `ready`; `trial`: one call at a time, with a permit (half_open, or a credential's probe). Every other
            state means no call: `paused`: it asked for that; `open`: its breaker; `misconfigured`: it does not have
            the model; `unreachable`: probes of its provider fail; `suspended`, `exhausted`: its credential was
            refused, or has no quota left; `drained`, `isolated`: an operator's word.
        until: monotonic time at which it changes by itself; infinite where only an operator, or nobody knows what,
            changes it.
        why: for a person, a few words: what happened.
    """

    state: State
    until: float = 0.0
    why: str = ""


READY = Standing("ready")


class Effect(NamedTuple):
    """What the end of an attempt says of its deployment (semantics.md, the table's last column).

    Attributes:
        kind: `fine`: a success. `failure`: counts for the breaker; `slow` likewise, by a timeout; `overloaded`
            likewise, and fewer calls at a time (529). `throttled`: paused for `seconds`, no breaker failure, fewer
            calls at a time. `credential`: the credential is paused, then probed. `exhausted`: the credential has no
            quota until a reset or an operator. `misconfigured`: the deployment is skipped for a while. `none`.
        seconds: how long it asks to be left alone; None where it does not say.
        why: the error's code and status, for a person.
    """

    kind: Literal[
        "fine", "failure", "slow", "overloaded", "throttled", "credential", "exhausted", "misconfigured", "none"
    ]
    seconds: float | None = None
    why: str = ""


FINE = Effect("fine")
NO_EFFECT = Effect("none")
