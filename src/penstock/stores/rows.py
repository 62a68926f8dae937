"""What the ledger books: one attempt, as it begins and as it ends; what is written for each in a worker's journal.

Amounts are whole numbers: nano-dollars, tokens, requests. Times are Unix nanoseconds. Nothing here holds content.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from penstock.reservation import Unit

__all__ = [
    "ABSURD",
    "AMBIGUOUS",
    "ESTIMATED",
    "FLAGS",
    "LOST",
    "OVERRUN",
    "UNPRICED",
    "Closed",
    "Heard",
    "Hold",
    "Opened",
    "charge_of",
    "qualified",
]

# What is to be known of an attempt's figures, as bits of `Closed.flags`.
ESTIMATED = 1  # counted here: the provider told no usage
AMBIGUOUS = 2  # it failed after the request was sent, so that the provider may charge for it
ABSURD = 4  # the provider told a usage that cannot be; booked is what is plausible of it
UNPRICED = 8  # its price is not known: its cost is none, not nothing
LOST = 16  # its process died: posted by what was known of it
OVERRUN = 32  # it took more than was reserved for it
FLAGS = {
    "estimated": ESTIMATED,
    "ambiguous": AMBIGUOUS,
    "absurd": ABSURD,
    "unpriced": UNPRICED,
    "lost": LOST,
    "overrun": OVERRUN,
}


class Hold(NamedTuple):
    """What is reserved for an attempt of one account, in one window of it.

    Attributes:
        rule: the rule's id.
        value: of its scope, qualified as `qualified` does.
        window: when the window begins, Unix seconds; 0 for rates.
    """

    rule: str
    value: str
    window: int
    unit: Unit
    amount: int


class _Row(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What is written for an attempt: the request's id, and which attempt of it, counted from 1."""

    request: str
    number: int
    at: int


class Opened(_Row, tag=1, array_like=True, gc=False, frozen=True):
    """An attempt is about to be sent.

    Attributes:
        model: the name asked for.
        deployment: `provider/model`, with `#credential` where there are several.
        kind: as `records.Attempt` has it: `first`, `retry`, `fallback`, `hedge`, `resume`, `judge`.
        tenant, project, key, user, task, prompt, tags: who and what for, as the caller names them (not qualified).
        holds: what is reserved for it.
        input_tokens: of its input, as estimated.
        input_cost: what these cost; None where the price is not known.
        bound: what it can cost at most; None where the price is not known, or nothing limits it.
        winner_pays: its tenant pays for the attempt that answered alone (`charge: winner`).
    """

    model: str
    deployment: str
    provider: str
    kind: str = "first"
    tenant: str | None = None
    project: str | None = None
    key: str | None = None
    user: str | None = None
    task: str | None = None
    prompt: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    holds: tuple[Hold, ...] = ()
    input_tokens: int = 0
    input_cost: int | None = None
    bound: int | None = None
    winner_pays: bool = False


class Heard(_Row, tag=3, array_like=True, gc=False, frozen=True):
    """What is known so far of an attempt that goes on for long: what is posted if its process dies.

    Attributes:
        cost: of its input and of the output so far; None where the price is not known.
    """

    output_tokens: int
    cost: int | None = None


class Closed(_Row, tag=2, array_like=True, gc=False, frozen=True):
    """An attempt is over.

    Attributes:
        status: the provider's HTTP status, 0 if there was none.
        outcome: `ok`, `cancelled`, or an error's code.
        answered: its answer is the caller's, or part of it: what `charge: winner` charges.
        cost: what the provider charges for it; None where the price is not known, 0 where nothing was used.
        price_table: where the price is from: the table's hash.
        settled: per hold of `Opened.holds`, in order, what was really taken.
    """

    status: int = 0
    outcome: str = "ok"
    answered: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int | None = 0
    price_table: str | None = None
    flags: int = 0
    settled: tuple[int, ...] = ()


def charge_of(opened: Opened, closed: Closed) -> int | None:
    """What the tenant pays for an attempt: its cost, or nothing where only the one that answered is paid for."""
    return 0 if opened.winner_pays and not closed.answered else closed.cost


def qualified(tenant: str | None, name: str | None) -> str:
    """A user, project, task or tag with its tenant: names are a tenant's own. `-` stands for none."""
    return f"{tenant or '-'}/{name or '-'}"
