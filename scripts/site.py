"""A hook for mkdocs: the marks that tests read on code blocks (`python run`) say nothing to a reader, so they go."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["on_page_markdown", "plain"]

_OPENS = re.compile(r"^ *```[\w+-]+ .*$", re.MULTILINE)
_MARK = re.compile(r" (?:run|served|refused|other|fresh)\b")


def plain(markdown: str) -> str:
    """Without the marks; a block's title stays."""
    return _OPENS.sub(lambda found: _MARK.sub("", found[0]), markdown)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page."""
    return plain(markdown)
