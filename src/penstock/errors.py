"""The tree of errors; its first split says whose fault it was.

PenstockError
├── CallerError      the request is wrong: mend it before sending it again
├── LimitError       the request is fine, there is no room for it now
├── UpstreamError    the provider failed, or what it said could not be used
├── PolicyError      Penstock itself decided not to go on
└── ConfigError      the configuration is wrong

Every error knows its HTTP `status`, its `code` (the class name in snake_case), whether the same request
may succeed later (`retryable`), how long to wait (`retry_after`, seconds) and what to do next (`do`).
Dialects map this tree once, on the way out; nobody below raises anything else on purpose. What a class says after
`Do:` is for whoever meets it; docs/errors.md is made of it (`make docs`).
"""

from __future__ import annotations

import re
from typing import ClassVar

__all__ = [
    "BudgetExceeded",
    "CallerError",
    "CircuitOpen",
    "ConfigError",
    "Conflict",
    "ContentFiltered",
    "ContextTooLong",
    "DeadlineExceeded",
    "EveryDeploymentFailed",
    "Forbidden",
    "InvalidRequest",
    "LargerThanLimit",
    "LimitError",
    "NotAvailable",
    "NotFound",
    "Overloaded",
    "PenstockError",
    "PolicyError",
    "ProtocolError",
    "RateLimited",
    "StreamInterrupted",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "UnknownModel",
    "UnknownPrice",
    "UpstreamContextTooLong",
    "UpstreamCredential",
    "UpstreamError",
    "UpstreamNotFound",
    "UpstreamQuota",
    "UpstreamRateLimited",
    "UpstreamRefused",
    "UpstreamTimeout",
]


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class PenstockError(Exception):
    """The root. `str(error)` is one sentence for a person; `do` says what to do next.

    Args:
        message: what happened, without secrets or content.
        do: what the reader can do about it.
        param: the request field at fault, if one is.
        retry_after: seconds to wait before the next try, if known.
        status: overrides the class's HTTP status where a provider's own must be kept.
    """

    status: int = 500
    code: str = "penstock_error"
    retryable: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" not in cls.__dict__:
            cls.code = _snake(cls.__name__)

    def __init__(
        self,
        message: str,
        *,
        do: str = "",
        param: str | None = None,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.do = do
        self.param = param
        self.retry_after = retry_after
        if status is not None:
            self.status = status

    @property
    def told(self) -> str:
        """What happened and what to do, as sentences. A field's name stays as it is written."""
        message, do = (text[:1].upper() + text[1:] for text in (self.message, self.do))
        if self.param and self.message.startswith(self.param):
            message = self.message
        sentences = (text for text in (message, do) if text)
        return " ".join(text if text[-1] in ".!?" else f"{text}." for text in sentences)


class CallerError(PenstockError):
    """The request is wrong; sending it again unchanged gives the same answer."""

    status = 400


class InvalidRequest(CallerError):
    """The request cannot be read, or a field of it is wrong (400).

    Do: Mend the field that `param` names, or what the message says; the same request fails again.
    """


class NotAvailable(CallerError):
    """A field, header or route that this version does not have (400).

    Do: Leave the field, header or route out, or use a version that has it; the changelog says which.
    """


class Unauthenticated(CallerError):
    """No key, or one that is not known here (401).

    Do: Send a key from `keys:` as `Authorization: Bearer`, or as `x-api-key`. The client may read another variable.
    """

    status = 401


class Forbidden(CallerError):
    """A known caller asks for what it may not have (403).

    Do: Ask for a model that the key may use (`/v1/models` lists them), or add it to the key's `models:`.
    """

    status = 403


class UnknownModel(CallerError):
    """No model of that name is configured (404).

    Do: The message names the nearest names and what exists; `/v1/models` lists it. Else declare it under `models:`.
    """

    status = 404


class NotFound(CallerError):
    """No such route or thing (404), or not with this method (405).

    Do: Check path and method; the message lists the routes. Mostly it is a base URL written with or without `/v1`.
    """

    status = 404


class Conflict(CallerError):
    """The request contradicts another one, or the state of what it names (409).

    Do: Look at what the message names, and send the request again once it is settled.
    """

    status = 409


class TooLarge(CallerError):
    """Body or headers are above the cap (413, 431).

    Do: Send less. The operator may raise `server.max_body`.
    """

    status = 413


class ContextTooLong(CallerError):
    """The prompt does not fit the model's context window (400).

    Do: Shorten the prompt, or ask for a model with a larger window.
    """


class LargerThanLimit(CallerError):
    """The request alone is larger than a limit that holds for it: it would never be admitted (400).

    Do: Send a shorter prompt, or ask for less output. The operator may raise the limit that the message names.
    """


class LimitError(PenstockError):
    """The request is fine, but there is no room for it now."""

    status = 429
    retryable = True


class RateLimited(LimitError):
    """More than a limit of this gateway admits at the moment (429).

    Do: Wait as long as `retry-after` says: who waits so long, alone, is admitted. The message names the limit, and what
    else may be done.

    Args:
        unit: of what there is too much, `requests` or `tokens`.

    Attributes:
        elsewhere: another deployment may be asked; this one is waited for once that has failed.
    """

    elsewhere = False

    def __init__(
        self, message: str, *, do: str = "", param: str | None = None, retry_after: float | None = None,
        status: int | None = None, unit: str = "requests",
    ) -> None:  # fmt: skip
        super().__init__(message, do=do, param=param, retry_after=retry_after, status=status)
        self.unit = unit


class BudgetExceeded(LimitError):
    """A budget that holds for this call has too little left for it (429); sent again at once it is refused again.

    Do: The message names the budget and when it is there again. Ask for a cheaper model or for less output, or have
    the budget raised.
    """

    retryable = False


class Overloaded(LimitError):
    """Penstock itself is full or about to stop (503).

    Do: Wait as long as `retry-after` says. The operator: more workers, a higher `max_connections`, another replica.

    Attributes:
        elsewhere: another deployment has room; this one may be waited for once that has failed.
    """

    status = 503
    elsewhere = False


class UpstreamError(PenstockError):
    """The provider failed. Its own answer, where there was one, rides along for callers of the same dialect.

    Attributes:
        answer: status, headers and body as the provider sent them, or None if it sent nothing usable.
        dialect: the dialect `answer` is in; "" where there is none.
        callers_own: the credential was the caller's own, so that what is wrong with it is for the caller to know.
    """

    status = 502
    retryable = True
    answer: ProviderAnswer | None = None
    dialect: str = ""
    callers_own: bool = False

    def blame_caller(self) -> None:
        """The credential was the caller's own: a complaint about it has the provider's status and speaks to them."""
        self.callers_own = True
        if isinstance(self, UpstreamCredential | UpstreamQuota):
            if self.answer is not None and 400 <= self.answer.status < 500:
                self.status = self.answer.status
            self.message = self.message.replace("the credential configured for it", "your own credential for it")
            self.args = (self.message,)
            self.do = "Check the provider's key or account that you send the request with."


class Unavailable(UpstreamError):
    """Not reachable, reset, or answering with a server error (502).

    Do: Send it again after a moment; nothing was answered. The operator: `penstock doctor` looks at the way there.
    """


class UpstreamTimeout(UpstreamError):
    """Silent for longer than a timeout allows (504).

    Do: Send it again, or raise `timeouts:` on the model if it may think for so long.

    Attributes:
        late: the time for all of it was over, however much came.
    """

    status = 504
    late = False


class UpstreamRateLimited(UpstreamError):
    """The provider's rate limit (429).

    Do: Wait as long as `retry-after` says. The operator: a higher limit at the provider, or fewer calls at a time.
    """

    status = 429


class UpstreamQuota(UpstreamError):
    """The provider says our account has no quota or credit left (502).

    Do: The operator's to settle: pay the provider's bill, or raise the account's limit. Callers can do nothing.

    Attributes:
        partly: what is left does not pay for this request, but does for a smaller one.
    """

    retryable = False
    partly = False


class UpstreamCredential(UpstreamError):
    """The provider refuses our credential (502).

    Do: The operator's to settle: the key that `api_key:` names is revoked, expired or another vendor's.
    `penstock doctor --ask` tries it.
    """

    retryable = False


class ProtocolError(UpstreamError):
    """The provider's bytes are not valid HTTP, JSON or its dialect (502).

    Do: Usually a `base_url` that leads to something else, or a proxy's page between: `penstock doctor --ask` tells.
    Else send it again.
    """


class StreamInterrupted(UpstreamError):
    """A stream ended without the provider having ended it; told inside the stream.

    Do: Keep or drop what came so far, and send the request again: the answer is not complete.
    """


class ContentFiltered(UpstreamError):
    """The provider's content filter refused the prompt or the answer (400).

    Do: Change the prompt, or ask a model of another provider; the same prompt is refused again.
    """

    status = 400
    retryable = False


class UpstreamRefused(UpstreamError):
    """The provider finds fault with the request itself (400, 413, 422): unchanged it gets the same answer.

    Do: Read the message, which is the provider's own, and mend the request.
    """

    status = 400
    retryable = False


class UpstreamContextTooLong(UpstreamRefused, ContextTooLong):
    """The provider says the prompt does not fit this model's window (400); `except ContextTooLong` catches it too.

    Do: Shorten the prompt, or ask for a model with a larger window.
    """

    code = "context_too_long"


class UpstreamNotFound(UpstreamError):
    """The provider has no such model or path for us (404, a 403 on a model): the deployment is misconfigured.

    Do: The operator's to settle: the target's model is misspelt, was withdrawn, or this account may not use it.
    `penstock doctor --ask` compares it with what the provider lists.
    """

    status = 404
    retryable = False


class PolicyError(PenstockError):
    """Penstock decided not to go on."""

    status = 503


class DeadlineExceeded(PolicyError):
    """The request's own deadline passed (504).

    Do: Give it more time, or ask for less output.
    """

    status = 504
    retryable = True


class CircuitOpen(PolicyError):
    """Every deployment that could answer has failed so often that none is asked for a moment (503).

    Do: Wait as long as `retry-after` says. The operator: `penstock deployments list` tells which, since when and why.
    """

    retryable = True


class EveryDeploymentFailed(PolicyError):
    """More than one deployment was tried, and none answered; the status is the last one's.

    Do: Wait as long as `retry-after` says, if it says so. The operator: `penstock explain` with the request's id tells
    what each said.

    Args:
        last: what the last one said.
    """

    status = 502

    def __init__(
        self, message: str, last: PenstockError | None = None, *, do: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message, do=do, retry_after=retry_after)
        self.last = last
        if last is not None:
            self.status, self.retryable = last.status, last.retryable  # type: ignore[misc]


class UnknownPrice(PolicyError):
    """Nobody knows what the model costs, and the configuration refuses such calls (400).

    Do: Ask for another model, declare the price under `prices:`, or set `unknown_price: flag`.
    """

    status = 400


class ConfigError(PenstockError):
    """The configuration is wrong. `str()` holds one `file:line:col: message` per line.

    Do: Mend the file at the place the message begins with; `penstock doctor` names fixes too.
    """


class ProviderAnswer:
    """What a provider answered, as it came: kept so that the same dialect can pass it on unchanged."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body
