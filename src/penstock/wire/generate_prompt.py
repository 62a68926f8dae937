"""A request of `POST /v1/generate`: which fields there are, and the whole of it as a `Prompt`.

Messages and tools are in OpenAI's form and read as OpenAI's are. A field of a later version is refused by name, and so
is one that nobody has: neither is ever ignored. null says as little as leaving the field out.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, NoReturn

import msgspec

from penstock.errors import InvalidRequest, NotAvailable
from penstock.prompt import Format, Prompt, Text, Turn
from penstock.wire.generate_schema import load_schema
from penstock.wire.openai_checks import Notes, integer, invalid, mapping, number, text, wrong_type
from penstock.wire.openai_fields import read_flag
from penstock.wire.openai_tools import read_choice, read_tools
from penstock.wire.openai_turns import read_messages
from penstock.wire.structured_fields import KEY

__all__ = ["KNOWN", "LATER", "check_fields", "decode_prompt", "read_tags", "read_task", "read_wishes"]

KNOWN = (
    *("prompt", "messages", "system", "model", "user", "task", "tags", "temperature", "stop"),
    *("tools", "tool_choice", "output_schema", "budget", "deadline", "priority", "stream"),
)
# In the contract, not in this version.
LATER = ("prompt_id", "variables", "cache")

_BUDGET = ("max_output_tokens", "max_cost_usd")
# What other APIs call a field that is here.
_ELSEWHERE = {
    "max_tokens": "budget.max_output_tokens",
    "max_completion_tokens": "budget.max_output_tokens",
    "max_output_tokens": "budget.max_output_tokens",
    "max_cost_usd": "budget.max_cost_usd",
    "response_format": "output_schema",
    "output_config": "output_schema",
    "stop_sequences": "stop",
    "input": "prompt",
    "contents": "messages",
    "instructions": "system",
    "metadata": "tags",
}
_LONGEST = 60  # of a name that is quoted or compared


def check_fields(fields: Mapping[str, msgspec.Raw]) -> None:
    """Whether every field is one of this version, and there is exactly one of prompt and messages.

    Raises:
        NotAvailable: a field of a later version; `param` names it.
        InvalidRequest: a field nobody has, with the nearest one there is; no prompt, or two.
    """
    given = {name for name, value in fields.items() if bytes(value) != b"null"}
    for name in fields:
        if name not in KNOWN and (name in given or name not in LATER):
            _refuse(name, name, KNOWN, LATER)
    if "prompt" in given and "messages" in given:
        raise InvalidRequest("There are both 'prompt' and 'messages'.", do="Send one of them.", param="messages")
    if "prompt" not in given and "messages" not in given:
        if "prompt_id" in fields:
            _refuse("prompt_id", "prompt_id", KNOWN, LATER)
        raise InvalidRequest("There is neither 'prompt' nor 'messages'.", do="Send one of them.", param="prompt")


def read_task(fields: Mapping[str, msgspec.Raw]) -> str | None:
    """What the call is for, as the header x-penstock-task would say it. Raises InvalidRequest."""
    value = _value(fields, "task")
    if value is None:
        return None
    task = text(value, "task")
    if not task.isascii() or not task.isprintable():  # it may stand in a header
        raise invalid("task", "it must be printable ASCII")
    return task


def read_tags(fields: Mapping[str, msgspec.Raw]) -> dict[str, str]:
    """What it is filed under, as the header x-penstock-tags would say it. Raises InvalidRequest."""
    value = _value(fields, "tags")
    tags = mapping(value, "tags") if value is not None else {}
    for name in tags:
        if KEY.fullmatch(name) is None:  # it may stand in a header
            raise invalid("tags", "names are made of lower-case letters, digits, _ - . *, a letter first")
    return {name: text(each, f"tags.{name}") for name, each in tags.items()}


def read_wishes(fields: Mapping[str, msgspec.Raw]) -> dict[str, str]:
    """What it asks for besides the answer, in its words, as the headers of these names would. Raises InvalidRequest."""
    found = {}
    for name in ("deadline", "priority"):
        value = _value(fields, name)
        if value is not None:
            found[name] = text(value, name)
    budget = _value(fields, "budget")
    cost = budget.get("max_cost_usd") if isinstance(budget, dict) else None
    if cost is not None:
        found["max_cost_usd"] = _money(cost)
    return found


def decode_prompt(fields: dict[str, msgspec.Raw]) -> Prompt:
    """The whole of it, once `check_fields` has passed. Raises InvalidRequest, NotAvailable."""
    values = {name: value for name in fields if (value := _value(fields, name)) is not None}
    notes = Notes()
    prompt = Prompt(stream=read_flag(fields, "stream"), given=notes.given, hints=notes.hints, demands=notes.demands)
    if prompt.stream:
        notes.met("stream", "stream")
    prompt.turns = _turns(values, notes)
    prompt.tools = read_tools({"tools": values["tools"]}, notes) if "tools" in values else []
    prompt.tool_choice = read_choice({"tool_choice": values.get("tool_choice")}, prompt.tools, notes)
    if "temperature" in values:
        notes.met("temperature", "temperature")
        prompt.temperature = number(values["temperature"], "temperature", 0, 2)
    prompt.stop = _stop(values.get("stop"), notes)
    prompt.max_output_tokens = _limit(values.get("budget"), notes)
    if "user" in values:
        notes.met("user", "user")
        prompt.user = text(values["user"], "user")
    read_task(fields)
    read_tags(fields)
    if "output_schema" in values:
        load_schema(bytes(fields["output_schema"]))
        notes.met("json_schema", "output_schema")
        prompt.format = Format(schema=values["output_schema"], name="output")
    return prompt


def _turns(values: Mapping[str, Any], notes: Notes) -> list[Turn]:
    turns = []
    if "system" in values:
        notes.met("system", "system")
        turns.append(Turn(role="system", parts=[Text(text=text(values["system"], "system"))]))
    if "messages" in values:
        return turns + read_messages(values["messages"], notes)
    said = text(values.get("prompt"), "prompt")
    if not said.strip():
        raise invalid("prompt", "it is empty")
    notes.met("text", "prompt")
    return [*turns, Turn(role="user", parts=[Text(text=said)])]


def _stop(value: Any, notes: Notes) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, str | list):
        raise wrong_type("stop", "one of a string or array of strings", value)
    stops = [value] if isinstance(value, str) else [text(one, f"stop[{at}]") for at, one in enumerate(value)]
    stops = [stop for stop in stops if stop]
    if stops:
        notes.met("stop", "stop")
    return stops


def _limit(value: Any, notes: Notes) -> int | None:
    if value is None:
        return None
    budget = mapping(value, "budget")
    for name in budget:
        if name not in _BUDGET:
            _refuse(name, f"budget.{name}", _BUDGET, ())
    if budget.get("max_output_tokens") is None:
        return None
    notes.met("max_output_tokens", "budget.max_output_tokens")
    return integer(budget["max_output_tokens"], "budget.max_output_tokens", 1)


def _money(value: Any) -> str:
    """A decimal string; numbers are accepted."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{Decimal(repr(value)):f}"
    raise wrong_type("budget.max_cost_usd", 'a decimal string such as "0.01"', value)


def _refuse(name: str, param: str, known: Collection[str], later: Collection[str]) -> NoReturn:
    if name in later:
        raise NotAvailable(f"'{param}' is not in this version.", do="Leave it out.", param=param)
    shown = param if len(param) <= _LONGEST else param[:_LONGEST] + "..."
    found = difflib.get_close_matches(name[:_LONGEST].lower(), (*known, *later), n=1)
    near = _ELSEWHERE.get(name) or (param.removesuffix(name) + found[0] if found else "")
    do = f"Did you mean '{near}'?" if near else f"The fields are: {', '.join(known)}."
    raise InvalidRequest(f"There is no field '{shown}'.", do=do, param=shown)


def _value(fields: Mapping[str, msgspec.Raw], name: str) -> Any:
    """One field, decoded; None where it is not there."""
    if name not in fields:
        return None
    try:
        return msgspec.json.decode(fields[name])
    except RecursionError:
        raise invalid(name, "nested too deeply") from None
    except ValueError as error:  # a number that is out of range
        raise invalid(name, str(error).rstrip(".").lower()) from None
