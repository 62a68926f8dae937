"""A prompt as the body of an OpenAI chat request, with what could not be said in it.

Field by field as in https://platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

import hashlib
from typing import Any

from penstock.errors import InvalidRequest
from penstock.prompt import Format, Prompt, Thinking
from penstock.wire.dialect import ModelFacts, Written
from penstock.wire.openai_messages import write_messages
from penstock.wire.openai_schema import fits_strict
from penstock.wire.openai_tools import write_choice, write_tools
from penstock.wire.splice import raw
from penstock.wire.translation import Losses

__all__ = ["SAYS", "encode_prompt"]

# The features of `translation.FEATURES` that this dialect has words for.
SAYS = frozenset(
    (
        *("system", "text", "stream", "user", "names"),
        *("tools", "tool_choice", "parallel_tool_calls", "tool_results", "tool_errors", "tool_result_images"),
        *("custom_tools", "allowed_tools", "tool_strict"),
        *("max_output_tokens", "temperature", "top_p", "stop", "thinking", "verbosity"),
        *("json_schema", "json_object", "format_description"),
        *("images", "image_detail", "documents", "document_titles", "audio_in"),
    )
)
_CHECKED = SAYS | {"thinking_history"}  # settled turn by turn, by the family that the thoughts are of

# The levels in order; the budgets up to which each stands for that many tokens of thinking.
_LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = ((2048, "low"), (8192, "medium"))
_KNOWN_LEVELS = ("low", "medium", "high")  # what every model that takes a level has

_LONGEST_USER = 64


def encode_prompt(prompt: Prompt, model: str, facts: ModelFacts, *, lenient: bool) -> Written:
    """The body. A stream asks for usage.

    Raises:
        InvalidRequest: something that matters cannot be said here, and `lenient` is off; or a value cannot be
            written as JSON.
    """
    losses = Losses(lenient=lenient)
    losses.check(prompt, _CHECKED)
    body: dict[str, Any] = {"model": model, "messages": write_messages(prompt, facts, losses)}
    if not body["messages"]:
        raise InvalidRequest("There is nothing to answer: every message is empty.", param="messages")
    _add_tools(body, prompt, facts, losses)
    _add_limits(body, prompt, facts, losses)
    _add_format(body, prompt, facts, losses)
    effort = _effort(prompt, facts, losses)
    if effort is not None:
        body["reasoning_effort"] = effort
    if prompt.verbosity is not None:
        body["verbosity"] = prompt.verbosity
    if prompt.user is not None:
        body["user"] = _user(prompt, losses)
    if prompt.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return Written(bytes(raw(body)), losses.dropped, losses.clamped)


def _add_tools(body: dict[str, Any], prompt: Prompt, facts: ModelFacts, losses: Losses) -> None:
    tools = write_tools(prompt, losses)
    if not tools:
        return  # without tools OpenAI refuses the two fields about them
    body["tools"] = tools
    choice = write_choice(prompt)
    forced = prompt.tool_choice is not None and prompt.tool_choice.mode in ("required", "tool")
    if forced and not facts.forced_tools:
        name = prompt.given.get("tool_choice", "tool_choice")
        losses.refuse(name, "the model that answers cannot be made to call a tool")
    elif choice is not None:
        body["tool_choice"] = choice
    if prompt.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = prompt.parallel_tool_calls


def _add_limits(body: dict[str, Any], prompt: Prompt, facts: ModelFacts, losses: Losses) -> None:
    limit, most = prompt.max_output_tokens, facts.max_output_tokens
    if limit is not None:
        if most is not None and limit > most:
            losses.clamp(prompt.given.get("max_output_tokens", "max_output_tokens"))
            limit = most
        body[facts.output_field] = limit
    for name, value in (("temperature", prompt.temperature), ("top_p", prompt.top_p)):
        if value is None:
            continue
        if facts.sampling:
            body[name] = value
        elif value != 1:  # 1 is the only value these models take, and their default
            losses.drop(prompt.given.get(name, name))
    if prompt.stop:
        body["stop"] = prompt.stop


def _add_format(body: dict[str, Any], prompt: Prompt, facts: ModelFacts, losses: Losses) -> None:
    wanted = prompt.format
    if wanted is None:
        return
    if wanted.schema is None:
        body["response_format"] = {"type": "json_object"}
        return
    name = prompt.given.get("json_schema", "json_schema")
    if facts.json_schema:
        body["response_format"] = {"type": "json_schema", "json_schema": _schema(wanted, name, losses)}
    else:
        losses.refuse(name, "the model that answers cannot be bound to a schema")


def _schema(wanted: Format, name: str, losses: Losses) -> dict[str, Any]:
    """Who says nothing about strictness expects the schema to be kept, which here strict mode alone makes sure of.

    A schema that strict mode refuses is asked for without it, and named.
    """
    written: dict[str, Any] = {"name": wanted.name or "output", "schema": wanted.schema}
    if wanted.description is not None:
        written["description"] = wanted.description
    if wanted.strict is False:
        written["strict"] = False
    elif fits_strict(wanted.schema):
        written["strict"] = True
    else:
        losses.clamp(name)
    return written


def _effort(prompt: Prompt, facts: ModelFacts, losses: Losses) -> str | None:
    """The level that stands for the wish, or for the one nearest to it; None where nothing is to be said."""
    wanted = None if prompt.thinking is None else _level(prompt.thinking)
    if wanted is None:
        return None
    name = prompt.given.get("thinking", "thinking")
    levels = facts.efforts or _KNOWN_LEVELS
    if facts.thinking in ("none", "always"):
        if not (wanted == "none" and facts.thinking == "none"):
            losses.drop(name)
        return None
    if wanted in levels:
        return wanted
    if wanted == "none":
        losses.drop(name)
        return None
    rank = _LEVELS.index(wanted)
    below = [level for level in _LEVELS[1:rank] if level in levels]
    if below:
        losses.clamp(name)
        return below[-1]
    return next((level for level in _LEVELS[rank:] if level in levels), None)


def _level(thinking: Thinking) -> str | None:
    if thinking.mode == "off":
        return "none"
    if thinking.mode == "budget":
        return next((level for most, level in _BUDGETS if thinking.budget <= most), "high")
    return thinking.effort


def _user(prompt: Prompt, losses: Losses) -> str:
    """The user's id; one that is longer than OpenAI takes becomes its digest, which tells users apart as well."""
    user = prompt.user or ""
    if len(user) <= _LONGEST_USER:
        return user
    losses.clamp(prompt.given.get("user", "user"))
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()
