"""A hook for mkdocs: what is in a page for others than the site's readers goes.

That is the marks which tests read on code blocks (`python run`), and links to files outside docs/, whose text stays.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["on_page_markdown", "plain"]

_OPENS = re.compile(r"^ *```[\w+-]+ .*$", re.MULTILINE)
_MARK = re.compile(r" (?:run|served|refused|other|fresh)\b")
_OUTSIDE = re.compile(r"\[([^\]\n]+)\]\((?:\.\./)+[^)\s]+\)")


def plain(markdown: str, depth: int = 0) -> str:
    """Without the marks; a block's title stays.

    Args:
        depth: how many folders below docs/ the page lies.
    """
    text = _OPENS.sub(lambda found: _MARK.sub("", found[0]), markdown)
    up = "../" * (depth + 1)
    return _OUTSIDE.sub(lambda found: found[1] if f"]({up}" in found[0] else found[0], text)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs for every page."""
    return plain(markdown, page.file.src_uri.count("/"))
