"""Where the pages that are made from code are written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["write_pages"]


def write_pages(pages: Mapping[str, str]) -> None:
    """Write pages into docs/, by name, and say which."""
    docs = Path(__file__).resolve().parents[1] / "docs"
    for name, text in pages.items():
        (docs / name).write_text(text)
        print(f"docs/{name}")
