"""The head of an HTTP message, remembered: what comes next on its connection mostly has the same but for its length.

What is byte for byte the same means the same, so it need not be parsed again. Pure.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["KnownHead", "remember"]

_LENGTH = re.compile(rb"\r\ncontent-length: ?([0-9]{1,9})\r\n", re.IGNORECASE)


class KnownHead:
    """One head, up to its empty line.

    Attributes:
        meaning: what it was parsed as.
    """

    __slots__ = ("_after", "_before", "_start", "meaning")

    def __init__(self, before: bytes, after: bytes, meaning: Any) -> None:
        self._before = before
        self._start = len(before)
        self._after = after
        self.meaning = meaning

    def body(self, data: bytes) -> bytes | None:
        """The body, where `data` is one whole message with this head and whatever length; None for anything else."""
        start, after = self._start, self._after
        if data[:start] != self._before:
            return None
        end = data.find(b"\r", start, start + 10)
        begin = end + len(after)
        digits = data[start:end]
        if end < 0 or data[end:begin] != after or not digits.isdigit() or int(digits) != len(data) - begin:
            return None
        return data[begin:]


def remember(data: bytes, size: int, meaning: Any) -> KnownHead | None:
    """The head of a message that came in one piece with a body of so many bytes.

    None where the head does not say the length, or `data` is not just that.
    """
    end = data.find(b"\r\n\r\n") + 4
    length = _LENGTH.search(data, 0, end)
    if length is None or end + size != len(data) or int(length.group(1)) != size:
        return None
    return KnownHead(data[: length.start(1)], data[length.end(1) : end], meaning)
