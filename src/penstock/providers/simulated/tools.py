"""Which tools a simulated model calls, and what it makes of their results. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.providers.simulated.chance import Dice
from penstock.providers.simulated.failures import ApiError
from penstock.providers.simulated.request import ChatRequest, ToolSpec, text_of
from penstock.providers.simulated.schema import Example, SchemaError
from penstock.providers.simulated.speech import tokenize

__all__ = ["Call", "choose_calls", "places_in", "results_quoted"]

# Words of a tool's name that say nothing about when to call it.
_DULL = frozenset(("get", "set", "the", "and", "for", "tool", "call", "run", "make", "from", "with", "info", "data"))

_WORD = re.compile(r"[a-z0-9]+")
_PLACE = re.compile(r"(?<=[a-z,] )[A-Z]\w+(?: [A-Z]\w+)*")
_QUOTED = 400  # characters of a tool's result that are worth repeating


class Call(msgspec.Struct):
    """A tool call; `arguments` is JSON in tokens."""

    id: str
    name: str
    arguments: list[str]


def choose_calls(request: ChatRequest, prompt: str, dice: Dice) -> list[Call]:
    """The calls a model makes: those it is told to make, else those the last user message speaks of.

    Args:
        prompt: the text of the last message if it is the user's, else empty.

    Raises:
        ApiError: 400, no arguments can be made for a tool's schema.
    """
    choice = request.tool_choice
    if choice == "none":
        return []
    if choice.startswith("="):
        chosen = [tool for tool in request.tools if tool.name == choice[1:]][:1]
    else:
        said = set(_WORD.findall(prompt.lower()))
        chosen = [tool for tool in request.tools if _spoken_of(tool.name, prompt, said)]
        if not chosen and choice == "required":
            chosen = [dice.choice(request.tools)]
    if not request.parallel:
        chosen = chosen[:1]
    places = places_in(prompt)
    return [Call(f"call_{dice.name(24)}", tool.name, _arguments(tool, dice, places)) for tool in chosen]


def _spoken_of(name: str, prompt: str, said: set[str]) -> bool:
    if name.lower() in prompt.lower():
        return True
    words = _WORD.findall(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    return any(word in said for word in words if len(word) > 2 and word not in _DULL)


def _arguments(tool: ToolSpec, dice: Dice, places: Sequence[str]) -> list[str]:
    try:
        value = Example(tool.parameters, dice, strict=False, places=places).value()
    except SchemaError as error:
        message = f"Invalid schema for function '{tool.name}': {error}."
        raise ApiError(400, message, param="tools", code="invalid_function_parameters") from None
    return tokenize(msgspec.json.encode(value).decode())


def places_in(prompt: str) -> list[str]:
    """Names within the sentences of a prompt: what a `city` is most likely to be."""
    return _PLACE.findall(prompt[:2000])


def results_quoted(messages: Sequence[Mapping[str, Any]]) -> str:
    """What the tools said that the last messages come from; empty if the last message is no tool's."""
    results: list[str] = []
    names: dict[Any, str] = {}
    for message in reversed(messages):
        if message.get("role") != "tool":
            names = _called(message)
            break
        results.append(text_of(message.get("content")).strip())
    ids = [message.get("tool_call_id") for message in messages[len(messages) - len(results) :]]
    return " ".join(
        f'According to {names.get(id, "the tool")}: "{text[:_QUOTED]}".'
        for id, text in zip(ids, reversed(results), strict=True)
    )


def _called(message: Mapping[str, Any]) -> dict[Any, str]:
    """Tool names by the call's id."""
    names: dict[Any, str] = {}
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(call.get("id"), str):
            names[call["id"]] = str(function.get("name"))
    return names
