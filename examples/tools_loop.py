"""A model that calls tools until it can answer: the loop that every agent has at its heart."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from penstock import Penstock, ToolCall

LEVELS = {"Zürich": 406.1, "Malmö": 0.4}

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "water_level",
            "description": "The water's level at a place, in metres.",
            "parameters": {
                "type": "object",
                "properties": {"location": {"type": "string"}},
                "required": ["location"],
            },
        },
    }
]
MOST_TURNS = 5


def run_tool(call: ToolCall) -> str:
    """What a tool says. A model may make up names and arguments, so both are checked."""
    if call.name != "water_level":
        return json.dumps({"error": f"there is no tool {call.name}"})
    place = json.loads(call.arguments).get("location", "")
    return json.dumps({"place": place, "metres": LEVELS.get(place)})


async def main() -> None:
    messages: list[Any] = [{"role": "user", "content": "What is the water level in Zürich?"}]
    async with Penstock() as llm:
        for _ in range(MOST_TURNS):
            reply = await llm.generate(messages=messages, tools=TOOLS, model="sim/large")
            messages.append(reply.message)
            if not reply.tool_calls:
                print(reply.text)
                return
            for call in reply.tool_calls:
                result = run_tool(call)
                print(f"{call.name}({call.arguments}) -> {result}")
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    print("The model did not come to an end.")


if __name__ == "__main__":
    asyncio.run(main())
