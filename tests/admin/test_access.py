"""Who gets in: every route of the live table with every kind of credential, hosts, origins, odd paths."""

from __future__ import annotations

import itertools

import pytest
from starlette.routing import Route

from penstock.admin.app import ControlPlane
from penstock.admin.guards import HEADERS
from tests.admin.asgi import ADMIN, ENV, KEY, LOCAL, Header, ask, config, control_plane, exposed

GOOD: dict[str, list[Header]] = {
    "good": [ADMIN],
    "other case": [("authorization", f"bearer {KEY}")],
    "more space": [("authorization", f"Bearer  {KEY} ")],
}
BAD: dict[str, list[Header]] = {
    "none": [],
    "empty": [("authorization", "")],
    "scheme alone": [("authorization", "Bearer ")],
    "wrong": [("authorization", "Bearer psk_admin_of-somebody-else")],
    "part": [("authorization", f"Bearer {KEY[:-1]}")],
    "longer": [("authorization", f"Bearer {KEY}x")],
    "no scheme": [("authorization", KEY)],
    "other scheme": [("authorization", f"Basic {KEY}")],
    "other header": [("x-api-key", KEY)],
    "not ascii": [("authorization", f"Bearer {KEY}\xff")],
    "twice": [ADMIN, ADMIN],
    "a caller's": [("authorization", f"Bearer {ENV['APP_KEY']}")],
}

# What a request without the admin key gets, by path: on loopback, and elsewhere. A new route needs its row here.
WITHOUT = {
    "/": (200, 200),
    "/metrics": (200, 401),
    "/api/openapi.json": (200, 200),
    "/api/v1/config": (401, 401),
    "/api/v1/deployments": (401, 401),
    "/api/v1/deployments/{id:path}/drain": (401, 401),
    "/api/v1/deployments/{id:path}/isolate": (401, 401),
    "/api/v1/deployments/{id:path}/restore": (401, 401),
    "/api/v1/health": (401, 401),
    "/api/v1/requests": (401, 401),
    "/api/v1/requests/{id}/explain": (401, 401),
    "/api/v1/rehearsals": (401, 401),
    "/api/v1/usage": (401, 401),
    "/api/v1/alerts": (401, 401),
    "/api/v1/spending": (401, 401),
    "/api/v1/rehearse": (401, 401),
    "/api/v1/reload": (401, 401),
}


def paths(plane: ControlPlane) -> list[str]:
    return [route.path for route in plane.routes if isinstance(route, Route)]


def allowed(path: str) -> list[str]:
    return ["POST"] if "{id:path}" in path or path.endswith(("/rehearse", "/reload")) else ["GET", "HEAD"]


def test_every_route_has_its_row() -> None:
    plane, _ = control_plane()
    assert sorted(paths(plane)) == sorted(WITHOUT)
    assert len(plane.routes) == len(WITHOUT)


@pytest.mark.parametrize("where", ["loopback", "elsewhere"])
def test_the_matrix(where: str) -> None:
    plane, _ = control_plane(config() if where == "loopback" else exposed(config()))
    for path, method in ((each, method) for each in paths(plane) for method in allowed(each)):
        expected = WITHOUT[path][where == "elsewhere"]
        got = {name: ask(plane, path, *headers, method=method).status for name, headers in (GOOD | BAD).items()}
        assert got == dict.fromkeys(GOOD, 200) | dict.fromkeys(BAD, expected), path


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods(method: str) -> None:
    plane, _ = control_plane()
    for path in paths(plane):
        answer = ask(plane, path, ADMIN, method=method)
        if method in allowed(path):
            assert answer.status == 200
            continue
        assert (answer.status, answer.headers["allow"]) == (405, ", ".join(allowed(path))), path
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_refusal_is_the_same_for_all_and_says_how() -> None:
    plane, _ = control_plane()
    answers = [ask(plane, "/api/v1/config", *headers) for headers in BAD.values()]
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].headers["www-authenticate"].startswith("Bearer ")
    assert answers[0].json == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "the admin key is missing or wrong",
        "code": "unauthenticated",
        "do": "Send `Authorization: Bearer <PENSTOCK_ADMIN_KEY or penstock.admin-key>`.",
    }


@pytest.mark.parametrize(
    "path",
    ["//api/v1/config", "/api/v1/config/", "/api/v1//config", "/api/v1/x/../config", "/API/v1/config", "", "*",
     "/api/v1/config;x", "/api/v1/config.", "/api/v1/config\0", "/metrics/", "http://127.0.0.1:8485/api/v1/config"],
)  # fmt: skip
def test_paths_that_look_like_routes_are_none(path: str) -> None:
    plane, _ = control_plane()
    answer = ask(plane, path)
    assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8485", "127.0.0.1.evil.example", "localhost.", "127.0.0.1:x", "10.0.0.1", "",
     "localhost@evil.example", "127.0.0.1/", "0x7f000001", "[::]"],
)  # fmt: skip
def test_another_host_is_refused(host: str) -> None:
    plane, _ = control_plane()
    for path in paths(plane):
        assert ask(plane, path, ADMIN, host=("host", host)).status == 403, path


def test_no_host_and_two_hosts_are_refused() -> None:
    plane, _ = control_plane()
    assert ask(plane, "/", host=("x-forwarded-host", "127.0.0.1")).status == 403
    assert ask(plane, "/", LOCAL).status == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost:8485", "LOCALHOST", "[::1]:8485", "[::1]"])
def test_the_hosts_of_this_machine(host: str) -> None:
    plane, _ = control_plane()
    assert ask(plane, "/", host=("host", host)).status == 200


def test_elsewhere_any_host_is_one() -> None:
    plane, _ = control_plane(exposed(config()))
    assert ask(plane, "/api/v1/config", ADMIN, host=("host", "penstock.internal")).status == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (("sec-fetch-site", "cross-site"), 403),
        (("sec-fetch-site", "Cross-Site"), 403),
        (("sec-fetch-site", "same-origin"), 200),
        (("sec-fetch-site", "none"), 200),
        (("origin", "https://evil.example"), 403),
        (("origin", "null"), 403),
        (("origin", "http://127.0.0.1:8486"), 403),
        (("origin", "http://127.0.0.1:8485"), 200),
    ],
)
@pytest.mark.parametrize("where", ["loopback", "elsewhere"])
def test_a_page_of_another_site_is_refused(header: Header, status: int, where: str) -> None:
    plane, _ = control_plane(config() if where == "loopback" else exposed(config()))
    assert ask(plane, "/api/v1/config", ADMIN, header).status == status
    assert ask(plane, "/", header).status == status


def test_every_answer_is_guarded() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    plane, _ = control_plane(refresh=fail)
    answers = {
        200: ask(plane, "/"),
        304: ask(plane, "/api/v1/config", ADMIN, ("if-none-match", "*")),
        400: ask(plane, "/?x", ADMIN),
        401: ask(plane, "/api/v1/config"),
        403: ask(plane, "/", host=("host", "evil.example")),
        404: ask(plane, "/nowhere"),
        405: ask(plane, "/", method="POST"),
        500: ask(plane, "/api/v1/health", ADMIN),
    }
    for status, answer in answers.items():
        assert answer.status == status
        assert {name.decode(): value.decode() for name, value in HEADERS}.items() <= answer.headers.items()
        assert (answer.headers.get("content-type") == "application/problem+json") == (status >= 400)
    assert "default-src 'none'" in answers[200].headers["content-security-policy"]
    assert answers[200].headers["cache-control"] == "no-store"


def test_no_secret_in_any_answer() -> None:
    plane, _ = control_plane()
    sent = "psk_admin_a-wrong-one-somebody-sent"
    for path, url in itertools.product([*paths(plane), "/nowhere"], ["{}", f"{{}}?key={sent}"]):
        for headers in ([ADMIN], [("authorization", f"Bearer {sent}")], [ADMIN, ("origin", sent)]):
            answer = ask(plane, url.replace("{}", path), *headers)
            shown = f"{answer.headers} {answer.body.decode()}"
            assert not [secret for secret in (*ENV.values(), KEY, sent) if secret in shown], path
