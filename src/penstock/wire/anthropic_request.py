"""A prompt as the body of an Anthropic request, with what could not be said in it.

Field by field as in https://platform.claude.com/docs/en/api/messages/create.
"""

from __future__ import annotations

from typing import Any

from penstock.errors import InvalidRequest
from penstock.prompt import Prompt
from penstock.wire.anthropic_conversation import in_tool_loop, write_conversation
from penstock.wire.anthropic_schema import bound
from penstock.wire.anthropic_thinking import add_thinking, limit_of, thinks
from penstock.wire.anthropic_tools import is_forced, write_choice, write_tools
from penstock.wire.dialect import ModelFacts, Written
from penstock.wire.splice import raw
from penstock.wire.translation import Losses

__all__ = ["SAYS", "encode_prompt"]

# The features of `translation.FEATURES` that this dialect has words for.
SAYS = frozenset(
    (
        *("system", "text", "stream", "user"),
        *("tools", "tool_choice", "parallel_tool_calls", "tool_results", "tool_errors", "tool_result_images"),
        *("allowed_tools", "tool_strict"),
        *("max_output_tokens", "temperature", "top_p", "top_k", "stop", "thinking", "thinking_display"),
        *("json_schema", "images", "documents", "document_urls", "document_titles", "citations", "cache_markers"),
    )
)
# Settled turn by turn: by the family that the thoughts are of; by whether the citations are Anthropic's.
_SETTLED = frozenset(("thinking_history", "citation_history"))

_LEAST_TOP_P = 0.95  # https://platform.claude.com/docs/en/build-with-claude/extended-thinking#feature-compatibility


def encode_prompt(prompt: Prompt, model: str, facts: ModelFacts, *, lenient: bool) -> Written:
    """The body.

    Raises:
        InvalidRequest: something that matters cannot be said here, and `lenient` is off; or a value cannot be
            written as JSON.
    """
    losses = Losses(lenient=lenient)
    losses.check(prompt, SAYS | _SETTLED)
    _check_citations(prompt, losses)
    system, messages = write_conversation(prompt, facts, losses)
    if not messages:
        raise InvalidRequest("There is nothing to answer: every message is empty.", param="messages")
    body: dict[str, Any] = {"model": model, "max_tokens": limit_of(prompt, facts, losses), "messages": messages}
    if system:
        body["system"] = system
    forced = _add_tools(body, prompt, facts, losses)
    # While a model has a budget to think, a turn of its own that it has not thought about cannot be gone on with.
    barred = forced or (facts.thinking == "budget" and in_tool_loop(messages))
    add_thinking(body, prompt, facts, losses, barred=barred)
    _add_sampling(body, prompt, facts, losses)
    _add_stop(body, prompt, losses)
    _add_format(body, prompt, facts, losses)
    if prompt.user is not None:
        body["metadata"] = {"user_id": prompt.user}
    if prompt.stream:
        body["stream"] = True
    return Written(bytes(raw(body)), losses.dropped, losses.clamped)


def _check_citations(prompt: Prompt, losses: Losses) -> None:
    """Only a dialect that cites as Anthropic does keeps its citations with the texts."""
    name = prompt.given.get("citation_history")
    if name is not None and not any(getattr(part, "citations", None) for turn in prompt.turns for part in turn.parts):
        losses.lose("citation_history", name)


def _add_tools(body: dict[str, Any], prompt: Prompt, facts: ModelFacts, losses: Losses) -> bool:
    """The tools and the choice among them; returns whether the model is made to call one."""
    tools = write_tools(prompt, losses)
    name = prompt.given.get("tool_choice", "tool_choice")
    if not tools:  # then Anthropic refuses a choice among them
        if prompt.tool_choice is not None and prompt.tool_choice.mode in ("required", "tool"):
            losses.refuse(name)
        return False
    body["tools"] = tools
    choice = write_choice(prompt, tools, losses)
    if choice is not None and is_forced(choice) and not facts.forced_tools:
        losses.refuse(name, "the model that answers cannot be made to call a tool")
        alone = choice.get("disable_parallel_tool_use")
        choice = {"type": "auto", "disable_parallel_tool_use": True} if alone else None
    if choice is not None:
        body["tool_choice"] = choice
    return is_forced(choice)


def _add_sampling(body: dict[str, Any], prompt: Prompt, facts: ModelFacts, losses: Losses) -> None:
    """Temperature and the like, in Anthropic's range, and left out where they get in the way of thinking."""
    thinking = thinks(body)
    temperature = prompt.temperature
    if temperature is not None and temperature > 1:
        losses.clamp(prompt.given.get("temperature", "temperature"))
        temperature = 1
    for name, value, fits in (
        ("temperature", temperature, temperature == 1 or not thinking),
        ("top_p", prompt.top_p, prompt.top_p is None or prompt.top_p >= _LEAST_TOP_P or not thinking),
        ("top_k", prompt.top_k, not thinking),
    ):
        if value is None:
            continue
        if fits and facts.sampling:
            body[name] = value
        elif value != 1 or name == "top_k":  # 1 is what holds without it
            losses.drop(prompt.given.get(name, name))


def _add_stop(body: dict[str, Any], prompt: Prompt, losses: Losses) -> None:
    """ "each stop sequence must contain non-whitespace"."""
    stops = [stop for stop in prompt.stop if stop.strip()]
    if len(stops) < len(prompt.stop):
        losses.refuse(prompt.given.get("stop", "stop"), "the model that answers does not stop at white space")
    if stops:
        body["stop_sequences"] = stops


def _add_format(body: dict[str, Any], prompt: Prompt, facts: ModelFacts, losses: Losses) -> None:
    wanted = prompt.format
    if wanted is None or wanted.schema is None:
        return
    name = prompt.given.get("json_schema", "json_schema")
    if not facts.json_schema:
        losses.refuse(name, "the model that answers cannot be bound to a schema")
        return
    if not _says_anything(wanted.schema):
        losses.refuse(name, "the model that answers needs a schema that names its properties")
        return
    schema, lost = bound(wanted.schema)
    if lost:
        losses.clamp(name)
    body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}


def _says_anything(schema: Any) -> bool:
    """Whether it is more than "any object": closed as Anthropic's schemas must be, that would be the empty one."""
    if not isinstance(schema, dict) or schema.get("type") != "object" or schema.get("additionalProperties") is False:
        return bool(schema)
    return any(schema.get(name) for name in ("properties", "anyOf", "oneOf", "allOf", "$ref"))
