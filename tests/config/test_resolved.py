"""`check --resolved`: a configuration again, the same one, with the place of every value."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.config.load import built_in, load_config
from penstock.config.resolved import resolved
from penstock.config.schema import Config
from penstock.config.tree import from_mapping
from penstock.config.yaml_file import read_yaml
from penstock.errors import ConfigError
from tests.config.test_load import CREDENTIALS, ENV, FULL
from tests.config.test_policies import POLICIES

MORE = """\
server: {listen: "[::1]:0", hosts: ["*.example.com"], trusted_proxies: [10.0.0.0/8], cors: ["*"], max_connections: 9}
providers: {"true": {kind: openai, region: "0x1"}, sim: {region: "null"}, openai: {api_key: "env:NOPE?"}}
models:
  "12": {targets: [{target: sim/small, is: "openai/o3"}, "true/x"], regions: ["null", "0x1"], untranslatable: drop}
  "a:b": {targets: ["sim/llama3:8b"]}
  "#c": {targets: ["true/-x"]}
keys: [{name: gone, key: "env:NOPE?", tenant: t}, {name: "b:c", key: env:APP_KEY, models: ["*"]}]
default_model: "12"
"""


def parts(text: str, env: Mapping[str, str] = ENV) -> tuple[Config, str]:
    tree = read_yaml(text.encode(), "p.yaml")
    config = load_config(tree, env)
    return config, resolved(config, tree)


def anywhere(config: Config) -> Config:
    """The same, wherever it was written."""
    placed = ("rules", "request_budgets", "tenants", "keys")
    lists = {name: tuple(msgspec.structs.replace(each, where="") for each in getattr(config, name)) for name in placed}
    return msgspec.structs.replace(config, **lists)


@pytest.mark.parametrize(
    "text", [FULL, CREDENTIALS, MORE, POLICIES], ids=["full", "credentials", "odd words", "policies"]
)
def test_it_is_the_same_configuration(text: str) -> None:
    config, written = parts(text)
    again = load_config(read_yaml(written.encode(), "p.yaml"), ENV)
    assert anywhere(again) == anywhere(config)
    for secret in ENV.values():
        assert secret.strip() == "" or secret not in written


def origins(written: str) -> dict[str, str]:
    """The comment behind the first line that holds a key."""
    found: dict[str, str] = {}
    for line in written.splitlines():
        match = re.fullmatch(r"\s*(?:- )?([a-z_]+):.*?(?:  # (.*))?", line)
        if match and match[2]:
            found.setdefault(match[1], match[2])
    return found


def test_where_values_come_from() -> None:
    _, written = parts(
        "providers:\n  openai: {region: us}\n  mine: {kind: openai, base_url: http://h, api_key: env:APP_KEY}\n"
        "models:\n  fast: {targets: [openai/x], timeouts: {connect: 1s}}\n"
        "defaults: {timeouts: {idle: 7s}}\nauth: open\n"
    )
    found = origins(written)
    assert found["listen"] == found["first_token"] == found["to"] == "built in"
    assert found["kind"] == "the provider's name"
    assert found["base_url"] == "the catalogue's row openai"
    assert found["api_key"] == "the catalogue's row openai, the variable OPENAI_API_KEY"
    assert found["region"] == "p.yaml:2:20"
    assert found["targets"] == "p.yaml:5:19"
    assert found["connect"] == "p.yaml:5:51"
    assert found["idle"] == "built in"  # the server's own, which comes first
    assert re.search(r"      idle: 7s +# p\.yaml:6:29, from defaults\n", written)
    assert re.search(r"api_key: env:APP_KEY +# p\.yaml:3:53, the variable APP_KEY\n", written)
    assert found["auth"] == "p.yaml:7:7"


@pytest.mark.parametrize(
    ("line", "written", "told"),
    [
        ("max_attempts: 2", "max_attempts: |2}", ""),
        ("weight: 0", "weight: |0", ""),
        # In short, for the whole that it is part of.
        ("most: 7", "concurrency: |7", ""),
        ("max_attempts: 1", "retry: |off", ""),
        ("queue: 11", "queue: |11", ", from defaults"),
        ("base: 70ms", "base: |70ms", ", from defaults"),
        ("failures: 9", "failures: |9", ", from defaults"),
        ("open: 6s", "open: |6s", ""),
        ("fallback: [plain]", "fallback: |[plain]", ", from defaults"),
        ('breaker: "off"', "breaker: |off", ""),
        ("on_failure: error", "on_failure: |error", ""),
        ("message: Sorry.", 'message: |"Sorry', ", from defaults"),
        ("strategy: cost", "strategy: |cost", ", from defaults"),
        ("keepalive: 5s", "keepalive: |5s", ""),
        ("probe: 30s", "probe: |30s", ""),
        ("after: auto", None, "built in"),
    ],
)
def test_where_policies_come_from(line: str, written: str | None, told: str) -> None:
    shown = parts(POLICIES)[1]
    if written is not None:
        before, _, value = written.partition("|")
        text = POLICIES[: POLICIES.index(before + value) + len(before)]
        told = f"p.yaml:{text.count(chr(10)) + 1}:{len(text) - text.rfind(chr(10))}{told}"
    assert re.search(rf"^ +(?:- )?{re.escape(line)} +# {re.escape(told)}$", shown, re.MULTILINE)


def test_what_was_cut_to_what_stands_beside_it() -> None:
    _, written = parts(
        "providers: {sim: }\nauth: open\ndefaults: {timeouts: {first_token: 1m, idle: 1s}}\n"
        "models: {a: {targets: [sim/small], timeouts: {total: 2s}}}\n"
    )
    of_a = written.partition("  a:")[2]
    for line in (
        "connect: 2s +# no more than is said beside it",
        "first_token: 2s +# no more than is said beside it",
        r"idle: 1s +# p\.yaml:3:46, from defaults",
        r"total: 2s +# p\.yaml:4:54",
    ):
        assert re.search(rf"^ +{line}$", of_a, re.MULTILINE), line


def test_a_model_shows_what_is_otherwise_than_built_in() -> None:
    _, written = parts("providers: {sim: }\nauth: open\nmodels: {a: {targets: [sim/small]}}\n")
    of_a = written.partition("  a:")[2].partition("\ndefaults:")[0]
    assert "breaker" not in of_a
    assert "breaker:" in written.partition("\ndefaults:")[2]


def test_what_is_left_out_moves_no_place() -> None:
    _, written = parts(CREDENTIALS.replace("{name: b,", '{name: z, api_key: "env:NOPE?"}, {name: b,'))
    at = CREDENTIALS.splitlines()[3].index("name: b") + 1 + len('{name: z, api_key: "env:NOPE?"}, ') + len("name: ")
    assert re.search(rf"- name: b +# p.yaml:4:{at}\n", written)


def test_what_is_off_says_why_and_stays_off() -> None:
    _, written = parts(CREDENTIALS)
    assert re.search(r"  gone: +# switched off: NOPE is not set, GONE is not set\n", written)
    assert re.search(r'- name: a +# p\.yaml:5:\d+\n +api_key: "env:NOPE\?" ', written)


def test_without_a_file() -> None:
    tree = built_in({"OPENAI_API_KEY": "sk-hidden"})
    written = resolved(load_config(tree, {"OPENAI_API_KEY": "sk-hidden"}), tree)
    assert "# given, the variable OPENAI_API_KEY" in written
    assert "hidden" not in written
    tree = from_mapping({"providers": {"sim": {}}, "auth": "open"})
    assert "auth: open" in resolved(load_config(tree, {}), tree)


# --- any policies

VALUES: dict[str, list[object]] = {
    "strategy": ["ordered", "weighted", "cost"],
    "timeouts": [{}, {"connect": "2s"}, {"first_token": "auto", "idle": "9s"}, {"total": "90s", "attempt": "20s"},
                 {"total": "1s"}, {"first_token": "2m"}, {"attempt": "500ms"}],
    "retry": ["off", None, {}, {"max_attempts": 2}, {"max_total": 9, "base": "100ms"}, {"throttle_base": "3s"},
              {"max_total": 1}, {"max_wait": "10ms"}],
    "breaker": ["off", None, {}, {"failures": 3}, {"ratio": 0.123456, "slow": "9s"}, {"open": "30s", "max_open": "40s"},
                {"max_open": "2s"}],
    "concurrency": ["off", None, {}, 50, {"most": "auto"}, {"queue": 0}],
    "hedge": ["off", None, {}, {"after": "800ms"}, {"most": "1.5%"}, {"most": 0.0123456}],
    "fallback": ["off", None, [], ["b"], ["c", "sim/z"], {"content_filter": True}, {"models": ["c"]},
                 {"models": ["b", "c"], "content_filter": False}],
    "on_stream_cut": ["error", "resume"],
    "on_failure": ["error", {"message": "off"}, {"message": "a: b"}],
    "rehearse": ["off", "1h"],
    "default_max_output": ["8k", 9],
    "untranslatable": ["refuse", "drop"],
    "unknown_price": ["flag"],
}  # fmt: skip
POLICY = st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in VALUES.items()})


@given(POLICY, POLICY, POLICY)
@settings(max_examples=100, deadline=None)
def test_any_policies_are_the_same_again(
    defaults: dict[str, object], a: dict[str, object], b: dict[str, object]
) -> None:
    written = {
        "providers": {"sim": {}},
        "auth": "open",
        "defaults": defaults,
        "models": {
            "a": {"targets": ["sim/x", {"target": "sim/y", "weight": 3}], **a},
            "b": {"targets": ["sim/y", "sim/z"], **b},
            "c": {"targets": ["sim/z"]},
        },
    }
    tree = from_mapping(written)
    told = ""
    try:
        config = load_config(tree, {})
    except ConfigError as error:
        told = str(error)
    else:
        again = load_config(read_yaml(resolved(config, tree).encode(), "(a mapping)"), {})
        assert msgspec.structs.replace(again, files=()) == config
    for problem in told.splitlines():
        assert re.search("fallback loops|falls back to itself|is more than", problem)
