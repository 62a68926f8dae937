"""What a request to the control plane carries: its body, read strictly, and the conditions it makes.

Only the fields that a shape has may be sent: no other is ignored, so that nothing is taken for granted that was not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec
from starlette.requests import Request

from penstock.errors import InvalidRequest, TooLarge
from penstock.routing.nearest import did_you_mean, quoted

__all__ = ["MOST_BYTES", "read_body", "read_fields", "receive", "tag_of", "version_asked"]

T = TypeVar("T", bound=msgspec.Struct)

MOST_BYTES = 64 * 1024
# The database counts in 64 bits.
_MOST_DIGITS = 18


async def receive(request: Request) -> bytes:
    """The whole body; `read_body` and whoever asks for it later have it from `request.state.body`.

    Raises:
        TooLarge: it has more than 64 KiB.
    """
    parts: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_BYTES:
            raise TooLarge(f"the body has more than {MOST_BYTES // 1024} KiB", do="Send less.")
        parts.append(chunk)
    return b"".join(parts)


def read_body(request: Request, shape: type[T]) -> T:
    """The body, which was received, as that shape; no body at all is an empty object.

    Raises:
        InvalidRequest: it is no JSON object, has a field that the shape has not, or a field is wrong; `param` names it.
    """
    data = read_fields(request)
    known = [field.encode_name for field in msgspec.structs.fields(shape)]
    for name in data:
        if name not in known:
            raise InvalidRequest(
                f"there is no field {quoted(name)} here{did_you_mean(name, known)}",
                do=f"It has {', '.join(known)}." if known else "It has no fields.",
                param=name,
            )
    try:
        return msgspec.convert(data, shape)
    except msgspec.ValidationError as error:
        raise _wrong(str(error), shape) from None


def read_fields(request: Request) -> dict[str, Any]:
    """The body as a JSON object whose fields somebody else checks; raises InvalidRequest where it is none."""
    body: bytes = request.state.body
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise InvalidRequest(f"the body is {quoted(coding[:20])}", do="Send it as it is.", status=415)
    if body:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise InvalidRequest("the body is not application/json", do="Say so in content-type.", status=415)
    try:
        data = msgspec.json.decode(body or b"{}")
        # That one takes the last of several.
        json.loads(body or b"{}", object_pairs_hook=_once)
    except (msgspec.DecodeError, ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise InvalidRequest("the body is not JSON", do="Send a JSON object.") from None
    if not isinstance(data, dict):
        raise InvalidRequest("the body is no JSON object", do="Send fields and their values: {...}.")
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, of which each name stands there once. Raises InvalidRequest."""
    found = dict(pairs)
    if len(found) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise InvalidRequest(f"{quoted(name)} stands there twice", do="Say it once.", param=name)
    return found


def _wrong(said: str, shape: type[msgspec.Struct]) -> InvalidRequest:
    """In msgspec's words: what was expected, and at which path; of one of a few words, which."""
    what, _, path = said.partition(" - at `$.")
    what = what[:1].lower() + what[1:]
    path = path.removesuffix("`")
    if not path:
        name = what.partition("required field `")[2].rstrip("`")
        told = f"{name} is missing" if name else what
        return InvalidRequest(told, do="Send it." if name else "Correct it.", param=name or None)
    field = path.partition(".")[0].partition("[")[0]
    if what.startswith("invalid enum value"):
        words = [word for word in _words(get_type_hints(shape)[field]) if isinstance(word, str)]
        return InvalidRequest(f"{path} is none of {', '.join(words)}", do="Write one of them.", param=field)
    return InvalidRequest(f"{path}: {what}", do="Correct it, or leave it out.", param=field)


def _words(form: Any) -> Iterator[Any]:
    """The words that a type allows, as deep as they stand."""
    for each in get_args(form):
        yield from _words(each) if get_args(each) else (each,)


def tag_of(version: int) -> str:
    """The etag of a row at that version of it."""
    return f'"{version}"'


def version_asked(request: Request, *, needed: bool = True) -> int | None:
    """The version that `if-match` names; None for any (`*`), and where it may be left out.

    Raises:
        InvalidRequest: it is missing (428), or names several.
    """
    given = request.headers.getlist("if-match")
    if not given:
        if needed:
            raise InvalidRequest(
                "if-match is missing: another may have changed it since you looked",
                do="GET it, and send its etag as if-match; `*` for whatever it is by now.",
                status=428,
            )
        return None
    tag = given[0].strip()
    if len(given) > 1 or "," in tag:
        raise InvalidRequest("if-match names several versions", do="Name the one that was seen.")
    if tag == "*":
        return None
    digits = tag.removeprefix('"').removesuffix('"')
    good = tag == f'"{digits}"' and digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS
    # What is no tag of ours is that of no version there ever was.
    return int(digits) if good else -1
