"""What is said to a model and what comes back, in no vendor's words.

`Request` is the value that flows down the layers; `Response` and `Embeddings` are what the library hands out.
Unknown fields survive in `extra` (or, in the same dialect, as the raw bytes they came in).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

import msgspec

from penstock.prompt import Prompt
from penstock.records import Record, quick
from penstock.usage import Usage

__all__ = ["Caller", "Embeddings", "Message", "Request", "Response", "ToolCall", "Usage"]

_NEVER = float("inf")

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class ToolCall(msgspec.Struct):
    """A model's wish to call a tool; `arguments` is the JSON text as the model wrote it."""

    id: str = ""
    name: str = ""
    arguments: str = ""


class Message(msgspec.Struct, omit_defaults=True):
    """One turn. `content` is text or, for several parts, the list of parts in OpenAI form."""

    role: str
    content: str | list[Any] | None = None
    reasoning: str = ""
    refusal: str = ""
    tool_calls: list[ToolCall] = []
    tool_call_id: str | None = None
    extra: dict[str, Any] = {}


class Response(msgspec.Struct):
    """A whole answer.

    Attributes:
        text: the visible text, parts joined.
        message: the assistant's turn, ready to be appended to the next request's messages.
        finish_reason: stop, length, tool_calls, content_filter, or the vendor's own word; None if it gave none.
        model: the vendor's name of the model that answered.
        request_id: Penstock's id of the call.
        attempts: wire attempts made.
        cost_usd: what the provider charges; None where the price is unknown.
        raw: the provider's body as decoded JSON; for a stream the last chunk that had choices.
    """

    text: str = ""
    message: Message = msgspec.field(default_factory=lambda: Message("assistant"))
    tool_calls: list[ToolCall] = []
    usage: Usage = Usage()
    finish_reason: str | None = None
    model: str = ""
    request_id: str = ""
    attempts: int = 1
    cost_usd: Decimal | None = None
    raw: Any = None


class Embeddings(msgspec.Struct):
    """Vectors in the order of the inputs; iterating and indexing go to `vectors`."""

    vectors: list[list[float]] = []
    usage: Usage = Usage()
    model: str = ""
    request_id: str = ""
    attempts: int = 1
    cost_usd: Decimal | None = None
    raw: Any = None

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, index: int) -> list[float]:
        return self.vectors[index]


class Caller:
    """Who asks and how: the edge's facts about one request, none of them trusted yet.

    Attributes:
        headers: lower-case names; repeated fields joined by a comma. Empty for calls from the library.
        query: the raw query string, without `key`.
        credential: the key presented, as text; None if there was none.
        provider_credential: the caller's own for the provider, where Penstock's key came apart from it.
        trusted: True for calls from inside the process, which need no key.
        admits: which models its key may ask for, once that is known; None means any.
        max_output: the most tokens of output that its key may ask for, likewise.
        digest: what the key is looked up by, once that is known.
        wishes: what it asks for besides the answer (`routing/wishes.py`); None for nothing.
        task, tags: what its headers file it under (`routing/labels.py`); `filed`: they do.
        asks: the dialect of its requests' path, once that is known.
        sent: what providers made of it for a request's head; of a connection's requests many share one caller.
        routed: where its last request might go (`layers/route.py`).
        known: what was decided of its last request before it went anywhere (`gateway/shortcut.py`).
    """

    __slots__ = (
        "admits",
        "asks",
        "credential",
        "digest",
        "filed",
        "headers",
        "known",
        "max_output",
        "provider_credential",
        "query",
        "routed",
        "sent",
        "tags",
        "task",
        "trusted",
        "wishes",
    )

    def __init__(
        self,
        headers: dict[bytes, bytes] | None = None,
        query: bytes = b"",
        credential: str | None = None,
        *,
        trusted: bool = False,
    ) -> None:
        self.headers = headers if headers is not None else {}
        self.query = query
        self.credential = credential
        self.provider_credential: str | None = None
        self.trusted = trusted
        self.admits: Callable[[Any], bool] | None = None
        self.max_output: int | None = None
        self.digest: bytes | None = None
        self.sent: Any = None
        self.routed: Any = None
        self.known: Any = None
        self.filed = False
        self.task: str | None = None
        self.tags: tuple[tuple[str, str], ...] = ()
        self.wishes: Any = None
        self.asks: Any = None

    def wishing(self, wishes: Any) -> Caller:
        """The same caller, who asks for something else besides the answer."""
        other = Caller(self.headers, self.query, self.credential, trusted=self.trusted)
        other.provider_credential, other.digest = self.provider_credential, self.digest
        other.filed, other.task, other.tags = self.filed, self.task, self.tags
        other.wishes = wishes
        return other


@quick
class Request(msgspec.Struct, gc=False, eq=False, repr_omit_defaults=True):
    """What the caller asked, as it flows down the layers.

    Attributes:
        dialect: how the caller speaks: `openai_chat` or `openai_embeddings`.
        model: the name asked for.
        stream: whether the answer is to come as events.
        fields: the body's top level, each value as the bytes it came in.
        usage_asked: the caller itself asked for a usage chunk in its stream.
        caller: the edge's facts.
        record: what becomes of it; layers write here.
        target: the deployment that is asked, None until it is chosen; only providers know what it is.
        prompt: the fields in no vendor's words, once a provider of another dialect has been asked.
        plan: where it may go and by which rules (`routing/plan.py`), None until then.
        candidate: which of the plan's is asked.
        attempt: the wire attempt under way, or the last one.
        kind: what the next attempt is: see `Attempt`.
        deadline: monotonic time by which the whole request must be over.
        pause: seconds waited before it.
        trial: the attempt goes with a permit of its deployment's health.
        paid: what it took from its deployment's retry quota.
        tried: the ids of those that have failed it, once any has.
        untried: how many deployments have not been asked, this one included.
        wait: seconds that the attempt may take to its first output, or to the whole of a unary answer.
        idle: seconds of silence that its stream may have.
        begun: its last message is the beginning of the answer, to be gone on with.
        extent: how much it can use (`wire/extent.py`), once somebody has looked; `likely`: what its text is
            (`routing/estimate.py`).
        most_output: tokens that each answer of the next attempt may have at most; 0: as the caller says. What is less
            than that is named in `x-penstock-clamped`.
        cut_at: tokens of output at which a stream of the next attempt is cut off, since no more is paid for; 0: never.
        opening: called just before the next attempt is sent, and with it counted; it may refuse that.
        money: what it may cost in all, where that is limited (`routing/allowance.py`).
        place: tells its place in the queue in which it waits, the next one's being 1; None while it is in none.
    """

    dialect: str
    model: str
    stream: bool
    fields: dict[str, msgspec.Raw]
    caller: Caller
    record: Record
    usage_asked: bool = False
    target: Any = None
    prompt: Prompt | None = None
    plan: Any = None
    candidate: Any = None
    attempt: Any = None
    kind: str = "first"
    deadline: float = _NEVER
    pause: float = 0.0
    trial: bool = False
    paid: int = 0
    tried: Any = None
    untried: int = 1
    wait: float = 0.0
    idle: float = 0.0
    begun: bool = False
    place: Callable[[], int] | None = None
    extent: Any = None
    likely: Any = None
    most_output: int = 0
    cut_at: int = 0
    opening: Callable[[], None] | None = None
    money: Any = None

    def __repr__(self) -> str:
        return f"<Request {self.record.id} {self.dialect} model={self.model!r} stream={self.stream}>"
