"""What `POST /v1/generate` answers: one shape for good answers, failed ones and the last event of a stream.

The fields and their order are the contract's, version 1; they are always all there. `message` is the assistant's turn
in OpenAI's form, ready to be appended to the next request's `messages`.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Literal

import msgspec

from penstock.errors import PenstockError
from penstock.events import Event, merged
from penstock.usage import Usage, usd
from penstock.wire.generate_schema import Checked, load_schema
from penstock.wire.openai_answer import encode_answer as encode_openai
from penstock.wire.tolerant_json import repaired

__all__ = ["CONTRACT", "Told", "counts_of", "encode_failure", "encode_result", "usage_of"]

CONTRACT = "1"


class Told(msgspec.Struct, kw_only=True):
    """What the record knows of a call, and the events of its answer don't.

    Attributes:
        model: who answered, for an answer whose events don't say; else the name asked for.
        attempts: wire attempts made. `latency_ms`: from the request's last byte until now.
        fallback_used: another deployment than the first choice answered.
        degraded: no model answered; the text is the fixed one for that case.
        usage: the count as the record has it; None to take that of the events.
        cost: what a usage costs, in nano-dollars, or None where that is not known.
        dropped, clamped: what the translation of the request left out or made smaller, in the caller's words; what that
            of the answer left out, in the provider's.
        resumed: how often the answer broke off and was gone on with.
        output_schema: the request's field of that name as it came, None where there was none.
    """

    request_id: str = ""
    model: str = ""
    attempts: int = 0
    latency_ms: int = 0
    fallback_used: bool = False
    degraded: bool = False
    usage: Usage | None = None
    cost: Callable[[Usage], int | None] | None = None
    dropped: list[str] = []
    clamped: list[str] = []
    resumed: int = 0
    output_schema: msgspec.Raw | None = None


class _Failure(msgspec.Struct):
    code: str
    message: str
    retryable: bool
    retry_after: float | None
    do: str
    param: str | None


class _Warning(msgspec.Struct):
    code: str
    message: str


class _ToolCall(msgspec.Struct):
    id: str
    name: str
    arguments: str


class Counts(msgspec.Struct):
    """A usage as version 1 of the contract tells it; what else is in one is for its price alone."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False


class _Answer(msgspec.Struct):
    contract: str = CONTRACT
    request_id: str = ""
    status: Literal["ok", "degraded", "failed"] = "ok"
    text: str = ""
    data: msgspec.Raw | None = None
    validation: Literal["none", "valid", "invalid"] = "none"
    model: str = ""
    prompt_version: None = None
    finish_reason: str | None = None
    usage: Counts = msgspec.field(default_factory=Counts)
    cost_usd: str | None = None
    latency_ms: int = 0
    attempts: int = 0
    fallback_used: bool = False
    warnings: list[_Warning] = []
    reasoning: str = ""
    refusal: str | None = None
    tool_calls: list[_ToolCall] = []
    message: msgspec.Raw | None = None
    error: _Failure | None = None


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str = ""


class _Call(msgspec.Struct):
    id: str = ""
    function: _Function = msgspec.field(default_factory=_Function)


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str = ""
    tool_calls: list[_Call] = []


class _Choice(msgspec.Struct):
    index: int
    message: msgspec.Raw


class _Body(msgspec.Struct):
    choices: list[_Choice]


_SAID = frozenset(("text", "reasoning", "refusal", "tool_call", "citation", "finish"))
_UNPRICED = "What the model that answered costs is not known: declare it under 'prices:' in the configuration."
_DEGRADED = "No model answered: this is the text of 'on_failure'."
_NOTHING = Usage()
_counts = attrgetter(*Counts.__struct_fields__)
_BODY = msgspec.json.Decoder(_Body)
_MESSAGE = msgspec.json.Decoder(_Message)


def encode_result(events: list[Event], told: Told) -> bytes:
    """The whole answer. Never raises.

    `status` is `degraded` where a fallback answered, or no model, or the answer does not follow `output_schema`. `data`
    holds only what does; an answer that calls tools, or was not checked, has `validation: none`.
    """
    answer = _answer(events, told)
    checked = _checked(answer, told)
    answer.validation, answer.data = checked.verdict, checked.data
    if checked.why:
        code = "invalid_output" if checked.verdict == "invalid" else "not_validated"
        answer.warnings.append(_Warning(code, checked.why))
    if told.fallback_used or told.degraded or checked.verdict == "invalid":
        answer.status = "degraded"
    return msgspec.json.encode(answer)


def encode_failure(error: PenstockError, told: Told, events: list[Event] | None = None) -> bytes:
    """The failed answer, in the same shape; `events` are what had been said before. Never raises."""
    answer = _answer(events or [], told)
    answer.status = "failed"
    answer.error = _Failure(
        error.code,
        repaired(error.message),
        error.retryable,
        error.retry_after,
        repaired(error.do),
        None if error.param is None else repaired(error.param),
    )
    return msgspec.json.encode(answer)


def usage_of(events: list[Event], told: Told) -> Usage:
    """The record's count, else that of the events."""
    usage = told.usage
    if usage is None:
        for event in events:
            if event.usage is not None:
                usage = merged(usage, event.usage)
    return usage or Usage()


def counts_of(usage: Usage) -> Counts:
    """What of it the contract tells."""
    return Counts(*_counts(usage))


def _answer(events: list[Event], told: Told) -> _Answer:
    usage = usage_of(events, told)
    priced = told.cost is not None and (usage != _NOTHING or told.degraded)
    cost = told.cost(usage) if told.cost is not None and priced else None
    answer = _Answer(
        request_id=told.request_id,
        model=repaired(next((event.model for event in events if event.kind == "start" and event.model), told.model)),
        usage=counts_of(usage),
        cost_usd=usd(cost) if cost is not None else None,
        latency_ms=told.latency_ms,
        attempts=told.attempts,
        fallback_used=told.fallback_used,
        warnings=_warnings(told, unpriced=priced and cost is None),
    )
    said = [event for event in events if not event.choice and event.kind in _SAID]
    if not said:
        return answer
    # OpenAI's form is made where OpenAI's answers are; choice 0 is the only one that can be asked for here.
    written = _BODY.decode(encode_openai(said, told.request_id, 0)).choices[0].message
    message = _MESSAGE.decode(written)
    reason = next((event.finish_reason for event in said if event.kind == "finish" and event.finish_reason), None)
    answer.finish_reason = None if reason is None else repaired(reason)
    answer.message = written
    answer.text, answer.reasoning, answer.refusal = message.content or "", message.reasoning_content, message.refusal
    answer.tool_calls = [_ToolCall(call.id, call.function.name, call.function.arguments) for call in message.tool_calls]
    return answer


def _checked(answer: _Answer, told: Told) -> Checked:
    if told.output_schema is None or bytes(told.output_schema) == b"null" or (answer.tool_calls and not answer.text):
        return Checked("none")
    try:
        schema = load_schema(bytes(told.output_schema))
    except PenstockError as error:  # the request would not have passed with it
        return Checked("none", why=error.message)
    return schema.check(answer.text)


def _warnings(told: Told, *, unpriced: bool) -> list[_Warning]:
    dropped = "'{}' was left out: there is no equivalent for it on the other side."
    clamped = "'{}' was lowered: to what the model that answered can do, or to what a budget has left."
    return [
        *(_Warning("dropped", dropped.format(repaired(name))) for name in told.dropped),
        *(_Warning("clamped", clamped.format(repaired(name))) for name in told.clamped),
        *[_Warning("resumed", "The answer broke off and was gone on with by another attempt.")] * told.resumed,
        *([_Warning("unknown_price", _UNPRICED)] if unpriced else ()),
        *([_Warning("degraded", _DEGRADED)] if told.degraded else ()),
    ]
