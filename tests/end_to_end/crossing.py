"""An answer recorded in one dialect given to a caller of the other: what the caller sends, and what it must get."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from penstock.errors import InvalidRequest
from penstock.wire.dialect import ModelFacts
from penstock.wire.dialects import CHAT
from penstock.wire.splice import decode_object
from tests.end_to_end.asked import Asked
from tests.end_to_end.gist import ANTHROPIC_ENDS, Call, Gist, anthropic_gist, openai_gist
from tests.wire.corpus import Recording

__all__ = ["TO_ANTHROPIC", "Across", "Oddity", "check_said", "gist_of", "wanted_by"]

_PLAIN = {"messages": [{"role": "user", "content": "Grüße"}], "max_tokens": 500}
_NO_ONE_KNOWS = ModelFacts()
# The caller's own words for an end, from OpenAI's.
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


class Across(Asked):
    """The recorded request in the words of the other dialect, or a plain one where it cannot be said there.

    Attributes:
        translated: it is the recorded one.
    """

    def __init__(self, recording: Recording, number: int) -> None:
        super().__init__(recording, number)
        self.from_anthropic = self.anthropic
        said = _said_anew(recording, self.fields, self.model) if recording.request is not None else None
        self.translated = said is not None
        fields = said or dict(_PLAIN)
        fields["model"] = f"{self.vendor.name}/{self.model}"
        fields.pop("stream", None)
        fields.pop("stream_options", None)
        if recording.streaming:
            fields["stream"] = True
            if self.from_anthropic and number % 4:
                fields["stream_options"] = {"include_usage": True}
        self.fields = fields
        self.body = json.dumps(fields).encode()
        self.operation = "chat/completions" if self.from_anthropic else "messages"
        self.target = f"/v1/{self.operation}"
        self.headers = {"content-type": "application/json"}


def _said_anew(recording: Recording, fields: dict[str, Any], model: str) -> dict[str, Any] | None:
    """The package's own translation serves to make a request; what it makes of the answer is judged without it."""
    here, there = (
        ("anthropic_messages", "openai_chat")
        if "/messages" in recording.path
        else ("openai_chat", "anthropic_messages")
    )
    try:
        prompt = CHAT[here].decode_prompt(decode_object(json.dumps(fields).encode()))
        written = CHAT[there].encode_prompt(prompt, model, _NO_ONE_KNOWS, lenient=False)
    except InvalidRequest:
        return None
    found: dict[str, Any] = json.loads(written.body)
    return found


# --- answers


def gist_of(body: bytes, *, anthropic: bool, stream: bool) -> Gist:
    """What an answer says in either dialect."""
    return (anthropic_gist if anthropic else openai_gist)(body, stream=stream)


class Oddity(NamedTuple):
    """What a recording holds that the caller's dialect cannot say, so that it says something near.

    Attributes:
        why: nothing nearer can be said.
        loses: the caller learns less than the provider said.
        applies: to what the provider says.
        says: changes it to what the caller gets.
    """

    why: str
    loses: bool
    applies: Callable[[Gist], bool]
    says: Callable[[Gist], None]


def _read_it_all(said: Gist) -> None:
    assert said.count is not None
    said.count = replace(said.count, input=said.count.cache_read + said.count.cache_write)


def _run_tools(said: Gist) -> None:
    said.finish = "tool_calls"


TO_ANTHROPIC: Mapping[str, Oddity] = {
    "more read from the cache than there was": Oddity(
        "xAI at Azure counts a hidden prompt as read from the cache, but not as prompt. Anthropic's input is what was"
        " not read from the cache: nothing, so that the sum is what was read.",
        True,
        lambda said: said.count is not None and said.count.cache_read + said.count.cache_write > said.count.input,
        _read_it_all,
    ),
    "stopped, with calls": Oddity(
        "OpenAI ends a call that was demanded by name with `stop`, and vendors say it of any. Anthropic ends every"
        " answer with calls with `tool_use`, and by that its callers know that there are tools to run.",
        False,
        lambda said: bool(said.calls) and said.finish in (None, "stop"),
        _run_tools,
    ),
}
"""By name; told where a test counts them."""


def wanted_by(asked: Across, said: Gist) -> Gist:
    """What the provider says, as the caller's dialect says it."""
    wanted = Gist(**vars(said))
    if asked.from_anthropic:
        wanted.finish = ANTHROPIC_ENDS.get(said.finish or "", "stop") if said.finish else None
        if asked.fields.get("stream") and not asked.usage_asked:
            wanted.count = None
        return wanted
    for oddity in TO_ANTHROPIC.values():
        if oddity.applies(wanted):
            oddity.says(wanted)
    wanted.text, wanted.refusal = said.text + said.refusal, ""
    wanted.finish = _STOP_REASONS.get(wanted.finish or "", "end_turn")
    if said.refusal and wanted.finish == "end_turn":
        wanted.finish = "refusal"
    return wanted


def check_said(asked: Across, wanted: Gist, got: Gist) -> Iterator[str]:
    """A whole answer, or a stream that ended well."""
    for name in ("text", "thoughts", "refusal", "finish", "model", "id"):
        if getattr(wanted, name) and getattr(got, name) != getattr(wanted, name):
            yield f"{name} is {getattr(got, name)!r}, not {getattr(wanted, name)!r}"
        elif getattr(got, name) and not getattr(wanted, name) and name not in ("finish", "id", "model"):
            yield f"{name} is {getattr(got, name)!r}, which nobody said"
    yield from _check_calls(wanted.calls, got.calls)
    if wanted.count is not None and got.count != wanted.count:
        yield f"usage is {got.count}, not {wanted.count}"
    elif wanted.count is None and not asked.from_anthropic and (got.count is None or not got.count.input):
        yield f"nobody counted, and usage is {got.count}"
    if got.error is not None:
        yield f"an error that nobody told: {got.error}"


def _check_calls(wanted: list[Call], got: list[Call]) -> Iterator[str]:
    if [call.name for call in got] != [call.name for call in wanted]:
        yield f"calls {[call.name for call in got]}, not {[call.name for call in wanted]}"
        return
    for mine, theirs in zip(got, wanted, strict=True):
        if mine.value != theirs.value:
            yield f"arguments of {mine.name} are {mine.arguments!r}, not {theirs.arguments!r}"
        if theirs.id and mine.id != theirs.id:
            yield f"the call's id is {mine.id}, not {theirs.id}"
    if len({call.id for call in got}) < len(got) or not all(call.id for call in got):
        yield f"the calls' ids are {[call.id for call in got]}"
