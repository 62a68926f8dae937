"""Errors of the control plane as problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil

import msgspec
from starlette.responses import Response

from penstock.errors import PenstockError, Unauthenticated

__all__ = ["MEDIA_TYPE", "problem", "problem_of"]

MEDIA_TYPE = "application/problem+json"


def problem(
    status: int,
    code: str,
    detail: str,
    do: str = "",
    headers: Mapping[str, str] | None = None,
    param: str | None = None,
) -> Response:
    """A problem. Its type is `about:blank`, so that the title is the status's own (RFC 9457, section 4.2.1).

    Args:
        code: which error it is, for programs; `do`: what the reader can do about it.
        param: which field or parameter is wrong.
    """
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, "code": code}
    if do:
        body["do"] = do
    if param is not None:
        body["param"] = param
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)


def problem_of(error: PenstockError) -> Response:
    """An error of ours; a 401 says how to authenticate (RFC 9110, section 11.6.1), and what passes says when."""
    headers = {}
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="penstock admin"'
    if error.retry_after is not None:
        headers["retry-after"] = str(ceil(error.retry_after))
    return problem(error.status, error.code, error.message, error.do, headers, error.param)
