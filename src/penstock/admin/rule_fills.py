"""How full the accounts of a limit or a budget are, as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.admin.moments import written
from penstock.admin.operations import Query
from penstock.errors import InvalidRequest
from penstock.reservation import Rule
from penstock.stores.fill import MOST_FILLED, Fill
from penstock.usage import usd

__all__ = ["ACCOUNTS", "accounts_of", "describe_fills"]

ACCOUNTS = Query(
    "accounts",
    "How many of its fullest accounts are told.",
    {"type": "integer", "minimum": 0, "maximum": MOST_FILLED, "default": 0},
)


def accounts_of(query: Mapping[str, Any]) -> int:
    """How many are asked for. Raises InvalidRequest."""
    text = query.get("accounts", "0")
    if text.isascii() and text.isdigit() and len(text) <= len(str(MOST_FILLED)) and int(text) <= MOST_FILLED:
        return int(text)
    raise InvalidRequest(
        f"accounts must be a number from 0 to {MOST_FILLED}", do="Change or leave it out.", param="accounts"
    )


def describe_fills(filled: Iterable[tuple[Rule, Sequence[Fill]]], most: int) -> list[dict[str, Any]]:
    """Those of all rules of one entry, the fullest first."""
    found = [(fill.used / fill.whole, rule, fill) for rule, fills in filled for fill in fills]
    found.sort(key=lambda each: -each[0])
    return [_account(rule, fill) for _, rule, fill in found[:most]]


def _account(rule: Rule, fill: Fill) -> dict[str, Any]:
    def amount(number: int) -> str | int:
        return usd(number) if rule.unit == "usd" else number

    return {
        "value": fill.value,
        "unit": "calls" if rule.kind == "concurrency" else rule.unit,
        "limit": amount(fill.whole),
        "used": amount(fill.used),
        "left": amount(max(0, fill.whole - fill.used)),
        "resets": written(int(fill.until)) if fill.until else None,
    }
