"""What vendors of a dialect do not take that the dialect has: named, so that a catalogue row need only list them.

A quirk changes a request's top level and says what was lost by it: a field that is said in another word is not lost, a
field that asks for nothing but what is done anyway is left out and named. What would change the answer stays, so that
the vendor refuses it in its own words. Pure; answers are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType

import msgspec

from penstock.wire.splice import decode_object, encode_object, raw_text

__all__ = ["QUIRKS", "Bend", "Fields", "bend_for"]

Fields = dict[str, msgspec.Raw]
Quirk = Callable[[Fields], list[str]]
"""Changes a request's top level in place, and says which fields were lost."""

_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_MESSAGE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_DEVELOPER, _SYSTEM = b'"developer"', raw_text("system")
_UNTHOUGHT, _THOUGHT = (b"", b"null", b'""'), raw_text(" ")
# What Google reads as "this call is not of this model": https://ai.google.dev/gemini-api/docs/thought-signatures
_UNSIGNED = msgspec.Raw(b'{"google":{"thought_signature":"skip_thought_signature_validator"}}')
_SIGNATURE = b'"thought_signature"'
_ZERO = (b"0", b"0.0", b"null")

# Asks for what a stream of these vendors has anyway.
_USAGE_ALONE = {"include_usage"}


def no_stream_options(fields: Fields) -> list[str]:
    """`stream_options` is refused; the count of tokens comes without being asked for."""
    options = fields.pop("stream_options", None)
    try:
        asked = set() if options is None else set(_MESSAGE.decode(options))
    except msgspec.MsgspecError:
        asked = set()
    return ["stream_options"] if asked - _USAGE_ALONE else []


def max_tokens(fields: Fields) -> list[str]:
    """`max_completion_tokens` is refused or ignored: the limit is said with its older name, `max_tokens`."""
    if "max_completion_tokens" not in fields:
        return []
    limit = fields["max_completion_tokens"]
    renamed = {("max_tokens" if name == "max_completion_tokens" else name): value for name, value in fields.items()}
    fields.clear()
    fields.update(renamed)
    fields["max_tokens"] = limit  # where both are given, the newer one is meant
    return []


def system_role(fields: Fields) -> list[str]:
    """The role `developer` is refused: such messages come from `system`, as they did before it."""
    return _each_message(fields, _DEVELOPER, _from_system)


def _from_system(message: Fields) -> Fields | None:
    return {**message, "role": _SYSTEM} if bytes(message.get("role", b"")) == _DEVELOPER else None


def thought_with_calls(fields: Fields) -> list[str]:
    """Calls of tools without the thought that led to them are refused, by models that think: a space is one."""
    return _each_message(fields, b'"tool_calls"', _with_thought)


def _with_thought(message: Fields) -> Fields | None:
    calls, thought = bytes(message.get("tool_calls", b"")), bytes(message.get("reasoning_content", b""))
    if not calls.strip(b"[] \t\r\n") or calls == b"null" or thought not in _UNTHOUGHT:
        return None
    return {**message, "reasoning_content": _THOUGHT}


def signed_calls(fields: Fields) -> list[str]:
    """Calls of tools without the signature of the thought that led to them are refused, where the first of a turn has
    none: a word for it that is no signature is taken.
    """
    return _each_message(fields, b'"tool_calls"', _with_signature)


def _with_signature(message: Fields) -> Fields | None:
    calls = message.get("tool_calls")
    if calls is None or _SIGNATURE in bytes(calls):
        return None
    first, *rest = _LIST.decode(calls) or (None,)
    if first is None:
        return None
    call = _MESSAGE.decode(first)
    if bytes(call.get("extra_content", b"null")) not in (b"null", b"{}"):
        return None  # something of the vendor's own: what it lacks is the vendor's to say
    signed = msgspec.Raw(encode_object({**call, "extra_content": _UNSIGNED}))
    return {**message, "tool_calls": msgspec.Raw(msgspec.json.encode([signed, *rest]))}


def _each_message(fields: Fields, mark: bytes, change: Callable[[Fields], Fields | None]) -> list[str]:
    """Say those messages anew that `change` gives something for; where `mark` is in none, it is not even asked."""
    messages = fields.get("messages")
    if messages is None or mark not in bytes(messages):
        return []
    try:
        listed = _LIST.decode(messages)
        changed = [change(_MESSAGE.decode(message)) for message in listed]
    except msgspec.MsgspecError:
        return []  # the vendor's to refuse
    if any(changed):
        said = [
            old if new is None else msgspec.Raw(encode_object(new)) for old, new in zip(listed, changed, strict=True)
        ]
        fields["messages"] = msgspec.Raw(msgspec.json.encode(said))
    return []


def _left_out(*names: str, idle: Sequence[bytes]) -> Quirk:
    """Leaves out fields whose value asks for nothing, where even that is refused."""

    def leave_out(fields: Fields) -> list[str]:
        lost = [name for name in names if name in fields and bytes(fields[name]) in idle]
        for name in lost:
            del fields[name]
        return lost

    return leave_out


# --- the table

# For the dialect `openai_chat`, the only one whose vendors differ.
QUIRKS: Mapping[str, Quirk] = MappingProxyType(
    {
        "no_stream_options": no_stream_options,
        "max_tokens": max_tokens,
        "system_role": system_role,
        "thought_with_calls": thought_with_calls,
        "signed_calls": signed_calls,
        "no_store": _left_out("store", idle=(b"false", b"null")),
        "no_service_tier": _left_out("service_tier", idle=(b'"auto"', b'"default"', b"null")),
        "no_parallel_tool_calls": _left_out("parallel_tool_calls", idle=(b"true", b"null")),
        "no_penalties": _left_out("frequency_penalty", "presence_penalty", idle=_ZERO),
        "no_logprobs": _left_out("logprobs", "top_logprobs", "logit_bias", idle=(b"false", b"null", b"{}", b"0")),
    }
)
_BENT = "openai_chat"


class Bend:
    """The quirks of one vendor, in their order.

    Args:
        models: by quirk, patterns of the models that alone have it (`fnmatch`).

    Attributes:
        asks_usage: whether a stream may be asked for its usage.
    """

    __slots__ = ("_quirks", "asks_usage")

    def __init__(self, names: Sequence[str], models: Mapping[str, Sequence[str]] = MappingProxyType({})) -> None:
        self._quirks = [(QUIRKS[name], models.get(name, ())) for name in names]
        self.asks_usage = "no_stream_options" not in names

    def fields(self, fields: Fields, model: str = "") -> tuple[Fields, list[str]]:
        """The request's top level as the vendor's model takes it, and what was lost; `fields` itself stays."""
        bent = dict(fields)
        lost = []
        for quirk, patterns in self._quirks:
            if not patterns or any(fnmatchcase(model, pattern) for pattern in patterns):
                lost += quirk(bent)
        return bent, lost

    def body(self, body: bytes, model: str = "") -> tuple[bytes, list[str]]:
        """The same for a whole body. Raises InvalidRequest: it is no JSON object."""
        bent, lost = self.fields(decode_object(body), model)
        return encode_object(bent), lost


def bend_for(names: Sequence[str], models: Mapping[str, Sequence[str]] = MappingProxyType({})) -> Mapping[str, Bend]:
    """By dialect; empty without quirks."""
    return {_BENT: Bend(names, models)} if names else {}
