"""LiteLLM's number of retries as our attempts."""

from __future__ import annotations

from typing import Any

from penstock.config.limits import MOST_ATTEMPTS
from penstock.routing.plan import Retry

__all__ = ["retry_of"]


def retry_of(retries: int) -> Any:
    """So many further attempts, as `retry:` says it."""
    attempts = min(retries, MOST_ATTEMPTS - 1) + 1
    if attempts == 1:
        return "off"
    return {"max_attempts": attempts, **({"max_total": attempts} if attempts > Retry().max_total else {})}
