"""The sixteen faults: what the primary and the fallback do, and what must come of it.

A case is played by whoever has a gateway (a process in real time, or one in virtual time), and judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.sixteen.story import Story

__all__ = ["CASES", "MODEL", "REFERENCE", "Case"]

TOKENS = 60
MODEL = f"small:tokens={TOKENS},between=10ms"
# How many events come before a stream's first token.
LEADING = {"openai": 1, "anthropic": 3}

STREAM = (True,)
BOTH = (True, False)


@dataclass(frozen=True)
class Case:
    """One fault.

    Attributes:
        number: its place among the sixteen; several may share one where it has several forms.
        name: short, for a model's name.
        title: for a person.
        judge: fails unless what happened is right.
        primary, fallback: what is wrong with them: fault scripts; `{after20}` is after how many events twenty tokens
            are out.
        streams: whether it is asked for a stream, or whole, or both.
        policies: of the model, beside those of all.
        fallback_model: what the fallback is asked for, with the length and speed of its answer.
        fallback_kinds: of providers, where it is another than the caller's dialect is named after.
        asks: how many requests are sent at most; `pace`: seconds from one to the next, 0: when the one before is over.
        until: no more are sent once this is so.
    """

    number: int
    name: str
    title: str
    judge: Callable[[Story], None]
    primary: str = ""
    fallback: str = ""
    streams: tuple[bool, ...] = STREAM
    policies: Mapping[str, Any] = field(default_factory=dict, hash=False)
    fallback_model: str = MODEL
    fallback_kinds: Mapping[str, str] = field(default_factory=dict, hash=False)
    asks: int = 1
    pace: float = 0.0
    until: Callable[[Story], bool] = lambda story: False

    def script(self, role: str, dialect: str) -> str:
        """Of one of its providers."""
        lead = LEADING[dialect]
        text = self.primary if role == "primary" else self.fallback
        return text.format(after20=lead + 20, after40=lead + 40)


# --- what must come of it


def _complete(story: Story) -> None:
    """Every answer is the whole one, with its usage."""
    for outcome in story.outcomes:
        assert (outcome.status, outcome.error) == (200, ""), story.told
        assert outcome.finish == "stop", story.told
        assert outcome.text == story.reference, story.told
        assert outcome.output_tokens, story.told


def _asked(story: Story, primary: int, fallback: int) -> None:
    assert (len(story.primary), len(story.fallback)) == (primary, fallback), story.told


def _waits(story: Story) -> None:
    _complete(story)
    _asked(story, 2, 0)
    first, second = story.primary
    assert second.time - first.time >= 1.95, story.told  # the two processes' clocks are one; the loop's are coarse


def _keeps_within_bounds(story: Story) -> None:
    _complete(story)
    assert story.most_within(3.0) <= 4, story.told
    assert len(story.attempts) <= 6, story.told


def _falls_back_at_once(story: Story) -> None:
    _complete(story)
    _asked(story, 1, 1)
    assert story.fallback[0].time - story.primary[0].time < 1.0, story.told


def _recovers(story: Story) -> None:
    _complete(story)
    assert len(story.attempts) <= 3, story.told


def _leaves_the_silent(story: Story) -> None:
    _complete(story)
    _asked(story, 1, 1)
    assert story.only.seconds < 15.0, story.told


def _joins(story: Story) -> None:
    _complete(story)
    assert len(story.primary) == 1, story.told
    assert len(story.attempts) <= 3, story.told


def _joins_afresh(story: Story) -> None:
    """Asked to go on, the fallback refuses; asked the same again it answers, and that refusal is nobody's error."""
    _complete(story)
    _asked(story, 1, 2)


def _joins_and_is_well(story: Story) -> None:
    """The first was stalled, the second finds a gateway and a primary in good health."""
    _complete(story)
    first, second = story.outcomes
    assert first.seconds < 16.0, story.told
    assert second.seconds < 5.0, story.told
    assert len(story.primary) == 2, story.told


def _says_so(tokens: int) -> Callable[[Story], None]:
    def judge(story: Story) -> None:
        outcome = story.outcomes[0]
        assert outcome.error, story.told
        assert outcome.finish is None, story.told
        assert outcome.text, story.told
        assert story.reference.startswith(outcome.text), story.told
        assert len(outcome.text) >= len(story.reference) * tokens // TOKENS // 2, story.told
        assert outcome.line["stream_error"], story.told
        assert len(outcome.line["attempts"]) == 1, story.told

    return judge


_cut_is_told = _says_so(40)


def _stall_is_told(story: Story) -> None:
    _says_so(20)(story)
    first, second = story.outcomes
    assert first.seconds < 16.0, story.told
    assert (second.error, second.finish) == ("", "stop"), story.told


def _drops_one(story: Story) -> None:
    outcome = story.only
    assert (outcome.error, outcome.finish) == ("", "stop"), story.told
    assert outcome.line["dropped_events"] == 1, story.told
    assert 0 < len(story.reference) - len(outcome.text) < 20, story.told
    _asked(story, 1, 0)


def _ends_at_once(story: Story) -> None:
    _complete(story)
    _asked(story, 1, 0)
    assert story.only.output_tokens == TOKENS, story.told
    assert story.only.seconds < 3.0, story.told


def _takes_the_larger(story: Story) -> None:
    _complete(story)
    _asked(story, 1, 1)


def _keeps_the_reason(story: Story) -> None:
    outcome = story.only
    _asked(story, 1, 0)
    assert outcome.status == 400, story.told
    assert "content management policy" in outcome.error or "content filtering policy" in outcome.error, story.told


def _serves_all_and_comes_back(story: Story) -> None:
    _complete(story)
    assert len(story.outcomes) >= 20, story.told
    recovered = story.primary[0].time + DOWN
    again = [asked.time for asked in story.primary if asked.time >= recovered]
    assert again, story.told
    assert again[0] <= recovered + 30.0, story.told
    assert story.outcomes[-1].target.startswith("p-"), story.told
    # Five failures open the breaker; from then on it is probed after 5, 10, 20, ... seconds.
    probes = sum(asked.time < recovered for asked in story.primary)
    assert probes <= 9, story.told
    assert max(outcome.seconds for outcome in story.outcomes) < 5.0, story.told


def _reports_the_fallback(story: Story) -> None:
    outcome = story.only
    assert (outcome.status, outcome.error, outcome.finish) == (200, "", "stop"), story.told
    _asked(story, 1, 1)
    assert outcome.model == "large", story.told
    assert outcome.target.startswith("f-"), story.told
    assert outcome.headers["x-penstock-attempts"] == "2", story.told
    assert outcome.output_tokens == 33, story.told
    line = outcome.line
    assert line["deployment"] == outcome.target, story.told
    assert line["response_model"] == "large", story.told
    assert line["tokens"]["output"] == 33, story.told
    assert [attempt["deployment"][:2] for attempt in line["attempts"]] == ["p-", "f-"], story.told


def _is_back(story: Story) -> bool:
    """Twenty were sent, and the primary has answered since it is up again."""
    if len(story.outcomes) < 20:
        return False
    return story.outcomes[-1].target.startswith("p-")


DOWN = 60.0
_FLAPPING = f"status=503,during={DOWN:.0f}s"

REFERENCE = Case(0, "well", "a provider in good health", _complete, streams=BOTH)

CASES: tuple[Case, ...] = (
    Case(1, "429-once", "429, retry-after 2 s", _waits, "status=429,retry_after=2,times=1", streams=BOTH),
    Case(2, "429-always", "persistent 429", _keeps_within_bounds, "status=429", streams=BOTH),
    Case(
        2, "429-after-1s", "persistent 429, retry-after 1 s", _keeps_within_bounds, "status=429,retry_after=1",
        streams=BOTH,
    ),
    Case(3, "500-once", "one 500", _recovers, "status=500,times=1", streams=BOTH),
    Case(4, "503-always", "persistent 503", _falls_back_at_once, "status=503", streams=BOTH),
    Case(5, "reset", "reset before headers", _falls_back_at_once, "reset=before_headers", streams=BOTH),
    Case(6, "silent", "accepts and never answers", _leaves_the_silent, "silence"),
    Case(7, "late", "first token after 20 s", _leaves_the_silent, "first_token=20s"),
    Case(8, "cut", "cut after 40 of 60 tokens: resume", _joins, "cut={after40}"),
    Case(
        8, "cut-error", "cut after 40 of 60 tokens: error", _cut_is_told, "cut={after40}",
        policies={"on_stream_cut": "error"},
    ),
    Case(
        9, "stall", "30 s of silence after 20 tokens: resume", _joins_and_is_well,
        "stall={after20},stall_for=30s,times=1", asks=2,
    ),
    Case(
        9, "stall-error", "30 s of silence after 20 tokens: error", _stall_is_told,
        "stall={after20},stall_for=30s,times=1", asks=2, policies={"on_stream_cut": "error"},
    ),
    Case(10, "malformed", "malformed tenth event: resume", _joins, "malformed=10"),
    Case(
        10, "malformed-error", "malformed tenth event: error", _drops_one, "malformed=10",
        policies={"on_stream_cut": "error"},
    ),
    Case(11, "no-done", "no [DONE]", _ends_at_once, "no_done"),
    Case(
        12, "context", "the context is too long", _takes_the_larger, "status=400,code=context_length_exceeded",
        streams=BOTH,
    ),
    Case(13, "filter", "content filter", _keeps_the_reason, "status=400,code=content_filter", streams=BOTH),
    Case(
        14, "prefill", "cut, and a fallback that rejects prefill", _joins_afresh, "cut={after40}",
        "no_prefill", fallback_kinds={"openai": "mistral"},  # OpenAI's own models are never asked to go on
    ),
    Case(
        15, "flapping", "down for 60 s, 20 requests 4 s apart", _serves_all_and_comes_back, _FLAPPING,
        asks=23, pace=4.0, until=_is_back,
    ),
    Case(
        16, "accounting", "the fallback's model and usage", _reports_the_fallback, "status=503",
        fallback_model="large:tokens=33,between=10ms", streams=BOTH,
    ),
)  # fmt: skip
