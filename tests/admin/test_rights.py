"""Who may ask for what: every route of the live table, with every role, for what is theirs, another's, and nobody's."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from starlette.responses import Response

from penstock.admin.app import ControlPlane
from penstock.admin.openapi import document
from penstock.admin.operations import Operation
from penstock.admin.rights import RIGHTS, ROLES, Principal, Right, require, right_of
from penstock.errors import Forbidden
from penstock.records import Record
from tests.admin.asgi import Kept, ask, config, control_plane, exposed, known
from tests.admin.people import PEOPLE, People, bearer
from tests.admin.registered import DECLARING, Registered
from tests.house.trees import ROOT

# What each route is expected to ask for, written down a second time: the least role, and whether a tenant's own may
# ask for what is that tenant's. A new route needs its row here too.
EXPECTED = {
    "GET /": "open",
    "GET /metrics": "open",
    "GET /api/openapi.json": "open",
    "GET /api/v1/config": "viewer",
    "GET /api/v1/health": "viewer",
    "POST /api/v1/reload": "operator",
    "GET /api/v1/deployments": "viewer",
    "POST /api/v1/deployments/{id}/drain": "operator",
    "POST /api/v1/deployments/{id}/isolate": "operator",
    "POST /api/v1/deployments/{id}/restore": "operator",
    "GET /api/v1/rehearsals": "viewer",
    "POST /api/v1/rehearse": "operator",
    "GET /api/v1/requests": "viewer own",
    "GET /api/v1/requests/{id}/explain": "viewer own",
    "GET /api/v1/tenants": "viewer own",
    "POST /api/v1/tenants": "admin",
    "GET /api/v1/tenants/{name}": "viewer own",
    "PATCH /api/v1/tenants/{name}": "admin",
    "POST /api/v1/tenants/{name}/archive": "admin",
    "GET /api/v1/keys": "viewer own",
    "POST /api/v1/keys": "tenant_admin own",
    "GET /api/v1/keys/{id}": "viewer own",
    "PATCH /api/v1/keys/{id}": "tenant_admin own",
    "POST /api/v1/keys/{id}/revoke": "tenant_admin own",
    "POST /api/v1/keys/{id}/rotate": "tenant_admin own",
    "GET /api/v1/admins": "viewer own",
    "POST /api/v1/admins": "tenant_admin own",
    "GET /api/v1/admins/{id}": "viewer own",
    "PATCH /api/v1/admins/{id}": "tenant_admin own",
    "POST /api/v1/admins/{id}/revoke": "tenant_admin own",
    "POST /api/v1/admins/{id}/rotate": "tenant_admin own",
    "GET /api/v1/limits": "viewer own",
    "POST /api/v1/limits": "tenant_admin own",
    "GET /api/v1/limits/{id}": "viewer own",
    "PATCH /api/v1/limits/{id}": "tenant_admin own",
    "DELETE /api/v1/limits/{id}": "tenant_admin own",
    "GET /api/v1/budgets": "viewer own",
    "POST /api/v1/budgets": "tenant_admin own",
    "GET /api/v1/budgets/{id}": "viewer own",
    "PATCH /api/v1/budgets/{id}": "tenant_admin own",
    "DELETE /api/v1/budgets/{id}": "tenant_admin own",
    "GET /api/v1/credentials": "operator",
    "POST /api/v1/credentials": "admin",
    "GET /api/v1/credentials/{name}": "operator",
    "PATCH /api/v1/credentials/{name}": "admin",
    "DELETE /api/v1/credentials/{name}": "admin",
    "GET /api/v1/audit": "operator own",
    "GET /api/v1/usage": "viewer own",
    "GET /api/v1/alerts": "viewer own",
    "GET /api/v1/spending": "viewer own",
}
OWN, FOREIGN, NOBODYS = known(1).id, known(2).id, known(3).id


def of_tenant(number: int, tenant: str | None) -> Record:
    record = known(number)
    record.tenant = tenant
    return record


def plane_of() -> ControlPlane:
    kept = Kept(of_tenant(1, "acme"), of_tenant(2, "globex"), of_tenant(3, None))
    return control_plane(requests=kept, principals=People())[0]


THINGS = ("own", "foreign", "nobody's", "unknown")
TENANTS = {"own": "acme", "foreign": "globex", "nobody's": "", "unknown": "nowhere"}


class Asked(NamedTuple):
    """One request of the matrix, and whether it names a thing that is there."""

    path: str
    body: Any = None


class Matrix:
    """Makes each request of the matrix, for a thing that nobody has touched before."""

    def __init__(self) -> None:
        kept = Kept(of_tenant(1, "acme"), of_tenant(2, "globex"), of_tenant(3, None))
        self.desk = Registered(DECLARING, kept)
        for name in ("acme", "globex"):
            self.desk.done("POST", "/tenants", {"name": name})
        for who, principal in PEOPLE.items():
            self.desk.employ(who.replace(" ", "-"), principal.role, principal.tenant)
        revoked = self.desk.employ("revoked", "admin")
        self.desk.done("POST", f"/admins/{revoked['id']}/revoke")
        self.desk.employ("expired", "admin", expires="1h")
        self.desk.clock.advance(3600)
        self._made = 0

    def status(self, operation: Operation, who: str, thing: str) -> int:
        """What that one gets who asks for that."""
        asked = self._asked(operation, thing)
        name = who.replace(" ", "-")
        answer = self.desk.ask(
            name, operation.method, asked.path, asked.body, if_match="*", idempotency_key=f"{self._made}-{name}"
        )
        return answer.status

    def _asked(self, operation: Operation, thing: str) -> Asked:
        self._made += 1
        path = operation.path.removeprefix("/api/v1")
        room = path.split("/")[1]
        if room == "credentials":
            return self._of_providers(operation, path, thing)
        if room in ("keys", "admins", "limits", "budgets", "tenants"):
            return self._of_store(operation, path, room, thing)
        if "/deployments/{id}" in path:
            return Asked(path.replace("{id}", "sim/none" if thing == "unknown" else "sim/small"))
        return Asked(
            path.replace("{id}", {"own": OWN, "foreign": FOREIGN, "nobody's": NOBODYS}.get(thing, known(9).id))
        )

    def _of_store(self, operation: Operation, path: str, room: str, thing: str) -> Asked:
        body = self._body(room, TENANTS[thing])
        if operation.made:
            return Asked(path, body)
        if "{" not in path:
            return Asked(path)
        change: dict[str, Any] | None = {} if operation.method == "PATCH" else None
        if room == "tenants":
            # Another tenant's, and nobody's, is any that is not one's own.
            name = {"own": "acme", "foreign": "globex", "nobody's": "filed"}.get(thing, "nowhere")
            if name != "nowhere" and operation.method != "GET":
                name = self.desk.done("POST", "/tenants", {"name": f"t{self._made}"})["name"]
            return Asked(path.replace("{name}", name), change)
        id = known(9).id
        if thing != "unknown":
            maker = "acme-tenant_admin" if thing == "own" else "admin"
            id = self.desk.done("POST", f"/{room}", body, who=maker)["id"]
        return Asked(path.replace("{id}", id), change)

    def _of_providers(self, operation: Operation, path: str, thing: str) -> Asked:
        """A credential is nobody's but the gateway's: whatever the thing is, it is the same one."""
        body = {"name": f"n{self._made}", "value": "sk-0123456789"}
        if operation.made or "{" not in path:
            return Asked(path, body if operation.made else None)
        name = f"n{self._made}"
        if thing != "unknown":
            self.desk.done("POST", "/credentials", body)
        change = {"value": "sk-9876543210"} if operation.method == "PATCH" else None
        return Asked(path.replace("{name}", name), change)

    def _body(self, room: str, tenant: str) -> dict[str, Any]:
        name = f"n{self._made}"
        if room == "tenants":
            return {"name": name}
        if room in ("keys", "admins"):
            return {"name": name, "tenant": tenant, **({"role": "viewer"} if room == "admins" else {})}
        match = f"{tenant}/{name}" if tenant else name
        counted = {"requests": "9/min"} if room == "limits" else {"limit": "1 USD/day"}
        return {"scope": "task", "match": match, **counted}


def expected(operation: Operation, row: str, who: str, thing: str) -> int:
    """By the words of the table alone."""
    least, _, own = row.partition(" ")
    named = "{" in operation.path
    there = 404 if named and thing == "unknown" else 201 if operation.made else 200
    if operation.made and thing == "unknown" and operation.path.endswith(("keys", "admins")):
        there = 404  # there is no such tenant
    if least == "open":
        return there
    if who in ("nobody", "revoked", "expired"):
        return 401
    role = PEOPLE[who].role if who in PEOPLE else "admin"
    if ROLES.index(role) < [*ROLES].index(least):  # type: ignore[arg-type]
        return 403
    if not who.startswith("acme"):
        return there
    if not own:
        return 403
    if operation.made:
        if operation.path.endswith(("limits", "budgets")):
            return 201 if thing == "own" else 403  # it would hold for others
        return 201 if thing in ("own", "nobody's") else 404  # unsaid is one's own
    return 404 if named and thing != "own" else there


def test_every_route_times_every_role_times_whose_it_is() -> None:
    matrix = Matrix()
    operations = matrix.desk.plane.operations
    assert {each.key for each in operations} == EXPECTED.keys() == RIGHTS.keys()
    tried = 0
    for operation in operations:
        for thing in THINGS if "{" in operation.path or operation.made else ("own",):
            for who in (*PEOPLE, "admin", "nobody", "revoked", "expired"):
                if operation.path.startswith("/api/v1/"):
                    got = matrix.status(operation, who, thing)
                else:
                    got = ask(matrix.desk.plane, operation.path).status
                wanted = expected(operation, EXPECTED[operation.key], who, thing)
                assert got == wanted, (operation.key, who, thing)
                tried += 1
    assert tried > 900
    matrix.desk.close()


def test_metrics_are_open_on_loopback_alone() -> None:
    plane = control_plane(exposed(config()), principals=People())[0]
    got = {who: ask(plane, "/metrics", bearer(who)).status for who in (*PEOPLE, "nobody")}
    assert got == {who: 403 if who.startswith("acme") else 200 for who in PEOPLE} | {"nobody": 401}


def test_a_tenants_own_sees_its_own_requests_alone() -> None:
    plane = plane_of()
    seen = {who: [line["id"] for line in ask(plane, "/api/v1/requests", bearer(who)).json["data"]] for who in PEOPLE}
    assert seen["viewer"] == [NOBODYS, FOREIGN, OWN]
    assert seen["acme viewer"] == seen["acme operator"] == seen["acme tenant_admin"] == [OWN]


def test_pages_of_ones_own_requests_are_full() -> None:
    kept = Kept(*(of_tenant(number, "acme" if number % 5 == 0 else "globex") for number in range(1, 51)))
    plane = control_plane(requests=kept, principals=People())[0]
    seen, cursor = [], ""
    for _ in range(10):
        told = ask(plane, f"/api/v1/requests?limit=3{cursor}", bearer("acme viewer")).json
        seen.append([int(line["id"][-2:]) for line in told["data"]])
        if told["next_cursor"] is None:
            break
        cursor = f"&cursor={told['next_cursor']}"
    assert seen == [[50, 45, 40], [35, 30, 25], [20, 15, 10], [5]]


def test_a_foreign_request_is_told_as_one_that_is_not_there() -> None:
    plane = plane_of()
    foreign, unknown = (
        ask(plane, f"/api/v1/requests/{id}/explain", bearer("acme viewer")).json for id in (FOREIGN, known(9).id)
    )
    assert foreign["detail"].replace(FOREIGN, "") == unknown["detail"].replace(known(9).id, "")


def test_a_route_without_a_row_cannot_be_registered() -> None:
    async def answer(request: object) -> Response:
        return Response()

    with pytest.raises(LookupError, match="GET /api/v1/secrets"):
        right_of("GET", "/api/v1/secrets")
    operation = Operation("/api/v1/secrets", "secrets", "All of them.", answer, "Page")
    with pytest.raises(KeyError):
        document([operation], RIGHTS)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("least", ROLES)
def test_roles_ascend(role: str, least: str) -> None:
    principal = Principal("p", role)  # type: ignore[arg-type]
    allowed = list(ROLES).index(role) >= list(ROLES).index(least)  # type: ignore[arg-type]
    if allowed:
        require(principal, Right(least))  # type: ignore[arg-type]
        return
    with pytest.raises(Forbidden) as refused:
        require(principal, Right(least))  # type: ignore[arg-type]
    assert refused.value.do.startswith(f"It takes {least}")


def test_the_page_of_roles_has_every_route() -> None:
    page = (ROOT / "docs/roles.md").read_text()
    rooms = {key.split("/api/v1/")[1].split("/")[0] for key in RIGHTS if "/api/v1/" in key}
    assert [room for room in sorted(rooms) if f"`{room}" not in page and f"/api/v1/{room}" not in page] == []
