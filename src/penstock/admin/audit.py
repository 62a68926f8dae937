"""`/api/v1/audit`: who changed what, the newest first."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from penstock.admin.grants import tenant_for
from penstock.admin.operations import PAGING, Operation, Query, json, principal_of
from penstock.admin.pages import cursor_of, id_of, limit_of
from penstock.stores.audit import Entry
from penstock.stores.audit_log import AuditLog

__all__ = ["AuditRoutes", "describe_entry"]

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_TENANT = Query("tenant", "What concerns that one alone.", {"type": "string"})


class AuditRoutes:
    """The operation on the audit log."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    def operations(self) -> tuple[Operation, ...]:
        """For the table."""
        about = "Who changed what, the newest first."
        return (Operation("/api/v1/audit", "audit", about, self.listed, "AuditLog", query=(*PAGING, _TENANT)),)

    async def listed(self, request: Request) -> Response:
        """A page of it."""
        query, principal = request.query_params, principal_of(request)
        limit, before = limit_of(query), id_of(query, _NUMBER)
        tenant = tenant_for(principal, query.get("tenant", "")) or None
        found = await self._audit.page(int(before) if before else None, limit + 1, tenant)
        following = cursor_of(str(found[limit - 1].number)) if len(found) > limit else None
        return json({"data": [describe_entry(each) for each in found[:limit]], "next_cursor": following})


def describe_entry(entry: Entry) -> dict[str, Any]:
    """An entry, ready for JSON."""
    at = datetime.fromtimestamp(entry.at / 1e9, UTC)
    return {
        "number": entry.number,
        "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "actor": entry.actor,
        "role": entry.role,
        "what": entry.what,
        "subject": entry.subject,
        "tenant": entry.tenant or None,
        "before": None if entry.before is None else msgspec.Raw(entry.before.encode()),
        "after": None if entry.after is None else msgspec.Raw(entry.after.encode()),
        "hash": entry.hash.hex(),
    }
