"""What an API of the simulated provider is to it: routes, shapes and words of one vendor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from penstock.providers.simulated.failures import ApiError, Headers
from penstock.providers.simulated.journal import Seen
from penstock.providers.simulated.play import Step
from penstock.providers.simulated.script import Script
from penstock.providers.simulated.staging import Stage
from penstock.wire.h1 import HttpRequest

__all__ = ["Api", "Asked"]


class Asked(msgspec.Struct, frozen=True):
    """What is asked for, and how the answer is to be given.

    Attributes:
        fields: the body's top level.
        model: the name asked for, without a fault script; "" for none.
        time: Unix time.
        seen: what is kept of it.
    """

    request: HttpRequest
    fields: Mapping[str, Any]
    model: str
    script: Script
    stage: Stage
    seed: int
    time: float
    seen: Seen


class Api(Protocol):
    """One vendor's API. Its errors are those it raises, those of `failure`, and `ApiError`s that went by `worded`."""

    def headers(self, seed: int) -> Headers:
        """Of every response, beyond content-type and framing."""
        ...

    def check_key(self, request: HttpRequest, key: str) -> None:
        """Raise ApiError unless the request has the key."""
        ...

    def failure(self, status: int, script: Script, model: str) -> ApiError:
        """The error a script asks for."""
        ...

    def worded(self, error: ApiError, seed: int) -> ApiError:
        """An error as this API says it, whoever raised it."""
        ...

    def not_json(self) -> ApiError:
        """A body that is not a JSON object."""
        ...

    def answer(self, asked: Asked) -> Iterable[Step]:
        """The response. Raises ApiError for a request it refuses."""
        ...
