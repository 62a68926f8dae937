"""What an answer that was read as JSON is called to its caller."""

from __future__ import annotations

import re

__all__ = ["JSON", "of_json"]

JSON = b"application/json"
# What a browser does nothing with: no page, picture or script.
_HARMLESS = re.compile(rb"application/(?!.*(?:html|xml|script))[ -~]+", re.IGNORECASE)


def of_json(kind: bytes) -> bytes:
    """The provider's own name for it; `JSON` where a browser would show or run what is called so.

    Some providers call their errors `application/octet-stream`; a page of a provider's own must not come from the
    gateway's address.
    """
    return kind if kind[:16] == JSON or _HARMLESS.fullmatch(kind) else JSON
