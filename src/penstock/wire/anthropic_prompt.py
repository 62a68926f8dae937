"""A whole Anthropic request in no vendor's words: every field carried, noted as a hint, or noted as a demand.

Field by field as in https://platform.claude.com/docs/en/api/messages/create, betas included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from penstock.prompt import Effort, Format, Prompt, Thinking
from penstock.wire.anthropic_checks import array, flag, integer, invalid, mapping, number, text, word
from penstock.wire.anthropic_tools import read_choice, read_tools
from penstock.wire.anthropic_turns import read_system, read_turns
from penstock.wire.openai_checks import Notes

__all__ = ["decode_prompt"]

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_LEAST_BUDGET = 1024
_THINKING = frozenset(("type", "budget_tokens", "display"))

# Read where they are needed, or of no concern here.
_ELSEWHERE = frozenset(("model", "messages", "system", "stream", "tools", "tool_choice"))


def decode_prompt(fields: dict[str, msgspec.Raw]) -> Prompt:
    """Read the whole of it. Raises InvalidRequest: `param` is the path of what is wrong, `messages.1.role`.

    `max_tokens` may be missing, as it is where tokens are only counted.
    """
    values = _values(fields)
    notes = Notes()
    prompt = Prompt(given=notes.given, hints=notes.hints, demands=notes.demands)
    prompt.stream = flag(values.get("stream"), "stream")
    if prompt.stream:
        notes.met("stream", "stream")
    prompt.turns = read_system(values.get("system"), notes) + read_turns(values.get("messages"), notes)
    prompt.tools = read_tools(values.get("tools"), notes)
    prompt.tool_choice, prompt.parallel_tool_calls = read_choice(values.get("tool_choice"), prompt.tools, notes)
    for name, value in values.items():
        read = _FIELDS.get(name)
        if read is not None:
            read(prompt, value, notes)
        elif name in _DEMANDS:
            if _DEMANDS[name](value):
                notes.demands[name] = value
            else:
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
            raise invalid(name, "nested too deeply") from None
        except ValueError as error:
            raise invalid(name, str(error).rstrip(".")) from None
        if value is not None:
            values[name] = value
    return values


def _max_tokens(prompt: Prompt, value: Any, notes: Notes) -> None:
    """The limit. 0 asks for no answer at all, only for the prompt to be cached.

    https://platform.claude.com/docs/en/build-with-claude/prompt-caching#pre-warming-the-cache
    """
    limit = integer(value, "max_tokens", 0)
    if limit:
        prompt.max_output_tokens = limit
        notes.met("max_output_tokens", "max_tokens")
    else:
        notes.demands["max_tokens"] = value


def _temperature(prompt: Prompt, value: Any, notes: Notes) -> None:
    prompt.temperature = number(value, "temperature", 0, 1)
    notes.met("temperature", "temperature")


def _top_p(prompt: Prompt, value: Any, notes: Notes) -> None:
    prompt.top_p = number(value, "top_p", 0, 1)
    notes.met("top_p", "top_p")


def _top_k(prompt: Prompt, value: Any, notes: Notes) -> None:
    count = integer(value, "top_k", 0)
    if count:
        prompt.top_k = count
        notes.met("top_k", "top_k")
    else:
        notes.hints["top_k"] = value


def _stop(prompt: Prompt, value: Any, notes: Notes) -> None:
    stops = [text(one, f"stop_sequences.{at}") for at, one in enumerate(array(value, "stop_sequences"))]
    prompt.stop = [one for one in stops if one]
    if prompt.stop:
        notes.met("stop", "stop_sequences")


def _thinking(prompt: Prompt, value: Any, notes: Notes) -> None:
    """https://platform.claude.com/docs/en/build-with-claude/thinking.

    `between_tools` is how a model that always thinks while it works with tools is told not to think otherwise.
    """
    mapping(value, "thinking")
    notes.rest(value, _THINKING, "thinking")
    kind = word(value.get("type"), "thinking.type", ("enabled", "disabled", "adaptive", "between_tools"))
    notes.given["thinking"] = "thinking"
    said = _said(prompt)
    if kind == "enabled":
        said.mode = "budget"
        said.budget = integer(value.get("budget_tokens"), "thinking.enabled.budget_tokens", _LEAST_BUDGET)
    else:
        said.mode = "adaptive" if kind == "adaptive" else "off"
    display = value.get("display")
    if display is not None:
        said.display = text(display, "thinking.display")
        notes.met("thinking_display", "thinking.display")


def _output_config(prompt: Prompt, value: Any, notes: Notes) -> None:
    mapping(value, "output_config")
    notes.rest(value, ("effort", "format"), "output_config")
    if value.get("effort") is not None:
        place = "output_config.effort"
        _said(prompt).effort = cast(Effort, word(value["effort"], place, _EFFORTS))
        notes.met("thinking", place)
    if value.get("format") is not None:
        _format(prompt, value["format"], "output_config.format", notes)


def _output_format(prompt: Prompt, value: Any, notes: Notes) -> None:
    """What `output_config.format` was called in its beta."""
    _format(prompt, value, "output_format", notes)


def _format(prompt: Prompt, value: Any, place: str, notes: Notes) -> None:
    if prompt.format is not None:
        raise invalid(place, "`output_format` and `output_config.format` cannot both be given")
    wanted = mapping(value, place)
    word(wanted.get("type"), f"{place}.type", ("json_schema",))
    notes.rest(wanted, ("type", "schema"), place)
    prompt.format = Format(schema=mapping(wanted.get("schema"), f"{place}.schema"))
    notes.met("json_schema", place)


def _metadata(prompt: Prompt, value: Any, notes: Notes) -> None:
    user = mapping(value, "metadata").get("user_id")
    notes.rest(value, ("user_id",), "metadata")
    if user is not None and text(user, "metadata.user_id"):
        prompt.user = user
        notes.met("user", "metadata.user_id")


def _thread(prompt: Prompt, value: Any, notes: Notes) -> None:
    """A conversation that the vendor holds. Its later turns mean nothing without it, however much may be dropped."""
    if mapping(value, "thread").get("type") == "continue":
        raise invalid("thread", "the model that answers is another vendor's, which has none of the earlier turns")
    notes.demands["thread"] = value


_FIELDS: Mapping[str, Callable[[Prompt, Any, Notes], None]] = {
    "max_tokens": _max_tokens,
    "temperature": _temperature,
    "top_p": _top_p,
    "top_k": _top_k,
    "stop_sequences": _stop,
    "thinking": _thinking,
    "output_config": _output_config,
    "output_format": _output_format,
    "metadata": _metadata,
    "thread": _thread,
}


def _anything(value: Any) -> bool:
    return bool(value)


def _has_skills(container: Any) -> bool:
    return isinstance(container, dict) and bool(container.get("skills"))


# What would change the answer: whether it really asks for something. A container that is only named serves the tools
# that run in it, which are refused themselves.
_DEMANDS: Mapping[str, Callable[[Any], bool]] = {
    "mcp_servers": _anything,
    "container": _has_skills,
}


def _said(prompt: Prompt) -> Thinking:
    if prompt.thinking is None:
        prompt.thinking = Thinking()
    return prompt.thinking
