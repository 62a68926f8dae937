"""One key of the configuration, as the tables of keys describe it."""

from __future__ import annotations

from typing import NamedTuple

from penstock.config.forms import Form

__all__ = ["Entry"]


class Entry(NamedTuple):
    """One key.

    Attributes:
        form: how its value is written.
        text: what it does, in Markdown.
        example: a value as one writes it; "" where its section's keys show it.
        default: what holds without it, as one would write it; "" where nothing does.
    """

    form: Form
    text: str
    example: str = ""
    default: str = ""
