"""What a check found, and what to do about it. No finding holds a secret: they are made from names and references."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Finding", "fail", "note", "ok"]

Status = Literal["ok", "note", "fail"]


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the report.

    Attributes:
        check: which check it is from.
        status: `note`: works, and may not be what was meant.
        subject: what was looked at: a provider's, model's or key's name, an address.
        told: what is so.
        fix: what to do about it; "" where there is nothing to mend.
    """

    check: str
    status: Status
    subject: str
    told: str
    fix: str = ""


def ok(check: str, subject: str, told: str) -> Finding:
    """Nothing to mend."""
    return Finding(check, "ok", subject, told)


def note(check: str, subject: str, told: str, fix: str) -> Finding:
    """Works, and may not be what was meant."""
    return Finding(check, "note", subject, told, fix)


def fail(check: str, subject: str, told: str, fix: str) -> Finding:
    """Does not work."""
    return Finding(check, "fail", subject, told, fix)
