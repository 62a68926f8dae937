"""Calls as Azure's own clients write them: the model stands in the path, the API's version in the query.

`POST /openai/deployments/{model}/chat/completions?api-version=...` is `POST /v1/chat/completions` for that model, and
so are embeddings. https://learn.microsoft.com/azure/ai-services/openai/reference: the deployment in the path decides,
whatever model the body names. The version is that of an API which is not asked here, so it goes no further.
"""

from __future__ import annotations

from urllib.parse import unquote

from penstock.errors import InvalidRequest
from penstock.wire.h1 import Head, HttpRequest
from penstock.wire.splice import decode_object, encode_object, raw

__all__ = ["PREFIX", "is_azure_call", "named", "plain_call"]

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


def named(body: bytes, model: str) -> bytes:
    """The same body, naming that model; the one it names may be empty. What is no JSON object stays as it is."""
    try:
        fields = decode_object(body)
    except InvalidRequest:
        return body  # its dialect says what is wrong with it
    return encode_object({**fields, "model": raw(model)})
