"""Looks for unusual spend, in all and of each tenant, hour by hour (`routing/anomaly.py`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from penstock.clock import Clock
from penstock.routing.anomaly import WEEK, WEEKS, Odd, Usual, usual_of
from penstock.stores.alerts import Alert
from penstock.stores.fullest import ALL
from penstock.usage import usd

__all__ = ["HISTORY", "Oddities"]

# Hours of the past that the usual is known by.
HISTORY = (WEEKS + 2) * WEEK
# Spend below this in an hour is as good as none: nano-dollars.
LEAST = 1_000_000_000
# What goes on is told once in so many hours.
EPISODE = 6

Hourly = Mapping[str, Mapping[int, int]]


class Oddities:
    """Knows what is usual in this hour; asks for the past once an hour, and for the hour itself at every look.

    Args:
        tell: takes what somebody should know.
    """

    def __init__(self, clock: Clock, tell: Callable[[Sequence[Alert]], object]) -> None:
        self._clock = clock
        self._tell = tell
        self._usual: dict[str, Usual] = {}
        self._hour = -1
        self._odd: dict[str, int] = {}

    @property
    def hour(self) -> int:
        """This one, since the Unix epoch."""
        return int(self._clock.wall() // 3600)

    @property
    def asks(self) -> int:
        """From which hour on it wants to know what was spent: this one, or the whole past where that is a new one."""
        hour = self.hour
        return hour if hour == self._hour else hour - HISTORY

    def look(self, hourly: Hourly) -> None:
        """What was spent since the hour that it asked for."""
        hour = self.hour
        if hour != self._hour:
            past = {name: {at: spent for at, spent in spends.items() if at < hour} for name, spends in hourly.items()}
            found = {name: usual_of(spends, hour, LEAST) for name, spends in past.items()}
            self._usual = {name: usual for name, usual in found.items() if usual is not None}
            self._hour = hour
            self._odd = {name: at for name, at in self._odd.items() if hour - at <= EPISODE}
        alerts = []
        for name, usual in self._usual.items():
            odd = usual.look(hourly.get(name, {}).get(hour, 0))
            if odd is not None:
                if name not in self._odd:
                    alerts.append(_alert(name, odd))
                self._odd[name] = hour
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
