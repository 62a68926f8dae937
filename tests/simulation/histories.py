"""Histories: what a seed decides of a gateway's life, its settings, its callers, and all that goes wrong in it."""

from __future__ import annotations

from random import Random

import msgspec

from penstock.routing.plan import Retry
from penstock.routing.timeouts import Timeouts
from tests.simulation.callers import Ask
from tests.simulation.weather import LINKS, SCRIPTS, Spell

__all__ = ["CALM_SECONDS", "Event", "History", "Maker", "make_history"]

# After the last fault: until all must be well again (semantics.md: invariant 12), and for how long that is looked at.
CALM_SECONDS = 22.0
LOOK_SECONDS = 8.0
_NAMES = ("ann", "bob", "cy")
_DEADLINES = 0.0


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
        link: how the callers' own connections are.
    """

    seed: int
    workers: int
    makers: tuple[Maker, ...]
    models: dict[str, tuple[str, ...]]
    retry: Retry
    timeouts: Timeouts
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


def make_history(seed: int, requests: int = 120) -> History:
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
        faulty,
        _spells(random, makers, faulty),
        (),
        (),
    )
    return msgspec.structs.replace(history, events=_events(random, history), asks=_asks(random, history, requests))


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
    found = []
    kinds = ("outage",) * 3 + ("brownout",) * 3 + ("storm",) * 3 + ("cut",) * 2 + tuple(SCRIPTS) + LINKS
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
    times += sorted(random.uniform(history.calm, history.over) for _ in range(last))
    impatient, streams = random.choice((0.0, 0.05, 0.3)), random.choice((0.1, 0.5, 0.9))
    found = []
    for number, at in enumerate(times, 1):
        calm = at >= history.calm
        found.append(
            Ask(
                number,
                round(at, 3),
                "main" if random.random() < 0.85 else "lone",
                random.choice(("chat", "chat", "messages")),
                random.random() < streams,
                0.0
                if calm or random.random() >= impatient
                else round(random.choice((0.05, 1.0, 5.0)) * random.random(), 3),
                0.0 if calm or random.random() >= _DEADLINES else random.choice((0.5, 2.0, 8.0)),
                0.0 if random.random() >= 0.03 else random.choice((0.5, 3.0)),
                random.randrange(history.workers),
                "" if random.random() >= 0.01 else random.choice(("json", "model", "messages", "key")),
            )
        )
    return tuple(found)
