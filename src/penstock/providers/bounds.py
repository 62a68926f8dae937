"""What an attempt can use and cost at most at one deployment; what budgets reserve of, and clamp.

semantics.md, Money: the bound of input tokens at the dearest price of input, and the most output at that of output.
"""

from __future__ import annotations

import msgspec

from penstock.messages import Request
from penstock.providers.ceiling import Ceiling, Kinds
from penstock.providers.prices import PLAIN, Price
from penstock.routing.estimate import Estimate, estimate
from penstock.wire.dialect import ModelFacts
from penstock.wire.extent import Extent, read_extent, read_plain, text_of

__all__ = ["FOR_NOTHING", "LEAST_OUTPUT", "LEAST_SPOKEN", "Bound", "bound_of", "measure"]

# The least that an answer is cut to, and the least besides what is thought.
LEAST_OUTPUT = 16
LEAST_SPOKEN = 1_024
# What pictures and files usually come to, as long as nobody has counted.
MEDIA_TOKENS = 1_500
_NOTHING = 0.0, ""


class Bound(msgspec.Struct, gc=False):
    """What an attempt can use at most. Tokens.

    Attributes:
        taken: of input; None where nobody can say.
        given: of output, of each answer: the caller's own limit, else the one that it would get.
        own: the limit is the caller's.
        least: an answer cut to less is of no use.
        answers: how many there may be.
        searches: how often a vendor's own tools may be used; None: nobody limits them.
        ceiling: the dearest that it can be; None where the price is not known.
        free: no provider bills such a call.
        likely: what of input there likely is, before any factor; `script`: whose factor that is, "" where it is
            mostly no text, so that nothing can be learned of it.
    """

    taken: int | None
    given: int
    own: bool
    least: int
    answers: int = 1
    searches: int | None = 0
    ceiling: Ceiling | None = None
    free: bool = False
    likely: float = 0.0
    script: str = ""

    @property
    def bounded(self) -> bool:
        """Whether there is a most at all."""
        return self.taken is not None and self.searches is not None

    @property
    def priced(self) -> bool:
        """Whether it is known what it costs."""
        return self.ceiling is not None

    def tokens(self, given: int) -> int:
        """All of them, for answers of so many."""
        return (self.taken or 0) + given * self.answers

    def cost(self, given: int) -> int | None:
        """Nano-dollars, for answers of so many; None where the price is not known."""
        if self.ceiling is None:
            return None
        return self.ceiling.cost(self.taken or 0, given * self.answers, self.searches or 0)

    def paid(self, nanos: int) -> int:
        """How long each answer can be for so much money; below `least` it is of no use."""
        found = self.ceiling.output(self.taken or 0, nanos, self.searches or 0) if self.ceiling is not None else None
        return self.given if found is None else found // self.answers

    def counted(self, tokens: int) -> int:
        """How long each answer can be for so many tokens of input and output."""
        return (tokens - (self.taken or 0)) // self.answers


# Of what no provider bills.
FOR_NOTHING = Bound(0, 0, own=True, least=0, ceiling=Ceiling(()), free=True)


def measure(request: Request) -> Extent:
    """How much a request can use, and what its text likely is; it remembers both."""
    dialect, fields, size = request.dialect, request.fields, request.record.bytes_in
    plain = read_plain(dialect, fields, size)
    if plain is not None:
        extent, text = plain
    else:
        extent = read_extent(dialect, fields, size)
        text = text_of(fields, media=extent.media)
    request.extent, request.likely = extent, estimate(text, extent.plain)
    return extent


def bound_of(extent: Extent, facts: ModelFacts, price: Price | None, wall: float, likely: Estimate = _NOTHING) -> Bound:
    """What a request of that extent can use at a model.

    Args:
        likely: what its text is, by its bytes.
        wall: when the request came, Unix time: by its price it is paid.
    """
    window = facts.context_window
    taken: int | None = extent.input if window is None or extent.input <= window else window
    given = extent.output
    if given is None:
        given = facts.default_output_tokens
        if facts.max_output_tokens is not None and facts.max_output_tokens < given:
            given = facts.max_output_tokens
    tokens, script = likely
    if extent.plain:  # as below, of nearly every request
        ceiling = price.ceiling(wall) if price is not None else None
        least = LEAST_OUTPUT if given > LEAST_OUTPUT else given
        return Bound(taken, given, extent.output is not None, least, 1, 0, ceiling, False, tokens, script)
    if extent.stored:
        # Each use of a vendor's own tool is another turn, and may fill the window again.
        taken = window * (1 + (extent.uses or 0)) if window is not None else None
    least = extent.thinking + LEAST_SPOKEN if extent.thinking else LEAST_OUTPUT
    kinds = Kinds(extent.heard, extent.spoken, extent.kept) if extent.heard or extent.spoken or extent.kept else PLAIN
    return Bound(
        taken,
        given,
        extent.output is not None,
        least if least < given else given,
        extent.answers,
        extent.uses,
        price.ceiling(wall, extent.tier, kinds) if price is not None else None,
        False,
        tokens + MEDIA_TOKENS if extent.media else tokens,
        "" if extent.media or extent.stored else script,
    )
