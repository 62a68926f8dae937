"""Write docs/dialects.md: what becomes of everything a caller can ask for, when the model speaks another dialect.

Nothing in it is copied by hand: each cell is measured with the dialects themselves, on the requests of
`dialect_samples`. tests/house asserts that the file is current (`make docs`), tests/wire that the cells are what
`wire/translation.py` promises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from penstock import errors
from penstock.errors import InvalidRequest, PenstockError
from penstock.wire.dialect import InboundChat, ModelFacts
from penstock.wire.dialects import CALLERS, CHAT
from penstock.wire.translation import FEATURES
from scripts import dialect_samples as samples
from scripts.pages import write_pages

__all__ = ["Measured", "draw", "main", "measure", "pairs"]

NAMES = {"openai_chat": "OpenAI", "anthropic_messages": "Anthropic", "generate": "`/v1/generate`"}
CAPABLE = ModelFacts(max_output_tokens=64_000, thinking="adaptive", efforts=("none", "low", "medium", "high", "max"))


class Measured(NamedTuple):
    """What came of one request.

    Attributes:
        words: a feature -> what the caller called it.
        refused: the field it was refused for, "" where it was not.
        dropped, clamped: fields.
        body: as the provider gets it.
    """

    words: Mapping[str, str]
    refused: str = ""
    dropped: Sequence[str] = ()
    clamped: Sequence[str] = ()
    body: Mapping[str, Any] = {}

    def fate(self, field: str | None = None) -> str:
        """What became of a field in the caller's words; of the whole request without one."""
        if self.refused:
            return "refused"
        if field in self.dropped or (field is None and self.dropped):
            return "dropped"
        return "clamped" if field in self.clamped or (field is None and self.clamped) else "carried"


def pairs() -> list[tuple[str, str]]:
    """Who asks, and who is asked in another dialect."""
    return [(caller, provider) for caller in CALLERS for provider in CHAT if provider != caller]


def measure(caller: str, provider: str, fields: Mapping[str, Any], facts: ModelFacts = CAPABLE) -> Measured:
    """Say a request (what it adds to the base one) in another dialect."""
    dialect = CALLERS[caller]
    body = msgspec.json.encode({**samples.BASES[caller], **fields})
    prompt = dialect.decode_prompt(dialect.decode_request(body).fields)
    try:
        written = CHAT[provider].encode_prompt(prompt, "m", facts, lenient=False)
    except InvalidRequest as error:
        return Measured(prompt.given, refused=error.param or "")
    return Measured(prompt.given, "", written.dropped, written.clamped, json.loads(written.body))


# --- requests


def _requests() -> Iterator[str]:
    yield from _head("asked for", [_name(caller) for caller in CALLERS], [_arrow(*pair) for pair in pairs()])
    for feature, (text, _) in FEATURES.items():
        words, fates = [], []
        for caller in CALLERS:
            sample = samples.FEATURES[caller].get(feature)
            provider = next(name for name in CHAT if name != caller)
            said = None if sample is None else measure(caller, provider, sample).words.get(feature)
            words.append("" if said is None else f"`{_anywhere(said)}`")
        for caller, provider in pairs():
            sample = samples.FEATURES[caller].get(feature)
            if sample is None:
                fates.append("")
            else:
                found = measure(caller, provider, sample)
                fates.append(_cell(found.fate(found.words.get(feature))))
        yield _row(text, *words, *fates)


def _others() -> Iterator[str]:
    yield from _head("asked for", ["field"], ["from, to", "becomes"])
    for caller, provider in pairs():
        for text, fields in samples.OTHERS[caller].items():
            shown = ", ".join(f"`{name}: {json.dumps(value)}`" for name, value in fields.items())
            yield _row(text, shown, _arrow(caller, provider), _cell(measure(caller, provider, fields).fate()))


_LIMITED: tuple[tuple[str, str, ModelFacts], ...] = (
    ("can say less than is asked for", "max_output_tokens", ModelFacts(max_output_tokens=200)),
    ("takes no temperature", "temperature", ModelFacts(sampling=False)),
    ("cannot be made to call a tool", "tool_choice", ModelFacts(forced_tools=False)),
    ("cannot be bound to a schema", "json_schema", ModelFacts(json_schema=False)),
    ("sees no images", "images", ModelFacts(images=False)),
    ("reads no documents", "documents", ModelFacts(documents=False)),
    ("does not think", "thinking", ModelFacts(thinking="none")),
    ("always thinks", "thinking", ModelFacts(thinking="always")),
)


def _limits() -> Iterator[str]:
    yield from _head("a model that", ["asked for"], [_arrow(*pair) for pair in pairs()])
    for text, feature, facts in _LIMITED:
        fates = []
        for caller, provider in pairs():
            sample = samples.FEATURES[caller].get(feature)
            found = None if sample is None else measure(caller, provider, sample, facts)
            fates.append("" if found is None else _cell(found.fate(found.words[feature])))
        yield _row(text, FEATURES[feature].text, *fates)


# --- thinking

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = (1024, 2048, 4096, 8192, 16384, 32768)


def _efforts() -> Iterator[str]:
    models = {
        "a model with a budget": ModelFacts(thinking="budget", max_output_tokens=64_000),
        "a model that decides by itself": ModelFacts(thinking="adaptive", efforts=("none", *_EFFORTS[2:])),
        "one with three levels": ModelFacts(thinking="adaptive", efforts=("none", "low", "medium", "high")),
    }
    yield from _head("OpenAI's `reasoning_effort`", [], [f"Anthropic, {text}" for text in models])
    for effort in _EFFORTS:
        cells = []
        for facts in models.values():
            body = measure("openai_chat", "anthropic_messages", {"reasoning_effort": effort}, facts).body
            said = {**body.get("thinking", {}), **body.get("output_config", {})}
            cells.append(", ".join(f"`{name}: {value}`" for name, value in said.items()))
        yield _row(f"`{effort}`", *cells)


def _budgets() -> Iterator[str]:
    asked: dict[str, Any] = {
        f"thinking.budget_tokens: {budget}": {
            "max_tokens": 64_000,
            "thinking": {"type": "enabled", "budget_tokens": budget},
        }
        for budget in _BUDGETS
    }
    asked |= {f"output_config.effort: {effort}": {"output_config": {"effort": effort}} for effort in _EFFORTS[2:]}
    asked |= {f"thinking: {kind}": {"thinking": {"type": kind}} for kind in ("adaptive", "disabled")}
    models = {
        "every level": ModelFacts(efforts=_EFFORTS),
        "three levels": ModelFacts(efforts=("low", "medium", "high")),
    }
    yield from _head("Anthropic's", [], [f"OpenAI, a model with {text}" for text in models])
    for text, fields in asked.items():
        cells = []
        for facts in models.values():
            found = measure("anthropic_messages", "openai_chat", fields, facts)
            said = found.body.get("reasoning_effort")
            cells.append(f"`{said}`" if said else "dropped" if found.dropped else "says nothing")
        yield _row(f"`{text}`", *cells)


# --- answers

_STOPS: Mapping[str, Sequence[str]] = {
    "openai_chat": (
        *("stop", "length", "tool_calls", "content_filter", "function_call"),
        *("tool_use", "MAX_TOKENS", "SAFETY", "eos"),
    ),
    "anthropic_messages": (
        *("end_turn", "stop_sequence", "max_tokens", "model_context_window_exceeded"),
        *("tool_use", "pause_turn", "refusal", "compaction"),
    ),
}
_USAGE: Mapping[str, Mapping[str, Any]] = {
    "openai_chat": {
        "prompt_tokens": 60,
        "completion_tokens": 9,
        "total_tokens": 69,
        "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 5},
    },
    "anthropic_messages": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 30,
        "output_tokens": 9,
    },
}


def _answer(provider: str, reason: str) -> bytes:
    """A whole answer as a provider gives it."""
    if provider == "openai_chat":
        message = {"role": "assistant", "content": "Hi"}
        choice = {"index": 0, "message": message, "finish_reason": reason}
        body = {"id": "a", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    else:
        content = [{"type": "text", "text": "Hi"}]
        stop = {"stop_reason": reason, "stop_sequence": "END" if reason == "stop_sequence" else None}
        body = {"id": "a", "type": "message", "role": "assistant", "model": "m", "content": content, **stop}
    return msgspec.json.encode({**body, "usage": _USAGE[provider]})


def _said(provider: str, caller: str, reason: str) -> dict[str, Any]:
    events = CHAT[provider].decode_events(_answer(provider, reason))
    answer: dict[str, Any] = json.loads(CALLERS[caller].encode_answer(events, "r", 0))
    return answer


def _reason(answer: Mapping[str, Any]) -> str:
    if "choices" in answer:
        return f"`{answer['choices'][0]['finish_reason']}`"
    return f"`{answer['finish_reason'] if 'finish_reason' in answer else answer['stop_reason']}`"


def _endings(provider: str) -> Iterator[str]:
    callers = [caller for caller in CALLERS if caller != provider]
    yield from _head(f"{_name(provider)} says", [], [f"{_name(caller)} callers read" for caller in callers])
    for reason in _STOPS[provider]:
        cells = [_reason(_said(provider, caller, reason)) for caller in callers]
        yield _row(f"`{reason}`" + (" or any other word" if reason == _STOPS[provider][-1] else ""), *cells)


def _counts() -> Iterator[str]:
    for provider in CHAT:
        yield f"{_name(provider)} says:"
        yield from ("", "```json", json.dumps(_USAGE[provider]), "```", "")
        for caller in CALLERS:
            if caller != provider:
                usage = _said(provider, caller, _STOPS[provider][0])["usage"]
                yield from (f"{_name(caller)} callers read:", "", "```json", json.dumps(usage), "```", "")


def _errors() -> Iterator[str]:
    yield from _head("error", ["status", "retryable"], [f"{_name(caller)} callers read" for caller in CALLERS])
    for name in errors.__all__:
        kind = getattr(errors, name)
        if not issubclass(kind, PenstockError) or name in _NOT_TOLD:
            continue
        error = kind("x")
        cells = [_envelope(dialect, error) for dialect in CALLERS.values()]
        yield _row(f"`{name}`", str(error.status), "yes" if error.retryable else "no", *cells)


# The branches of the tree, whose leaves are raised; and what ends a start, not a request.
_NOT_TOLD = frozenset(("PenstockError", "CallerError", "LimitError", "UpstreamError", "PolicyError", "ConfigError"))


def _envelope(dialect: InboundChat, error: PenstockError) -> str:
    """What tells the cause in a dialect's own envelope."""
    told = json.loads(dialect.encode_error(error, "r"))["error"]
    words = (told.get("type"), told.get("code"), (told.get("details") or {}).get("error_code"))
    return ", ".join(f"`{word}`" for word in words if word)


# --- the page


def _head(what: str, *columns: list[str]) -> Iterator[str]:
    names = [what, *(name for group in columns for name in group)]
    yield from (_row(*names), _row(*["---"] * len(names)))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _cell(fate: str) -> str:
    return "**refused**" if fate == "refused" else fate


def _name(dialect: str) -> str:
    return NAMES.get(dialect, dialect)


def _arrow(caller: str, provider: str) -> str:
    return f"{_name(caller)} → {_name(provider)}"


def _anywhere(path: str) -> str:
    """A path without the places in lists that the sample happens to have: `messages[].content[]`."""
    return re.sub(r"\[\d+\]|\.\d+(?=\.|$)", "[]", path)


_INTRO = """# Dialects

Measured by `make docs` with the code itself; do not edit.

A request whose dialect the model's provider speaks too passes as bytes: only its top level is written anew, and nothing
of it is lost. Any other is translated, and of everything in it one of these becomes true:

- **carried**: said in the other dialect's words;
- **dropped**: the answer means the same without it; left out, and named in `x-penstock-dropped`;
- **clamped**: carried, but less of it than was asked for; named in `x-penstock-clamped`;
- **refused**: the answer would mean something else; a 400 that names the field. With `untranslatable: drop` on the
  model it is dropped instead, and named.

An empty cell: that dialect has no word for it.
"""

_FAMILIES = """
`/v1/generate` takes messages and tools in OpenAI's form. Thoughts of earlier turns go back only to the family of models
that made them: those with Anthropic's signature to Anthropic, also where an OpenAI client kept them in
`reasoning_details`; all others are dropped by name. Citations of earlier answers likewise.
"""

_THINKING = """
The words differ, so a table decides. A budget is held within `max_tokens`, which grows by it where the caller gave no
limit. A level that a model doesn't have becomes the next lower one, and is named as clamped.
"""


_ANSWERS = """
Of an answer, text, thoughts, calls of tools, refusals and why it was refused, the pages it cites, the end and the
count are carried. What the caller's dialect has no place for is left out and is paid for all the same: from OpenAI's
vendors to callers of Anthropic's API pictures that a model made (`images`), sound, other `annotations` and lists of
sources; the other way round what tools gave that the vendor ran, and citations without a URL. It is named: in
`x-penstock-dropped` (`message.images`), for a stream in its last event, `"penstock": {"dropped": ["message.images"]}`;
as a warning of `/v1/generate`; always in the log line's `dropped`. Whoever needs it asks in the dialect of the model's
provider, in which the answer passes as bytes.
"""


def draw() -> dict[str, str]:
    """The file of docs/, by name."""
    sections: list[tuple[str, str, Iterator[str]]] = [
        ("Requests", _FAMILIES, _requests()),
        ("Fields without a feature of their own", "", _others()),
        ("What depends on the model", "\nWhere a model that speaks the other dialect cannot do it:\n", _limits()),
        ("How much to think", _THINKING, _efforts()),
        ("", "", _budgets()),
        ("Answers", _ANSWERS, iter(())),
        ("Why an answer ended", "", _endings("anthropic_messages")),
        ("", "", _endings("openai_chat")),
        (
            "What was used",
            "\nPenstock's own count includes the cache in the input, and thinking in the output.\n",
            _counts(),
        ),
        ("Errors", "\nStatus and class stay; the envelope is the caller's.\n", _errors()),
    ]
    lines = [_INTRO.rstrip("\n")]
    for title, text, table in sections:
        if title:
            lines += ["", f"## {title}"]
        if text:
            lines.append(text.rstrip("\n"))
        drawn = "\n".join(table).rstrip("\n")
        lines += ["", drawn] if drawn else []
    return {"dialects.md": "\n".join([*lines, ""])}


def main() -> None:
    """Write it."""
    write_pages(draw())


if __name__ == "__main__":
    main()
