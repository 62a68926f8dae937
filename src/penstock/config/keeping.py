"""Reads where state is kept, and how much a worker takes at a time: `state`, `admission`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from penstock.config import values
from penstock.config.limits import MOST_CALLS
from penstock.config.reader import NOT_YET, Reader, Unset
from penstock.config.schema import AdmissionRules, Durability
from penstock.config.tree import Node
from penstock.redact import Secret
from penstock.routing.admission import Repeats
from penstock.routing.nearest import did_you_mean, quoted
from penstock.stores.bookings import DAY_SECONDS
from penstock.stores.retention import LEAST_DAYS

__all__ = ["DURABILITY", "MEMORY", "read_admission", "read_encryption_key", "read_state", "retention"]

MEMORY = "memory"
DURABILITY: Mapping[str, Durability] = {"process": "process", "power": "power"}
# As stores/vault.py has it.
SHORTEST_SECRET = 32
_SQLITE = "sqlite:///"
_FORM = "write sqlite:///penstock.db or memory"
_LATER = re.compile(r"(postgres(?:ql)?)(?:\+[a-z0-9]+)?://")
_MOST = values.whole("most", 1, MOST_CALLS)
_QUEUE = values.whole("queue", 0, MOST_CALLS)
_SAME = values.whole("same", 2, MOST_CALLS)


def read_state(reader: Reader, node: Node | None, *, kept: bool) -> str:
    """`state:`: `memory`, or the absolute path of the SQLite file.

    Args:
        kept: whether it is a file where that is nowhere said.
    """
    if node is None:
        return str(reader.path("penstock.db")) if kept else MEMORY
    written = node.value
    if isinstance(written, str) and written.startswith(("env:", "file:")):
        try:
            secret = reader.secret(node, "DATABASE_URL")
        except Unset as unset:
            reader.problems.add(node.place, f"{unset}, and state: stands nowhere else: {_FORM}")
            return MEMORY
        return MEMORY if secret is None else _location(reader, node, secret.reveal(), secret.source)
    return _location(reader, node, written, "")


def retention(value: object) -> float | None:
    """Seconds for which each attempt is kept; None for `off`. Raises ValueError."""
    seconds = values.off_or_duration(value)
    if seconds is not None and seconds < LEAST_DAYS * DAY_SECONDS:
        raise ValueError(
            f"{quoted(str(value))} is too short: budgets of a month and what is usual are reckoned from attempts; write"
            f" {LEAST_DAYS}d or more"
        )
    return seconds


def read_encryption_key(reader: Reader, node: Node | None) -> Secret | None:
    """`encryption_key:`; None where it is to lie beside the state."""
    if node is None:
        return None
    if node.value == "none":
        reader.problems.add(node.place, "the store is never without: leave encryption_key out to have one made")
        return None
    try:
        secret = reader.secret(node, "PENSTOCK_SECRET")
    except Unset as unset:
        reader.problems.add(node.place, f"{unset}, and what the store keeps is kept under it: set it")
        return None
    if secret is not None and (len(secret.reveal()) < SHORTEST_SECRET or len(set(secret.reveal())) < 8):
        # An empty or trivial secret that is accepted is no secret (new-api CVE-2026-41432).
        message = (
            f"what {quoted(secret.source)} leads to is too short or too plain: {SHORTEST_SECRET} characters of chance"
        )
        reader.problems.add(node.place, f"{message}; openssl rand -hex 32 makes one")
        return None
    return secret


def _location(reader: Reader, node: Node, written: object, source: str) -> str:
    """Args: source: where it came from, if it was referred to: then it is never shown, as it may hold a password."""
    if written == MEMORY:
        return MEMORY
    if isinstance(written, str) and (later := _LATER.match(written)) is not None:
        reader.problems.add(node.place, f"{later[1]}:// is {NOT_YET}; {_FORM}")
        return MEMORY
    path = written.removeprefix(_SQLITE) if isinstance(written, str) and written.startswith(_SQLITE) else ""
    if path and "?" not in path and "\0" not in path and not path.endswith("/"):
        return str(reader.path(path))
    if source:
        told = f"what {quoted(source)} leads to is no place for state"
    elif isinstance(written, str):
        told = f"{quoted(written)} is no place for state{_meant(written)}"
    else:
        told = "this is no place for state"
    reader.problems.add(node.place, f"{told}: {_FORM}")
    return MEMORY


def _meant(written: str) -> str:
    if written.startswith("sqlite:") or ("://" not in written and written.endswith((".db", ".sqlite", ".sqlite3"))):
        rest = written.removeprefix("sqlite:").lstrip("/")
        return f" (did you mean {quoted(f'{_SQLITE}{rest}')}?)" if rest else ""
    return did_you_mean(written, (MEMORY,))


def read_admission(reader: Reader, node: Node | None) -> AdmissionRules | None:
    """`admission:`; None where it is off."""
    if node is None:
        return AdmissionRules()
    if node.value == "off":
        return None
    if node.value is not None and not isinstance(node.value, dict):
        reader.problems.add(node.place, "write off, or {most: 500, queue: 1000}")
        return None
    fields, plain = reader.fields(node, "admission"), AdmissionRules()
    return AdmissionRules(
        most=reader.value(fields.get("most"), lambda value: None if value == "auto" else _MOST(value), plain.most),
        queue=reader.value(fields.get("queue"), _QUEUE, plain.queue),
        loop_lag=reader.value(fields.get("loop_lag"), values.off_or_duration, plain.loop_lag),
        repeats=_repeats(reader, fields),
    )


def _repeats(reader: Reader, written: Mapping[str, Node]) -> Repeats | None:
    node = written.get("repeats")
    if node is None or node.value == "off":
        return None
    if node.value is not None and not isinstance(node.value, dict):
        reader.problems.add(node.place, "write off, or {same: 20, per: 1m}")
        return None
    fields, plain = reader.fields(node, "repeats"), Repeats()
    return Repeats(
        same=reader.value(fields.get("same"), _SAME, plain.same),
        per=reader.value(fields.get("per"), values.positive_duration, plain.per),
    )
