"""Who may ask for what: every route of the live table, with every role, for what is theirs, another's, and nobody's."""

from __future__ import annotations

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

# What each route is expected to ask for, written down a second time: the least role, and whether a tenant's own may
# ask for what is that tenant's. A new route needs its row here too.
EXPECTED = {
    "GET /": "open",
    "GET /metrics": "open",
    "GET /api/openapi.json": "open",
    "GET /api/v1/config": "viewer",
    "GET /api/v1/health": "viewer",
    "GET /api/v1/deployments": "viewer",
    "POST /api/v1/deployments/{id}/drain": "operator",
    "POST /api/v1/deployments/{id}/isolate": "operator",
    "POST /api/v1/deployments/{id}/restore": "operator",
    "GET /api/v1/rehearsals": "viewer",
    "POST /api/v1/rehearse": "operator",
    "GET /api/v1/requests": "viewer own",
    "GET /api/v1/requests/{id}/explain": "viewer own",
}
OWN, FOREIGN, NOBODYS = known(1).id, known(2).id, known(3).id


def of_tenant(number: int, tenant: str | None) -> Record:
    record = known(number)
    record.tenant = tenant
    return record


def plane_of(people: People | None = None) -> ControlPlane:
    kept = Kept(of_tenant(1, "acme"), of_tenant(2, "globex"), of_tenant(3, None))
    return control_plane(requests=kept, principals=people or People())[0]


def url(operation: Operation, thing: str) -> str:
    """Its URL, for a thing of the caller's tenant, another's, nobody's, or none."""
    if "/deployments/{id}" in operation.path:
        return operation.path.replace("{id}", "sim/none" if thing == "unknown" else "sim/small")
    ids = {"own": OWN, "foreign": FOREIGN, "nobody's": NOBODYS, "unknown": known(9).id}
    return operation.path.replace("{id}", ids[thing])


def expected(row: str, who: str, thing: str, *, named: bool) -> int:
    """By the words of the table alone."""
    least, _, own = row.partition(" ")
    there = 200 if thing != "unknown" or not named else 404
    if least == "open":
        return there
    if who in ("none", "revoked"):
        return 401
    role = PEOPLE[who].role if who in PEOPLE else "admin"
    if ROLES.index(role) < [*ROLES].index(least):  # type: ignore[arg-type]
        return 403
    if who.startswith("acme"):
        if not own:
            return 403
        return 404 if named and thing != "own" else there
    return there


def test_every_route_times_every_role_times_whose_it_is() -> None:
    people = People()
    people.revoked.add("operator")
    whole, without_one = plane_of(), plane_of(people)
    assert {each.key for each in whole.operations} == EXPECTED.keys()
    tried = 0
    for operation in whole.operations:
        named = "{" in operation.path
        for thing in ("own", "foreign", "nobody's", "unknown") if named else ("own",):
            for who in (*PEOPLE, "admin", "none", "revoked"):
                plane = without_one if who == "revoked" else whole
                headers = [] if who == "none" else [bearer("operator" if who == "revoked" else who)]
                answer = ask(plane, url(operation, thing), *headers, method=operation.method)
                wanted = expected(EXPECTED[operation.key], who, thing, named=named)
                assert answer.status == wanted, (operation.key, who, thing)
                tried += 1
    assert tried > 200


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
