"""Histories: what a seed decides of a gateway's life, its settings, its callers, and all that goes wrong in it."""

from __future__ import annotations

from random import Random

import msgspec

from penstock.routing.plan import Retry, Strategy
from penstock.routing.timeouts import Timeouts
from tests.simulation.callers import Ask
from tests.simulation.ways import WAYS
from tests.simulation.weather import LINKS, SCRIPTS, Spell

__all__ = ["CALM_SECONDS", "Event", "History", "Maker", "make_history"]

# After the last fault: until all must be well again (semantics.md, invariant 12: 22 s, in which requests go on coming,
# and here as long as it takes for the three that close a breaker), and for how long that is looked at.
CALM_SECONDS = 26.0
LOOK_SECONDS = 6.0
# How often a name is asked for meanwhile.
_STEADY = {"main": 0.5, "lone": 1.0}
_NAMES = ("ann", "bob", "cy")
_DEADLINES = 0.05


class Maker(msgspec.Struct, frozen=True):
    """A provider of a history.

    Attributes:
        base: how it answers in good weather.
        credentials: names of a pool's; none: it has one key.
    """

    name: str
    kind: str
    base: str
    credentials: tuple[str, ...] = ()


class Event(msgspec.Struct, frozen=True):
    """Something that is done to the gateway: `kill`, `reload`, `renew`, `jump` (of the wall clock).

    Attributes:
        amount: the post of who is killed; seconds of a jump.
    """

    kind: str
    at: float
    amount: float = 0.0


class History(msgspec.Struct, frozen=True):
    """All of it. Spells, events and asks may be left out one by one: what is left stays as it is.

    Attributes:
        seed: of the network's chance and the workers'.
        workers: how many.
        makers: the providers.
        models: the names and the targets of each, in order.
        faulty: how long things go wrong.
        breaker: whether there is one.
        strategy: of all models.
        most: how many calls may run at a deployment at a time, in all workers; 0: any number.
        resume: whether streams that break off are gone on with.
        hedge: after so many seconds a second deployment is asked; 0.0: never.
    """

    seed: int
    workers: int
    makers: tuple[Maker, ...]
    models: dict[str, tuple[str, ...]]
    retry: Retry
    timeouts: Timeouts
    breaker: bool
    strategy: Strategy
    most: int
    resume: bool
    hedge: float
    faulty: float
    spells: tuple[Spell, ...]
    events: tuple[Event, ...]
    asks: tuple[Ask, ...]

    @property
    def over(self) -> float:
        """When the last request has been sent."""
        return self.calm + LOOK_SECONDS

    @property
    def calm(self) -> float:
        """From when on every request must be answered."""
        return self.faulty + CALM_SECONDS


def make_history(seed: int, requests: int = 80) -> History:
    """The history of a seed, with about so many requests."""
    random = Random(f"history {seed}")
    makers = _makers(random)
    faulty = random.choice((10.0, 20.0, 40.0))
    history = History(
        seed,
        random.choice((1, 2, 2, 3)),
        makers,
        _models(random, makers),
        Retry(max_attempts=random.choice((1, 2, 3, 3, 4)), max_total=random.choice((6, 6, 6, 3))),
        Timeouts(
            connect=random.choice((1.0, 5.0)),
            first_token=random.choice((None, 2.0, 5.0)),
            idle=random.choice((3.0, 10.0)),
            total=random.choice((None, None, 60.0)),
            attempt=random.choice((5.0, 10.0)),
        ),
        random.random() < 0.7,
        random.choice(("ordered", "ordered", "ordered", "weighted", "least_busy", "latency", "cost")),
        random.choice((0, 0, 0, 2, 5, 20)),
        random.random() < 0.3,
        random.choice((0.0, 0.0, 0.0, 0.05, 0.3)),
        faulty,
        _spells(random, makers, faulty),
        (),
        (),
    )
    history = _silenced(history)
    history = msgspec.structs.replace(history, events=_events(random, history), asks=_asks(random, history, requests))
    return msgspec.structs.replace(history, asks=_with_ways(history))


def _makers(random: Random) -> tuple[Maker, ...]:
    found = []
    for name in _NAMES[: random.choice((1, 2, 2, 3, 3))]:
        base = [f"tokens={random.randint(2, 8)}"]
        if random.random() < 0.7:
            base.append(f"first_token={random.choice((20, 100, 400))}ms")
        if random.random() < 0.5:
            base.append(f"between={random.choice((5, 30))}ms")
        pool = ("k1", "k2", "k3")[: random.choice((2, 3))] if random.random() < 0.25 else ()
        found.append(Maker(name, random.choice(("openai", "openai", "anthropic")), ",".join(base), pool))
    return tuple(found)


def _models(random: Random, makers: tuple[Maker, ...]) -> dict[str, tuple[str, ...]]:
    names = [maker.name for maker in makers]
    random.shuffle(names)
    return {"main": tuple(names), "lone": (random.choice(names),)}


def _spells(random: Random, makers: tuple[Maker, ...], faulty: float) -> tuple[Spell, ...]:
    """A few at random; or one that lasts, at one provider alone."""
    found = []
    kinds = ("outage",) * 3 + ("brownout",) * 3 + ("storm",) * 3 + ("cut",) * 2 + tuple(SCRIPTS) + LINKS
    if random.random() < 0.4:
        maker, kind = random.choice(makers), random.choice(kinds)
        start, end = random.uniform(0.0, 2.0), faulty * random.choice((0.5, 1.0))
        script = random.choice(SCRIPTS[kind]) if kind in SCRIPTS else ""
        return (Spell(maker.name, kind, round(start, 2), end, script, random.choice((1.0, 1.0, 0.5))),)
    for _ in range(random.randint(0, 5)):
        maker, kind = random.choice(makers), random.choice(kinds)
        start = random.uniform(0.0, faulty * 0.7)
        found.append(
            Spell(
                maker.name,
                kind,
                round(start, 2),
                round(min(faulty, start + random.choice((1.0, 5.0, 15.0, 40.0))), 2),
                random.choice(SCRIPTS[kind]) if kind in SCRIPTS else "",
                random.choice((1.0, 1.0, 0.5, 0.1)),
                random.choice(maker.credentials) if maker.credentials and random.random() < 0.5 else "",
            )
        )
    return tuple(found)


def _events(random: Random, history: History) -> tuple[Event, ...]:
    found = []
    for kind, chance in (
        ("kill", 0.3),
        ("kill", 0.2),
        ("reload", 0.4),
        ("reload", 0.2),
        ("renew", 0.15),
        ("jump", 0.2),
    ):
        if random.random() < chance and not (kind == "renew" and history.workers == 1):
            at = round(random.uniform(1.0, history.faulty), 2)
            amount = random.randrange(history.workers) if kind == "kill" else random.choice((-3600.0, 3600.0, 7.0))
            found.append(Event(kind, at, amount))
    return tuple(found)


def _asks(random: Random, history: History, requests: int) -> tuple[Ask, ...]:
    last = max(1, requests // 8)  # of the calm
    times = sorted(random.uniform(0.0, history.faulty) for _ in range(requests - last))
    if random.random() < 0.3:  # a crowd comes at one moment
        crowd = random.uniform(0.0, history.faulty)
        times = sorted(times[::2] + [crowd + random.uniform(0.0, 0.05) for _ in times[1::2]])
    impatient, streams = random.choice((0.0, 0.05, 0.3)), random.choice((0.1, 0.5, 0.9))
    found = [_ask(random, history, at, streams, impatient) for at in times]
    for model, every in _STEADY.items():
        steady = [history.faulty + every * turn for turn in range(int(CALM_SECONDS / every))]
        found += [_ask(random, history, at, streams, 0.0, model) for at in steady]
    found += [
        _ask(random, history, at, streams, 0.0)
        for at in sorted(random.uniform(history.calm, history.over) for _ in range(last))
    ]
    found.sort(key=lambda ask: ask.at)
    return tuple(msgspec.structs.replace(ask, number=number) for number, ask in enumerate(found, 1))


def _silenced(history: History) -> History:
    """One in twenty-five has a provider that is silent nearly all the time: what half open means shows there."""
    random = Random(f"silence {history.seed}")
    if random.random() >= 0.04:
        return history
    name = random.choice(history.makers).name
    others = tuple(spell for spell in history.spells if spell.vendor != name)
    silent = Spell(name, "silent", 1.0, history.faulty, "silence")
    return msgspec.structs.replace(history, breaker=True, hedge=0.0, spells=(*others, silent))


def _with_ways(history: History) -> tuple[Ask, ...]:
    """Its callers, some of whose own connections are bad: by a chance of their own, so that all else stays as it is."""
    random = Random(f"ways {history.seed}")
    share = random.choice((0.0, 0.03, 0.1))
    return tuple(
        msgspec.structs.replace(ask, way=random.choice(WAYS))
        if ask.at < history.faulty and random.random() < share
        else ask
        for ask in history.asks
    )


def _ask(random: Random, history: History, at: float, streams: float, impatient: float, model: str = "") -> Ask:
    calm = at >= history.faulty
    return Ask(
        0,
        round(at, 3),
        model or ("main" if random.random() < 0.85 else "lone"),
        random.choice(("chat", "chat", "messages")),
        random.random() < streams,
        round(random.choice((0.05, 1.0, 5.0)) * random.random(), 3) if random.random() < impatient else 0.0,
        random.choice((0.5, 2.0, 8.0)) if not calm and random.random() < _DEADLINES else 0.0,
        random.choice((0.5, 3.0)) if random.random() < 0.03 else 0.0,
        random.randrange(history.workers),
        random.choice(("json", "model", "messages", "key")) if not calm and random.random() < 0.01 else "",
    )
