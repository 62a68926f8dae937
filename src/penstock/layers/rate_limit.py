"""Layer rate_limit: requests and tokens of every rate that holds for a call, admitted in one step (semantics.md: Rate
limits).

Once per request, retries and fallbacks included. What is not there yet is refused with the exact wait, or waited for
where the rule has a queue. Tokens are an estimate of the prompt and the output that may come; what was used is told at
the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from penstock.call import Call, Frame, Reply
from penstock.clock import Clock
from penstock.errors import CallerError, Forbidden, LargerThanLimit, RateLimited
from penstock.messages import Request
from penstock.metrics import Metrics
from penstock.records import Decision
from penstock.reservation import Accounts, Level, Reservation, Rule, Shortage, Want
from penstock.routing.allowance import Allowance
from penstock.routing.scopes import Facts
from penstock.routing.turn import rank_of
from penstock.usage import BYTES_A_TOKEN

__all__ = ["Lines", "Pacer", "Purse", "RateLimit", "Rates", "Size"]

# Strangers choose the names of users, tasks and tags: what is remembered of them must end somewhere.
MOST_KEPT = 4096
# Output that is reckoned with where the caller sets no bound: more than nine of ten answers have.
USUAL_OUTPUT = 1024
# And where a limit is strict: what a provider is asked for at most in such a case (`default_max_output`).
MOST_OUTPUT = 8192
# Of a refusal for too many tokens, what must be left for a smaller answer to be worth asking for.
LEAST_OUTPUT = 16
NEVER = float("inf")
# Which of several is nearest to its end is looked for so often; how it stands, each time.
LOOK_SECONDS = 0.1
# A call whose budget runs short is held up for so long at most.
LONGEST_PACE = 10.0
_SPANS = {1: "a second", 60: "a minute", 3600: "an hour", 86400: "a day"}
_BOUNDS = ("max_completion_tokens", "max_tokens")
_ONE_REQUEST: tuple[int, ...] = (1,)


class Purse(Protocol):
    """What calls are admitted by (`stores/purse.py`)."""

    def try_reserve(self, accounts: Accounts, numbers: Sequence[int]) -> Reservation | None:
        """So much of each from what is in hand, by the call's numbers; None: the centre must be asked."""
        ...

    async def reserve(self, wants: Sequence[Want]) -> Reservation | Shortage:
        """All of it, or what is short."""
        ...

    def settle(self, reservation: Reservation, numbers: Sequence[int]) -> None:
        """What was used, by the call's numbers, once."""

    def void(self, reservation: Reservation) -> None:
        """Nothing was used."""

    def levels(self, accounts: Accounts, ago: float = 0.0) -> tuple[Level, ...]:
        """How accounts stand, as far as is known; `resets` as of so many seconds ago."""
        ...


class Lines(Protocol):
    """Where calls wait (`stores/line.py`)."""

    @property
    def open(self) -> Mapping[tuple[str, str], object]:
        """The lines at which somebody waits."""
        ...

    def before(self, wants: Sequence[Want], rank: int) -> Shortage | None:
        """Where others wait who go before one of that rank that comes now."""
        ...

    def expected(self, want: Want) -> float:
        """A guess at how many seconds it takes until all who wait there, and this one, have had as much."""
        ...

    async def reserve(
        self,
        wants: Sequence[Want],
        short: Shortage,
        asking: tuple[int, str, float, float, float],
        tell: Callable[[Callable[[], int] | None], None],
    ) -> Reservation | Shortage:
        """Wait for enough of everything; `asking`: see `stores/line.Asking`."""
        ...


# How many tokens a call may come to: its prompt, as estimated; the output, None where nobody has set a bound; the
# prompt at most. Each request has one: a plain tuple takes a quarter of a named one's time.
Size = tuple[int, int | None, int]


class Pacer(Protocol):
    """What slows calls down (`stores/pacer.py`)."""

    def came(self, account: str, pressure: float, now: float) -> float:
        """A call comes; after how many seconds it may go, not at all if these are more than `LONGEST_PACE`."""
        ...


class Rates(NamedTuple):
    """What the layer goes by.

    Attributes:
        of: the rates, and the budgets that slow calls down, that hold for a call, and for which value
            (`routing/scopes.Rules.of`).
        weigh: a tenant's part of the turns beside others'.
        size: how many tokens a call may come to.
        pressure: by which part what draws on an account would have to slow down, for the account to last.
    """

    of: Callable[[Facts], Sequence[tuple[Rule, str]]]
    purse: Purse
    lines: Lines
    pacer: Pacer
    metrics: Metrics
    weigh: Callable[[str], float]
    size: Callable[[Request], Size]
    pressure: Callable[[str], float] = lambda account: 0.0


class _Held:
    """What holds for calls about which the same is known.

    Attributes:
        accounts: of the rates, those of requests first, by a call's two numbers, requests and tokens; `apart`: the same
            where each has its own amount.
        requests: one of each rate of requests.
        tokens: the rates of tokens; `counts`: how many these are; `strict`: one of them is.
        slow: wants of nothing from the accounts that slow calls down.
        nearest: of requests and of tokens which account was nearest to its end when somebody `looked`, with its rule.
    """

    __slots__ = ("accounts", "apart", "counts", "looked", "nearest", "requests", "slow", "strict", "tokens")

    def __init__(self, found: Sequence[tuple[Rule, str]]) -> None:
        rates = [each for each in found if each[0].kind != "budget"]
        requests = [each for each in rates if each[0].unit == "requests"]
        tokens = [each for each in rates if each[0].unit == "tokens"]
        self.requests = (1,) * len(requests)
        self.tokens = tuple(rule for rule, _ in tokens)
        self.counts = len(tokens)
        self.strict = any(rule.kind == "strict" for rule in self.tokens)
        self.apart = Accounts([*requests, *tokens])
        self.accounts = self.apart
        if not self.strict:
            self.accounts = Accounts(self.apart.scopes, [0] * len(requests) + [1] * len(tokens))
        self.slow = tuple(Want(rule, value, 0) for rule, value in found if rule.kind == "budget" and rule.throttle)
        self.nearest: Sequence[tuple[int, Rule]] = ()
        self.looked = float("-inf")

    def __bool__(self) -> bool:
        return bool(self.accounts.scopes or self.slow)


class RateLimit:
    """Admits a call once every rate that holds for it has room, and settles with each at its end."""

    def __init__(self, call: Call, rates: Rates, clock: Clock) -> None:
        self._call = call
        self._rates = rates
        self._size = rates.size
        self._purse = rates.purse
        self._lines = rates.lines
        self._clock = clock
        self._now = clock.monotonic
        self._kept: dict[tuple[Any, ...], _Held | None] = {}

    def __call__(self, request: Request) -> Awaitable[Reply]:
        record = request.record
        # What Facts are equal to, and take twice as long to make.
        facts = (
            record.tenant, record.project, record.key, record.user, record.task, record.tags, record.model, "", "",
        )  # fmt: skip
        held = self._kept.get(facts, self)
        if held is self:
            held = self._look_up(Facts(*facts))
        if held is None:
            return self._call(request)
        return self._admit(request, held)  # type: ignore[arg-type]

    def _look_up(self, facts: Facts) -> _Held | None:
        held = _Held(self._rates.of(facts))
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        kept = self._kept[facts] = held if held else None
        return kept

    async def _admit(self, request: Request, held: _Held) -> Reply:
        """Raises RateLimited, LargerThanLimit."""
        if held.slow:
            await self._slow_down(request, held.slow)
        accounts, numbers = held.accounts, _ONE_REQUEST
        if held.tokens:
            size_of = self._size
            size = size_of(request)
            taken, output, _ = size
            if output is not None and not held.strict:
                numbers = 1, taken + output
            else:
                tokens = _tokens(held.tokens, size)
                if output is None and held.strict:
                    _bound(request, held.tokens, tokens)
                numbers = 1, tokens[0]
                if held.strict or tokens.count(tokens[0]) != len(tokens):
                    accounts, numbers = held.apart, (*held.requests, *tokens)
        reservation = self._purse.try_reserve(accounts, numbers) if not self._lines.open else None
        if reservation is None:
            reservation = await self._ask(request, held, accounts.wants(accounts.amounts(numbers)))
            reservation.accounts, reservation.numbers = accounts, numbers  # the same ones, by what calls count
        try:
            record = request.record
            since = record.started
            if since - held.looked >= LOOK_SECONDS:
                held.looked, held.nearest = since, _nearest(held, reservation)
            record.limits = reservation.remaining(held.nearest, since)
            call = self._call
            reply = await call(request)
        except BaseException as error:
            if request.record.attempts or (isinstance(error, CallerError) and not isinstance(error, Forbidden)):
                self._settle((request, reservation, held))
            else:
                # Another limit, or a budget, refused it, or it was nothing that its key may ask for.
                self._purse.void(reservation)
            raise
        if reply.answer.__class__ is not Frame:  # a stream; twice as fast as to ask it
            reply.hooks.append((self._settle, (request, reservation, held)))
        else:
            self._settle((request, reservation, held))
        return reply

    async def _slow_down(self, request: Request, slow: Sequence[Want]) -> None:
        """Raises RateLimited where a budget is so short that the call would have to wait for long."""
        rates, now = self._rates, self._now()
        waits = [(rates.pacer.came(want.account, rates.pressure(want.account), now), want) for want in slow]
        wait, want = max(waits, key=lambda each: each[0])
        if wait <= 0:
            return
        budget = f"the budget{_whose(want.rule, want.value)}"
        if wait > LONGEST_PACE or now + wait >= request.deadline:
            rates.metrics.limited.inc((want.rule.scope, want.rule.unit))
            raise RateLimited(
                f"{budget} runs short, and calls are slowed down so that it lasts",
                do="Wait as long as retry-after says, ask for a cheaper model or for less output.",
                retry_after=wait,
                unit=want.rule.unit,
            )
        request.record.decisions.append(Decision("waited", "", f"{budget} runs short", now, wait))
        await self._clock.sleep(wait)

    async def _ask(self, request: Request, held: _Held, wants: Sequence[Want]) -> Reservation:
        """What the centre grants, now or after a wait."""
        lines, began = self._rates.lines, self._now()
        rank, tenant = rank_of(request), request.record.tenant or ""
        found: Reservation | Shortage = lines.before(wants, rank) or await self._purse.reserve(wants)
        if isinstance(found, Shortage) and found.rule.queue > 0:

            def tell(place: Callable[[], int] | None) -> None:
                request.place = place

            asking = (rank, tenant, self._rates.weigh(tenant), began, request.deadline)
            short, found = found, await lines.reserve(wants, found, asking, tell)
            why = f"{_named(short.rule, short.value)}: {'go' if isinstance(found, Reservation) else 'late'}"
            request.record.decisions.append(Decision("waited", "", why, began, self._now() - began))
        if isinstance(found, Reservation):
            return found
        held.looked = float("-inf")
        self._tell(request, held, found, wants)
        raise self._refused(found, wants, request)

    def _refused(self, short: Shortage, wants: Sequence[Want], request: Request) -> RateLimited | LargerThanLimit:
        rule = short.rule
        self._rates.metrics.limited.inc((rule.scope, rule.unit))
        limit = f"the limit of {rule.limit:,} {rule.unit} {_span(rule.seconds)}{_whose(rule, short.value)}"
        want = next(each for each in wants if each.rule is rule and each.value == short.value)
        if short.wait == NEVER:
            return LargerThanLimit(
                f"this request may come to {want.amount:,} {rule.unit}, and {limit} never lets so many through at once",
                do="Send a shorter prompt, or ask for less output.",
                param=next((name for name in _BOUNDS if name in request.fields), None),
            )
        wait = short.wait if short.wait > 0 else self._rates.lines.expected(want)
        ways = ["Wait as long as retry-after says"]
        if rule.unit == "tokens":
            room = short.left - self._size(request)[0]
            if room >= LEAST_OUTPUT:
                ways.append(f"ask for at most {room:,} tokens of output")
            else:
                ways.append("send a shorter prompt")
        if rule.scope == "model":
            ways.append("ask for another model")
        return RateLimited(f"{limit} is reached", do=f"{', or '.join(ways)}.", retry_after=wait, unit=rule.unit)

    def _tell(self, request: Request, held: _Held, short: Shortage, wants: Sequence[Want]) -> None:
        """Have one that is refused hear how what is nearest to its end stands."""
        ago = self._now() - request.record.started
        least: dict[str, Level] = {}
        for level in self._purse.levels(held.accounts, ago):
            known = least.get(level.rule.unit)
            if known is None or level.left < known.left:
                least[level.rule.unit] = level
        if short.rule.unit not in least and short.wait < NEVER:
            # This worker never had anything of it: what the centre said is all that is known.
            least[short.rule.unit] = Level(short.rule, short.value, 0, short.left, _whole(short, wants))
        request.record.limits = tuple((level.rule, level.left, level.resets) for level in least.values())

    def _settle(self, what: tuple[Request, Reservation, _Held]) -> None:
        """One request, and the tokens that all its attempts used."""
        request, reservation, held = what
        used = 0
        for attempt in request.record.attempts:
            usage = attempt.usage
            if usage is not None:
                used += usage.input_tokens + usage.output_tokens
            elif attempt.outcome == "cancelled":  # its prompt may have been read
                used += request.record.bytes_in // BYTES_A_TOKEN
        numbers = (1, used) if reservation.accounts is not held.apart else held.requests + (used,) * held.counts
        self._purse.settle(reservation, numbers)


def _whole(short: Shortage, wants: Sequence[Want]) -> float:
    """Seconds until all of a limit is there again: what it takes until the want is, and from there on."""
    rule = short.rule
    amount = next(each.amount for each in wants if each.rule is rule and each.value == short.value)
    return max(0.0, short.wait) + max(0, rule.burst - amount) * rule.seconds / rule.limit


def _nearest(held: _Held, reservation: Reservation) -> list[tuple[int, Rule]]:
    """Of requests and of tokens which account has least left."""
    least: dict[str, tuple[int, int, Rule]] = {}
    rules = [(at, rule) for at, (rule, _) in enumerate(held.accounts.scopes)]
    for (rule, left, _), (at, _) in zip(reservation.remaining(rules, 0.0), rules, strict=True):
        known = least.get(rule.unit)
        if known is None or left < known[0]:
            least[rule.unit] = left, at, rule
    return [(at, rule) for _, at, rule in least.values()]


def _tokens(rules: Sequence[Rule], size: Size) -> list[int]:
    """What is reserved: of a strict limit what it can be at most, of others what it will be.

    Where no bound of the output is known, no more than the rule can ever give.
    """
    taken, output, most = size
    if output is not None:
        taken, most = taken + output, most + output
        return [most if rule.kind == "strict" else taken for rule in rules]
    amounts = []
    for rule in rules:
        if rule.kind == "strict":
            amounts.append(max(most + LEAST_OUTPUT, min(most + MOST_OUTPUT, rule.limit)))
        else:
            amounts.append(max(taken, min(taken + USUAL_OUTPUT, rule.burst or rule.limit)))
    return amounts


def _bound(request: Request, rules: Sequence[Rule], amounts: Sequence[int]) -> None:
    """Have a request that sets no bound itself use no more than was reserved of strict limits."""
    least = min(amount for rule, amount in zip(rules, amounts, strict=True) if rule.kind == "strict")
    request.money = Allowance(None, least, clamp=True, where="a strict limit of tokens")


def _span(seconds: int) -> str:
    return _SPANS.get(seconds, f"in {seconds} s")


def _whose(rule: Rule, value: str) -> str:
    return f" for {rule.scope} '{value}'" if value else ""


def _named(rule: Rule, value: str) -> str:
    return f"{rule.limit:,} {rule.unit} {_span(rule.seconds)}{_whose(rule, value)}"
