"""The control plane described as OpenAPI 3.1, made from the same table that its routes are made from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from penstock.admin.operations import JSON, Operation
from penstock.admin.problems import MEDIA_TYPE
from penstock.admin.rights import Right
from penstock.admin.schemas import ANYTHING, COUNT, FLAG, MAYBE_TEXT, REGISTER, TEXT, listing, record
from penstock.admin.usage import COLUMNS, STEPS
from penstock.standing import State
from penstock.stores.bookings import DIMENSIONS
from penstock.version import VERSION

__all__ = ["JSON", "document"]

_IN_PATH = re.compile(r"{(\w+)}")


def document(operations: Iterable[Operation], rights: Mapping[str, Right]) -> dict[str, Any]:
    """The description of all operations, ready for JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, rights[each.key])
    return {
        "openapi": "3.1.0",
        "info": {"title": "Penstock control plane", "version": VERSION, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "responses": {"Problem": {"description": "What went wrong.", "content": _content("Problem", MEDIA_TYPE)}},
            "securitySchemes": {
                "adminKey": {"type": "http", "scheme": "bearer", "description": "PENSTOCK_ADMIN_KEY, or its file."}
            },
        },
    }


def _operation(operation: Operation, right: Right) -> dict[str, Any]:
    good: dict[str, Any] = {"description": operation.summary, "content": _content(operation.returns, *operation.media)}
    responses = {"201" if operation.made else "200": good, "default": {"$ref": "#/components/responses/Problem"}}
    parameters: list[dict[str, Any]] = [
        {"name": query.name, "in": "query", "description": query.about, "schema": query.schema}
        for query in operation.query
    ]
    parameters += [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        | ({"description": _OF_DEPLOYMENT} if "/deployments/" in operation.path else {})
        for name in _IN_PATH.findall(operation.path)
    ]
    if operation.tagged:
        good["headers"] = {"etag": {"schema": {"type": "string"}}}
        responses["304"] = {"description": "It is still what the given tag stands for."}
        parameters.append({"name": "if-none-match", "in": "header", "schema": {"type": "string"}})
    if operation.match:
        needed = {"required": True} if operation.match == "must" else {}
        parameters.append({"name": "if-match", "in": "header", "description": _IF_MATCH, "schema": TEXT, **needed})
    if operation.method == "POST":
        parameters.append({"name": "idempotency-key", "in": "header", "description": _REPEATED, "schema": TEXT})
    body = {"requestBody": {"required": True, "content": _content(operation.takes, JSON)}} if operation.takes else {}
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        **_allowed(right),
        **body,
        "parameters": parameters,
        "responses": responses,
    }


def _allowed(right: Right) -> dict[str, Any]:
    if right.least is None:
        return {"security": []}
    whose = "a tenant's own sees what is that tenant's" if right.own else "not a tenant's own"
    return {"description": f"The least role is {right.least}; {whose}.", "security": [{"adminKey": []}]}


def _content(schema: str, *media: str) -> dict[str, Any]:
    return {kind: {"schema": {"$ref": f"#/components/schemas/{schema}"}} for kind in media}


COUNTS: dict[str, Any] = {"type": "object", "additionalProperties": COUNT}
NUMBER: dict[str, Any] = {"type": "number", "minimum": 0}

_IF_MATCH = "The etag of what is to be changed: 412 where it is another by now. `*`: whatever it is."
_REPEATED = "Sent again with the same key within an hour, the request gets the same answer and does nothing more."
_OF_DEPLOYMENT = (
    "A deployment's `id`, percent-encoded as one segment (`#` is `%23`); slashes may stay. Without `#credential` it"
    " stands for all of that name."
)
_STATES = (
    "`ready`; `trial`: one call at a time, to see whether it is well again; `paused`: it asked for that (429); `open`:"
    " its breaker is; `misconfigured`: it does not have the model; `unreachable`: probes of its provider fail;"
    " `suspended`: its credential was refused; `exhausted`: its credential has no quota left; `drained`, `isolated`: an"
    " operator's word."
)

AMOUNT = {"type": ["string", "integer"], "description": "Dollars as text, tokens and requests as numbers."}

SCHEMAS: dict[str, Any] = {
    **REGISTER,
    "Problem": record(
        {"type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT, "code": TEXT},
        {
            "do": TEXT | {"description": "What you can do about it."},
            "param": TEXT | {"description": "Which field or parameter is wrong."},
            "mistakes": listing(TEXT) | {"description": "Of a configuration, `file:line:col: message` each."},
        },
        "Problem details, RFC 9457.",
    ),
    "Page": {"type": "string", "description": "Text, as the content type says."},
    "Document": ANYTHING | {"description": "An OpenAPI document."},
    "Index": record({"name": TEXT, "version": TEXT, "paths": {"type": "object", "additionalProperties": TEXT}}),
    "Health": record(
        {
            "version": TEXT,
            "uptime_seconds": {"type": "number", "minimum": 0},
            "requests_in_flight": COUNT,
            "connections": COUNT,
            "upstream_connections": record({"open": COUNT, "busy": COUNT}),
            "workers": listing(record({"worker": COUNT, "config_generation": COUNT})),
        }
    ),
    "Config": record(
        {
            "source": TEXT,
            "server": ANYTHING,
            "providers": ANYTHING,
            "models": ANYTHING,
            "default_model": MAYBE_TEXT,
            "defaults": ANYTHING,
            "auth": {"enum": ["required", "open"]},
            "keys": listing(ANYTHING),
            "state": TEXT,
            "log": ANYTHING,
        },
        {
            **dict.fromkeys(("prices", "alerts", "admission"), ANYTHING),
            **dict.fromkeys(("limits", "budgets", "tenants"), listing(ANYTHING)),
        },
        about="In the words of penstock.yaml, resolved, every secret masked.",
    ),
    "Reloaded": record(
        {
            "source": TEXT,
            "generation": COUNT | {"description": "Its number from now on, which `/readyz` and the metrics tell."},
            "changed": listing(TEXT) | {"description": "Names that mean something else now, such as `models.fast`."},
        }
    ),
    "Deployments": record(
        {
            "data": listing({"$ref": "#/components/schemas/Deployment"}),
            "next_cursor": MAYBE_TEXT | {"description": "Send it as `cursor` for what follows; null at the end."},
            "switched_off": listing({"$ref": "#/components/schemas/SwitchedOff"}),
        }
    ),
    "Deployment": record(
        {
            "id": TEXT,
            "provider": TEXT,
            "model": TEXT,
            "kind": TEXT,
            "base_url": MAYBE_TEXT | {"description": "null: it runs inside Penstock."},
            "routes": listing(TEXT) | {"description": "Names under `models:` that lead to it."},
            "state": {"enum": list(get_args(State)), "description": _STATES},
            "reason": MAYBE_TEXT | {"description": "What put it into that state; null where all is well."},
            "since": MAYBE_TEXT | {"description": "When, RFC 3339; null: since the start."},
            "until": MAYBE_TEXT | {"description": "When that ends by itself; null: it does not, or has no end known."},
            "retry_quota": COUNT | {"description": "What is left of 500: a retry takes 14, or 5 after a 429."},
            "retries_left": COUNT | {"description": "Retries that the last minute's requests would still carry."},
            "requests": COUNTS | {"description": "Requests answered since the start, by HTTP status."},
            "attempts": COUNTS | {"description": "Wire attempts since the start, by outcome."},
            "tokens": COUNTS | {"description": "Tokens used since the start."},
            "cost_usd": TEXT | {"description": "What its provider charged since the start, where the price is known."},
            "unknown_price": COUNT | {"description": "Requests answered since the start whose price is not known."},
        },
        {"rehearsal": {"$ref": "#/components/schemas/Rehearsal"}},
    ),
    "Requests": record(
        {
            "data": listing({"$ref": "#/components/schemas/Request"}),
            "next_cursor": MAYBE_TEXT | {"description": "Send it as `cursor` for those before; null at the end."},
        }
    ),
    "Explained": {
        "oneOf": [{"$ref": "#/components/schemas/Request"}, {"$ref": "#/components/schemas/PastRequest"}],
    },
    "PastRequest": record(
        {
            **dict.fromkeys(("id", "time", "model", "deployment"), TEXT),
            "source": {"const": "ledger"},
            "answered": FLAG,
            "ms": NUMBER,
            "tokens": {"$ref": "#/components/schemas/Tokens"},
            "cost_usd": MAYBE_TEXT,
            "charge_usd": MAYBE_TEXT,
            "price_table": MAYBE_TEXT,
            "attempts": listing({"type": "object"}),
            "forgotten": listing(TEXT) | {"description": "What of a request's fields is no longer known."},
        },
        dict.fromkeys(("key", "tenant", "project", "user", "task"), TEXT) | {"tags": {"type": "object"}},
    ),
    "Request": record(
        {
            **dict.fromkeys(("time", "id", "operation", "model", "deployment"), TEXT),
            **dict.fromkeys(("status", "bytes_in", "bytes_out"), COUNT),
            "ms": NUMBER,
            "stream": FLAG,
        },
        {
            **dict.fromkeys(("key", "tenant", "project", "user", "task", "address", "path", "price_table"), TEXT),
            **dict.fromkeys(("response_model", "finish_reason", "error", "stream_error"), TEXT),
            **dict.fromkeys(("dropped", "clamped", "candidates"), listing(TEXT)),
            **dict.fromkeys(("first_output_ms", "overhead_ms"), NUMBER),
            "dropped_events": COUNT,
            "degraded": FLAG,
            "tags": {"type": "object", "additionalProperties": TEXT},
            "decisions": listing({"$ref": "#/components/schemas/Decision"}),
            "attempts": listing({"$ref": "#/components/schemas/Attempt"}),
            "tokens": {"$ref": "#/components/schemas/Tokens"},
            "cost_usd": MAYBE_TEXT | {"description": "null: a price is not known."},
            "open": FLAG | {"description": "It is still being answered, and this is how it stands."},
        },
        "As the request log has it (docs/requests.md); what says nothing is left out.",
    ),
    "Decision": record(
        {"what": TEXT}, {"deployment": TEXT, "why": TEXT, "at_ms": NUMBER, "wait_ms": NUMBER}, "What was decided."
    ),
    "Attempt": record(
        {"deployment": TEXT, "outcome": TEXT, "status": COUNT, "ms": NUMBER},
        {
            "kind": TEXT,
            "at_ms": NUMBER,
            "wait_ms": NUMBER,
            "ambiguous": FLAG,
            "tokens": {"$ref": "#/components/schemas/Tokens"},
            "cost_usd": MAYBE_TEXT,
        },
        "One time that a provider was asked.",
    ),
    "Tokens": record(
        {**dict.fromkeys(("input", "output", "cache_read", "cache_write", "reasoning"), COUNT), "estimated": FLAG}
    ),
    "Ordered": record(
        {"data": listing({"$ref": "#/components/schemas/Deployment"})}, about="Those that are concerned."
    ),
    "Rehearsals": record({"data": listing({"$ref": "#/components/schemas/Rehearsal"})}),
    "Rehearsal": record(
        {
            **dict.fromkeys(("deployment", "code", "told", "do", "at"), TEXT),
            "models": listing(TEXT),
            "ok": FLAG,
            "cost_usd": MAYBE_TEXT | {"description": "null: a price is not known."},
            "seconds": NUMBER,
        },
        about="What came of asking a deployment for one token.",
    ),
    "Usage": record(
        {
            "data": listing({"$ref": "#/components/schemas/Used"}),
            "total": {
                "type": ["object", "null"],
                "description": "The same of all of them; null where nothing was used.",
            },
            "truncated": FLAG | {"description": "There are more rows than these, which are the dearest."},
        }
    ),
    "Used": record(
        {
            **dict.fromkeys((name for name in COLUMNS if not name.endswith("_usd")), COUNT),
            **dict.fromkeys(
                ("cost_usd", "charge_usd"),
                MAYBE_TEXT | {"description": "Of the attempts whose price is known; null where none is."},
            ),
            "unpriced": COUNT | {"description": "How many attempts' price is not known."},
        },
        dict.fromkeys((*DIMENSIONS, *STEPS), TEXT),
        "What attempts add up to that have in common what was asked by.",
    ),
    "Spending": record(
        {
            "data": listing({"$ref": "#/components/schemas/Account"}),
            "next_cursor": MAYBE_TEXT | {"description": "Send it as `cursor` for what follows; null at the end."},
        }
    ),
    "Account": record(
        {
            **dict.fromkeys(("id", "budget", "scope", "value", "unit", "window_begins", "window_ends"), TEXT),
            **dict.fromkeys(("limit", "spent", "left", "hourly_rate"), AMOUNT),
            "tenant": MAYBE_TEXT | {"description": "null: it is not one tenant's alone."},
            "exhausted_at": MAYBE_TEXT | {"description": "At the recent rate; null: not within the window."},
            "pressure": NUMBER | {"description": "By which part calls are slowed down, or sent to a cheaper model."},
        },
        about="How one value of a budget's scope stands, of which a fiftieth or more is spent.",
    ),
    "Alerts": record(
        {
            "data": listing({"$ref": "#/components/schemas/Alert"}),
            "next_cursor": MAYBE_TEXT | {"description": "Send it as `cursor` for those before; null at the end."},
        }
    ),
    "Alert": record(
        {
            **dict.fromkeys(("id", "type", "timestamp"), TEXT),
            "data": ANYTHING,
            "webhook": {"enum": ["open", "sent", "failed", "dropped", "none"]},
            "tries": COUNT,
        },
        about="As the webhook is told it (docs/alerts.md), and what became of that.",
    ),
    "SwitchedOff": record(
        {"provider": TEXT, "kind": TEXT, "reason": TEXT, "routes": listing(TEXT)},
        about="A provider that is switched off, and the names under `models:` that cannot be asked for so.",
    ),
}
