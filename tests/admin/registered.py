"""A control plane with a store of its own, in memory: tenants, keys, rules, the audit log, all of it real."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from penstock.admin.principals import KnownPrincipals
from penstock.admin.register import Register
from penstock.clock import Ids
from penstock.config.schema import Config
from penstock.config.stored_rules import with_rules
from penstock.stores.audit import Entry, verify
from penstock.stores.audit_log import AuditLog
from penstock.stores.directory import open_directory
from penstock.stores.rulebook import Rulebook
from penstock.stores.sqlite import Database
from penstock.testing import FakeClock, SeededRandom
from tests.admin.asgi import ADMIN, ENV, Answer, Header, Kept, Reread, ask, config, control_plane
from tests.stores.directories import ENCRYPTION_KEY

__all__ = ["DECLARING", "Registered"]

# What a file would declare.
DECLARING: dict[str, Any] = {
    "providers": {"sim": {}},
    "models": {"fast": {"targets": ["sim/small"]}, "smart": {"targets": ["sim/large"]}},
    "tenants": [{"name": "filed", "weight": 3, "projects": ["web"]}],
    "keys": [
        {"name": "app", "key": "env:APP_KEY", "tenant": "filed"},
        {"name": "ops", "key": "env:OPENAI_API_KEY", "role": "operator"},
    ],
    "limits": [{"scope": "user", "requests": "60/min"}, {"scope": "tenant", "match": "filed", "requests": "600/min"}],
    "budgets": [{"scope": "tenant", "limit": "50 USD/day"}, {"scope": "request", "limit": "1 USD"}],
}


class Registered:
    """It, and those who ask: `admin`, and whoever was made an admin of some kind, by name."""

    def __init__(
        self, source: Mapping[str, Any] = DECLARING, requests: Kept | None = None, db: Database | None = None
    ) -> None:
        self.clock = FakeClock()
        self.db = db if db is not None else Database(":memory:", inline=True)
        random = SeededRandom(1)
        directory = open_directory(self.db, Path(), ENCRYPTION_KEY, self.clock, random)
        self.told: list[str] = []
        self.audit = AuditLog(self.db, self.clock, tell=self.told.append)
        self.rules = Rulebook(self.db, self.clock, Ids(self.clock, random))
        self.register = Register(directory, self.rules, self.audit, self._adopt)
        self._file = config(source, ENV)
        self.adopted: list[Config] = []
        overview = _Later()
        self.reloads = Reread()
        self.plane, gateway = control_plane(
            self._file,
            self.clock,
            requests=requests,
            principals=KnownPrincipals(overview, directory, self.clock),
            register=self.register,
            reloads=self.reloads,
        )
        overview.gateway = gateway
        self.secrets: dict[str, str] = {}

    async def _adopt(self) -> None:
        self.adopted.append(with_rules(self._file, await self.rules.all()))

    def close(self) -> None:
        self.db.close()

    def ask(self, who: str, method: str, path: str, body: Any = None, *headers: Header, **more: str) -> Answer:
        """What the control plane answers; `more` are headers, `if_match="*"`."""
        sent = [*headers, *((name.replace("_", "-"), value) for name, value in more.items())]
        if who == "admin":
            sent.append(ADMIN)
        elif who != "nobody":
            sent.append(("authorization", f"Bearer {self.secrets.get(who, who)}"))
        if body is not None:
            sent.append(("content-type", "application/json"))
        content = b"" if body is None else msgspec.json.encode(body)
        return ask(self.plane, f"/api/v1{path}", *sent, method=method, body=content)

    def done(self, method: str, path: str, body: Any = None, who: str = "admin", **more: str) -> Any:
        """The same, which must be good; the answer decoded."""
        answer = self.ask(who, method, path, body, **more)
        assert answer.status in (200, 201), answer.json
        return answer.json

    def employ(self, name: str, role: str, tenant: str = "", **rights: Any) -> Any:
        """Make somebody with a role, who can ask by that name from then on."""
        made = self.done("POST", "/admins", {"name": name, "role": role, "tenant": tenant, **rights})
        self.secrets[name] = made["secret"]
        return made

    @property
    def entries(self) -> list[Entry]:
        """The audit log, the oldest first; it must be whole."""
        assert self.db.run_here(lambda connection: list(verify(connection))) == []
        return asyncio.run(self.audit.page(None, 1000, None))[::-1]


class _Later:
    """An overview that is there once the control plane is."""

    gateway: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.gateway, name)
