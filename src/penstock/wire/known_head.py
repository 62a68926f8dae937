"""The head of an HTTP message, remembered: what comes next on its connection mostly has the same but for its length.

What is byte for byte the same means the same, so it need not be parsed again: where the body has 100 to 999,999 bytes,
as nearly all have. Pure.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["LONGEST", "KnownHead", "remember"]

# Bytes of a body; what is longer is not taken.
LONGEST = 999_999

_LENGTH = re.compile(rb"\r\ncontent-length: ?([0-9]{1,9})\r\n", re.IGNORECASE)


class KnownHead:
    """One head, up to its empty line.

    Attributes:
        meaning: what it was parsed as.
    """

    __slots__ = ("_begin", "_rest", "_template", "meaning")

    def __init__(self, before: bytes, after: bytes, meaning: Any) -> None:
        self._template = b"%b%%d%b" % (before.replace(b"%", b"%%"), after.replace(b"%", b"%%"))
        self._rest = len(before) + len(after)
        self._begin = self._rest + 4  # of the body, where its length has as many digits as that of the one before
        self.meaning = meaning

    def body(self, data: bytes) -> bytes | None:
        """The body, where `data` is one whole message with this head and whatever length; None for anything else."""
        begin = self._begin
        body = data[begin:]
        # Writing the only head that it can have and comparing takes half as long as looking for the digits.
        if data[:begin] == self._template % len(body):
            return body or None
        rest = len(data) - self._rest
        digits = 3 if rest < 1_003 else 4 if rest < 10_004 else 5 if rest < 100_005 else 6
        begin = self._rest + digits
        if rest < 103 or begin == self._begin or data[:begin] != self._template % (rest - digits):
            return None
        self._begin = begin
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
