"""A whole OpenAI chat request in no vendor's words: every field carried, noted as a hint, or noted as a demand.

Field by field as in https://platform.openai.com/docs/api-reference/chat/create; `reasoning` is OpenRouter's
(https://openrouter.ai/docs/use-cases/reasoning-tokens), `thinking` DeepSeek's, Z.ai's and of Anthropic's compatible
route, `top_k` of many servers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from penstock.errors import InvalidRequest
from penstock.prompt import Effort, Format, Prompt, Thinking
from penstock.wire.openai_checks import Notes, array, flag, integer, invalid, mapping, number, text, word, wrong_type
from penstock.wire.openai_fields import read_flag
from penstock.wire.openai_tools import read_choice, read_tools
from penstock.wire.openai_turns import read_messages

__all__ = ["decode_prompt"]

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

# Read where they are needed, or of no concern here.
_ELSEWHERE = frozenset(
    (
        *("model", "messages", "stream", "tools", "functions", "tool_choice", "function_call"),
        *("max_tokens", "max_completion_tokens", "reasoning_effort", "reasoning", "thinking"),
        *("user", "safety_identifier", "parallel_tool_calls"),
    )
)


def decode_prompt(fields: dict[str, msgspec.Raw]) -> Prompt:
    """Read the whole of it. Raises InvalidRequest: `param` is the path of what is wrong, `messages[1].role`."""
    values = _values(fields)
    notes = Notes()
    prompt = Prompt(stream=read_flag(fields, "stream"), given=notes.given, hints=notes.hints, demands=notes.demands)
    if prompt.stream:
        notes.met("stream", "stream")
    prompt.turns = read_messages(values.get("messages"), notes)
    prompt.tools = read_tools(values, notes)
    prompt.tool_choice = read_choice(values, prompt.tools, notes)
    prompt.max_output_tokens = _limit(values, notes)
    prompt.thinking = _thinking(values, notes)
    prompt.user = _user(values, notes)
    _read_parallel(prompt, values, notes)
    for name, value in values.items():
        if name in _FIELDS:
            _FIELDS[name](prompt, value, notes)
        elif name in _DEMANDS:
            if _DEMANDS[name](value, name):
                notes.demands[name] = value
            elif name.endswith("_penalty"):
                notes.hints[name] = value
        elif name not in _ELSEWHERE:
            notes.hints[name] = value
    return prompt


def _values(fields: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """The fields that say something: null says as little as nothing."""
    values: dict[str, Any] = {}
    for name, raw in fields.items():
        try:
            value = msgspec.json.decode(raw)
        except RecursionError:
            raise InvalidRequest(
                f"Invalid '{name}': nested too deeply.", do="Send it with fewer levels.", param=name
            ) from None
        except ValueError as error:
            raise invalid(name, str(error).rstrip(".").lower()) from None
        if value is not None:
            values[name] = value
    return values


def _temperature(prompt: Prompt, value: Any, notes: Notes) -> None:
    prompt.temperature = number(value, "temperature", 0, 2)
    notes.met("temperature", "temperature")


def _top_p(prompt: Prompt, value: Any, notes: Notes) -> None:
    prompt.top_p = number(value, "top_p", 0, 1)
    notes.met("top_p", "top_p")


def _top_k(prompt: Prompt, value: Any, notes: Notes) -> None:
    count = integer(value, "top_k", -1)
    if count > 0:
        prompt.top_k = count
        notes.met("top_k", "top_k")
    else:  # vLLM: -1 or 0 considers all tokens, as without it
        notes.hints["top_k"] = value


def _stop(prompt: Prompt, value: Any, notes: Notes) -> None:
    if isinstance(value, str):
        stops = [value]
    elif isinstance(value, list):
        stops = [text(one, f"stop[{at}]") for at, one in enumerate(value)]
    else:
        raise wrong_type("stop", "one of a string or array of strings", value)
    prompt.stop = [one for one in stops if one]
    if prompt.stop:
        notes.met("stop", "stop")


def _format(prompt: Prompt, value: Any, notes: Notes) -> None:
    name = "response_format"
    kind = word(mapping(value, name).get("type"), f"{name}.type", ("text", "json_object", "json_schema"))
    # Together, Anyscale and llama.cpp take a schema there, too (https://docs.anyscale.com/endpoints/text-generation/json-mode)
    beside = value.get("schema") if kind == "json_object" else None
    notes.rest(value, ("type", "json_schema") if beside is None else ("type", "json_schema", "schema"), name)
    if beside is not None:
        notes.met("json_schema", name)
        prompt.format = Format(schema=mapping(beside, f"{name}.schema"))
    elif kind == "json_object":
        notes.met("json_object", name)
        prompt.format = Format()
    elif kind == "json_schema":
        place = f"{name}.json_schema"
        wanted = mapping(value.get("json_schema"), place)
        notes.rest(wanted, ("name", "description", "schema", "strict"), place)
        schema, strict, about = wanted.get("schema"), wanted.get("strict"), wanted.get("description")
        notes.met("json_schema", name)
        if about is not None:
            notes.met("format_description", f"{place}.description")
        prompt.format = Format(
            # "The schema for the response format": without it any JSON object will do
            schema={"type": "object"} if schema is None else mapping(schema, f"{place}.schema"),
            name=text(wanted.get("name"), f"{place}.name"),
            description=None if about is None else text(about, f"{place}.description"),
            strict=None if strict is None else flag(strict, f"{place}.strict"),
        )


def _verbosity(prompt: Prompt, value: Any, notes: Notes) -> None:
    prompt.verbosity = word(value, "verbosity", ("low", "medium", "high"))
    notes.met("verbosity", "verbosity")


def _stream_options(prompt: Prompt, value: Any, notes: Notes) -> None:
    for name, option in mapping(value, "stream_options").items():
        if name != "include_usage" and option is not None:
            notes.hints[f"stream_options.{name}"] = option


_FIELDS: Mapping[str, Callable[[Prompt, Any, Notes], None]] = {
    "temperature": _temperature,
    "top_p": _top_p,
    "top_k": _top_k,
    "stop": _stop,
    "response_format": _format,
    "verbosity": _verbosity,
    "stream_options": _stream_options,
}


def _beyond_text(value: Any, name: str) -> bool:
    return any(text(one, f"{name}[{at}]") != "text" for at, one in enumerate(array(value, name)))


def _anything(value: Any, name: str) -> bool:
    return True


# What would change the answer: whether it really asks for something.
_DEMANDS: Mapping[str, Callable[[Any, str], bool]] = {
    "n": lambda value, name: integer(value, name, 1) > 1,
    "logprobs": flag,
    "top_logprobs": lambda value, name: integer(value, name, 0) > 0,
    "logit_bias": lambda value, name: bool(mapping(value, name)),
    "frequency_penalty": lambda value, name: number(value, name, -2, 2) != 0,
    "presence_penalty": lambda value, name: number(value, name, -2, 2) != 0,
    "modalities": _beyond_text,
    "audio": _anything,
    "web_search_options": _anything,
}


def _limit(values: Mapping[str, Any], notes: Notes) -> int | None:
    limits = {
        name: integer(values[name], name, 1) for name in ("max_completion_tokens", "max_tokens") if name in values
    }
    if not limits:
        return None
    if len(set(limits.values())) > 1:
        raise InvalidRequest(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            do="Send 'max_completion_tokens' alone.",
            param="max_tokens",
        )
    name, limit = next(iter(limits.items()))
    notes.met("max_output_tokens", name)
    return limit


def _user(values: Mapping[str, Any], notes: Notes) -> str | None:
    """Who asks; `safety_identifier` is the newer name of it, and what `user` says beside that is a hint."""
    users = {name: text(values[name], name) for name in ("safety_identifier", "user") if values.get(name)}
    for name in users:
        if notes.given.setdefault("user", name) != name:
            notes.hints[name] = users[name]
    return next(iter(users.values()), None)


def _read_parallel(prompt: Prompt, values: Mapping[str, Any], notes: Notes) -> None:
    name = "parallel_tool_calls"
    if name in values and flag(values[name], name) is not None and prompt.tools:  # without tools it says nothing
        prompt.parallel_tool_calls = values[name]
        notes.met(name, name)
    elif prompt.tools and "functions" in values and "tools" not in values:
        prompt.parallel_tool_calls = False  # their answers have room for one call
        notes.met(name, "functions")


def _thinking(values: Mapping[str, Any], notes: Notes) -> Thinking | None:
    """From the three fields that say it; the last of them wins, the one that only one vendor has."""
    said = Thinking()
    effort = values.get("reasoning_effort")
    if effort is not None and effort != "default":  # Groq's word for saying nothing
        notes.met("thinking", "reasoning_effort")
        said.effort = _effort(effort, "reasoning_effort")
    if "thinking" in values:
        notes.met("thinking", "thinking")
        _read_thinking(mapping(values["thinking"], "thinking"), said, notes)
    if "reasoning" in values:
        _read_reasoning(mapping(values["reasoning"], "reasoning"), said, notes)
    return None if said == Thinking() else said


def _read_thinking(value: dict[str, Any], said: Thinking, notes: Notes) -> None:
    notes.rest(value, ("type", "budget_tokens"), "thinking")
    kind = word(value.get("type"), "thinking.type", ("enabled", "disabled", "adaptive", "auto"))
    budget = value.get("budget_tokens")
    if kind == "disabled":
        said.mode = "off"
    elif kind == "enabled" and budget is not None:
        said.mode, said.budget = "budget", integer(budget, "thinking.budget_tokens", 1)
    else:
        said.mode = "adaptive"


def _read_reasoning(value: dict[str, Any], said: Thinking, notes: Notes) -> None:
    notes.rest(value, ("effort", "max_tokens", "enabled", "exclude"), "reasoning")
    effort, budget, enabled, exclude = (value.get(name) for name in ("effort", "max_tokens", "enabled", "exclude"))
    if exclude is not None and flag(exclude, "reasoning.exclude"):
        notes.met("thinking_display", "reasoning.exclude")
        said.display = "omitted"
    if effort is not None or budget is not None or enabled is not None:
        notes.met("thinking", "reasoning")
    if effort is not None:
        said.effort = _effort(effort, "reasoning.effort")
    if budget is not None:
        said.mode, said.budget = "budget", integer(budget, "reasoning.max_tokens", 1)
    if enabled is not None and not flag(enabled, "reasoning.enabled"):
        said.mode, said.budget = "off", 0
    elif enabled and effort is None and budget is None and said.effort is None:
        said.effort = "medium"  # "enabled: Enable reasoning at medium effort"


def _effort(value: Any, param: str) -> Effort:
    return cast(Effort, word(value, param, _EFFORTS))
