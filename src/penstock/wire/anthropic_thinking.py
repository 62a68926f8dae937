"""How much to think, in Anthropic's words: a budget of tokens for the older models, a level for the newer ones.

https://platform.claude.com/docs/en/build-with-claude/thinking, .../extended-thinking, .../effort
"""

from __future__ import annotations

from typing import Any

from penstock.prompt import Prompt, Thinking
from penstock.wire.dialect import ModelFacts
from penstock.wire.translation import Losses

__all__ = ["BUDGETS", "add_thinking", "level_of", "limit_of", "thinks"]

# The levels in order, and the tokens of thinking that each stands for.
BUDGETS = {"minimal": 2048, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
_LEVELS = tuple(BUDGETS)
_KNOWN_LEVELS = ("low", "medium", "high")  # what every model that takes a level has
_LEAST = 1024
_UNSAID_LIMIT = 8192


def limit_of(prompt: Prompt, facts: ModelFacts, losses: Losses) -> int:
    """`max_tokens`, which must be said: the caller's, as far as the model goes, or the default."""
    most = facts.max_output_tokens
    if prompt.max_output_tokens is None:
        return min(most or _UNSAID_LIMIT, facts.default_output_tokens)
    if most is not None and prompt.max_output_tokens > most:
        losses.clamp(prompt.given.get("max_output_tokens", "max_output_tokens"))
        return most
    return prompt.max_output_tokens


def level_of(budget: int) -> str:
    """The level that a budget amounts to."""
    return "low" if budget <= BUDGETS["low"] else "medium" if budget <= BUDGETS["medium"] else "high"


def thinks(body: dict[str, Any]) -> bool:
    """Whether the request has thinking switched on."""
    return body.get("thinking", {}).get("type") in ("enabled", "adaptive")


def add_thinking(body: dict[str, Any], prompt: Prompt, facts: ModelFacts, losses: Losses, *, barred: bool) -> None:
    """Set `thinking`, and what goes with it: `output_config.effort`, a larger `max_tokens`.

    Args:
        barred: the model may not think in this turn, since a tool is forced on it.
    """
    wanted = prompt.thinking
    name = prompt.given.get("thinking", "thinking")
    can_stop = not facts.efforts or "none" in facts.efforts
    off = wanted is not None and (wanted.mode == "off" or (wanted.mode is None and wanted.effort == "none"))
    asked = wanted is not None and not off and wanted != Thinking(display=wanted.display)
    if asked and (barred or facts.thinking in ("none", "always")):
        losses.drop(name)
    if facts.thinking in ("none", "always"):
        if off and facts.thinking == "always":
            losses.drop(name)
    elif off or (barred and facts.thinking == "adaptive"):
        # Some models think unless they are told not to.
        if can_stop:
            body["thinking"] = {"type": "disabled"}
        elif off:
            losses.drop(name)
    elif wanted is not None and asked and not barred:
        if facts.thinking == "budget":
            _add_budget(body, prompt, facts, losses)
        else:
            _add_effort(body, wanted, facts, losses, name)
    if wanted is not None and wanted.display is not None:
        if thinks(body):
            body["thinking"]["display"] = wanted.display
        else:
            losses.lose("thinking_display", prompt.given.get("thinking_display", "thinking.display"))


def _add_effort(body: dict[str, Any], wanted: Thinking, facts: ModelFacts, losses: Losses, name: str) -> None:
    body["thinking"] = {"type": "adaptive"}
    level = wanted.effort or (level_of(wanted.budget) if wanted.mode == "budget" else None)
    if level is None or level == "none":
        return
    levels = [one for one in _LEVELS if one in (facts.efforts or _KNOWN_LEVELS)] or list(_KNOWN_LEVELS)
    if level not in levels:
        rank = _LEVELS.index(level)
        below = [one for one in levels if _LEVELS.index(one) < rank]
        if below:
            losses.clamp(name)
        level = below[-1] if below else levels[0]
    body.setdefault("output_config", {})["effort"] = level


def _add_budget(body: dict[str, Any], prompt: Prompt, facts: ModelFacts, losses: Losses) -> None:
    """The budget lies within `max_tokens`: that grows where the caller left it open, else the budget shrinks."""
    wanted = prompt.thinking or Thinking()
    name = prompt.given.get("thinking", "thinking")
    budget = wanted.budget if wanted.mode == "budget" else BUDGETS.get(wanted.effort or "medium", BUDGETS["medium"])
    if budget < _LEAST:
        losses.clamp(name)
        budget = _LEAST
    if prompt.max_output_tokens is None:
        limit = body["max_tokens"] + budget
        body["max_tokens"] = min(limit, facts.max_output_tokens or limit)
    limit = body["max_tokens"]
    if limit <= _LEAST:
        losses.drop(name)
        return
    if budget >= limit:
        losses.clamp(name)
        budget = max(_LEAST, limit // 2)
    body["thinking"] = {"type": "enabled", "budget_tokens": budget}
