"""The keys of what holds for callers: `limits`, `budgets`, `tenants`, `alerts`, `admission`: see `config/keys.py`."""

from __future__ import annotations

from typing import Any

from penstock.config import amounts, forms
from penstock.config.entry import Entry
from penstock.config.forms import Form, choice, each, either, optional, section, switchable, whole
from penstock.config.limits import MOST_CALLS, MOST_WEIGHT
from penstock.reservation import SCOPES

__all__ = ["BY_SCOPE", "RULE_KEYS", "RULE_REQUIRED", "RULE_SECTIONS", "RULE_TITLES"]

_MATCH = either(forms.LABEL._replace(name="a name or a pattern"), each(forms.LABEL, least=1, shown="the same"))
_RATE = Form("a rate", {"type": "string", "pattern": f"^(?:{amounts.RATE.pattern})$", **forms.SOME_NUMBER})
_ALLOWANCE: dict[str, Any] = {"type": "string", "pattern": f"^(?:{amounts.ALLOWANCE.pattern})$", **forms.SOME_NUMBER}
_AMOUNT: dict[str, Any] = {"type": "string", "pattern": f"^(?:{amounts.AMOUNT.pattern})$", **forms.SOME_NUMBER}
_BUDGET = Form("a budget", {"anyOf": [_ALLOWANCE, _AMOUNT]})

# What the limit of a budget looks like depends on its scope.
BY_SCOPE: dict[str, Any] = {
    "if": {"properties": {"scope": {"const": "request"}}, "required": ["scope"]},
    "then": {"properties": {"limit": _AMOUNT}},
    "else": {"properties": {"limit": _ALLOWANCE}},
}

_COUNTED: dict[str, Entry] = {
    "requests": Entry(_RATE, "So many requests within that time.", "600/min"),
    "tokens": Entry(
        _RATE,
        "So many tokens of input and output within that time: what a call may use is taken when it begins, and what it"
        " did not use is given back when it ends.",
        "200k/min",
    ),
    "concurrency": Entry(whole(1, MOST_CALLS), "So many calls at a time.", "50"),
    "kind": Entry(
        choice("burst", "strict", "leaky"),
        "How a rate is held. `burst`: what was not used may come at once. `strict`: no 60 seconds, wherever they begin,"
        " have more; by the minute only. `leaky`: evenly, nothing at once.",
        "strict",
        "burst",
    ),
    "burst": Entry(
        forms.COUNT, "Of a rate of kind `burst`: how much may come at once. Without it the whole of the rate.", "100"
    ),
    "queue": Entry(
        forms.POSITIVE_DURATION,
        "How long a call may wait for its turn, by priority. Without it what is over the limit is refused at once.",
        "5s",
    ),
}
_SPENT: dict[str, Entry] = {
    "limit": Entry(
        _BUDGET,
        "Dollars, tokens or requests in each `minute`, `hour`, `day`, `week` (from Monday) or `month` of the calendar;"
        " with `scope: request` dollars or tokens of one request.",
        "50 USD/day",
    ),
    "hard": Entry(
        forms.YES_NO,
        "Whether what is over it is refused. If not, somebody is told, and `on_soft` says what else happens.",
        "false",
        "true",
    ),
    "zone": Entry(forms.TEXT, "The time zone whose calendar counts.", "Europe/Berlin", "UTC"),
    "alert_at": Entry(
        each(forms.PART), "At which parts of the limit somebody is told: in the log, and by `alerts`.", "[0.5, 0.8]"
    ),
    "on_low_budget": Entry(
        choice("clamp", "refuse"),
        "What happens to a call that could use more than is left: it may answer with less (named in"
        " `x-penstock-clamped`), or it is refused.",
        "refuse",
        "clamp",
    ),
    "on_soft": Entry(
        either(choice("alert", "throttle"), section("on_soft", "a mapping")),
        "What happens once a budget that is not hard is used up, or will be soon: somebody is told; calls are slowed"
        " down as well; or another model is asked.",
        "{downgrade: fast}",
        "alert",
    ),
}
_SCOPES = Entry(
    choice(*SCOPES),
    "Of what each has the whole limit for itself. Calls that name no tenant, project, key, user or task count as one"
    " of the name `-`; for `tag` a call counts under each tag it has.",
    "tenant",
)
_WHO = Entry(
    _MATCH,
    "For which of them: a name, a pattern or a list. Of those that match, the most exact holds alone. Users,"
    " projects, tasks and tags may be written with their tenant: `acme/u1`; a tag is `name=value`. Without it each.",
    '"free-*"',
)

RULE_KEYS: dict[str, Entry] = {
    "limits": Entry(
        each(section("limit")),
        "How much may be asked for at a time.",
        "[{scope: tenant, requests: 600/min, tokens: 200k/min, concurrency: 50}]",
    ),
    "budgets": Entry(
        each(section("budget")),
        "How much may be used in a day, a month and so on, or by one request.",
        "[{scope: user, limit: 2M tokens/day}]",
    ),
    "tenants": Entry(
        each(section("tenant")),
        "Who pays. Others live in the store; a tenant needs not be declared.",
        "[{name: acme, weight: 2}]",
    ),
    "state": Entry(
        forms.STATE,
        "Where keys, the ledger and what was spent are kept: a SQLite file (a path after `sqlite:///` counts from this"
        " file's folder), or `memory`, which forgets. `env:NAME` if that stands in a variable. Without it"
        " `sqlite:///penstock.db`, and for the library `memory`.",
        "sqlite:///penstock.db",
    ),
    "durability": Entry(
        choice("process", "power"),
        "What the ledger is safe from before an attempt is sent: the death of the process, or a loss of power too, at"
        " the price of a turn of the disk (milliseconds) at each attempt's beginning and end.",
        "power",
        "process",
    ),
    "retention": Entry(
        switchable(forms.POSITIVE_DURATION),
        "How long the ledger keeps each attempt, 60 days at least. Of older ones it keeps the sums of their days, for"
        " ever.",
        "400d",
        "off",
    ),
    "encryption_key": Entry(
        forms.CALLER_SECRET,
        "What the store's keys are hashed and its credentials encrypted under: at least 32 characters of chance."
        " Without it one is made on first start, in `penstock.secret` beside the state. Keep a copy: without it no"
        " stored key is known any more.",
        "env:PENSTOCK_SECRET",
    ),
    "alerts": Entry(section("alerts"), "Who is told, besides the log.", "{anomaly: off}"),
    "admission": Entry(
        switchable(section("admission", "a mapping")),
        "How much each worker takes at a time, whoever asks; what is over it waits or is refused, the least urgent"
        " first.",
        "{most: 500}",
        "off",
    ),
}  # fmt: skip

RULE_TITLES: dict[str, str] = {
    "limit": "limits[]",
    "budget": "budgets[]",
    "key_limit": "keys[].limits[]",
    "key_budget": "keys[].budgets[]",
    "on_soft": "budgets[].on_soft",
    "tenant": "tenants[]",
    "alerts": "alerts",
    "webhook": "alerts.webhook",
    "admission": "admission",
    "repeats": "admission.repeats",
}
RULE_REQUIRED: dict[str, tuple[str, ...]] = {
    "limit": ("scope",),
    "budget": ("scope", "limit"),
    "key_budget": ("limit",),
    "on_soft": ("downgrade",),
    "tenant": ("name",),
    "webhook": ("url", "secret"),
}

RULE_SECTIONS: dict[str, dict[str, Entry]] = {
    "limit": {"scope": _SCOPES, "match": _WHO, **_COUNTED},
    "budget": {
        "scope": _SCOPES._replace(
            form=choice(*SCOPES, "request"), text=f"{_SCOPES.text} `request`: one request, whoever makes it."
        ),
        "match": _WHO,
        **_SPENT,
    },
    "key_limit": _COUNTED,
    "key_budget": {
        "scope": Entry(choice("request"), "`request` if it is for each request of the key alone.", "request"),
        **_SPENT,
    },
    "on_soft": {
        "downgrade": Entry(
            forms.NAME, "The model that is asked instead: a name under `models:`, or `provider/model`.", "fast"
        ),
    },
    "tenant": {
        "name": Entry(forms.TENANT, "As keys name it: without a slash.", "acme"),
        "charge": Entry(
            choice("attempts", "winner"),
            "What it pays for: every attempt that was made for it, or the one that answered.",
            "winner",
            "attempts",
        ),
        "weight": Entry(whole(1, MOST_WEIGHT), "Its part where tenants wait for the same.", "2", "1"),
        "projects": Entry(each(forms.LABEL), "Its projects, for those who read this.", "[web, batch]"),
    },
    "alerts": {
        "webhook": Entry(
            optional(section("webhook", "a mapping")),
            "Where alerts are sent, signed as Standard Webhooks has it.",
            "{url: https://hooks.example.com/penstock, secret: env:ALERT_SECRET}",
        ),
        "anomaly": Entry(choice("on", "off"), "Whether unusual spend is told too.", "off", "on"),
    },
    "webhook": {
        "url": Entry(forms.WEBHOOK_URL, "An https address.", "https://hooks.example.com/penstock"),
        "secret": Entry(
            forms.CALLER_SECRET,
            "What the signature is made with: `whsec_` and 24 to 64 bytes in base64; two of them, separated by a comma,"
            " while one is being replaced.",
            "env:ALERT_SECRET",
        ),
    },
    "admission": {
        "most": Entry(
            either(choice("auto"), whole(1, MOST_CALLS)),
            "Calls at a time, of each worker; `auto` is as many as come.",
            "500",
            "auto",
        ),
        "queue": Entry(whole(0, MOST_CALLS), "How many may wait, by priority.", "200", "1000"),
        "loop_lag": Entry(
            switchable(forms.POSITIVE_DURATION),
            "How late the process may be with its own work, in most of half a second, before the least urgent calls are"
            " refused.",
            "50ms",
            "200ms",
        ),
        "repeats": Entry(
            switchable(section("repeats", "a mapping")),
            "When the same prompt, again and again from one caller, is taken for a loop and slowed down.",
            "{same: 20, per: 1m}",
            "off",
        ),
    },
    "repeats": {
        "same": Entry(whole(2, MOST_CALLS), "How many times.", "10", "20"),
        "per": Entry(forms.POSITIVE_DURATION, "Within how long.", "5m", "1m"),
    },
}  # fmt: skip
