"""A request's line as a story that a person can read: who asked for what, what was decided, who was asked, the cost."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
import msgspec

from penstock.cli.tables import clean
from penstock.lines import AttemptLine, DecisionLine, Line, Tokens

__all__ = ["past_story", "read_line", "story"]

LEFT = 499
# Of a wait for a place, that it ended well.
PLAIN = "go"
# Room for the words that begin a line.
LABEL = 13
USUAL_WIDTH = 80

_DECIDED = {
    "chosen": "{0} is chosen",
    "passed_over": "{0} is passed over",
    "failed": "{0} failed",
    "waited": "waited {wait}",
    "queued": "waited {wait} for a place at {0}",
    "hedged": "{0} is asked besides",
    "resumed": "{0} goes on with the stream",
    "gave_up": "gave up",
    "refused": "refused",
    "degraded": "the fixed text of on_failure is the answer",
}


_FLAGS = {
    "estimated": "its tokens were counted here",
    "ambiguous": "it may have been answered, and charged, all the same",
    "absurd": "what the provider told cannot be",
    "lost": "its process died",
    "overrun": "it took more than was reserved",
}

# A label, "" for the one above, and what stands behind it.
Row = tuple[str, str]


def read_line(told: Any) -> Line:
    """A line as the control plane tells it. Raises msgspec.ValidationError where it is none."""
    return msgspec.convert(told, Line)


def story(line: Line, *, terminal: bool = False) -> str:
    """The whole of it, no line wider than a terminal, or 80 in a pipe."""
    return _written((_asked(line), _route(line), _attempts(line), _used(line)), terminal=terminal)


def past_story(told: Mapping[str, Any], *, terminal: bool = False) -> str:
    """The same of one that only the ledger remembers (`stores/past_told.py`)."""
    return _written((_past_asked(told), _past_attempts(told), _past_used(told)), terminal=terminal)


def _written(parts: Iterable[Iterable[Row]], *, terminal: bool) -> str:
    width = min(shutil.get_terminal_size().columns, 120) if terminal else USUAL_WIDTH
    bold = terminal and not os.environ.get("NO_COLOR")
    written: list[str] = []
    for rows in parts:
        lines = [piece for label, text in rows for piece in _wrapped(label, text, width)]
        written += [*lines, ""] if lines else []
    if bold:
        written = [f"{click.style(each[:LABEL], bold=True)}{each[LABEL:]}" for each in written]
    return "\n".join(written[:-1])


def _wrapped(label: str, text: str, width: int) -> Iterator[str]:
    """Text behind its label, in as many lines as it takes."""
    room = max(40, width - LABEL)
    for piece in textwrap.wrap(clean(text), room, subsequent_indent="  ", break_on_hyphens=False):
        yield f"{label:<{LABEL}}{piece}"
        label = ""


def _asked(line: Line) -> Iterator[Row]:
    began = line.time.replace("T", " ").replace("Z", " UTC")
    yield "request", line.id
    yield "", f"{line.operation}{', streamed' if line.stream else ''}, {began}"
    if line.operation != "http":
        yield "asked for", line.model or "the default model"
    elif line.path:
        yield "asked for", line.path
    who = [f"key {line.key}" if line.key else "", f"tenant {line.tenant}" if line.tenant else ""]
    who += [f"project {line.project}" if line.project else "", f"user {line.user}" if line.user else ""]
    who += [f"task {line.task}" if line.task else "", f"from {line.address}" if line.address else ""]
    if any(who):
        yield "by", ", ".join(filter(None, who))
    yield "answered", _outcome(line)
    if line.first_output_ms is not None:
        own = f", {_ms(line.overhead_ms)} of it Penstock's own" if line.overhead_ms is not None else ""
        yield "", f"first output after {_ms(line.first_output_ms)}{own}"


def _outcome(line: Line) -> str:
    after = f"{_ms(line.ms)}"
    if line.open:
        began = "its answer has begun" if line.first_output_ms is not None else "no output yet"
        return f"not yet: {after} so far, {began}"
    if line.status == LEFT:
        return f"no: the caller left after {after}"
    if line.error:
        return f"no: {line.error} ({line.status}) after {after}"
    broken = f", then broke off: {line.stream_error}" if line.stream_error else ""
    if line.degraded:
        return f"by the text of on_failure ({line.status}) after {after}"
    by = f" by {line.deployment}" if line.deployment else ""
    reason = f", finished: {line.finish_reason}" if line.finish_reason else ""
    return f"{line.status}{by} after {after}{reason}{broken}"


def _route(line: Line) -> Iterator[Row]:
    if len(line.candidates) > 1:
        yield "could go to", ", ".join(line.candidates)
    for at, decision in enumerate(line.decisions):
        yield "" if at else "decided", _decision(decision)


def _decision(decision: DecisionLine) -> str:
    said = _DECIDED.get(decision.what, decision.what.replace("_", " ") + " {0}")
    said = said.format(decision.deployment, wait=_ms(decision.wait_ms)).strip()
    why = f": {decision.why}" if decision.why and decision.why != PLAIN else ""
    waits = f" (a wait of {_ms(decision.wait_ms)})" if decision.wait_ms and decision.what == "passed_over" else ""
    return f"{_ms(decision.at_ms)}: {said}{why}{waits}"


def _attempts(line: Line) -> Iterator[Row]:
    for number, attempt in enumerate(line.attempts, 1):
        yield "attempts" if number == 1 else "", f"{number}. {_attempt(attempt)}"


def _attempt(attempt: AttemptLine) -> str:
    outcome = attempt.outcome if attempt.outcome != "open" else "still open"
    status = f" ({attempt.status})" if attempt.status else ""
    parts = [f"{attempt.deployment}: {outcome}{status} after {_ms(attempt.ms)}"]
    if attempt.kind != "first":
        parts.append(f"a {attempt.kind} at {_ms(attempt.at_ms)}")
    if attempt.wait_ms:
        parts.append(f"waited {_ms(attempt.wait_ms)} before")
    if attempt.ambiguous:
        parts.append("it may have been answered, and charged, all the same")
    if attempt.tokens is not None:
        parts.append(f"{_tokens(attempt.tokens)}, {_money(attempt.cost_usd)}")
    return "; ".join(parts)


def _used(line: Line) -> Iterator[Row]:
    if line.tokens is not None:
        yield "used", _tokens(line.tokens)
    if line.cost_usd is not msgspec.UNSET:
        of_all = " for all attempts" if len(line.attempts) > 1 else ""
        yield "cost", f"${line.cost_usd}{of_all}" if line.cost_usd is not None else "unknown: a price is missing"
    for label, lost in (("left out", line.dropped), ("made smaller", line.clamped)):
        if lost:
            yield label, ", ".join(lost)


def _past_asked(told: Mapping[str, Any]) -> Iterator[Row]:
    began = told["time"].replace("T", " ").replace("Z", " UTC")
    yield "request", told["id"]
    yield "", f"{began}, from the ledger: no longer in any gateway's memory"
    yield "asked for", told["model"]
    who = [f"{name} {told[name]}" for name in ("key", "tenant", "project", "user", "task") if told.get(name)]
    who += [f"tag {name}={value}" for name, value in told.get("tags", {}).items()]
    if who:
        yield "by", ", ".join(who)
    yield "answered", f"by {told['deployment']}" if told["answered"] else "by no provider"
    yield "", f"the last attempt was over after {_ms(told['ms'])}"


def _past_attempts(told: Mapping[str, Any]) -> Iterator[Row]:
    for number, attempt in enumerate(told["attempts"], 1):
        status = f" ({attempt['status']})" if attempt["status"] else ""
        parts = [f"{attempt['deployment']}: {attempt['outcome']}{status} after {_ms(attempt['ms'])}"]
        if attempt["kind"] != "first":
            parts.append(f"a {attempt['kind']} at {_ms(attempt['at_ms'])}")
        if attempt.get("wait_ms"):
            parts.append(f"{_ms(attempt['wait_ms'])} after the one before")
        parts += [says for name, says in _FLAGS.items() if attempt.get(name)]
        parts.append(f"{_tokens(Tokens(**attempt['tokens']))}, {_money(attempt['cost_usd'])}")
        yield "attempts" if number == 1 else "", f"{number}. {'; '.join(parts)}"


def _past_used(told: Mapping[str, Any]) -> Iterator[Row]:
    for label, name in (("cost", "cost_usd"), ("charge", "charge_usd")):
        yield label, f"${told[name]}" if told[name] is not None else "unknown: a price is missing"
    yield "forgotten", f"{', '.join(told['forgotten'])}: the request log has it"


def _tokens(tokens: Tokens) -> str:
    details = [
        f"{count:,} {what}"
        for what, count in (
            ("read from the cache", tokens.cache_read),
            ("written to it", tokens.cache_write),
            ("reasoning", tokens.reasoning),
        )
        if count
    ]
    within = f" ({', '.join(details)})" if details else ""
    counted = ", estimated" if tokens.estimated else ""
    return f"{tokens.input:,} tokens in, {tokens.output:,} out{within}{counted}"


def _money(cost: str | msgspec.UnsetType | None) -> str:
    return f"${cost}" if isinstance(cost, str) else "cost unknown"


def _ms(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "?"
    if milliseconds < 10:
        return f"{milliseconds:.1f} ms" if milliseconds else "0 ms"
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.2f} s"
