"""Who tells of spending and of trouble where one process is all there is: a program that uses the library, or an ASGI
application. It is what a gateway's supervisor has, beside the calls.
"""

from __future__ import annotations

from penstock.clock import Random
from penstock.gateway import Gateway
from penstock.gateway.own_books import OwnBooks
from penstock.gateway.steward import Steward
from penstock.stores.pressure import Pressure

__all__ = ["begin_watch"]


def begin_watch(gateway: Gateway, books: OwnBooks | None, random: Random, pressure: Pressure) -> Steward | None:
    """Watch from now on, on the loop that runs; None where there is nothing to be watched, or nobody to be told.

    With books it ends as they are closed, with a last look; without any it is to be closed.

    Args:
        books: opened.
        pressure: the gateway's own.
    """
    config = gateway.config
    if books is None and config.alerts.webhook is None:
        return None
    database = books.books.database if books is not None else None
    steward = Steward(database, gateway.clock, random, gateway.metrics, lambda topic, value: pressure.adopt(value))
    steward.look_after(gateway.health.standings)
    if books is not None:
        kept = books.books
        steward.failures = lambda: kept.failures
        books.watching = steward
    steward.adopt(config)
    return steward
