"""The port every dialect implements: bytes of one vendor's API to the vocabulary and back.

Pure functions and one small state machine for streams. Nothing here waits, and nothing raises anything but a
`PenstockError`, whatever the bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from penstock.errors import PenstockError, UpstreamError
from penstock.events import Alike, Event
from penstock.messages import Embeddings, Response, Usage
from penstock.prompt import Prompt

__all__ = [
    "NO_FIELDS",
    "AnswerWriter",
    "Begun",
    "ChatDialect",
    "Decoded",
    "Dialect",
    "Facts",
    "Fields",
    "Inbound",
    "InboundChat",
    "ModelFacts",
    "StreamReader",
    "Written",
]


Fields = Mapping[str, msgspec.Raw]
NO_FIELDS: Fields = {}


class Decoded(msgspec.Struct, gc=False):
    """A request's top level, and the few facts that decide what happens to it.

    Attributes:
        fields: every top-level field in the caller's order, each value as the bytes it came in.
        model: the name asked for; "" where none is, which asks for the default.
        stream: whether the answer is to come as events.
        usage_asked: the caller itself asked for a usage chunk in its stream.
    """

    fields: dict[str, msgspec.Raw]
    model: str
    stream: bool
    usage_asked: bool


class Facts(msgspec.Struct, gc=False):
    """What the record needs to know of a whole answer.

    Attributes:
        usage: the provider's count, or an estimate marked as one.
        model: the vendor's name of the model that answered, None if it gave none.
        finish_reason: of the first answer, None if it gave none; either as `records.kept` gives it.
    """

    usage: Usage
    model: str | None
    finish_reason: str | None


class StreamReader(Protocol):
    """Watches one stream pass and says what of it goes on. Gives the same bytes for any chunking of its input.

    Attributes:
        output: the first output was seen (text, reasoning, tool call, refusal), or the answer's good end.
        model: the vendor's name of the model, None until known.
        error: what went wrong: an error event that passed by, no good end, or bytes that are not a stream; else None.
            A `ProtocolError` here means that the rest is ignored: the upstream may be closed at once.
        dropped: events left out because they are not valid in the dialect.
        ended: the provider has said its last word, so that nothing that matters follows.
        strict: set it before the first byte, for an answer that may be gone on with where it breaks off. Then an event
            that is not valid is an error, nothing passes from the first error on, and none is told but by `error`.
    """

    strict: bool
    ended: bool
    output: bool
    model: str | None
    error: UpstreamError | None
    dropped: int

    @property
    def usage(self) -> Usage:
        """The provider's count so far; else an estimate of what has passed, marked as one."""
        ...

    @property
    def finish_reason(self) -> str | None:
        """Why the first answer ended, None until it has."""
        ...

    @property
    def done(self) -> bool:
        """Whether the answer is complete; usage and the like may still follow."""
        ...

    def feed(self, data: bytes, pieces: Sequence[bytes] = ()) -> bytes:
        """Take what the socket gave; returns the whole events to pass on, b"" if there are none yet. Never raises.

        Args:
            pieces: the same in pieces, where that is known: most servers cut after each event.
        """
        ...

    def alike(self, data: bytes) -> Alike | None:
        """What is known of the very bytes that were passed on last, where its events are all alike; else None, and
        where nobody looked that closely."""
        ...

    def end(self, cause: UpstreamError | None = None) -> bytes:
        """Take the end of the upstream body, or the error that ended it.

        Returns what is still to be sent: a last event, an error event, or b"".
        """
        ...

    def last_words(self) -> bytes:
        """What tells a caller of the error that a strict reader kept back: the provider's words, or ours."""
        ...


class Begun(msgspec.Struct):
    """An answer of which a caller has the beginning, and which is one text so far.

    Attributes:
        id, model: what it calls itself.
        block: the number of the content block that the text is in, where the dialect numbers them.
        first, last: of its bytes, whole events: those that came first and those that came last.
    """

    id: str = ""
    model: str = ""
    block: int = 0
    first: bytes = b""
    last: bytes = b""


class Inbound(Protocol):
    """How callers speak: the side of a dialect that the server needs."""

    @property
    def name(self) -> str:
        """`openai_chat`, `openai_embeddings`."""
        ...

    @property
    def path(self) -> bytes:
        """The operation's path below the base URL."""
        ...

    def decode_request(self, body: bytes) -> Decoded:
        """Read a request's top level. Raises InvalidRequest: position for bad JSON, `param` for a bad field."""
        ...

    def encode_error(self, error: PenstockError, request_id: str) -> bytes:
        """The body that tells a caller of this dialect about one of our errors."""
        ...

    def encode_stream_error(self, error: PenstockError) -> bytes:
        """The same as an SSE event, for a stream that has begun."""
        ...


class Dialect(Inbound, Protocol):
    """How one API speaks: both sides of it, the caller's and the provider's."""

    def encode_request(
        self, fields: dict[str, msgspec.Raw], model: str, *, stream: bool, ask_usage: bool = True
    ) -> bytes:
        """Write the body anew with `model` in its place; a stream may ask for usage. Other values byte for byte."""
        ...

    def decode_facts(self, body: bytes, prompt_bytes: int = 0) -> Facts:
        """Read a 200's body. `prompt_bytes` serves the estimate where there is no usage.

        Raises:
            UpstreamError: an error object instead of an answer, classified; ProtocolError for anything else.
                Its `answer` holds the body.
        """
        ...

    def decode_response(self, body: bytes) -> Response | Embeddings:
        """The whole answer for the library. Raises what `decode_facts` raises."""
        ...

    def decode_events(self, data: bytes) -> list[Event]:
        """The typed events in whole SSE events or in a unary body; what is neither gives none."""
        ...

    def open_stream(self, *, keep_usage: bool, prompt_bytes: int) -> StreamReader:
        """A reader for one stream. Without `keep_usage` the usage-only chunk is left out."""
        ...

    def classify(
        self, status: int, headers: dict[bytes, bytes], body: bytes, now: float | None = None
    ) -> UpstreamError:
        """What a provider's answer other than a 200 means; `answer` holds it. `now`: Unix time, for dates."""
        ...


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What must be known of a model to ask it in its dialect. The defaults are for one nobody knows.

    Attributes:
        max_output_tokens: the most it can say, None where unknown.
        context_window: tokens it can take in and say together, None where unknown.
        default_output_tokens: asked for where the dialect demands a number and the caller gave none.
        thinking: how it is told to think: `effort` (a level), `budget` (tokens), `adaptive` (decides by itself, with
            a level), `always` (it thinks and cannot be told), `none` (it refuses to be told).
        reasons: it is known to think before it answers.
        forced_tools: it can be made to call a tool.
        json_schema: it can be bound to a schema.
        images, documents, audio: it reads them.
        sampling: it takes temperature, top_p and the like.
        output_field: what the OpenAI dialect calls the limit of the output towards this model.
        efforts: the levels of thinking it takes, `none` among them where it can be switched off; others become the
            nearest of them. Empty where unknown.
        earlier_thinking: what the OpenAI dialect calls a turn's thinking towards this model; "" where it takes none
            back (Groq and Cerebras refuse a request that holds it, DeepSeek wants it within a chain of tool calls). A
            vendor's catalogue row says which.
        continues: it goes on with an answer whose beginning stands last in the conversation, or nobody knows that it
            does not; `continued_by`: the field by which the OpenAI dialect says so towards it, "" for none. Where a
            vendor's row says that it does.
    """

    max_output_tokens: int | None = None
    context_window: int | None = None
    default_output_tokens: int = 8192
    thinking: Literal["effort", "budget", "adaptive", "always", "none"] = "effort"
    reasons: bool = False
    forced_tools: bool = True
    json_schema: bool = True
    images: bool = True
    documents: bool = True
    audio: bool = True
    sampling: bool = True
    output_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    efforts: tuple[str, ...] = ()
    earlier_thinking: Literal["", "reasoning", "reasoning_content"] = ""
    continues: bool = False
    continued_by: str = ""


class Written:
    """A prompt in a dialect's bytes, and what could not be said in it.

    Attributes:
        body: the request's body.
        dropped: what was left out, in the caller's words, each once, in order (`x-penstock-dropped`).
        clamped: what was made smaller (`x-penstock-clamped`), likewise.
    """

    __slots__ = ("body", "clamped", "dropped")

    def __init__(self, body: bytes, dropped: list[str], clamped: list[str]) -> None:
        self.body = body
        self.dropped = dropped
        self.clamped = clamped


class AnswerWriter(Protocol):
    """Says one answer's events in its dialect, as a stream. Never raises."""

    def write(self, events: list[Event]) -> bytes:
        """The SSE events these become, b"" if they are held back for now. `end` and `error` end the stream."""
        ...

    def go_on(self, event: Event, texts: list[bytes], length: int) -> bytes | None:
        """More text, event by event, where an event of text is all that each becomes; else None, and nothing is said.

        Args:
            event: any of them, with another text.
            texts: the inside of each text's JSON string; none is empty.
            length: characters of all of them together, decoded.
        """
        ...

    def end(self) -> bytes:
        """The last of the stream where neither `end` nor `error` came: what is held, and the dialect's own end."""
        ...


class InboundChat(Inbound, Protocol):
    """A dialect in which callers hold conversations: it can be translated from.

    A whole answer is a short stream: `encode_answer` folds events into a body.
    """

    @property
    def waiting(self) -> bytes:
        """What is said in a stream to a caller that waits: it means nothing, and clients pass over it."""
        ...

    def decode_prompt(self, fields: dict[str, msgspec.Raw]) -> Prompt:
        """The whole request in no vendor's words. Raises InvalidRequest: `param` names what is wrong or unknown."""
        ...

    def may_join(self, fields: dict[str, msgspec.Raw]) -> bool:
        """Whether an answer to this request may be put together from two tellings: not where it is JSON by a schema,
        one of several, or comes with the probabilities of its tokens (semantics.md: Streams)."""
        ...

    def begin_answer(self, fields: dict[str, msgspec.Raw], said: str, tokens: int) -> dict[str, msgspec.Raw] | None:
        """The same request for the rest of an answer of which so much was said, in so many tokens.

        The conversation ends with it as the assistant's turn. None where that cannot be asked.
        """
        ...

    def left_out(self, event: Event, *, behind_call: bool = False) -> str:
        """The name of what an event brings and answers of this dialect have no place for; "" for what is said.

        `behind_call`: what was said before it was a tool's call, and no text has come since.
        """
        ...

    def encode_answer(self, events: list[Event], request_id: str, created: int, fields: Fields = NO_FIELDS) -> bytes:
        """A whole answer's body. `request_id` serves as the id where the provider gave none; `created`: Unix time;
        `fields`: of the request, whose words the answer may have to follow."""
        ...

    def open_writer(
        self, request_id: str, created: int, *, keep_usage: bool, fields: Fields = NO_FIELDS
    ) -> AnswerWriter:
        """A writer for one stream; `keep_usage`: the caller asked for a usage chunk, where that must be asked for."""
        ...


class ChatDialect(Dialect, InboundChat, Protocol):
    """A dialect in which providers hold conversations too: it can also be translated to.

    `decode_events` reads a stream's events and a whole answer's body alike.
    """

    def open_rest(self, begun: Begun, *, keep_usage: bool) -> AnswerWriter:
        """A writer for the rest of a stream that has begun; its text has the number `begun.block`."""
        ...

    def mark_begun(self, body: bytes, field: str) -> bytes:
        """A request's body whose last message says by `field` that it is to be gone on with."""
        ...

    def encode_prompt(self, prompt: Prompt, model: str, facts: ModelFacts, *, lenient: bool) -> Written:
        """Say it in this dialect; a stream asks for usage.

        Args:
            model: the vendor's name of it.
            lenient: drop and name what has no equivalent instead of refusing it.

        Raises:
            InvalidRequest: something that matters cannot be said here; `param` is the caller's word for it.
        """
        ...
