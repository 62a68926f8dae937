"""What is carried, dropped or refused when a request is said in another dialect: the one table.

A dialect's `decode_prompt` notes each feature it met in `Prompt.given`; the other's `encode_prompt` says which
features it can say (its `SAYS`). What is between them is decided here, by whether losing it changes the answer's
meaning (`house.md`: Different dialects). `docs/dialects.md` and tests are generated from the same data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from penstock.errors import InvalidRequest
from penstock.prompt import Prompt

__all__ = ["FEATURES", "Feature", "Losses", "fate"]


class Feature(NamedTuple):
    """Something a request may ask for.

    Attributes:
        text: what it is, for the docs.
        loss: what happens to it towards a dialect that cannot say it.
    """

    text: str
    loss: Literal["drop", "refuse"]


FEATURES: Mapping[str, Feature] = {
    # said by every dialect so far; refused where one cannot
    "system": Feature("system prompts, wherever they stand", "refuse"),
    "text": Feature("text", "refuse"),
    "tools": Feature("tools the caller runs", "refuse"),
    "tool_choice": Feature("whether a tool must be called", "refuse"),
    "parallel_tool_calls": Feature("several tool calls in one turn, or one at most", "refuse"),
    "tool_results": Feature("tool results", "refuse"),
    "tool_errors": Feature("tool results marked as errors", "refuse"),
    "tool_result_images": Feature("images in tool results", "refuse"),
    "max_output_tokens": Feature("the output's limit", "refuse"),
    "temperature": Feature("temperature", "refuse"),
    "top_p": Feature("top_p", "refuse"),
    "stop": Feature("stop sequences", "refuse"),
    "stream": Feature("streaming", "refuse"),
    "json_schema": Feature("an answer that follows a JSON schema", "refuse"),
    "images": Feature("images as base64 and as URL", "refuse"),
    "documents": Feature("documents as base64 and as text", "refuse"),
    "thinking": Feature("how much to think: effort, budget, off", "drop"),
    "user": Feature("who the end user is", "drop"),
    # known to some only: what matters is refused
    "json_object": Feature("an answer that is any JSON object", "refuse"),
    "top_k": Feature("top_k", "refuse"),
    "document_urls": Feature("documents by URL", "refuse"),
    "files": Feature("files stored at the vendor, by id", "refuse"),
    "audio_in": Feature("audio", "refuse"),
    "custom_tools": Feature("tools with free-text input", "refuse"),
    "server_tools": Feature("tools the vendor runs", "refuse"),
    "allowed_tools": Feature("a choice among some of the tools", "refuse"),
    "citations": Feature("citations from documents", "refuse"),
    "foreign_parts": Feature("parts only the vendor itself understands", "refuse"),
    # hints: another vendor answers the same without them
    "cache_markers": Feature("prompt-cache markers", "drop"),
    "thinking_history": Feature("earlier thinking of another family, and its signatures", "drop"),
    "thinking_display": Feature("how thoughts are shown", "drop"),
    "citation_history": Feature("citations in earlier answers", "drop"),
    "image_detail": Feature("the resolution an image is read at", "drop"),
    "document_titles": Feature("titles and contexts of documents", "drop"),
    "names": Feature("names of speakers", "drop"),
    "tool_strict": Feature("tool arguments bound to their schema", "drop"),
    "format_description": Feature("what the answer's schema is for, in words", "drop"),
    "verbosity": Feature("how long the answer should be", "drop"),
}


def fate(feature: str, says: Iterable[str]) -> Literal["carried", "drop", "refuse"]:
    """What becomes of a feature towards a dialect that says these."""
    return "carried" if feature in says else FEATURES[feature].loss


class Losses:
    """What one translation loses; refuses what matters unless it is lenient."""

    __slots__ = ("_clamped", "_dropped", "_lenient")

    def __init__(self, *, lenient: bool) -> None:
        self._lenient = lenient
        # Ordered sets: a caller may have made up any number of fields.
        self._dropped: dict[str, None] = {}
        self._clamped: dict[str, None] = {}

    @property
    def dropped(self) -> list[str]:
        """What is left out, in the caller's words, each once, in order."""
        return list(self._dropped)

    @property
    def clamped(self) -> list[str]:
        """What is made smaller, likewise."""
        return list(self._clamped)

    def check(self, prompt: Prompt, says: frozenset[str]) -> None:
        """Everything the prompt asks for that is not among what the dialect says. Raises InvalidRequest."""
        for feature, name in prompt.given.items():
            if feature not in says:
                self.lose(feature, name)
        for name in prompt.demands:
            self.refuse(name)
        for name in prompt.hints:
            self.drop(name)

    def lose(self, feature: str, name: str) -> None:
        """One feature that cannot be said (to this model). Raises InvalidRequest."""
        if FEATURES[feature].loss == "drop":
            self.drop(name)
        else:
            self.refuse(name)

    def drop(self, name: str) -> None:
        """Name what is left out."""
        self._dropped[name] = None

    def clamp(self, name: str) -> None:
        """Name what is made smaller."""
        self._clamped[name] = None

    def refuse(
        self, name: str, why: str = "the model that answers speaks another dialect, which has no word for it"
    ) -> None:
        """What would change the answer. Raises InvalidRequest unless lenient, which drops it."""
        if self._lenient:
            self.drop(name)
            return
        raise InvalidRequest(
            f"'{name}' cannot be translated: {why}",
            do="Leave it out, ask for another model, or set `untranslatable: drop` on the model.",
            param=name,
        )
