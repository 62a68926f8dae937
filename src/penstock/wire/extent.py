"""How much a request can use at most, read from its fields as its caller's dialect says it. Pure.

No tokenizer is asked: no text has more tokens than bytes. What is not in the bytes (pictures, files that lie at the
vendor, what a vendor's own tools fetch) is counted apart, and never too low.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

__all__ = ["Extent", "limit_output", "read_extent", "read_plain", "text_of"]

# Of a picture nobody knows the size before it is decoded, if it is there at all. The dearest of each family, as far as
# vendors tell: 2,833 and 5,667 for each of eight tiles (gpt-4o-mini:
# https://platform.openai.com/docs/guides/images-vision); Claude's largest have 4,784
# (https://platform.claude.com/docs/en/build-with-claude/vision).
IMAGE_TOKENS = 48_169
ANTHROPIC_IMAGE_TOKENS = 4_784
# What a vendor adds to a request with tools in its own words, at most 804 tokens:
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview
TOOL_TOKENS = 1_024
# Tools of Anthropic's that their callers run: they cost nothing but what is said.
_RUN_BY_CALLER = ("custom", "function", "bash_", "text_editor_", "computer_", "memory_")

_READ = ("messages", "system", "prompt", "tools", "input")
_BASE64 = re.compile(rb"[A-Za-z0-9+/=]{512,}")
_TOLD = ("messages", "system", "prompt")
_LIMITS = ("max_tokens", "max_completion_tokens")
_IMAGES = frozenset(("image", "image_url", "input_image"))
_FILES = frozenset(("file", "input_file", "document", "video", "video_url", "container_upload"))
# One of these must be in the bytes for a part to be more than text; letters may be written as \u00xx.
_TELLTALES = (
    b"image",
    b"file",
    b"document",
    b"video",
    b"audio",
    b"container",
    b"\\u004",
    b"\\u005",
    b"\\u006",
    b"\\u007",
)
# What stands for something that lies at the vendor, which may be as long as the model's window.
_STORED = ("previous_response_id", "conversation", "container")
# What the vendor does by itself and nobody can bound: its own tools elsewhere, and routers' additions.
_UNBOUNDED = ("mcp_servers", "plugins")

_MOST = 2**53
_BACKSLASH = ord("\\")  # a byte is found in a third of the time that a text of one takes
_RARE = frozenset((
    *("n", "thinking", "service_tier", "speed", "tools", "web_search_options", "audio", "modalities"),
    *(*_STORED, *_UNBOUNDED),
))  # fmt: skip
# What says nothing of what a request can use, but `messages` and the limits; of more the long way is gone.
_PLAIN = frozenset((
    *("model", "messages", "max_tokens", "max_completion_tokens", "stream", "stream_options", "temperature", "top_p"),
    *("top_k", "stop", "stop_sequences", "seed", "user", "metadata", "frequency_penalty", "presence_penalty"),
))  # fmt: skip
_is_plain = _PLAIN.issuperset
_PLAIN_DIALECTS = frozenset(("openai_chat", "anthropic_messages"))
_list = msgspec.json.Decoder(list[Any]).decode
_any = msgspec.json.decode


class Extent(msgspec.Struct, gc=False):
    """What a request can use at most. Tokens.

    Attributes:
        input: of its prompt, as long as `stored` is not set.
        stored: something of it lies at the vendor: it can be as long as the model's window.
        output: of each answer, as the caller limits it; None where it does not.
        plain: there is nothing in it but words: all that follows is as it is in most.
        answers: how many there are to be.
        thinking: how much of the output is for thinking.
        uses: how often a vendor's own tools may be used; None where nobody limits it.
        media: there is more in it than text.
        heard, spoken: there is sound in it; sound is to come.
        kept: something is to stay in the vendor's cache for an hour.
        tier: the tier that it asks for, "" where it does not.
    """

    input: int
    stored: bool = False
    output: int | None = None
    plain: bool = False
    answers: int = 1
    thinking: int = 0
    uses: int | None = 0
    media: bool = False
    heard: bool = False
    spoken: bool = False
    kept: bool = False
    tier: str = ""


def read_extent(dialect: str, fields: dict[str, msgspec.Raw], size: int) -> Extent:
    """What a request can use. Never raises: what cannot be read its provider, or its translation, refuses.

    Args:
        size: the body's bytes.
    """
    extent = Extent(size)
    if dialect == "openai_embeddings":
        extent.output = 0
        return extent
    if dialect == "generate":
        budget = _value(fields, "budget")
        extent.output = _count(budget.get("max_output_tokens")) if isinstance(budget, dict) else None
    elif "max_tokens" in fields or "max_completion_tokens" in fields:
        extent.output = _asked(fields)
    image = ANTHROPIC_IMAGE_TOKENS if dialect.startswith("anthropic") else IMAGE_TOKENS
    for name in _TOLD:
        if name in fields:
            _look(extent, bytes(fields[name]), image)
    if not _RARE.isdisjoint(fields):
        _read_rest(extent, fields)
    return extent


def read_plain(dialect: str, fields: dict[str, msgspec.Raw], size: int) -> tuple[Extent, bytes] | None:
    """As `read_extent` and `text_of` for what most requests are, messages in nothing but words, in a third of the
    time; None: it may be more than that."""
    raw = fields.get("messages")
    if raw is None or not _is_plain(fields) or dialect not in _PLAIN_DIALECTS:
        return None
    text = bytes(raw)
    # Parts stand in a list within the messages', and have a type.
    if text.rfind(b"[") and text.find(b'"type"') >= 0:
        return None
    if _BACKSLASH in text and b"\\u" in text:
        return None
    return Extent(size, False, _asked(fields), True), text


def _asked(fields: dict[str, msgspec.Raw]) -> int | None:
    """How long an answer may be, by the larger of its two names; None where nothing says so."""
    most = 0
    for name in _LIMITS:
        raw = fields.get(name)
        if raw is not None:
            try:
                told = _any(raw)
            except (ValueError, RecursionError):
                continue
            if told.__class__ is int and told > most:
                most = told if told < _MOST else _MOST
    return most or None


def text_of(fields: dict[str, msgspec.Raw], *, media: bool) -> bytes:
    """What of a request is read as text, as JSON has it; of what is no text, only the frame."""
    text = b"".join([bytes(fields[name]) for name in _READ if name in fields])
    return _BASE64.sub(b"", text) if media else text


def limit_output(
    fields: dict[str, msgspec.Raw], most: int, name: str
) -> tuple[dict[str, msgspec.Raw], tuple[str, ...]]:
    """The same request for answers of so many tokens at most, and which of its fields say so.

    Args:
        name: what the limit is called where the request has none.
    """
    raw, fields = msgspec.Raw(b"%d" % most), fields.copy()
    found: tuple[str, ...] = ()
    for each in _LIMITS:
        if each in fields:
            fields[each], found = raw, (*found, each)
    if not found:
        fields[name], found = raw, (name,)
    return fields, found


def _read_rest(extent: Extent, fields: dict[str, msgspec.Raw]) -> None:
    """What only few requests have."""
    if "n" in fields:
        extent.answers = _count(_value(fields, "n")) or 1
    if "thinking" in fields:
        thinking = _value(fields, "thinking")
        if isinstance(thinking, dict) and thinking.get("type") == "enabled":
            extent.thinking = _count(thinking.get("budget_tokens")) or 0
    if "service_tier" in fields:
        tier = _value(fields, "service_tier")
        extent.tier = tier if isinstance(tier, str) else ""
    if _value(fields, "speed") == "fast":
        extent.tier = "fast"
    if "tools" in fields:
        _read_tools(extent, bytes(fields["tools"]))
    if "web_search_options" in fields:
        # A model of OpenAI's that searches does so once: https://platform.openai.com/docs/guides/tools-web-search
        extent.stored, extent.uses = True, 1
    if "audio" in fields or "modalities" in fields:
        extent.spoken = True
    if any(_given(fields, name) for name in _STORED):
        extent.stored = True
    if any(_given(fields, name) for name in _UNBOUNDED):
        extent.stored, extent.uses = True, None


def _read_tools(extent: Extent, raw: bytes) -> None:
    extent.input += TOOL_TOKENS
    if b'"1h"' in raw:
        extent.kept = True
    try:
        tools = _list(raw)
    except (ValueError, RecursionError):
        return
    for tool in tools:
        kind = tool.get("type", "custom") if isinstance(tool, dict) else "custom"
        if isinstance(kind, str) and not kind.startswith(_RUN_BY_CALLER):
            # Each use is another turn of the model, which reads all that was found.
            extent.stored = True
            uses = _count(tool.get("max_uses"))
            extent.uses = extent.uses + uses if extent.uses is not None and uses is not None else None


def _look(extent: Extent, raw: bytes, image: int) -> None:
    """Count what is no text."""
    if b'"type"' not in raw and (raw.find(b"\\") < 0 or b"\\u00" not in raw):
        return  # every part but plain text has one
    if b'"1h"' in raw:
        extent.kept = True
    for telltale in _TELLTALES:
        if telltale in raw:
            break
    else:
        return
    try:
        waiting = [_any(raw)]
    except (ValueError, RecursionError):
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            kind = value.get("type")
            if not isinstance(kind, str):
                kind = ""
            if kind in _IMAGES:
                extent.input += image
                extent.media = True
            elif kind == "input_audio":
                extent.heard = extent.media = True
            elif kind in _FILES and not _is_text(value):
                extent.stored = extent.media = True
            if "file_id" in value:
                extent.stored = True
            waiting += [each for each in value.values() if isinstance(each, dict | list)]


def _is_text(part: dict[str, Any]) -> bool:
    """A document that is all there, in words."""
    source = part.get("source")
    return isinstance(source, dict) and source.get("type") in ("text", "content")


def _given(fields: dict[str, msgspec.Raw], name: str) -> bool:
    return name in fields and bytes(fields[name]) not in (b"null", b"[]", b"{}")


def _value(fields: dict[str, msgspec.Raw], name: str) -> Any:
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return _any(raw)
    except (ValueError, RecursionError):
        return None


def _count(value: Any) -> int | None:
    """A number of tokens; None for what is none."""
    if value.__class__ is int and value > 0:
        return min(value, _MOST)
    return None
