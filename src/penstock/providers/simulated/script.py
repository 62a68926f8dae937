"""Fault scripts: one small language that says how the simulated provider shall behave for a request.

A script is `key=value` pairs parted by commas or semicolons, in the model name (`small:status=503,retry_after=2`)
or in the header `x-penstock-sim: status=503; retry_after=2`. A key alone means `key=1`. Durations are `250ms`,
`5s`, `2m` or plain seconds. `KEYS` lists every key with what it does; it is also what a wrong script is answered with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

__all__ = ["HEADER", "KEYS", "Script", "ScriptError", "parse_script", "split_model"]

HEADER = b"x-penstock-sim"

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|)\Z")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "": 1.0}
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+/ =-]{1,100}\Z")
_WORD = re.compile(r"[a-z0-9_]{1,64}\Z")


class ScriptError(ValueError):
    """A script that cannot be followed; the message names the key and what is known."""


class Script(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to do with one request. The defaults are a provider in good health; `KEYS` explains each field."""

    # Before the answer
    status: int = 0
    code: str = ""
    retry_after: str = ""
    reset: str = ""
    silence: bool = False
    no_prefill: bool = False
    # Timing, in seconds
    head: float = 0.0
    first_token: float = 0.0
    between: float = 0.0
    tail: float = 0.0
    burst: int = 0
    # The answer
    tokens: int = 0
    usage: str = ""
    html: bool = False
    error_in_200: bool = False
    content_type: str = ""
    # The stream
    cut: int | None = None
    stall: int | None = None
    stall_for: float = 0.0
    malformed: int | None = None
    bad_utf8: int | None = None
    error_event: int | None = None
    no_done: bool = False
    no_finish: bool = False
    comments: bool = False
    crlf: bool = False
    # The connection
    endless_line: bool = False
    split: int = 0
    surplus: bool = False
    close: bool = False
    # Whether
    times: int = 0
    during: float = 0.0
    p: float = 1.0


SPLIT_AT_RANDOM = -1


def _integer(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise ScriptError(f"a whole number from {low} to {high}")
        return int(text)

    return read


def _duration(text: str) -> float:
    match = _DURATION.match(text)
    if match is None:
        raise ScriptError("a duration such as 250ms, 5s or 2m")
    return float(match[1]) * _UNITS[match[2]]


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise ScriptError("a number from 0 to 1")
    return value


def _flag(text: str) -> bool:
    if text not in ("1", "0", "true", "false"):
        raise ScriptError("1 or 0, or nothing")
    return text in ("1", "true")


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ScriptError("one of " + ", ".join(words))
        return text

    return read


def _matching(pattern: re.Pattern[str], expected: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if pattern.match(text) is None:
            raise ScriptError(expected)
        return text

    return read


def _split(text: str) -> int:
    if text == "random":
        return SPLIT_AT_RANDOM
    try:
        return _integer(1, 65536)(text)
    except ScriptError as error:
        raise ScriptError("random or a number of bytes") from error


def _retry_after(text: str) -> str:
    _duration(text)
    return text


_COUNT = _integer(0, 1_000_000)
_ORDINAL = _integer(1, 1_000_000)

KEYS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "status": (_integer(300, 599), "answer with this status and the provider's real body for it"),
    "code": (_matching(_WORD, "a word"), "the error's code, e.g. insufficient_quota or context_length_exceeded"),
    "retry_after": (_retry_after, "retry-after header; retry-after-ms too when it is not in whole seconds"),
    "reset": (_one_of("before_headers", "after_headers"), "reset the connection there"),
    "silence": (_flag, "accept the request and never answer"),
    "no_prefill": (_flag, "refuse a conversation that ends with the assistant's turn, as models that cannot go on do"),
    "head": (_duration, "wait before the response's headers"),
    "first_token": (_duration, "wait between the headers and the first output"),
    "between": (_duration, "wait between output events (or bursts of them)"),
    "tail": (_fraction, "probability that a wait is ten times as long"),
    "burst": (_integer(1, 10_000), "output events in one write"),
    "tokens": (_integer(1, 100_000), "length of the answer"),
    "usage": (_one_of("none", "wrong", "zero", "huge", "negative"), "say so about the tokens used"),
    "html": (_flag, "a page of HTML instead of an answer"),
    "error_in_200": (_flag, "status 200 with an error in the body"),
    "content_type": (_matching(_MEDIA_TYPE, "a media type"), "of the response"),
    "cut": (_COUNT, "close the connection after so many events, or bytes of a unary body"),
    "stall": (_COUNT, "say nothing more after so many events, or bytes of a unary body"),
    "stall_for": (_duration, "go on after so long a `stall`; without it never"),
    "malformed": (_ORDINAL, "which event is not valid JSON (any number: the whole unary body)"),
    "bad_utf8": (_ORDINAL, "which event has half a UTF-8 character (any number: the unary body)"),
    "error_event": (_COUNT, "an error event after so many events, then the end"),
    "no_done": (_flag, "leave out a stream's last event ([DONE], message_stop)"),
    "no_finish": (_flag, "end a stream cleanly, without finish reason"),
    "comments": (_flag, "SSE comments between the events"),
    "crlf": (_flag, "end the lines of a stream with CR LF"),
    "endless_line": (_flag, "a body of one line that never ends"),
    "split": (_split, "bytes in each write, or `random`"),
    "surplus": (_flag, "bytes nobody asked for after the response"),
    "close": (_flag, "connection: close after the response"),
    "times": (_integer(1, 1_000_000), "only the first so many requests with this script"),
    "during": (_duration, "only for so long from the first request with this script"),
    "p": (_fraction, "probability that the script applies to a request"),
}


@lru_cache(maxsize=256)
def parse_script(text: str) -> Mapping[str, Any]:
    """The settings of a script, for `Script(**settings)`; empty for an empty script.

    Raises:
        ScriptError: an unknown or repeated key, or a value it cannot have.
    """
    settings: dict[str, Any] = {}
    for item in re.split(r"[,;]", text):
        if not item.strip():
            continue
        key, _, value = (part.strip() for part in item.partition("="))
        if key not in KEYS:
            raise ScriptError(f"Unknown key '{key[:64]}' in the fault script. Known keys: {', '.join(KEYS)}.")
        if key in settings:
            raise ScriptError(f"The key '{key}' stands twice in the fault script.")
        try:
            settings[key] = KEYS[key][0](value or "1")
        except ScriptError as error:
            raise ScriptError(f"Invalid value for '{key}' in the fault script: expected {error}.") from None
    return settings


def split_model(name: str) -> tuple[str, str]:
    """A model name and the script behind its first colon, if any."""
    model, _, script = name.partition(":")
    return model, script
