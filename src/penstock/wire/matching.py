"""A text that is told again: what of it goes on, once what was told before has come by. Pure.

For streams that are joined (semantics.md: Streams): the caller has the beginning, and another attempt tells all of it,
or goes on with it.
"""

from __future__ import annotations

__all__ = ["Rest", "kept_for"]


class Rest:
    """Gives what follows after `told`, from a text that comes in pieces of any size.

    Args:
        lenient: the text need not begin with `told`, which is white space that may have been left out; else it must.
    """

    __slots__ = ("_at", "_lenient", "_told")

    def __init__(self, told: str, *, lenient: bool = False) -> None:
        self._told = told
        self._at = 0
        self._lenient = lenient

    @property
    def reached(self) -> bool:
        """All of what was told has come by, so that whatever follows is new."""
        return self._lenient or self._at == len(self._told)

    def feed(self, text: str) -> str | None:
        """What of the piece is new, "" if nothing is yet; None where the text is another one."""
        told, at = self._told, self._at
        if at == len(told):
            return text
        size = min(len(text), len(told) - at)
        if told.startswith(text[:size], at):
            self._at = at + size
            return text[size:]
        if not self._lenient:
            return None
        self._at = len(told)
        return text


def kept_for(told: str) -> tuple[str, Rest]:
    """How much of a text a model can be asked to go on with, and what to expect of it.

    Anthropic refuses white space at the end ("final assistant content cannot end with trailing whitespace",
    https://platform.claude.com/docs/en/build-with-claude/prompt-engineering/prefill-claudes-response); what is left
    out may come again, or not.
    """
    kept = told.rstrip()
    return kept, Rest(told[len(kept) :], lenient=True)
