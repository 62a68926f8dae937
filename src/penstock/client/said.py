"""What a program tells Penstock of a call besides what it asks the model: checked, and as the headers it would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from penstock.errors import InvalidRequest
from penstock.routing.labels import Tags, check_tags
from penstock.routing.nearest import quoted
from penstock.routing.wishes import HEADERS, Wishes, read_wishes
from penstock.wire.structured_fields import KEY, write_dictionary

__all__ = ["Said", "read_said"]


class Said(NamedTuple):
    """What the call is for, and what it wishes for; all of it also as headers."""

    task: str | None
    headers: dict[bytes, bytes]
    wishes: Wishes | None
    tags: Tags = ()


def read_said(given: dict[str, Any]) -> Said:
    """Take the arguments about it out of `given`.

    Raises:
        InvalidRequest: one of them cannot be used; `param` names it.
    """
    task = _task(given)
    headers = {} if task is None else {b"x-penstock-task": task.encode("ascii")}
    tags = _tags(given)
    if tags:
        headers[b"x-penstock-tags"] = write_dictionary(tags).encode("ascii")
    texts: dict[str, str] = {}
    for header, name in HEADERS.items():
        if name in given:
            texts[name] = _text(name, given.pop(name))
            headers[header] = texts[name].encode("latin-1", "replace")
    return Said(task, headers, read_wishes(texts) if texts else None, tags)


def _text(name: str, value: Any) -> str:
    """As a header says it."""
    if name in ("deadline", "timeout") and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.3f}s"
    if name == "retries" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if name == "fallbacks" and isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_name, value)) or "off"
    if name == "max_cost_usd" and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return f"{Decimal(repr(value)) if isinstance(value, float) else Decimal(value):f}"
    if name in ("deadline", "timeout", "priority", "max_cost_usd") and isinstance(value, str):
        return value
    shown = {"retries": "a whole number", "fallbacks": "a list of names", "priority": "text"}
    shown["max_cost_usd"] = 'a decimal, or text such as "0.01",'
    expected = shown.get(name, 'a number of seconds, or text such as "20s"')
    raise InvalidRequest(f"{name}: {expected} is expected here", do="Correct it, or leave it out.", param=name)


def _name(value: Any) -> str:
    # What goes into a header, and between commas (RFC 9110, section 5.5).
    if isinstance(value, str) and value.isascii() and value.isprintable() and "," not in value and value.strip():
        return value
    raise InvalidRequest(
        "fallbacks: a model's name is printable ASCII without commas",
        do="Correct it, or leave it out.",
        param="fallbacks",
    )


def _tags(given: dict[str, Any]) -> Tags:
    tags = given.pop("tags", None)
    if tags is None:
        return ()
    if not isinstance(tags, Mapping) or not all(isinstance(name, str) for name in tags):
        raise InvalidRequest("tags: names and values are expected here", do="Pass a mapping.", param="tags")
    for name in tags:
        if KEY.fullmatch(name) is None:  # goes into a header (RFC 9651, section 3.1.2)
            raise InvalidRequest(
                f"tags: {quoted(name)} is no name: they are made of lower-case letters, digits, _ - . *",
                do="Rename it.",
                param="tags",
            )
    return check_tags(tags, "tags")


def _task(given: dict[str, Any]) -> str | None:
    task = given.pop("task", None)
    # Goes into a header (RFC 9110, section 5.5), so it is held to what one can carry.
    if task is not None and not (isinstance(task, str) and task.isascii() and task.isprintable()):
        raise InvalidRequest("The task must be printable ASCII.", do="Name it with a plain word.", param="task")
    return task
