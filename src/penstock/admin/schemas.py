"""JSON Schemas of what the control plane keeps, for its OpenAPI: tenants, keys, admins, rules, the audit log."""

from __future__ import annotations

from typing import Any, get_args

from penstock.config.rule_keys import RULE_SECTIONS
from penstock.stores.directory_rows import OPERATIONS, Priority, Role

__all__ = ["ANYTHING", "COUNT", "FLAG", "MAYBE_TEXT", "REGISTER", "TEXT", "listing", "page_of", "record"]

TEXT: dict[str, Any] = {"type": "string"}
MAYBE_TEXT: dict[str, Any] = {"type": ["string", "null"]}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
FLAG: dict[str, Any] = {"type": "boolean"}
ANYTHING: dict[str, Any] = {"type": "object"}


def record(required: dict[str, Any], optional: dict[str, Any] | None = None, about: str = "") -> dict[str, Any]:
    """An object of those fields."""
    made = {"type": "object", "properties": required | (optional or {}), "required": list(required)}
    return {"description": about} | made if about else made


def listing(items: dict[str, Any]) -> dict[str, Any]:
    """An array."""
    return {"type": "array", "items": items}


def page_of(name: str) -> dict[str, Any]:
    """A page of what that schema describes."""
    cursor = MAYBE_TEXT | {"description": "Send it as `cursor` for what follows; null at the end."}
    return record({"data": listing({"$ref": f"#/components/schemas/{name}"}), "next_cursor": cursor})


def _body(optional: dict[str, Any], required: tuple[str, ...] = (), about: str = "") -> dict[str, Any]:
    """What is sent: nothing else is taken."""
    made: dict[str, Any] = {"type": "object", "properties": optional, "additionalProperties": False}
    return made | ({"required": list(required)} if required else {}) | ({"description": about} if about else {})


def _rule_body(kind: str, required: tuple[str, ...]) -> dict[str, Any]:
    fields = {name: entry.form.schema | {"description": entry.text} for name, entry in RULE_SECTIONS[kind].items()}
    if kind == "budget":
        downgrade = _body({"downgrade": TEXT}, ("downgrade",))
        fields["on_soft"] = {"anyOf": [{"enum": ["alert", "throttle"]}, downgrade]}
    return _body(fields, required, f"As an entry of `{kind}s:` in the configuration file.")


def _change(body: dict[str, Any]) -> dict[str, Any]:
    """The same, of which any part may be said; null takes a word away."""
    fields = {name: {"anyOf": [schema, {"type": "null"}]} for name, schema in body["properties"].items()}
    return _body(fields)


_MAYBE_TEXTS: dict[str, Any] = {"type": ["array", "null"], "items": TEXT}
_MAYBE_COUNT: dict[str, Any] = {"type": ["integer", "null"], "minimum": 1}
_ETAG = MAYBE_TEXT | {"description": "For if-match; null for what the file declares."}
_DECLARED = MAYBE_TEXT | {"description": "Where the configuration file declares it: it is changed there alone."}
_VALUE: dict[str, Any] = {"type": "string", "minLength": 1, "writeOnly": True}
_OVERRIDES: dict[str, Any] = {"enum": ["allowed", "refused"]}
_USER: dict[str, Any] = {"enum": ["trusted", None]}
_PRIORITY: dict[str, Any] = {"enum": [*get_args(Priority), None]}
_ENV: dict[str, Any] = {"enum": ["live", "test"]}
_CHARGE: dict[str, Any] = {"enum": ["attempts", "winner"]}

_RIGHTS: dict[str, Any] = {
    "models": _MAYBE_TEXTS | {"description": "Names and patterns it may ask for; null: every name under `models:`."},
    "routes": {"type": ["array", "null"], "items": {"enum": list(OPERATIONS)}},
    "addresses": _MAYBE_TEXTS | {"description": "Networks from which it may be used; null: any."},
    "expires": MAYBE_TEXT | {"description": "A date, a time, or so long from now (`90d`); null: never."},
    "max_output": _MAYBE_COUNT | {"description": "The most tokens of output that a call may ask for."},
    "priority": _PRIORITY | {"description": "The most urgent that its calls may be; null: any."},
    "overrides": _OVERRIDES | {"description": "Whether its calls may say how they are tried."},
    "user": _USER | {"description": "Whether the user that its calls name is believed."},
}
_KEY = {
    "id": TEXT,
    "name": TEXT,
    "label": TEXT | {"description": "What records and rules call it: `tenant/name`."},
    "state": {"enum": ["active", "expired", "revoked", "archived"]},
    "env": {"enum": ["live", "test", None]},
    "tenant": MAYBE_TEXT,
    "project": MAYBE_TEXT,
    **_RIGHTS,
    "role": {"enum": [*get_args(Role), None]},
    "prefix": MAYBE_TEXT,
    "last_four": MAYBE_TEXT,
    "secrets": listing(record({"prefix": TEXT, "last_four": TEXT, "created": TEXT, "ends": MAYBE_TEXT})),
    **dict.fromkeys(("created", "created_by", "revoked", "last_used"), MAYBE_TEXT),
    "declared": _DECLARED,
    "etag": _ETAG,
}
_NAMED = {"name": TEXT, "tenant": TEXT, "env": _ENV}
_AMOUNT: dict[str, Any] = {"type": ["string", "integer"], "description": "Dollars as text, all else as numbers."}
_ACCOUNT = record(
    {
        "value": TEXT | {"description": 'Of the scope: a tenant, `acme/u1`; "" for everything together.'},
        "unit": {"enum": ["usd", "tokens", "requests", "calls"]},
        **dict.fromkeys(("limit", "used", "left"), _AMOUNT),
        "resets": MAYBE_TEXT | {"description": "When it is whole again."},
    }
)
_TENANT = {
    "name": TEXT,
    "state": {"enum": ["active", "archived"]},
    "charge": _CHARGE,
    "weight": COUNT,
    "created": MAYBE_TEXT,
    "archived": MAYBE_TEXT,
    "declared": _DECLARED,
    "etag": _ETAG,
}
_WEIGHT: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 1_000_000}

REGISTER: dict[str, Any] = {
    "Credentials": page_of("Credential"),
    "Credential": record(
        {
            "name": TEXT,
            "last_four": MAYBE_TEXT | {"description": "Null where it is too short for any of it to be shown."},
            "providers": listing(TEXT) | {"description": "Which of the configuration use it."},
            "created": TEXT,
            "etag": TEXT,
        },
        about="What providers are paid with. Its value is told nowhere.",
    ),
    "NewCredential": _body({"name": TEXT, "value": _VALUE}, ("name", "value")),
    "CredentialChange": _body({"value": _VALUE}, ("value",)),
    "Tenants": page_of("Tenant"),
    "Tenant": record(_TENANT, {"projects": listing(TEXT)}, "Who pays."),
    "NewTenant": _body({"name": TEXT, "charge": _CHARGE, "weight": _WEIGHT}, ("name",)),
    "TenantChange": _body({"charge": _CHARGE, "weight": _WEIGHT}),
    "Keys": page_of("Key"),
    "Key": record(_KEY, about="A key, without its secret."),
    "MadeKey": record(_KEY | {"secret": TEXT | {"description": "Told once, here."}}),
    "NewKey": _body(_NAMED | {"project": TEXT} | _RIGHTS, ("name",)),
    "NewAdmin": _body(
        _NAMED | {"role": {"enum": list(get_args(Role))}} | _RIGHTS,
        ("name", "role"),
        "A key that opens the control plane alone. Its rights are what it may give to keys at most.",
    ),
    "KeyRights": _body(_RIGHTS),
    "Rotation": _body(
        {"overlap": TEXT | {"description": "How long the old secret stays good: `24h`; at most 30 days."}}
    ),
    "Rules": page_of("Rule"),
    "Rule": record(
        {
            "id": TEXT,
            "rule": ANYTHING | {"description": "In the words of the configuration file."},
            "tenant": MAYBE_TEXT | {"description": "Whose it is alone; null where it may be about several."},
            "created": MAYBE_TEXT,
            "created_by": MAYBE_TEXT,
            "declared": _DECLARED,
            "shadowed_by": MAYBE_TEXT | {"description": "What says the same and holds instead."},
            "etag": _ETAG,
        },
        {
            "warnings": listing(TEXT) | {"description": "What is most likely not meant; where one of them is told."},
            "accounts": listing(_ACCOUNT) | {"description": "The fullest, where so many are asked for."},
        },
    ),
    "NewLimit": _rule_body("limit", ("scope",)),
    "LimitChange": _change(_rule_body("limit", ())),
    "NewBudget": _rule_body("budget", ("scope", "limit")),
    "BudgetChange": _change(_rule_body("budget", ())),
    "AuditLog": page_of("AuditEntry"),
    "AuditEntry": record(
        {
            "number": COUNT,
            **dict.fromkeys(("at", "actor", "role", "what", "subject"), TEXT),
            "tenant": MAYBE_TEXT,
            "before": {"description": "As it was; null where there was nothing."},
            "after": {"description": "As it is from then on; null where there is nothing."},
            "hash": TEXT | {"description": "Of this entry and, by it, of all before it."},
        }
    ),
}
