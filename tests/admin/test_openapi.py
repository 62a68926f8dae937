"""The description is that of the live routes, and the answers are what it says."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from starlette.routing import Route

from tests.admin.asgi import ADMIN, ask, control_plane
from tests.admin.registered import Registered
from tests.admin.test_app import answered

KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "null": (type(None),), "boolean": (bool,),
}  # fmt: skip


def described() -> Any:
    return ask(control_plane()[0], "/api/openapi.json").json


def resolve(document: Any, schema: Any) -> Any:
    while "$ref" in schema:
        found = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def mismatches(document: Any, schema: Any, value: Any, where: str = "$") -> list[str]:
    """Where a value is not what its schema says; keys that the schema does not know count too."""
    schema = resolve(document, schema)
    if "enum" in schema:
        return [] if value in schema["enum"] else [where]
    if "type" not in schema:
        return []
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if not any(isinstance(value, KINDS[kind]) for kind in kinds):
        return [where]
    found = []
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += mismatches(document, schema["items"], item, f"{where}[{index}]")
    elif isinstance(value, dict) and ("properties" in schema or "additionalProperties" in schema):
        found += [f"{where}.{name}" for name in schema.get("required", ()) if name not in value]
        for name, item in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            found += mismatches(document, inner, item, f"{where}.{name}") if inner else [f"{where}.{name}"]
    return found


def live(path: str) -> str:
    """A path with ids that there are."""
    return path.replace("/deployments/{id}", "/deployments/sim/small")


def test_it_describes_every_route() -> None:
    plane, _ = control_plane()
    document = described()
    assert document["openapi"] == "3.1.0"
    routes = [route for route in plane.routes if isinstance(route, Route)]
    assert list(document["paths"]) == [route.path.replace(":path", "") for route in routes]
    for (path, (method,)), route in zip(document["paths"].items(), routes, strict=True):
        assert method.upper() in (route.methods or ()), path
    names = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere() -> None:
    document = described()
    seen = 0
    left: list[Any] = [document]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if "$ref" in value:
                assert resolve(document, value)
                seen += 1
            left += value.values()
        elif isinstance(value, list):
            left += value
    assert seen > 10


def test_security_is_what_the_routes_do() -> None:
    plane, _ = control_plane()
    for path, methods in described()["paths"].items():
        for method, told in methods.items():
            answer = ask(plane, live(path), method=method.upper())
            assert (answer.status == 401) == (told["security"] == [{"adminKey": []}]), path


def test_the_answers_match() -> None:
    plane, gateway = control_plane()
    answered(gateway, "openai/gpt-5-mini", tokens=3)
    document = described()
    for path, methods in document["paths"].items():
        ((method, told),) = methods.items()
        answer = ask(plane, live(path), ADMIN, method=method.upper())
        content = told["responses"]["200"]["content"]
        media = answer.headers["content-type"]
        assert media in content
        value = answer.json if media == "application/json" else answer.body.decode()
        assert mismatches(document, content[media]["schema"], value) == [], path


def test_the_problems_match() -> None:
    plane, _ = control_plane()
    document = described()
    content = document["components"]["responses"]["Problem"]["content"]
    for answer in (ask(plane, "/nowhere"), ask(plane, "/", method="PUT"), ask(plane, "/api/v1/config")):
        schema = content[answer.headers["content-type"]]["schema"]
        assert mismatches(document, schema, answer.json) == []
        assert answer.json["status"] == answer.status


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": 1, "b": ["x"]}, []),
        ({"b": []}, ["$.a"]),
        ({"a": "1", "b": [1]}, ["$.a", "$.b[0]"]),
        ({"a": 1, "b": [], "c": 1}, ["$.c"]),
        ([], ["$"]),
    ],
)
def test_a_mismatch_is_found(value: Any, where: list[str]) -> None:
    texts = {"type": "array", "items": {"type": "string"}}
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": texts}, "required": ["a", "b"]}
    assert mismatches({}, schema, value) == where


def test_what_the_register_answers_matches() -> None:
    desk = Registered()
    document = ask(desk.plane, "/api/openapi.json").json
    desk.done("POST", "/tenants", {"name": "acme"})
    made: dict[str, str] = {}
    for path, body in (
        ("/keys", {"name": "app", "tenant": "acme", "models": ["fast"], "expires": "1h"}),
        ("/admins", {"name": "ann", "role": "viewer"}),
        ("/credentials", {"name": "openai", "value": "sk-0123456789abcdef"}),
        ("/limits", {"scope": "task", "match": "x", "requests": "9/min"}),
        ("/budgets", {"scope": "task", "match": "x", "limit": "9 USD/day"}),
    ):
        answer = desk.done("POST", path, body)
        made[path] = answer.get("id", "")
        described = document["paths"][f"/api/v1{path}"]["post"]
        sent = described["requestBody"]["content"]["application/json"]["schema"]
        assert Draft202012Validator(resolve(document, sent) | {"components": document["components"]}).is_valid(body)
        assert not Draft202012Validator(resolve(document, sent)).is_valid(body | {"other": 1})
        good = described["responses"]["201"]["content"]["application/json"]["schema"]
        assert mismatches(document, good, answer) == [], path
    for path, methods in document["paths"].items():
        told = methods.get("get")
        room = f"/{path.split('/')[3]}" if path.startswith("/api/v1/") else ""
        if told is None or room not in (*made, "/tenants", "/audit"):
            continue
        url = path.replace("{id}", made.get(room, "")).replace("{name}", "openai" if room == "/credentials" else "acme")
        value = ask(desk.plane, url, ADMIN).json
        good = told["responses"]["200"]["content"]["application/json"]["schema"]
        assert mismatches(document, good, value) == [], path
    desk.close()
