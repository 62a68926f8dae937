"""What a program asks: keyword arguments checked and written as the fields of a request.

The names mirror `/v1/generate`. One that a later version has is refused as `NotAvailable`, one that nobody has is a
TypeError; neither is ever ignored.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypedDict, TypeVar

import msgspec

from penstock.client.said import Said, read_said
from penstock.errors import InvalidRequest, NotAvailable
from penstock.messages import Caller, Message, Request
from penstock.records import Record
from penstock.routing.nearest import did_you_mean
from penstock.wire.openai_compose import ChatArguments, compose_chat, compose_embeddings

__all__ = ["Ask", "ChatOptions", "EmbedOptions", "ask_chat", "ask_embeddings", "refuse_later", "spelled_out"]

F = TypeVar("F", bound=Callable[..., Any])


class ChatOptions(TypedDict, total=False):
    """What `generate` and `stream` take besides a prompt; None is the same as leaving it out.

    messages: instead of a prompt: turns in OpenAI form, or `Message` values such as `reply.message`.
    model: a name under `models:`, `provider/model`, or a vendor's own name; without it the default model.
    system: put before the messages.
    user: who it is for, so that usage can be told apart; goes to the provider too, as OpenAI's `user` does.
    task: what it is for, in printable ASCII; stays inside Penstock.
    tags: what it is filed under, names and values; stays inside Penstock.
    max_cost_usd: what the whole call may cost at most, attempts that fail included, in dollars: a Decimal or text.
    temperature, stop: as in OpenAI's API.
    max_tokens: the most the answer may take, reasoning included.
    tools, tool_choice: in OpenAI form.
    output_schema: a JSON schema that the answer shall follow.
    extra: further fields of an OpenAI request, as they are: `{"top_p": 0.9, "seed": 7}`.
    deadline: within which the whole call must be over: seconds, or text such as "20s".
    priority: how urgent it is among calls that wait: critical, high, normal, low or sheddable.
    timeout: of one attempt, as `deadline`: to a stream's first output, or to the whole of another answer.
    retries: further attempts at one deployment, 0 to 5.
    fallbacks: models to ask when the model's own deployments have failed; an empty list is none.
    """

    messages: Sequence[Mapping[str, Any] | Message] | None
    model: str | None
    system: str | None
    user: str | None
    task: str | None
    tags: Mapping[str, str] | None
    max_cost_usd: Decimal | str | float | None
    temperature: float | None
    max_tokens: int | None
    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    output_schema: Mapping[str, Any] | None
    stop: str | Sequence[str] | None
    extra: Mapping[str, Any] | None
    deadline: float | str | None
    priority: str | None
    timeout: float | str | None
    retries: int | None
    fallbacks: Sequence[str] | None


class EmbedOptions(TypedDict, total=False):
    """What `embed` takes besides the texts; all but `dimensions` as in ChatOptions.

    dimensions: the length of the vectors, for models that can choose it.
    """

    model: str | None
    dimensions: int | None
    user: str | None
    task: str | None
    tags: Mapping[str, str] | None
    max_cost_usd: Decimal | str | float | None
    deadline: float | str | None
    priority: str | None
    timeout: float | str | None
    retries: int | None
    fallbacks: Sequence[str] | None


# Arguments of later versions, wherever they will stand.
_LATER = frozenset((
    "budget", "cache", "prompt_id", "variables", "idempotency_key",
))  # fmt: skip

# These decide what a call is, so they cannot come in by the back door.
_NOT_EXTRA = ("model", "messages", "input", "stream", "stream_options")


class Ask:
    """A call before it is made.

    Attributes:
        dialect, operation: `openai_chat` and `chat`, or `openai_embeddings` and `embeddings`.
        fields: the body's top level.
        headers: what it says to Penstock besides, as a caller by HTTP would.
        wishes: the same, as far as it is about how it is tried; None for nothing.
    """

    __slots__ = ("dialect", "fields", "headers", "model", "operation", "stream", "tags", "task", "wishes")

    def __init__(
        self,
        dialect: str,
        operation: str,
        fields: dict[str, msgspec.Raw],
        model: str,
        said: Said,
        stream: bool = False,
    ) -> None:
        self.dialect = dialect
        self.operation = operation
        self.fields = fields
        self.model = model
        self.task, self.headers, self.wishes, self.tags = said
        self.stream = stream

    def request(self, record: Record) -> Request:
        """The request that flows down the layers, its record filled in as far as is known."""
        record.model, record.stream, record.task, record.tags = self.model, self.stream, self.task, self.tags
        record.bytes_in = sum(len(value) for value in self.fields.values())
        caller = Caller(self.headers, trusted=True)
        caller.wishes = self.wishes
        request = Request(self.dialect, self.model, self.stream, self.fields, caller, record)
        request.usage_asked = self.stream
        return request


def ask_chat(prompt: str | None, options: Mapping[str, Any], *, stream: bool) -> Ask:
    """A chat call from the arguments of `generate` or `stream`.

    Raises:
        InvalidRequest: prompt and messages both, or neither; a value that cannot be sent.
        NotAvailable: an argument of a later version.
        TypeError: an argument that nobody has.
    """
    _check("stream" if stream else "generate", options, ChatOptions)
    given = {name: value for name, value in options.items() if value is not None}
    model, said, messages = _model(given), read_said(given), given.pop("messages", None)
    arguments = ChatArguments(
        prompt=_said(prompt, messages), model=model, stream=stream, **{**given, "extra": _extra(given)}
    )
    return Ask("openai_chat", "chat", compose_chat(arguments), model, said, stream)


def ask_embeddings(texts: str | Sequence[str], options: Mapping[str, Any]) -> Ask:
    """An embeddings call from the arguments of `embed`; raises as `ask_chat`."""
    _check("embed", options, EmbedOptions)
    given = {name: value for name, value in options.items() if value is not None}
    if not isinstance(texts, str | Sequence) or isinstance(texts, bytes | bytearray):
        raise InvalidRequest("The texts must be a string or a list of strings.", do="Pass a list.", param="texts")
    model, said = _model(given), read_said(given)
    extra = {"user": given["user"]} if "user" in given else {}
    fields = compose_embeddings(texts, model, given.get("dimensions"), extra)
    return Ask("openai_embeddings", "embeddings", fields, model, said)


def refuse_later(function: str, names: Mapping[str, object]) -> None:
    """Refuse arguments by name: NotAvailable for one of a later version, TypeError for one that nobody has."""
    _check(function, names, None)


def spelled_out(options: type) -> Callable[[F], F]:
    """Let `help()` and notebooks show the keywords of `options` in place of `**options`."""

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        kept = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        keywords = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_written(annotation))
            for name, annotation in options.__annotations__.items()
        ]
        function.__signature__ = signature.replace(parameters=[*kept, *keywords])  # type: ignore[attr-defined]
        return function

    return decorate


def _written(annotation: Any) -> Any:
    # A TypedDict keeps annotations written as text in a ForwardRef, which prints badly.
    return getattr(annotation, "__forward_arg__", annotation)


def _check(function: str, given: Mapping[str, object], options: type | None) -> None:
    known = options.__annotations__ if options is not None else {}
    for name in given:
        if name in known:
            continue
        if name in _LATER:
            raise NotAvailable(f"the argument '{name}' is not in this version", do="Leave it out.", param=name)
        near = " (call stream() for a stream)" if name == "stream" else did_you_mean(name, known)
        raise TypeError(f"{function}() got an unexpected keyword argument '{name}'{near}")


def _said(prompt: str | None, messages: Any) -> Any:
    if prompt is None and messages is None:
        raise InvalidRequest("there is neither a prompt nor messages", do="Pass one of them.", param="prompt")
    if prompt is not None and messages is not None:
        raise InvalidRequest("there are both a prompt and messages", do="Pass one of them.", param="messages")
    return messages if prompt is None else prompt


def _model(given: dict[str, Any]) -> str:
    model = given.pop("model", "")
    if not isinstance(model, str):
        raise InvalidRequest("The model must be a string.", do="Pass its name.", param="model")
    return model


def _extra(given: Mapping[str, Any]) -> Mapping[str, Any]:
    extra: Mapping[str, Any] = given.get("extra", {})
    for name in _NOT_EXTRA:
        if name in extra:
            raise InvalidRequest(f"'{name}' cannot stand in extra", do="Use the argument of its own.", param="extra")
    return extra
