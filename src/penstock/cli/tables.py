"""Tables for a terminal: columns two spaces apart, and nothing in a cell that a terminal takes for a command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["clean", "moment", "table"]

# Names are other people's, and a terminal may take control characters for commands of its own, or turn the writing of a
# line round so that it reads otherwise than it is.
_CONTROLS = dict.fromkeys((
    *range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A),
))  # fmt: skip


def clean(text: str) -> str:
    """Without control characters and marks of direction."""
    return text.translate(_CONTROLS)


def moment(text: str | None) -> str:
    """A point in time to the minute, in UTC; `-` for none."""
    return f"{text[:10]} {text[11:16]}" if text else "-"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A line for the columns' names and one for each row."""
    whole = [tuple(columns), *(tuple(clean(cell) or "-" for cell in row) for row in rows)]
    widths = [max(len(row[at]) for row in whole) for at in range(len(columns) - 1)]
    lines = []
    for row in whole:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return "\n".join(lines)
