"""Points in time as the control plane takes and gives them: RFC 3339 in, a date or a duration from now too."""

from __future__ import annotations

from datetime import UTC, datetime

from penstock.config import values
from penstock.errors import InvalidRequest
from penstock.stores.key_rights import LAST

__all__ = ["moment", "seconds", "written"]


def written(unix: int | None) -> str | None:
    """Unix seconds as RFC 3339, at most the last that it can say; None stays None."""
    return None if unix is None else datetime.fromtimestamp(min(unix, LAST), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str | None, param: str, now: int) -> int | None:
    """Unix seconds of a time, a date (its first moment in UTC), or so long from now; None stays None.

    Raises:
        InvalidRequest: it is none of them.
    """
    if text is None:
        return None
    try:
        return now + int(values.duration(text))
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            if len(text) != len("2027-01-31"):
                raise ValueError
            found = found.replace(tzinfo=UTC)
        return int(found.timestamp())
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"{param} is no time", do="Write 2027-01-31, 2027-01-31T18:00:00+01:00, or 90d from now.", param=param
        ) from None


def seconds(text: str, param: str) -> int:
    """A duration in seconds. Raises InvalidRequest."""
    try:
        return int(values.duration(text))
    except ValueError:
        raise InvalidRequest(f"{param} is no duration", do="Write 30m, 24h or 7d.", param=param) from None
