"""Holds what came of a scenario against what it expects."""

from __future__ import annotations

from penstock.testing.simulate.report import Row
from penstock.testing.simulate.scenario import Expected

__all__ = ["missed"]


def missed(expect: Expected, row: Row) -> list[str]:
    """A sentence for each expectation that did not come out."""
    found = []
    if expect.success is not None and (row.success or 0.0) < expect.success:
        found.append(f"success is {_percent(row.success or 0.0)}, and at least {_percent(expect.success)} was expected")
    for name, most, is_, unit in (
        ("the p99 of first tokens", expect.first_token_p99, row.first_token_p99, " s"),
        ("the p99 of whole answers", expect.total_p99, row.total_p99, " s"),
        ("attempts a request", expect.attempts, row.attempts, ""),
        ("spend an hour", expect.spend, row.spend_per_hour, " USD"),
    ):
        if most is not None and (is_ is None or is_ > most):
            shown = "unknown" if is_ is None else f"{is_:.4g}{unit}"
            found.append(f"{name} is {shown}, and at most {most:.4g}{unit} was expected")
    return found


def _percent(part: float) -> str:
    return f"{part * 100:.4f}".rstrip("0").rstrip(".") + "%"
