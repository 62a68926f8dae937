"""Every key of this version: how its value is written, what holds where it is not, and what it does.

The loader takes from here which keys there are, `penstock check --schema` and docs/config.md all the rest. What a
value means is read in the files beside this one; tests hold both against each other.
"""

from __future__ import annotations

from penstock.config import forms, values
from penstock.config.entry import Entry
from penstock.config.forms import Form, choice, each, either, named, optional, section, switchable, whole
from penstock.config.limits import MOST_ATTEMPTS, MOST_CONNECTIONS, MOST_WEIGHT, MOST_WORKERS
from penstock.config.policy_keys import POLICIES, POLICY_REQUIRED, POLICY_SECTIONS, POLICY_TITLES
from penstock.config.rule_keys import RULE_KEYS, RULE_REQUIRED, RULE_SECTIONS, RULE_TITLES
from penstock.config.schema import OPERATIONS, ROLES
from penstock.routing.wishes import PRIORITIES

__all__ = ["KEYS", "REQUIRED", "TITLES"]


_MOST_OUTPUT = Entry(
    forms.COUNT,
    "Tokens of output to ask for where the provider demands a number and the caller gave none. Without it: the model's"
    " limit, at most 8192.",
    "32k",
)
_UNTRANSLATABLE = Entry(
    choice("refuse", "drop"),
    "What happens to what a provider of another dialect has no word for: a 400 that names it, or left out and named in"
    " `x-penstock-dropped`.",
    "drop",
    "refuse",
)

_UNKNOWN_PRICE = Entry(
    choice("flag", "refuse"),
    "What happens to a call whose price nobody knows: it is made and its cost is null, or it is refused.",
    "refuse",
    "flag",
)
# Dollars: by the million tokens, or each.
_PRICES: dict[str, str] = {
    "input": "Dollars per million tokens of input, the cache and the sound in it included unless they are named.",
    "cache_read": "Of these, what was read from the cache.",
    "cache_write": "Of these, what was written to the cache for five minutes.",
    "cache_write_1h": "Of these, what was written to the cache for an hour.",
    "input_audio": "Of these, sound.",
    "cache_read_audio": "Of these, sound that was read from the cache.",
    "input_image": "Of these, images.",
    "cache_read_image": "Of these, images that were read from the cache.",
    "input_video": "Of these, video.",
    "output": "Dollars per million tokens of output, the thinking in it included unless it is named.",
    "reasoning": "Of these, thinking.",
    "output_audio": "Of these, sound.",
    "output_image": "Of these, images.",
    "output_video": "Of these, video.",
    "citation": "Of these, citations.",
    "web_search": "Dollars for each search of the web.",
    "file_search": "Dollars for each search of files.",
    "request": "Dollars for each request.",
}
_SHOWN = {"input": "0.25", "cache_read": "0.025", "output": "2", "web_search": "0.01"}

# What a section is called in the reference, in its order.
TITLES: dict[str, str] = {
    "config": "The whole",
    "server": "server",
    "tls": "server.tls",
    "provider": "providers.*",
    "credential": "providers.*.credentials[]",
    "model": "models.*",
    "target": "models.*.targets[]",
    "defaults": "defaults",
    **POLICY_TITLES,
    "price": "prices.*",
    "price_step": "prices.*.above.*",
    "key": "keys[]",
    **RULE_TITLES,
    "log": "log",
}

REQUIRED: dict[str, tuple[str, ...]] = {
    "config": ("providers",),
    "tls": ("cert", "key"),
    "credential": ("name", "api_key"),
    "model": ("targets",),
    "target": ("target",),
    "price": ("input", "output"),
    "key": ("name", "key"),
    **POLICY_REQUIRED,
    **RULE_REQUIRED,
}

KEYS: dict[str, dict[str, Entry]] = {
    "config": {
        "server": Entry(section("server"), "The listeners."),
        "providers": Entry(
            named(section("provider"), "^[^\\s/]+$", least=1),
            "Vendors and hosts, each under a name of your choice: the first half of `provider/model`.",
        ),
        "models": Entry(
            named(section("model"), "^[^\\s*]+$"),
            "What callers ask for. A caller may also ask for `provider/model`, or for a vendor's own name that exactly"
            " one provider has.",
        ),
        "default_model": Entry(
            forms.LABEL, "For calls that name no model: a name under `models:`, or `provider/model`.", "fast"
        ),
        "defaults": Entry(section("defaults"), "For models that do not say otherwise."),
        "prices": Entry(
            named(section("price"), r"^(?:\*|[^/*]+/(?:[^*]+\*?|\*))$"),
            "What deployments cost, by `provider/model`, or a pattern with its `*` at its end; before what is known of"
            " the vendor's prices.",
            "{local/llama: {input: 0.1, output: 0.2}, \"mine/*\": {input: 0, output: 0}}",
        ),
        "auth": Entry(
            choice("required", "open"),
            "Whether callers need a key of `keys:`. `open` is for loopback addresses alone.",
            "required",
            "required",
        ),
        "keys": Entry(each(section("key")), "The keys that callers present."),
        **RULE_KEYS,
        "layers": Entry(
            each(forms.LAYER),
            "Your own layers, outermost first, as `module:name`: each takes every call before it is routed.",
            '["my_package:MyLayer"]',
        ),
        "log": Entry(section("log"), "The request log, a JSON line for each request."),
    },
    "server": {
        "listen": Entry(
            forms.ADDRESS,
            "Where callers reach it; `0.0.0.0` is all of IPv4, `[::]` all of both families.",
            "127.0.0.1:8484",
            "127.0.0.1:8484",
        ),
        "admin": Entry(
            forms.ADDRESS,
            "Where the control plane and `/metrics` listen: on loopback alone.",
            "127.0.0.1:8485",
            "127.0.0.1:8485",
        ),
        "workers": Entry(whole(1, MOST_WORKERS), "Processes that answer callers.", "4", "1"),
        "drain": Entry(forms.DURATION, "How long open requests may go on after SIGTERM.", "30s", "60s"),
        "max_body": Entry(forms.SIZE, "The largest request body.", "64MiB", "32MiB"),
        "idle": Entry(forms.POSITIVE_DURATION, "After how long an unused connection is closed.", "2m", "75s"),
        "keepalive": Entry(
            forms.POSITIVE_DURATION,
            "After how long a caller that waits for a stream is sent a comment, and how often.",
            "10s",
            "15s",
        ),
        "hosts": Entry(
            each(forms.HOST),
            "What callers may name as Host, without a port; `*.example.com` for all below it. Loopback's names and the"
            " address listened on always hold.",
            "[llm.example.com]",
        ),
        "trusted_proxies": Entry(
            each(forms.NETWORK), "Whose word about a caller's address is taken.", "[10.0.0.0/8]"
        ),
        "cors": Entry(
            each(forms.ORIGIN),
            'Origins whose web pages may call; `"*"` alone for all of them, where a key is required.',
            "[https://app.example.com]",
        ),
        "tls": Entry(
            optional(section("tls")),
            "The data plane's certificate. Without it plain HTTP.",
            "{cert: cert.pem, key: key.pem}",
        ),
        "max_connections": Entry(
            whole(1, MOST_CONNECTIONS),
            "Callers' connections at once, of each worker. Without it as many as the limit of open files has room for.",
            "10000",
        ),
    },
    "tls": {
        "cert": Entry(forms.TEXT, "PEM file of the certificate and its chain.", "cert.pem"),
        "key": Entry(forms.TEXT, "PEM file of its key.", "key.pem"),
    },
    "provider": {
        "kind": Entry(
            forms.KIND, "Its row in the catalogue: how it is spoken to. Without it the provider's own name.", "openai"
        ),
        "base_url": Entry(
            forms.BASE_URL, "Where it is. Without it the catalogue's address, where it has one for everybody.", "https://10.0.0.7:8000/v1"
        ),
        "api_key": Entry(
            forms.SECRET,
            "What it is paid with: `env:NAME`, `file:PATH`, `store:NAME` for one that the gateway's store keeps, or"
            " `none`, which sends nothing. `env:NAME?` may be unset, which switches the provider off, as does a name"
            " that the store does not have. Without it the catalogue's variable, at the catalogue's address only.",
            "env:OPENAI_API_KEY",
        ),
        "api_version": Entry(
            forms.VERSION,
            "The version of the API that its requests name, where its kind takes one: Azure by deployments.",
            "2024-10-21",
        ),
        "credentials": Entry(
            either(choice("caller"), each(section("credential", "a mapping"), least=1)),
            "Instead of `api_key`: several, chosen by weight for each request; or `caller`, which passes each caller's"
            " own credential on (Penstock's own key then comes in `x-penstock-key`).",
            "[{name: a, api_key: env:KEY_A, weight: 3}, {name: b, api_key: env:KEY_B}]",
        ),
        "region": Entry(forms.LABEL, "Where it is, in your words: see `regions` of a model.", "eu"),
        "ca_file": Entry(
            forms.TEXT,
            "PEM file to trust instead of the usual roots; for a proxy that is spoken to by https, besides them.",
            "ca.pem",
        ),
        "probe": Entry(
            switchable(forms.POSITIVE_DURATION),
            "How often it is asked for its models, to see whether it lives.",
            "30s",
            "off",
        ),
    },
    "credential": {
        "name": Entry(
            forms.CREDENTIAL_NAME, "Stands behind the deployment's in log lines and metrics: `pooled/gpt-5#a`.", "a"
        ),
        "api_key": Entry(
            forms.POOLED_SECRET, "As a provider's; one that may be unset, and is, is left out.", "env:KEY_A"
        ),
        "weight": Entry(whole(1, MOST_WEIGHT), "Its part of the requests: of the sum of all weights.", "3", "1"),
    },
    "model": {
        "targets": Entry(
            each(either(forms.TARGET, section("target", "a mapping")), least=1),
            "Who answers: the next is asked when one fails. Those of a provider that is switched off are left out.",
            "[openai/gpt-5-mini, anthropic/claude-haiku-4-5]",
        ),
        "regions": Entry(
            each(forms.LABEL, least=1),
            "Where its targets may be. One elsewhere, or of a provider without a region, is refused at load.",
            "[eu, us]",
        ),
        **POLICIES,
        "default_max_output": _MOST_OUTPUT,
        "untranslatable": _UNTRANSLATABLE,
        "unknown_price": _UNKNOWN_PRICE,
    },
    "target": {
        "target": Entry(forms.TARGET, "The provider and its model, split at the first slash.", "azure-eu/prod-1"),
        "is": Entry(
            forms.IDENTITY,
            "Which model it is, where its name does not say: by the name and kind that its vendor has for it.",
            "openai/gpt-5",
        ),
        "weight": Entry(
            whole(0, MOST_WEIGHT),
            "Its part of the calls where `strategy` is `weighted`; one of 0 is asked when others fail.",
            "9",
            "1",
        ),
        "max_attempts": Entry(
            whole(1, MOST_ATTEMPTS), "Attempts at it, the first included. Without it as `retry` has it.", "2"
        ),
    },
    "defaults": {
        **POLICIES,
        "default_max_output": _MOST_OUTPUT,
        "untranslatable": _UNTRANSLATABLE,
        "unknown_price": _UNKNOWN_PRICE,
    },
    **POLICY_SECTIONS,
    "price": {
        **{unit: Entry(forms.PRICE, text, _SHOWN.get(unit, "")) for unit, text in _PRICES.items()},
        "above": Entry(
            Form(
                "for each number of tokens: a mapping",
                named(section("price_step"), rf"^(?!0+(?:k|M|)$){values.COUNT.pattern}$").schema,
                "price_step",
            ),
            "What the whole of a request costs whose input has more tokens.",
            "{200k: {input: 2.5, output: 15}}",
        ),
    },
    "price_step": {
        unit: Entry(forms.PRICE, "As below that number of tokens: what it costs above.")
        for unit in _PRICES
        if unit not in ("web_search", "file_search", "request")
    },
    "key": {
        "name": Entry(forms.LABEL, "What log lines call it.", "app"),
        "key": Entry(
            forms.CALLER_SECRET, "What the caller presents; `env:NAME?` that is unset leaves it out.", "env:APP_KEY"
        ),
        "tenant": Entry(forms.TENANT, "Whose it is: who pays.", "acme"),
        "project": Entry(forms.LABEL, "What of its tenant's it is for.", "web"),
        "models": Entry(
            Form(f"a list: {forms.PATTERN.name}", each(forms.PATTERN).schema | {"not": {"const": []}}),
            "What it may ask for: names, and patterns where `*` stands for anything. They match the name asked for and"
            " the `provider/model` it leads to. Without it every name under `models:` and no other.",
            '[fast, "openai/*"]',
        ),
        "user": Entry(
            choice("trusted"),
            "Whether the user that its calls name is believed. If not, all its calls are of the user `-`.",
            "trusted",
        ),
        "overrides": Entry(
            choice("allowed", "refused"),
            "Whether its calls may say by `x-penstock-timeout`, `-retries` and `-fallbacks` how they are tried.",
            "allowed",
            "refused",
        ),
        "expires": Entry(
            forms.EXPIRY,
            "From when on it counts no more: a date (its first moment in UTC), or a time with its zone.",
            "2027-01-31",
        ),
        "addresses": Entry(
            each(forms.NETWORK, least=1), "Where its calls may come from. Without it anywhere.", "[10.0.0.0/8]"
        ),
        "routes": Entry(
            Form("a list: an operation", each(choice(*OPERATIONS)).schema | {"not": {"const": []}}),
            "What its calls may ask for, in any dialect: `chat`, `embeddings`, `count_tokens`, `models`. Without it"
            " everything.",
            "[chat, models]",
        ),
        "max_output": Entry(forms.COUNT, "Tokens of output that each of its calls may ask for at most.", "4k"),
        "priority": Entry(
            choice(*PRIORITIES), "How urgent its calls are at most, and where they do not say.", "low"
        ),
        "role": Entry(
            choice(*ROLES), "What it may do at the control plane. Without it nothing.", "viewer"
        ),
        "limits": Entry(
            each(section("key_limit")), "As `limits` of the whole, for this key.", "[{requests: 60/min}]"
        ),
        "budgets": Entry(
            each(section("key_budget")), "As `budgets` of the whole, for this key.", "[{limit: 5 USD/day}]"
        ),
    },
    **RULE_SECTIONS,
    "log": {
        "to": Entry(forms.TEXT, "`stdout`, `none`, or a file.", "calls.log", "stdout"),
        "content": Entry(choice("none"), "How much of what is said is logged.", "none", "none"),
    },
}  # fmt: skip
