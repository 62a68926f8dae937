"""What is said where a configuration asks for books and nobody keeps them: only `penstock serve` does."""

from __future__ import annotations

import logging

from penstock.config.keeping import MEMORY
from penstock.config.schema import Config

__all__ = ["warn_unkept"]

log = logging.getLogger("penstock")


def warn_unkept(config: Config) -> None:
    """Say in the log that a budget begins at nothing each time, or that nothing is written to the store it names."""
    if any(rule.kind == "budget" for rule in config.rules):
        log.warning("%s: budgets begin at nothing here: only `penstock serve` keeps what was spent", config.source)
    elif config.state != MEMORY:
        log.warning("%s: nothing is kept in %s here: only `penstock serve` does", config.source, config.state)
