"""What is asked of a model, in no vendor's words: what a dialect's request is read into to be said in another.

A `Prompt` is made only where caller and provider speak differently; in the same dialect the bytes pass. Every value
a dialect has no place for must be dropped by name or refused by name (`wire/translation.py`), never forgotten: so
`given` remembers what the caller called each thing it set.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = [
    "Audio",
    "Document",
    "Foreign",
    "Format",
    "Image",
    "Part",
    "Prompt",
    "Reasoning",
    "Refusal",
    "Source",
    "Text",
    "Thinking",
    "Tool",
    "ToolChoice",
    "ToolResult",
    "ToolUse",
    "Turn",
]

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Source(msgspec.Struct, kw_only=True):
    """Where an image or a document is: exactly one of `data`, `url`, `file_id`, `text` is set.

    Attributes:
        media_type: `image/png`, `application/pdf`, ...; "" where unknown (a URL).
        data: base64, without line breaks.
        file_id: a file stored at the vendor; it means nothing to another.
        text: a plain-text document itself.
    """

    media_type: str = ""
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    text: str | None = None


class Text(msgspec.Struct, kw_only=True):
    """Text of a turn. `cached` marks the end of a prefix to cache: its lifetime, `5m` or `1h`, "" for the default."""

    text: str
    cached: str | None = None
    citations: list[Any] = []


class Image(msgspec.Struct, kw_only=True):
    """A picture. `detail` is OpenAI's hint for its resolution."""

    source: Source
    detail: str | None = None
    cached: str | None = None


class Document(msgspec.Struct, kw_only=True):
    """A PDF or a text to be read. `cites`: citations from it are asked for."""

    source: Source
    title: str | None = None
    context: str | None = None
    cites: bool = False
    cached: str | None = None


class Audio(msgspec.Struct, kw_only=True):
    """Sound: base64 in `format` (`wav`, `mp3`)."""

    data: str
    format: str


class ToolUse(msgspec.Struct, kw_only=True):
    """An earlier call of a tool by the model; `arguments` is JSON text, or free text for a custom tool."""

    id: str
    name: str
    arguments: str
    custom: bool = False
    cached: str | None = None


class ToolResult(msgspec.Struct, kw_only=True):
    """What a tool gave: texts, images, documents; in which order."""

    id: str
    parts: list[Text | Image | Document]
    is_error: bool = False
    cached: str | None = None


class Reasoning(msgspec.Struct, kw_only=True):
    """Earlier thinking. Only the family of models that made it (`family`: a dialect's name) takes it back.

    Attributes:
        signature: the vendor's seal on the text; "" for none.
        redacted: thinking the vendor gave only encrypted; text is "" then.
    """

    text: str = ""
    signature: str = ""
    redacted: str = ""
    family: str = ""


class Refusal(msgspec.Struct, kw_only=True):
    """An earlier refusal of the model, in words."""

    text: str


class Foreign(msgspec.Struct, kw_only=True):
    """A part that only its own dialect knows, such as the result of a vendor's web search.

    Attributes:
        kind: what the vendor calls it.
        family: the dialect it is of.
        value: as decoded JSON.
    """

    kind: str
    family: str
    value: Any


Part = Text | Image | Document | Audio | ToolUse | ToolResult | Reasoning | Refusal | Foreign


class Turn(msgspec.Struct, kw_only=True):
    """One message. Tool results stand in a `user` turn, whatever the dialect calls the one who brings them."""

    role: Literal["system", "user", "assistant"]
    parts: list[Part]
    name: str | None = None


class Tool(msgspec.Struct, kw_only=True):
    """A tool the model may call.

    Attributes:
        schema: JSON schema of the arguments; None for a custom tool, whose input is free text.
        kind: `function`, `custom`, or `server` for one the vendor runs itself (`value` holds it then).
        grammar: how a custom tool's input is built, as the dialect wrote it.
        value: a server tool as decoded JSON.
    """

    name: str
    description: str | None = None
    schema: Any = None
    strict: bool | None = None
    kind: Literal["function", "custom", "server"] = "function"
    grammar: Any = None
    value: Any = None
    cached: str | None = None


class ToolChoice(msgspec.Struct, kw_only=True):
    """Whether a tool is to be called: `tool` names the one that must be; `allowed` are those that may, [] for all."""

    mode: Literal["auto", "none", "required", "tool"]
    name: str = ""
    allowed: list[str] = []


class Thinking(msgspec.Struct, kw_only=True):
    """How much to think.

    Attributes:
        mode: `off`; `adaptive`, the model decides; `budget`, so many tokens; None where only an effort is set.
        budget: tokens, with mode `budget`.
        effort: in the words of the vocabulary; a vendor's own level is mapped by its dialect.
        display: how thoughts are shown (`summarized`, `omitted`), None as the vendor does by itself.
    """

    mode: Literal["off", "adaptive", "budget"] | None = None
    budget: int = 0
    effort: Effort | None = None
    display: str | None = None


class Format(msgspec.Struct, kw_only=True):
    """The form of the answer: any JSON (`schema` is None), or JSON that follows a schema."""

    schema: Any = None
    name: str = ""
    description: str | None = None
    strict: bool | None = None


class Prompt(msgspec.Struct, kw_only=True):
    """A whole request. None or empty: not said, so the vendor's default holds.

    Attributes:
        turns: in order; system turns where the caller put them.
        max_output_tokens: reasoning included.
        user: who the end user is, as an opaque id.
        hints: what asks for no other answer (`seed`, `metadata`, `store`, `service_tier`, `prediction`, betas, zero
            penalties, fields nobody knows), by the caller's name, as decoded JSON.
        demands: what would change the answer and has no word here (`n` > 1, `logprobs`, `logit_bias`, non-zero
            penalties, audio out, a vendor's server-side features), by the caller's name.
        given: a feature's name in `wire/translation.FEATURES` -> what the caller called it (`max_output_tokens` ->
            `max_completion_tokens`), for what was set; errors and `x-penstock-dropped` speak in these words.
    """

    turns: list[Turn] = []
    tools: list[Tool] = []
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = []
    thinking: Thinking | None = None
    format: Format | None = None
    verbosity: str | None = None
    user: str | None = None
    stream: bool = False
    hints: dict[str, Any] = {}
    demands: dict[str, Any] = {}
    given: dict[str, str] = {}
