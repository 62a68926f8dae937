"""LiteLLM's prices of a deployment, dollars a token, as they stand under `prices:` here: dollars per million."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from penstock.config.limits import DEAREST
from penstock.config.tree import Node

__all__ = ["COSTS", "per_million", "read_costs"]

# https://docs.litellm.ai/docs/proxy/custom_pricing
COSTS: dict[str, str] = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
    "output_cost_per_reasoning_token": "reasoning",
}
_MILLION = 1_000_000


def read_costs(*sections: Mapping[str, Node]) -> dict[str, str]:
    """Price by unit, as decimal text; of several sections the first that has it. Empty where none is understood.

    Input and output are always there together: what is not named costs nothing, as in LiteLLM.
    """
    found: dict[str, str] = {}
    for key, unit in COSTS.items():
        node = next((section[key] for section in sections if key in section), None)
        price = per_million(node.value) if node is not None else ""
        if price:
            found[unit] = price
    return {"input": "0", "output": "0"} | found if found else {}


def per_million(value: object) -> str:
    """Dollars a token as dollars per million, in decimal text; "" for what is no such price here."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    # The shortest text that stands for a float is what was written.
    price = Decimal(repr(value)) * _MILLION
    if not price.is_finite() or not 0 <= price <= DEAREST or price != round(price, 6):
        return ""
    return f"{price.normalize():f}"
