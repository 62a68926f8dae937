"""A hook for mkdocs: the marks that tests read on code blocks (`python run`) say nothing to a reader, so they go."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["on_page_markdown", "plain"]

_MARKS = re.compile(r"^( *```[\w+-]+)((?: (?:run|served|refused|other))+)( .*)?$", re.MULTILINE)


def plain(markdown: str) -> str:
    """Without the marks; a block's title stays."""
    return _MARKS.sub(lambda found: found[1] + (found[3] or ""), markdown)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page."""
    return plain(markdown)
