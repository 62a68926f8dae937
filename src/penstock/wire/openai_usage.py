"""OpenAI's `usage` object as `Usage`, with the shapes that compatible providers give it, and the estimate without one.

Providers' numbers are not trusted: what is no number counts as 0, negatives as 0, and nothing exceeds 2**53.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec.structs import astuple

from penstock.messages import Usage
from penstock.usage import BYTES_A_TOKEN

__all__ = ["STANDARD", "PlainUsage", "count", "estimate", "is_odd", "read_usage", "served_by", "told"]

_MOST = 2**53
_LONGEST_COUNT = 16  # digits

# Bytes of text per token where nobody counted: about right for English, high for nothing in use.
_LONGEST_TIER = 40


# What vendors call the tier that everybody gets; any other word is a price of its own. OpenAI's `default`, Anthropic's
# and Mistral's `standard`, Groq's `on_demand`; `auto` and `standard_only` are what a request asks for.
STANDARD = frozenset(("", "default", "standard", "on_demand", "auto", "standard_only"))

# What a model may have thought at most, unsaid, and told in the total alone: an absurd total is not believed.
# https://discuss.ai.google.dev/t/127400 (completion_tokens 1, prompt_tokens 9, total_tokens 103)
_MOST_THOUGHT = 2_000_000

_Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]
# A prompt's and an answer's: with none there is more to be asked (`told`).
_Some = Annotated[int, msgspec.Meta(ge=1, le=_MOST)]


# Of all fields but the first five.
_NO_OTHERS = [None] * 10


class _Details(msgspec.Struct, gc=False):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    cache_creation_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None
    audio_tokens: _Count | None = None


class PlainUsage(msgspec.Struct, gc=False):
    """The shape that nearly all answers have, typed so that decoding it is most of the work."""

    prompt_tokens: _Some
    completion_tokens: _Some
    total_tokens: _Some
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: _Count | None = None
    cached_tokens: _Count | None = None
    num_cached_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None
    search_context_size: str | None = None
    num_search_queries: _Count | None = None
    input_tokens_details: msgspec.Raw | None = None
    output_tokens_details: msgspec.Raw | None = None

    def counts(self) -> Usage | None:
        """The same as `_read_any` gives; None where the numbers are odd, or others' names stand beside them."""
        taken_in, given_out, total, prompt, answer, *others = astuple(self)
        if others != _NO_OTHERS:
            return self._with_others()
        cached = reasoning = 0
        if prompt is not None:
            if (
                prompt.cache_write_tokens
                or prompt.cache_creation_tokens
                or prompt.cache_creation_input_tokens
                or prompt.audio_tokens
            ):
                return self._with_others()
            cached = prompt.cached_tokens or 0
        if answer is not None:
            if answer.audio_tokens:
                return self._with_others()
            reasoning = answer.reasoning_tokens or 0
        if taken_in + given_out != total or cached > taken_in or reasoning > given_out:
            return None
        return Usage(taken_in, given_out, cached, 0, reasoning)

    def _with_others(self) -> Usage | None:
        """The same where more is said than OpenAI itself says of text, or less."""
        taken_in, given_out = self.prompt_tokens, self.completion_tokens
        if taken_in + given_out != self.total_tokens:
            return None
        if self.input_tokens_details is not None or self.output_tokens_details is not None:
            return None
        if self.cache_read_input_tokens or self.cache_creation_input_tokens:
            return None
        cached = written = reasoning = heard = spoken = None
        details = self.prompt_tokens_details
        if details is not None:
            cached, written, heard = details.cached_tokens, details.cache_write_tokens, details.audio_tokens
            written = written or details.cache_creation_tokens or details.cache_creation_input_tokens
        details = self.completion_tokens_details
        if details is not None:
            reasoning, spoken = details.reasoning_tokens, details.audio_tokens
        cached = cached or self.prompt_cache_hit_tokens or self.cached_tokens or self.num_cached_tokens or 0
        written, reasoning = written or 0, reasoning or self.reasoning_tokens or 0
        if cached + written > taken_in or reasoning > given_out:
            return None
        if heard or spoken or self.search_context_size or self.num_search_queries:
            return Usage(
                *(taken_in, given_out, cached, written, reasoning),
                input_audio_tokens=heard or 0,
                output_audio_tokens=spoken or 0,
                web_searches=self.num_search_queries or 0,
                tier=_searched(self.search_context_size),
            )
        return Usage(taken_in, given_out, cached, written, reasoning)


def read_usage(value: Any) -> Usage | None:
    """The counts in a decoded `usage` object; None if it holds none."""
    if not isinstance(value, dict):
        return None
    try:
        usage = msgspec.convert(value, PlainUsage).counts()
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter of a name that is no Unicode
        usage = None
    return usage if usage is not None else _read_any(value)


def _read_any(value: dict[str, Any]) -> Usage | None:
    get = value.get
    taken_in, given_out, total = get("prompt_tokens"), get("completion_tokens"), count(get("total_tokens"))
    if taken_in is None and given_out is None:
        taken_in, given_out = get("input_tokens"), get("output_tokens")
        if taken_in is None and given_out is None:
            return Usage(input_tokens=total) if "total_tokens" in value else None  # Voyage's embeddings
    odd = is_odd(taken_in) or is_odd(given_out)
    taken_in, given_out = count(taken_in), count(given_out)
    cached = written = reasoning = heard = spoken = 0
    prompt = get("prompt_tokens_details") or get("input_tokens_details")
    if isinstance(prompt, dict):
        cached = _part(prompt.get("cached_tokens"))
        # OpenRouter's and OpenAI's name; LiteLLM's; Alibaba's
        names = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
        written = next((number for name in names if (number := _part(prompt.get(name)))), 0)
        heard = count(prompt.get("audio_tokens"))
    # DeepSeek's name; Together's and Moonshot's place; Mistral's name
    cached = cached or _part(get("prompt_cache_hit_tokens") or get("cached_tokens") or get("num_cached_tokens"))
    # Anthropic's names beside OpenAI's: Databricks, LiteLLM
    cached = cached or _part(get("cache_read_input_tokens"))
    written = written or _part(get("cache_creation_input_tokens"))
    completion = get("completion_tokens_details") or get("output_tokens_details")
    if isinstance(completion, dict):
        reasoning = _part(completion.get("reasoning_tokens"))
        spoken = count(completion.get("audio_tokens"))
    reasoning = reasoning or _part(get("reasoning_tokens"))  # Perplexity
    rest = total - taken_in - given_out
    if not total and cached + written < _MOST and "cache_read_input_tokens" in value and "prompt_tokens" not in value:
        taken_in += cached + written  # in Anthropic's own words they are beside input_tokens
    elif 0 < rest <= _MOST_THOUGHT:
        if rest == reasoning:
            given_out += rest  # xAI counts reasoning beside completion_tokens
        elif rest in (heard, cached + written):
            taken_in += rest  # Mistral counts audio beside prompt_tokens; some that sell Claude what was cached
        elif not completion and not reasoning:
            given_out, reasoning = given_out + rest, reasoning + rest  # Gemini's thoughts are in the total alone
    return Usage(
        *(taken_in, given_out, cached, written, reasoning),
        input_audio_tokens=heard,
        output_audio_tokens=spoken,
        web_searches=count(get("num_search_queries")),  # Perplexity
        tier=_searched(get("search_context_size")),
        odd=odd,
    )


def _searched(size: Any) -> str:
    """Perplexity's fee for a request goes by the size of the search's context: a tier of its own."""
    return f"search_{size[:20]}" if size.__class__ is str and size else ""


def served_by(tier: Any, usage: Usage) -> Usage:
    """The same, with the tier that a vendor says has served it."""
    if tier is None or tier.__class__ is not str or tier in STANDARD:
        return usage
    return msgspec.structs.replace(usage, tier=tier[:_LONGEST_TIER])


def estimate(prompt_bytes: int, output_bytes: int) -> Usage:
    """A count for a provider that gave none, rounded up and marked."""
    return Usage(
        input_tokens=-(-prompt_bytes // BYTES_A_TOKEN),
        output_tokens=-(-output_bytes // BYTES_A_TOKEN),
        estimated=True,
    )


def told(usage: Usage | None, prompt_bytes: int, output_bytes: int) -> Usage:
    """The provider's count; an estimate where it gave none, or one that cannot be, which is marked besides.

    Of half a count the other half is an estimate: no prompt and no answer has nothing. A part that is more than the
    whole is marked too, and has no price of its own (`providers/rates.py`).
    """
    if usage is None:
        return estimate(prompt_bytes, output_bytes)
    taken, given = usage.input_tokens, usage.output_tokens
    if usage.odd or (output_bytes and not given and not taken):
        return msgspec.structs.replace(estimate(prompt_bytes, output_bytes), odd=True, tier=usage.tier)
    if (given and prompt_bytes and not taken) or (output_bytes and not given):
        guess = estimate(prompt_bytes, output_bytes)
        taken, given = taken or guess.input_tokens, given or guess.output_tokens
        usage = msgspec.structs.replace(usage, input_tokens=taken, output_tokens=given, estimated=True)
    if usage.cache_read_tokens + usage.cache_write_tokens > taken or usage.reasoning_tokens > given:
        read, written, thought = usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens
        usage = msgspec.structs.replace(
            usage,
            cache_read_tokens=read % _MOST,
            cache_write_tokens=written % _MOST,
            reasoning_tokens=thought % _MOST,
            odd=True,
        )
    return usage


def _part(number: Any) -> int:
    """A number that is a part of another one; what cannot be one is more than any whole, so that `told` marks it."""
    return _MOST if is_odd(number) else count(number)


def is_odd(number: Any) -> bool:
    """Whether a provider's number cannot be one of tokens; where it leaves it out there is none."""
    return number is not None and count(number) != number and not _is_written(number)


def _is_written(number: Any) -> bool:
    """Whether it is a number in quotes."""
    return number.__class__ is str and number.isascii() and number.isdigit() and len(number) < _LONGEST_COUNT


def count(number: Any) -> int:
    """A provider's number, not trusted: what is none counts as 0, negatives as 0, and nothing exceeds 2**53."""
    if _is_written(number):
        return int(number)
    if number.__class__ is int or (number.__class__ is float and number == number):
        return number if 0 <= number <= _MOST and number.__class__ is int else int(min(max(number, 0), _MOST))
    return 0
