"""The JSON Schema says what the loader says, wherever it can know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import pytest

from penstock.config.json_schema import json_schema
from penstock.config.keys import KEYS, REQUIRED, TITLES
from penstock.config.later import SECTIONS
from penstock.config.load import load_config
from penstock.config.prices import EACH
from penstock.config.rule_keys import RULE_SECTIONS
from penstock.config.schema import (
    AdmissionRules,
    Alerts,
    Config,
    Credential,
    Defaults,
    Key,
    Log,
    Provider,
    Route,
    Server,
    Tenant,
    Terms,
    Timeouts,
    Tls,
    Webhook,
)
from penstock.config.show import describe
from penstock.config.show_policies import show_policies
from penstock.config.show_rules import show_admission, show_alerts, show_tenant
from penstock.config.tree import Node
from penstock.config.values import LABEL
from penstock.config.yaml_file import read_yaml
from penstock.errors import ConfigError
from penstock.providers.rates import UNITS
from penstock.routing.admission import Repeats
from penstock.routing.plan import Hedge, Retry
from penstock.stores.breaker import BreakerRules
from penstock.stores.gate import GateRules
from tests.config.test_load import BAD_DICTS, BAD_YAML, CREDENTIALS, ENV, FULL
from tests.config.test_policies import BAD, POLICIES
from tests.config.test_resolved import MORE
from tests.config.test_rules import BAD as BAD_RULES
from tests.config.test_rules import EVERYTHING
from tests.house.trees import ROOT

SCHEMA = json_schema()
VALID = jsonschema_rs.validator_for(SCHEMA)

# What only the loader can know: what a value refers to, and what values mean to each other.
BEYOND = re.compile(
    r"is not set in the environment|cannot be read|have the same value|two (keys|credentials) are named"
    r"|which is no model"
    r"|which no model fits|is not under models|auth is required|auth: open is for|and listen are both"
    r"|the admin address|unknown kind|the kind .* is not in this version|api_key is missing|runs inside Penstock"
    r"|no provider is named|no kind of provider|has no region|is in \"|cannot be openai|duplicate key"
    r"|the key 1 is not a string|too long: at most|switched off on|nobody knows what|too fine|has no api_version"
    r"|stands there twice|is more than (max_total|total|attempt|max_wait|max_open)|falls back to itself"
    r"|hedge asks a second target"
    r"|leads to is (no place|too short)|the webhook's secret|no time zone|downgrade leads to"
    r"|stands behind|is by the minute|for a budget that is not hard|downgrade loops|can be asked for|no deployment"
    r"|is no tag|less than one request costs|is too much|would be a pattern"
    r"|is not set, and|http is for loopback|fewer than one request|leave burst out|burst is so many|is for rates"
    r"|is not for scope: request|it limits nothing|is everything there is"
    r"|base_url (is missing|still is|ends with|names a deployment)|budgets of a month and what is usual"
    r"|-14:00\" is not a time"
)


def plain(text: str) -> Any:
    """As an editor sees it: YAML 1.2, where a date is text."""
    return bare(read_yaml(text.encode(), "p.yaml").root)


def bare(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {key: bare(entry) for key, entry in node.value.items()}
    return [bare(item) for item in node.value] if isinstance(node.value, list) else node.value


def blocks() -> Iterator[Any]:
    """Every whole configuration in the README, docs/ and examples/."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for index, text in enumerate(re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)):
            if re.search(r"^providers:", text, re.MULTILINE):
                yield pytest.param(text, id=f"{page.name}-{index}")
    for path in sorted((ROOT / "examples").rglob("*.yaml")):
        if re.search(r"^providers:", path.read_text(), re.MULTILINE):
            yield pytest.param(path.read_text(), id=path.name)


class Anything(dict[str, str]):
    """An environment where every variable is set, each to something else."""

    def get(self, key: str, default: Any = None) -> Any:
        return f"whsec_{'A' * 32}" if key == "ALERT_SECRET" else f"value-of-{key}-0123456789abcdefghijklmn"


GOOD = [
    *blocks(),
    FULL,
    CREDENTIALS,
    MORE,
    POLICIES,
    EVERYTHING,
    "providers: {sim: }\nauth: open\nserver:\nkeys:\nmodels:\nlog:\ndefaults:\n",
]


@pytest.mark.parametrize("text", GOOD)
def test_good_ones(text: str) -> None:
    env: Mapping[str, str] = ENV if text in (FULL, CREDENTIALS, MORE, POLICIES, EVERYTHING) else Anything()
    # Not serving: some on a page show no keys.
    load_config(read_yaml(text.encode(), "p.yaml"), env, serving=False, check_files=False)
    assert [error.message for error in VALID.iter_errors(plain(text))] == []


def test_the_readme_has_one() -> None:
    assert len(list(blocks())) >= 1


@pytest.mark.parametrize(("text", "problems"), [*BAD_YAML, *BAD, *BAD_RULES])
def test_bad_ones(text: str, problems: list[str]) -> None:
    known = all(BEYOND.search(problem) for problem in problems)
    assert VALID.is_valid(plain(text)) is known


@pytest.mark.parametrize(("source", "problems"), BAD_DICTS[:-1])
def test_bad_dicts(source: dict[str, Any], problems: list[str]) -> None:
    assert VALID.is_valid(source) is all(BEYOND.search(problem) for problem in problems)


# --- each key on its own: what is wrong for the loader is wrong for the schema, and the reverse

WHOLE: dict[str, Any] = {
    "providers": {"openai": {}, "other": {"kind": "openai", "region": "eu"}, "sim": {}},
    "models": {"fast": {"targets": ["sim/small"]}},
    "keys": [{"name": "app", "key": "env:APP_KEY"}],
}
WRITTEN: list[Any] = [
    *(None, True, 0, 1, 8, 300, -1, 1.5, "", " ", "x", "a b", "5s", "0s", "5 s", "1.5h", "9x", "64KiB", "0KiB", "64kb"),
    *(
        "32k",
        "1M",
        "0k",
        "auto",
        "drop",
        "refuse",
        "none",
        "caller",
        "trusted",
        "open",
        "required",
        "stdout",
        "sim/small",
    ),
    *(
        "off",
        "error",
        "resume",
        "weighted",
        "latency",
        "2%",
        "0%",
        "0.0%",
        "100%",
        "100.5%",
        "101%",
        0.5,
        0.02,
        21,
        False,
    ),
    *("allowed", "refused", "a.b:C", "a:b:c"),
    *(
        "sim/",
        "/x",
        "other/x",
        "env:APP_KEY",
        "env:A-B",
        "env:OTHER_KEY?",
        "file:x",
        "https://h/v1",
        "ftp://h",
        "http://u@h",
    ),
    *(
        "127.0.0.1:80",
        "[::1]:0",
        "::1:5",
        "h:x",
        "*",
        "*.example.com",
        "10.0.0.0/8",
        "https://a.example",
        "fast",
        "openai/*",
    ),
    *(
        [],
        ["x"],
        ["fast"],
        ["sim/small"],
        ["a b"],
        [1],
        ["*"],
        ["10.0.0.7"],
        ["https://a.example"],
        [None],
        [[]],
        ["openai/o3"],
    ),
    *({}, {"x": 1}, {"cert": "a", "key": "b"}, {"connect": "5s"}, {"connect": 5}, {"first_token": "auto"}, [{}]),
    [{"name": "a", "api_key": "env:APP_KEY", "weight": 2}],
    [{"name": "a", "api_key": "none"}],
    [{"name": "a"}],
    [{"target": "sim/small", "is": "openai/o3"}],
    [{"target": "sim"}],
    [{"target": "sim/small", "weight": 0, "max_attempts": 2}, "openai/x"],
    *({"max_attempts": 2}, {"open": "5s"}, {"most": 5}, {"most": "2%"}, {"message": "x"}, {"models": ["sim/small"]}),
]
# What limits, budgets and what stands beside them are written with.
HELD: list[Any] = [
    *("600/min", "200k/min", "10/s", "0/min", "1.5k/h", "600/minute", "600", "60 /min", "0.5/s", "5/day", "0.0M/day"),
    *("50 USD/day", "50USD/month", "0.05 USD", "20k tokens", "2M tokens/day", "1000 requests/week", "5 EUR/day"),
    *("$5/day", "0 USD/day", "5 USD/year", "UTC", "Europe/Berlin", "tenant", "request", "tag", "burst", "strict"),
    *("memory", "sqlite:///x.db", "sqlite:///", "sqlite:///x/", "postgresql://h/d", "https://h.example/x?y=1"),
    *("alert", "throttle", {"downgrade": "fast"}, "clamp", "winner", "attempts", "on", "-", "a/b", "high", "admin"),
    *("2027-01-31", "2027-01-31T18:00:00Z", "2027-01-31T18:00", "2027-1-31", ["chat"], ["free-*", "x"], [0.5, "80%"]),
    *([2], {"same": 3}, [{"requests": "5/s"}], [{"limit": "0.05 USD", "scope": "request"}], [{"name": "acme"}]),
]
APP = {"name": "app", "key": "env:APP_KEY"}
HOOK = {"url": "https://h.example/x", "secret": "env:HOOK_SECRET"}
AZURE = {"kind": "azure", "base_url": "https://x", "api_key": "none"}
PLACES: dict[str, Any] = {
    "config": lambda key, value: {**WHOLE, key: value},
    "server": lambda key, value: {**WHOLE, "server": {key: value}},
    "tls": lambda key, value: {**WHOLE, "server": {"tls": {"cert": "a", "key": "b", key: value}}},
    "provider": lambda key, value: {
        **WHOLE,
        "providers": {**WHOLE["providers"], "openai": {**(AZURE if key == "api_version" else {}), key: value}},
    },
    "credential": lambda key, value: {
        **WHOLE,
        "providers": {
            "sim": {},
            "openai": {"credentials": [{"name": "a", "api_key": "env:OPENAI_API_KEY", key: value}]},
        },
    },
    "model": lambda key, value: {**WHOLE, "models": {"fast": {"targets": ["other/x"], key: value}}},
    "target": lambda key, value: {**WHOLE, "models": {"fast": {"targets": [{"target": "sim/small", key: value}]}}},
    "defaults": lambda key, value: {**WHOLE, "defaults": {key: value}},
    "price": lambda key, value: {**WHOLE, "prices": {"sim/x": {"input": 1, "output": 1, key: value}}},
    "price_step": lambda key, value: {
        **WHOLE,
        "prices": {"sim/x": {**dict.fromkeys(KEYS["price_step"], 1), "above": {"200k": {key: value}}}},
    },
    **{
        name: lambda key, value, name=name: {**WHOLE, "defaults": {name: {key: value}}}
        for name in ("timeouts", "retry", "breaker", "concurrency", "hedge", "fallback")
    },
    "on_failure": lambda key, value: {**WHOLE, "defaults": {"on_failure": {"message": "x", key: value}}},
    "key": lambda key, value: {**WHOLE, "keys": [{"name": "app", "key": "env:APP_KEY", key: value}]},
    "log": lambda key, value: {**WHOLE, "log": {key: value}},
    "limit": lambda key, value: {**WHOLE, "limits": [{"scope": "tenant", "requests": "60/min", key: value}]},
    "budget": lambda key, value: {**WHOLE, "budgets": [{"scope": "tenant", "limit": "5 USD/day", key: value}]},
    "key_limit": lambda key, value: {**WHOLE, "keys": [{**APP, "limits": [{"requests": "60/min", key: value}]}]},
    "key_budget": lambda key, value: {**WHOLE, "keys": [{**APP, "budgets": [{"limit": "5 USD/day", key: value}]}]},
    "on_soft": lambda key, value: {
        **WHOLE,
        "budgets": [{"scope": "tenant", "limit": "5 USD/day", "hard": False, "on_soft": {key: value}}],
    },
    "tenant": lambda key, value: {**WHOLE, "tenants": [{"name": "acme", key: value}]},
    "alerts": lambda key, value: {**WHOLE, "alerts": {key: value}},
    "webhook": lambda key, value: {**WHOLE, "alerts": {"webhook": {**HOOK, key: value}}},
    "admission": lambda key, value: {**WHOLE, "admission": {key: value}},
    "repeats": lambda key, value: {**WHOLE, "admission": {"repeats": {key: value}}},
}


@pytest.mark.parametrize(("section", "key"), [(section, key) for section in KEYS for key in KEYS[section]])
def test_every_key_with_many_values(section: str, key: str) -> None:
    for value in (*WRITTEN, *(HELD if section in ("config", "key", *RULE_SECTIONS) else ())):
        if section == "provider" and key == "kind" and not (isinstance(value, str) and LABEL.fullmatch(value)):
            continue  # told as a kind that nobody knows, whatever it is
        source = PLACES[section](key, value)
        try:
            load_config(source, ENV, check_files=False)
            problems: list[str] = []
        except ConfigError as error:
            problems = [problem for problem in str(error).split("\n") if not BEYOND.search(problem)]
        assert VALID.is_valid(source) == (not problems), (source, problems)


# --- the table itself


def test_every_section_is_described() -> None:
    assert list(TITLES) == list(KEYS)
    assert set(REQUIRED) <= set(KEYS)
    assert all(set(REQUIRED[name]) <= set(KEYS[name]) for name in REQUIRED)
    assert all(entry.text.endswith(".") for entries in KEYS.values() for entry in entries.values())


def test_no_key_is_both_of_this_version_and_of_a_later_one() -> None:
    assert all(not set(section.known) & set(section.later) for section in SECTIONS.values())


def test_the_keys_are_those_of_the_records() -> None:
    records = {
        "config": (
            Config,
            {"source", "known_as", "kinds", "files", "rules", "request_budgets"},
            {"limits", "budgets"},
        ),
        "server": (Server, set(), set()),
        "tls": (Tls, set(), set()),
        "provider": (Provider, {"name", "by_caller", "proxy", "off"}, set()),
        "credential": (Credential, set(), set()),
        # What is said of one target stands there, and of content filters at `fallback`.
        "model": (Route, {"name", "terms", "content_filter"}, set()),
        "target": (Terms, set(), {"target", "is"}),
        "defaults": (Defaults, {"content_filter"}, set()),
        "retry": (Retry, set(), set()),
        "breaker": (BreakerRules, set(), set()),
        "concurrency": (GateRules, set(), set()),
        "hedge": (Hedge, set(), set()),
        "timeouts": (Timeouts, set(), set()),
        "key": (Key, {"trusted_user", "where"}, {"user", "limits", "budgets"}),
        "log": (Log, set(), set()),
        "tenant": (Tenant, {"where"}, set()),
        "alerts": (Alerts, set(), set()),
        "webhook": (Webhook, set(), set()),
        "admission": (AdmissionRules, set(), set()),
        "repeats": (Repeats, set(), set()),
    }
    for name, (record, made, called) in records.items():
        assert set(KEYS[name]) == (set(record.__struct_fields__) - made) | called, name


def test_every_unit_has_its_price() -> None:
    assert list(KEYS["price"]) == [*UNITS, "above"]
    assert list(KEYS["price_step"]) == [unit for unit in UNITS if unit not in EACH]


def test_defaults_are_those_that_hold() -> None:
    shown: Any = describe(load_config({"providers": {"sim": {}}, "auth": "open"}, {}))
    plain = shown["defaults"]
    places = {name: plain[name] for name in ("timeouts", "retry", "breaker", "concurrency")}
    places |= {"admission": show_admission(AdmissionRules(repeats=Repeats())), "tenant": show_tenant(Tenant(name="x"))}
    places |= {"alerts": show_alerts(Alerts())}
    places |= {"server": shown["server"], "log": shown["log"], "defaults": plain}
    for name, values in places.items():
        for key, entry in KEYS[name].items():
            if not isinstance(values.get(key), dict) and (name, key) != ("tenant", "name"):
                assert (entry.default or None) == (None if values.get(key) is None else str(values[key])), (name, key)
    hedged: Any = show_policies(Defaults(hedge=Hedge()))["hedge"]
    assert {key: entry.default for key, entry in KEYS["hedge"].items()} == hedged
    assert KEYS["fallback"]["content_filter"].default == str(Defaults().content_filter).lower()
    assert KEYS["config"]["auth"].default == Config(source="", providers={}).auth
    assert KEYS["credential"]["weight"].default == "1"


@pytest.mark.parametrize(("section", "key"), [(section, key) for section in KEYS for key in KEYS[section]])
def test_every_example_is_right(section: str, key: str) -> None:
    example = KEYS[section][key].example
    if example:
        defs = {"$defs": SCHEMA["$defs"], **KEYS[section][key].form.schema}
        assert jsonschema_rs.validator_for(defs).is_valid(plain(example)), example
