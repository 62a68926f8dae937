"""Looks for unusual spend, in all and of each tenant, hour by hour (`routing/anomaly.py`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from penstock.clock import Clock
from penstock.routing.anomaly import WEEK, WEEKS, Odd, Usual, usual_of
from penstock.stores.alerts import Alert
from penstock.stores.fullest import ALL
from penstock.usage import usd

__all__ = ["HISTORY", "Oddities", "learn"]

# Hours of the past that the usual is known by.
HISTORY = (WEEKS + 2) * WEEK
# Spend below this in an hour is as good as none: nano-dollars.
LEAST = 1_000_000_000
# What goes on is told once in so many hours.
EPISODE = 6

Hourly = Mapping[str, Mapping[int, int]]


def learn(hourly: Hourly, hour: int) -> dict[str, Usual]:
    """What is usual in an hour, from what was spent in those before it; three milliseconds for each name."""
    found = {name: usual_of(spends, hour, LEAST) for name, spends in hourly.items()}
    return {name: usual for name, usual in found.items() if usual is not None}


class Oddities:
    """Knows what is usual in this hour, once it was told, and looks at the hour itself.

    Args:
        tell: takes what somebody should know.

    Attributes:
        known: the hour, since the Unix epoch, of which it knows what is usual; -1 for none.
    """

    def __init__(self, clock: Clock, tell: Callable[[Sequence[Alert]], object]) -> None:
        self.known = -1
        self._clock = clock
        self._tell = tell
        self._usual: dict[str, Usual] = {}
        self._odd: dict[str, int] = {}

    @property
    def hour(self) -> int:
        """This one, since the Unix epoch."""
        return int(self._clock.wall() // 3600)

    def adopt(self, hour: int, usual: dict[str, Usual]) -> None:
        """What `learn` found of an hour."""
        self.known, self._usual = hour, usual
        self._odd = {name: at for name, at in self._odd.items() if hour - at <= EPISODE}

    def look(self, spent: Mapping[str, int]) -> None:
        """What was spent in the hour that it knows, so far, by name."""
        alerts = []
        for name, usual in self._usual.items():
            odd = usual.look(spent.get(name, 0))
            if odd is not None:
                if name not in self._odd:
                    alerts.append(_alert(name, odd))
                self._odd[name] = self.known
        self._tell(alerts)


def _alert(name: str, odd: Odd) -> Alert:
    tenant = None if name == ALL else name
    whose = "in all" if tenant is None else f"by tenant {tenant}"
    when = "this hour" if odd.hours == 1 else f"the last {odd.hours} hours"
    text = (
        f"unusual spend {whose}: {usd(odd.spent)[:-6]} USD in {when}, where {usd(odd.usual)[:-6]} USD is usual:"
        f" {odd.score:g} times as far off as such hours stray"
    )
    data = {"spent_usd": usd(odd.spent), "usual_usd": usd(odd.usual), "hours": odd.hours, "score": odd.score}
    return Alert("spend.anomaly", name, str(odd.hour // EPISODE), text, tenant, data)
