"""A deployment: one provider's model behind one credential, with everything a request to it always carries.

The bytes that are the same for every request (request line, host, credential) are made once per provider.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from urllib.parse import quote

from penstock.messages import Request
from penstock.providers.bounds import FOR_NOTHING, Bound, bound_of, measure
from penstock.providers.catalogue import Row
from penstock.providers.prices import Price
from penstock.providers.quirks import bend_for
from penstock.providers.tokenizer import TOO_LONG, count_exactly, vocabulary_of
from penstock.records import Attempt, Record
from penstock.routing.estimate import estimate
from penstock.transport.http import Origin
from penstock.usage import BYTES_A_TOKEN, Usage
from penstock.wire.dialect import ModelFacts
from penstock.wire.extent import Extent, read_extent, text_of

__all__ = ["Deployment", "Endpoint"]

_MODEL = b"{model}"
_UNKNOWN = ModelFacts()
# More than this no call has: a hundred times the largest window, and the longest answer, that there is.
MOST_TAKEN = 200_000_000
MOST_GIVEN = 20_000_000
_AROUND = 6  # of a field in a body: quotes, a colon, a comma

# Operations that no provider bills: https://platform.claude.com/docs/en/build-with-claude/token-counting
FREE = frozenset(("count_tokens",))


class Endpoint:
    """What all deployments of one provider share.

    Args:
        name: the provider's name in the configuration.
        origin: where to connect.
        base: the base URL's path, without a slash at its end, `{model}` in it standing for the model asked for; then,
            after a `?`, the parameter that every request names.
        headers: sent with every request, the credential among them.
        row: how it is spoken to, and what passes.

    Attributes:
        bends: what has to be said otherwise to it, by dialect.
        billed: what is paid for an answer that is closed before its end.
        credential: the name of the credential it is, where the provider has several.
        by_caller: it is asked with each caller's own credential.
    """

    __slots__ = (
        "_defaults",
        "_fixed",
        "_prefix",
        "_query",
        "bends",
        "billed",
        "by_caller",
        "credential",
        "dialects",
        "down",
        "name",
        "origin",
        "up",
    )

    def __init__(self, name: str, origin: Origin, base: str, headers: Mapping[str, str], row: Row) -> None:
        passing = row.headers
        self.name = name
        self.credential = ""
        self.by_caller = False
        self.origin = origin
        self.billed = row.billed
        self.dialects = row.dialects
        self.bends = bend_for([quirk.name for quirk in row.quirks], {quirk.name: quirk.models for quirk in row.quirks})
        self.up = tuple(header.encode() for header in passing.up)
        self.down = tuple(header.encode() for header in passing.down)
        self._defaults = {header.encode(): value.encode("latin-1") for header, value in passing.defaults.items()}
        prefix, _, query = base.partition("?")
        self._prefix, self._query = prefix.encode("ascii"), query.encode("ascii")
        self._fixed = _lines(headers)

    def __repr__(self) -> str:
        return f"<Endpoint {self.name}{self.mark}>"

    @property
    def mark(self) -> str:
        """What its deployments' ids end with: `#name` of its credential, where the provider has several."""
        return f"#{self.credential}" if self.credential else ""

    def carrying(self, headers: Mapping[str, str], credential: str = "") -> Endpoint:
        """The same with further headers, those of a credential; `credential` is its name."""
        made = copy.copy(self)
        made.credential = credential
        made._fixed += _lines(headers)
        return made

    def of(self, model: str) -> Endpoint:
        """The same for one model, where its name is part of the path."""
        if _MODEL not in self._prefix:
            return self
        one = copy.copy(self)
        one._prefix = self._prefix.replace(_MODEL, quote(model, safe="").encode())
        return one

    def head(self, path: bytes, query: bytes, passed: Mapping[bytes, bytes]) -> bytes:
        """The request's head up to Content-Length.

        Of the caller's headers `passed` only those in `up` go along; some have a default for one who sent none.
        """
        if self._query:
            query = _joined(query, self._query) if query else self._query
        if query:
            path = path + b"?" + query
        head = b"POST %b%b HTTP/1.1\r\n%b" % (self._prefix, path, self._fixed)
        for name in self.up:
            value = passed.get(name) or self._defaults.get(name)
            if value:
                head += b"%b: %b\r\n" % (name, value)
        return head


def _joined(query: bytes, fixed: bytes) -> bytes:
    """A caller's query with the parameter that the configuration names, instead of the caller's word for it."""
    name = fixed.partition(b"=")[0]
    kept = [pair for pair in query.split(b"&") if pair and pair.partition(b"=")[0].lower() != name]
    return b"&".join([*kept, fixed])


def _lines(headers: Mapping[str, str]) -> bytes:
    written = ((key.encode(), value.encode("latin-1")) for key, value in headers.items())
    return b"".join(b"%b: %b\r\n" % pair for pair in written)


class Deployment:
    """One model of one provider.

    Attributes:
        id: `provider/model`, with `#credential` behind it where the provider has several.
        facts: what is known of the model.
        lenient: what cannot be said in its dialect is dropped and named, not refused.
        connect: until a connection stands, in seconds.
        price: what it costs; None where nobody knows.
    """

    __slots__ = ("connect", "endpoint", "facts", "id", "lenient", "model", "price")

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        connect: float,
        facts: ModelFacts = _UNKNOWN,
        *,
        lenient: bool = False,
        price: Price | None = None,
    ) -> None:
        self.id = f"{endpoint.name}/{model}{endpoint.mark}"
        self.endpoint = endpoint
        self.model = model
        self.connect = connect
        self.facts = facts
        self.lenient = lenient
        self.price = price

    def __repr__(self) -> str:
        return f"<Deployment {self.id}>"

    def at(self, endpoint: Endpoint) -> Deployment:
        """The same model at another endpoint of its provider."""
        made = copy.copy(self)
        made.endpoint = endpoint.of(self.model)
        made.id = f"{endpoint.name}/{self.model}{endpoint.mark}"
        return made

    def bound(self, request: Request) -> Bound:
        """What an attempt at it can use and cost at most."""
        if request.record.operation in FREE:
            return FOR_NOTHING
        extent: Extent | None = request.extent
        if request.begun:
            # What is gone on with says more than the request that came.
            size = sum(len(name) + len(raw) + _AROUND for name, raw in request.fields.items())
            extent = read_extent(request.dialect, request.fields, size)
            request.likely = estimate(text_of(request.fields, media=extent.media))
        elif extent is None:
            extent = measure(request)
        return bound_of(extent, self.facts, self.price, request.record.wall, request.likely)

    async def counted(self, request: Request) -> int | None:
        """Tokens of the prompt as its vendor counts them, at most; None where nobody here can say."""
        extent: Extent | None = request.extent
        vocabulary = vocabulary_of(self.model)
        plain = extent is not None and not (extent.media or extent.stored or request.begun or "tools" in request.fields)
        if not vocabulary or not plain or request.record.bytes_in > TOO_LONG:
            return None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, count_exactly, vocabulary, request.fields)

    def book(self, record: Record, attempt: Attempt, usage: Usage) -> None:
        """Write down what an attempt at it used and what that costs; in place of what cannot be, what is plausible."""
        if usage.input_tokens > MOST_TAKEN or usage.output_tokens > MOST_GIVEN:
            usage = self._plausible(record, usage)
        attempt.usage = usage
        if record.operation in FREE:
            attempt.cost = 0
            return
        price = self.price
        if price is not None:
            attempt.cost = price.cost(usage, record.wall)
            attempt.price_table = price.source

    def _plausible(self, record: Record, told: Usage) -> Usage:
        """The input by its bytes, the output as long as the model's can be."""
        taken, given = told.input_tokens, told.output_tokens
        if taken > MOST_TAKEN:
            taken = -(-record.bytes_in // BYTES_A_TOKEN)
        if given > MOST_GIVEN:
            given = self.facts.max_output_tokens or self.facts.default_output_tokens
        return Usage(taken, given, estimated=True, tier=told.tier, odd=True)

    def book_left(self, record: Record, attempt: Attempt) -> None:
        """Write down what is at least paid for an attempt whose caller left before anything of its answer had come."""
        tokens = -(-record.bytes_in // BYTES_A_TOKEN)
        self.book(record, attempt, Usage(input_tokens=tokens, estimated=True))

    def book_closed(self, record: Record, attempt: Attempt, prompt_tokens: int, other: Usage | None) -> None:
        """Write down what is likely paid for an attempt that was closed before anything of its answer had come.

        Args:
            prompt_tokens: an estimate.
            other: what another attempt at the same request used: where the whole answer is paid for all the same, it
                is taken to be as long as that one.
        """
        output = other.output_tokens if other is not None and self.endpoint.billed == "full" else 0
        self.book(record, attempt, Usage(input_tokens=prompt_tokens, output_tokens=output, estimated=True))
