"""The units and forms a value can be written in: pure, text in, value out.

Every function takes what stood in the file, of any type, and raises ValueError with a sentence that says what
to write instead. The second half turns values back into the text a person would write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from penstock.config.schema import Address
from penstock.routing.nearest import quoted
from penstock.routing.timeouts import DURATION, LONGEST_SECONDS, SECONDS

__all__ = [
    "COUNT",
    "CREDENTIAL_NAME",
    "DURATION",
    "HOST",
    "LABEL",
    "LAYER",
    "ORIGIN",
    "PERCENT",
    "ROUTES",
    "SIZE",
    "VERSION",
    "address",
    "auto_or_duration",
    "base_url",
    "count",
    "credential_name",
    "duration",
    "duration_text",
    "label",
    "layer",
    "off_or_duration",
    "part",
    "part_text",
    "positive_duration",
    "size",
    "size_text",
    "text",
    "version",
    "whole",
    "yes_no",
]

_BYTES = {"GiB": 1024**3, "MiB": 1024**2, "KiB": 1024, "B": 1}
SIZE = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB)")
COUNT = re.compile(r"([0-9]{1,12})(k|M|)")
_THOUSANDS = {"": 1, "k": 1_000, "M": 1_000_000}
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,63}")
LABEL = re.compile(r"[^\x00-\x20\x7f]{1,200}")
CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PERCENT = re.compile(r"((?:100(?:\.0{1,3})?|[0-9]{1,2}(?:\.[0-9]{1,3})?))%")
LAYER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*")
HOST = re.compile(r"(?:\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]")
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]{0,30}://(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def _shown(value: object) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    return quoted(str(value).lower() if isinstance(value, bool) else str(value))


# What people write for a unit, in lower case; "" is a number alone.
_LIKE_A_DURATION = {
    "": "s",
    **dict.fromkeys(("ms", "msec", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
}
_LIKE_A_SIZE = {
    **dict.fromkeys(("", "b", "byte", "bytes"), "B"),
    **dict.fromkeys(("k", "kb", "kib"), "KiB"),
    **dict.fromkeys(("m", "mb", "mib"), "MiB"),
    **dict.fromkeys(("g", "gb", "gib"), "GiB"),
}
_LIKE_A_COUNT = {"": "", "k": "k", "m": "M"}
_QUANTITY = re.compile(r"([0-9][0-9_,]{0,14}(?:\.[0-9]{1,3})?)\s*([A-Za-z]{0,12})")


def _meant(value: object, units: Mapping[str, str]) -> str:
    """` (did you mean "5s"?)` for `5 sec`; nothing where the unit is anybody's guess."""
    found = _QUANTITY.fullmatch(str(value).strip()) if isinstance(value, str | int | float) else None
    unit = units.get(found[2].lower()) if found is not None else None
    if found is None or unit is None:
        return ""
    number = found[1].replace("_", "").replace(",", "")
    if (units is not _LIKE_A_DURATION and "." in number) or not float(number):
        return ""
    if unit == "B":
        number, unit = size_text(int(number)), ""
    return f" (did you mean {quoted(number + unit)}?)"


def text(value: object) -> str:
    """Text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"text is expected here, not {_shown(value)}")
    return value


def label(value: object) -> str:
    """A name: at most 200 characters without spaces, so that it fits a log line, a header and a URL."""
    if not isinstance(value, str) or not LABEL.fullmatch(value):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fix = ": write it in quotes" if number else ""
        raise ValueError(f"a name without spaces is expected here, not {_shown(value)}{fix}")
    return value


def credential_name(value: object) -> str:
    """A name that stands behind a deployment's in log lines and metrics."""
    if not isinstance(value, str) or not CREDENTIAL_NAME.fullmatch(value):
        raise ValueError(f"a credential's name is made of letters, digits, - . and _, not {_shown(value)}")
    return value


def duration(value: object) -> float:
    """Seconds."""
    match = DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(
            f"{_shown(value)} is not a duration: write 250ms, 5s, 2m, 1h or 7d{_meant(value, _LIKE_A_DURATION)}"
        )
    seconds = float(match[1]) * SECONDS[match[2]]
    if seconds > LONGEST_SECONDS:
        raise ValueError(f"{_shown(value)} is too long: at most 3650d")
    return seconds


def positive_duration(value: object) -> float:
    """Seconds, more than none."""
    seconds = duration(value)
    if seconds <= 0:
        raise ValueError(f"{_shown(value)} must be more than nothing")
    return seconds


def auto_or_duration(value: object) -> float | None:
    """Seconds, more than none; None for `auto`."""
    return None if value == "auto" else positive_duration(value)


def off_or_duration(value: object) -> float | None:
    """Seconds, more than none; None for `off`."""
    return None if value == "off" else positive_duration(value)


def part(value: object) -> float:
    """A part of a whole, more than nothing: `0.5` or `50%`."""
    match = PERCENT.fullmatch(value) if isinstance(value, str) else None
    found = float(match[1]) / 100 if match is not None else value
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found <= 1:
        # 2 for 2%: nobody means twice the whole.
        number = isinstance(value, int | float) and not isinstance(value, bool) and 1 < value <= 100
        near = f" (did you mean {quoted(f'{value:g}%')}?)" if number else ""
        raise ValueError(f"{_shown(value)} is not a part of a whole: write 0.5 or 50%{near}")
    return float(found)


def whole(name: str, least: int, most: int) -> Callable[[object], int]:
    """Reads a whole number within bounds, called `name` where it is not."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            bare = f": write {value}, without quotes" if isinstance(value, str) and value.strip().isdecimal() else ""
            raise ValueError(f"{name} is a number from {least} to {most}{bare}")
        return value

    return read


def yes_no(value: object) -> bool:
    """`true` or `false`."""
    if not isinstance(value, bool):
        raise ValueError(f"write true or false, not {_shown(value)}")
    return value


def layer(value: object) -> str:
    """`module:name`."""
    if not isinstance(value, str) or not LAYER.fullmatch(value):
        raise ValueError(f"{_shown(value)} is not module:name: write my_package:MyLayer")
    return value


def size(value: object) -> int:
    """Bytes, more than none."""
    match = SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError(f"{_shown(value)} is not a size: write 64KiB or 32MiB{_meant(value, _LIKE_A_SIZE)}")
    return int(match[1]) * _BYTES[match[2]]


def count(value: object) -> int:
    """A whole number, more than none; `k` and `M` are thousands and millions."""
    match = COUNT.fullmatch(str(value)) if isinstance(value, int | str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError(
            f"{_shown(value)} is not a number of things: write 8192, 64k or 1M{_meant(value, _LIKE_A_COUNT)}"
        )
    return int(match[1]) * _THOUSANDS[match[2]]


def address(value: object) -> Address:
    """`host:port`, an IPv6 host in brackets."""
    host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if not colon or not host or (":" in host and not bracketed) or not LABEL.fullmatch(host):
        raise ValueError(f"{_shown(value)} is not an address: write host:port, such as 127.0.0.1:8484 or [::1]:8484")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise ValueError(f"{_shown(value)} is not an address: the port is a number up to 65535")
    return Address(host, int(port))


# Of a machine nearby: what is far away speaks https.
_HOST_AND_PORT = re.compile(
    r"(?:localhost|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[A-Za-z0-9-]{1,63}):[0-9]{1,5}(?:/[A-Za-z0-9/._-]{0,60})?"
)

# What is added to a base URL, and stands in addresses that are copied from an example of a request.
ROUTES = ("/chat/completions", "/completions", "/embeddings", "/messages", "/responses")
_TWICE = re.compile(r"(/v[0-9][^/]*)\1/?\Z")


def base_url(value: object) -> str:
    """An http or https URL, slashes at its end taken off. Its text is never shown: it may hold a password."""
    if isinstance(value, str) and value != value.strip() and LABEL.fullmatch(value.strip()):
        raise ValueError("base_url has spaces around it: leave them out")
    if not isinstance(value, str) or not value.isascii() or not LABEL.fullmatch(value):
        raise ValueError("base_url is not a URL: write http://host:port/v1 or https://...")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("base_url is not a URL: its host or port cannot be read") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        near = f": write http://{value}" if _HOST_AND_PORT.fullmatch(value) else ""
        raise ValueError(f"base_url must begin with http:// or https:// and name a host{near}")
    if "@" in parts.netloc:
        raise ValueError("base_url holds a user name or password: leave it out and write api_key: env:NAME")
    if route := next((route for route in ROUTES if parts.path.rstrip("/").endswith(route)), ""):
        raise ValueError(f"base_url ends with {route}, which is added to it: leave that out, and what follows it")
    if twice := _TWICE.search(parts.path):
        raise ValueError(f"base_url ends with {twice[1]} twice: leave one of them out")
    if "?" in value or "#" in value:
        raise ValueError("base_url has a query or a fragment: leave it out")
    if port == 0:
        raise ValueError("base_url has port 0")
    return value.rstrip("/")


def version(value: object) -> str:
    """The version of an API as a query names it."""
    if not isinstance(value, str) or not VERSION.fullmatch(value):
        raise ValueError(f"{_shown(value)} is not a version: write 2024-10-21, or 2025-04-01-preview")
    return value


def duration_text(seconds: float) -> str:
    """As a person would write it: `90s`, `250ms`, `1h`."""
    if seconds and seconds % 1 == 0:
        for unit in ("d", "h", "m"):
            if seconds % SECONDS[unit] == 0 and seconds > SECONDS[unit]:
                return f"{int(seconds / SECONDS[unit])}{unit}"
    if seconds % 1:
        return f"{round(seconds * 1000)}ms"
    return f"{int(seconds)}s"


def part_text(part: float) -> str | float:
    """As a percentage; the number itself where that has too many digits."""
    text = f"{part * 100:.3f}".rstrip("0").rstrip(".")
    return f"{text}%" if float(text) / 100 == part else part


def size_text(count: int) -> str:
    """In the largest unit that leaves no rest."""
    for unit, factor in _BYTES.items():
        if count and count % factor == 0:
            return f"{count // factor}{unit}"
    return f"{count}B"
