"""What our table makes of recorded answers beside what the provider itself says in them that they cost.

OpenRouter tells what the tokens cost, xAI the whole in ticks of 0.1 nano-dollars, Perplexity each part, rounded to
10,000 nano-dollars.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from penstock.providers.models import price_of
from penstock.wire.openai_chat import OpenAIChat
from tests.wire.corpus import UNSET, Recording, openai_shaped, recordings

CHAT = OpenAIChat()
NANOS = Decimal(10) ** 9
# One model at several hosts, each with its own price, which one answered not being in the model's name; one whose price
# was halved after the recording; and one that takes a fee for each search, which no usage tells (docs/prices.md).
OTHERS = {"qwen/qwen3-30b-a3b-instruct-2507", "google/gemini-3.6-flash", "perplexity/sonar"}
NOW = 1_795_600_000.0


def told(recording: Recording) -> dict[str, Any] | None:
    """The last object of the answer that holds a usage."""
    found = None
    for line in recording.body.splitlines():
        text = line.removeprefix(b"data: ").strip()
        if text.startswith(b"{") and b'"usage"' in text:
            value = json.loads(text, parse_float=Decimal)
            found = value if isinstance(value.get("usage"), dict) else found
    return found


def theirs(usage: dict[str, Any]) -> Decimal | None:
    """What the tokens cost by the provider's own account, in nano-dollars."""
    if "cost_in_usd_ticks" in usage:
        return Decimal(usage["cost_in_usd_ticks"]) / 10
    if isinstance(usage.get("cost"), dict):
        return Decimal(usage["cost"]["total_cost"]) * NANOS
    parts = usage.get("cost_details") or {}
    names = ("upstream_inference_prompt_cost", "upstream_inference_completions_cost")
    if any(parts.get(name) is None for name in names):
        return Decimal(usage["cost"]) * NANOS if usage.get("cost") and "server_tool_use_details" not in usage else None
    return sum((Decimal(parts[name]) for name in names), Decimal(0)) * NANOS


@pytest.mark.skipif(not recordings(), reason=UNSET)
def test_tokens_cost_what_the_provider_says() -> None:
    same, other = 0, []
    for recording in openai_shaped(
        lambda each: each.status == 200 and each.id.startswith(("openrouter.", "xai.", "perplexity.chat"))
    ):
        value = told(recording)
        expected = theirs(value["usage"]) if value is not None else None
        asked = (recording.request or {}).get("model", "")
        if value is None or expected is None or asked in OTHERS:
            continue
        price = price_of(recording.id.partition(".")[0], asked)
        if price is None or "models" in recording.request:
            continue  # another of those that were asked for may have answered
        usage = [event.usage for event in CHAT.decode_events(recording.body) if event.usage is not None][-1]
        # OpenRouter's prices move with its hosts', and the table has no history of all of them.
        costs = [price.cost(usage, when) for when in (float(value["created"]), NOW)]
        rounded = 10_000 if recording.id.startswith("perplexity.") else 0
        if any(cost is not None and -rounded <= cost - expected < 1 + rounded for cost in costs):
            same += 1
        else:
            other.append((recording.id, asked, costs, expected, usage))
    assert other == []
    assert same >= 30
