"""Time zones by their names, as budgets are counted in them."""

from __future__ import annotations

import zoneinfo

from penstock.config.values import text
from penstock.routing.nearest import nearest, quoted

__all__ = ["zone"]


def zone(value: object) -> str:
    """The name of a zone that this machine knows, such as `Europe/Berlin`. Raises ValueError."""
    name = text(value)
    if name == "UTC":
        return name
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        known = zoneinfo.available_timezones()
        raise ValueError(f"{quoted(name)} is no time zone that is known here{_meant(name, known)}") from None
    return name


def _meant(name: str, known: set[str]) -> str:
    if not known:
        return ": this machine has no time zones (tzdata); write UTC, or install the package tzdata"
    # `nearest` looks at 200 names only, and most zones are called by a city: so those of the same first letter.
    city = name.rpartition("/")[2].replace(" ", "_").lower()
    places = {
        zone.rpartition("/")[2].lower(): zone for zone in sorted(known) if not zone.startswith(("posix/", "right/"))
    }
    alike = nearest(city, [place for place in places if place[0] == city[:1]], most=1, alike=0.75)
    return f" (did you mean {quoted(places[alike[0]])}?)" if alike else ": write UTC, or a name such as Europe/Berlin"
