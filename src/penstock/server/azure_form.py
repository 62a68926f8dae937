"""Calls as Azure's own clients write them: the model stands in the path, the API's version in the query.

`POST /openai/deployments/{model}/chat/completions?api-version=...` is `POST /v1/chat/completions` for that model, and
so are embeddings. https://learn.microsoft.com/azure/ai-services/openai/reference: the deployment in the path decides,
whatever model the body names. The version is that of an API which is not asked here, so it goes no further.
"""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from penstock.wire.dialect import Decoded
from penstock.wire.h1 import Head, HttpRequest
from penstock.wire.splice import raw

__all__ = ["PREFIX", "for_model", "is_azure_call", "plain_call"]

PREFIX = b"/openai/deployments/"
_TAILS = (b"/chat/completions", b"/embeddings")


def is_azure_call(path: bytes) -> bool:
    """Whether a call in Azure's form is served at `path`."""
    return path.startswith(PREFIX) and any(path.endswith(tail) and len(path) > len(PREFIX + tail) for tail in _TAILS)


def plain_call(http: HttpRequest) -> tuple[HttpRequest, str]:
    """The same call as OpenAI's clients write it, and the model that its path names."""
    tail = next(tail for tail in _TAILS if http.path.endswith(tail))
    model = unquote(http.path[len(PREFIX) : -len(tail)].decode("latin-1"))
    kept = [pair for pair in http.query.split(b"&") if not pair.startswith(b"api-version=")]
    query = b"?" + b"&".join(kept) if any(kept) else b""
    head = Head(http.method, b"/v1" + tail + query, http.head.version, http.headers)
    head.keep_alive, head.plain = http.head.keep_alive, http.head.plain
    return HttpRequest(head, http.body), model


def for_model(decoded: Decoded, model: str) -> Decoded:
    """The same request for another model than its body names."""
    return msgspec.structs.replace(decoded, model=model, fields={**decoded.fields, "model": raw(model)})
