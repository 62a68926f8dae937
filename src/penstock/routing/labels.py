"""Whom and what a request is for: its user, and its tags, which limits, budgets and the ledger go by. Pure.

Tags come in `x-penstock-tags`, in `/v1/generate`'s field, as an argument of the library, and as OpenAI's `metadata`,
which is the same by another name. A later word for one of them holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from penstock.errors import InvalidRequest
from penstock.messages import Request
from penstock.records import LONGEST_NAME, shortened
from penstock.routing.nearest import quoted

__all__ = ["MOST_TAGS", "Tags", "check_tags", "joined", "label"]

Tags = tuple[tuple[str, str], ...]

# OpenAI's bounds for metadata: https://platform.openai.com/docs/api-reference/chat/create#chat-create-metadata
MOST_TAGS = 16
_LONGEST_NAME = 64
_LONGEST_VALUE = 512


def check_tags(tags: Mapping[str, Any], where: str) -> Tags:
    """The same as a record has them.

    Args:
        where: what they stand in, for the error.

    Raises:
        InvalidRequest: too many, too long, or a value that is no text.
    """
    if len(tags) > MOST_TAGS:
        raise _invalid(where, f"there are {len(tags)} tags, and at most {MOST_TAGS} may be")
    for name, value in tags.items():
        if not isinstance(value, str):
            raise _invalid(where, f"the value of {quoted(name)} is no text")
        if not name or len(name) > _LONGEST_NAME or len(value) > _LONGEST_VALUE:
            limits = f"a name has 1 to {_LONGEST_NAME} characters, a value at most {_LONGEST_VALUE}"
            raise _invalid(where, f"{quoted(name)} is empty or too long: {limits}")
    return tuple(tags.items())


def joined(tags: Tags, more: Tags) -> Tags:
    """Both; of a name that both have the later value holds."""
    return tuple({**dict(tags), **dict(more)}.items()) if tags and more else tags or more


def label(request: Request, *, trusted: bool) -> None:
    """Fill in the record's user and tags by what the request says of them.

    Args:
        trusted: whether the user that it names is believed.
    """
    fields = request.fields
    if "metadata" in fields:
        _read_metadata(request, fields["metadata"], trusted=trusted)
    if not trusted:
        return
    named = request.caller.headers.get(b"x-penstock-user")
    if named is not None:
        request.record.user = _kept(named.decode("latin-1"))
        return
    raw = fields.get("user")
    if raw is not None:
        user = _decoded(raw)
        if isinstance(user, str):
            request.record.user = _kept(user)


def _read_metadata(request: Request, raw: msgspec.Raw, *, trusted: bool) -> None:
    """OpenAI's pairs are tags; Anthropic's `user_id` is who asks. What is no text is the provider's alone."""
    metadata = _decoded(raw)
    if not isinstance(metadata, dict):
        return
    record = request.record
    if request.dialect.startswith("anthropic"):
        user = metadata.get("user_id")
        if trusted and isinstance(user, str):
            record.user = _kept(user)
        return
    record.tags = joined(tuple(_fitting(metadata.items())), record.tags)[:MOST_TAGS]


def _kept(user: str) -> str:
    return user if len(user) <= LONGEST_NAME else shortened(user)


def _fitting(pairs: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, str]]:
    """A provider may take more than we keep: what does not fit is left to it."""
    for name, value in pairs:
        if isinstance(value, str) and 0 < len(name) <= _LONGEST_NAME and len(value) <= _LONGEST_VALUE:
            yield name, value


def _decoded(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return None  # its provider, or its translation, says what is wrong with it


def _invalid(where: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{where}: {what}", do="Correct it, or leave it out.", param=where)
