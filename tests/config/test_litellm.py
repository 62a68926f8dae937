"""LiteLLM's configurations as people write them: what becomes of each, and that nothing is lost silently.

`litellm/NAME.yaml` is one, `litellm/expected/NAME.yaml` what it becomes, with the list of what differs as comments.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.config.litellm.convert import Converted, convert
from penstock.config.litellm.costs import read_costs
from penstock.config.litellm.reading import plain
from penstock.config.litellm.vendors import ABSENT, VENDORS, vendor_of
from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.config.tree import from_mapping
from penstock.config.yaml_file import open_tree, read_yaml
from penstock.config.yaml_text import flow, scalar
from penstock.providers.catalogue import load_catalogue
from penstock.stores.breaker import BreakerRules
from penstock.stores.gate import GateRules

FOLDER = Path(__file__).parent / "litellm"
FILES = sorted(FOLDER.glob("*.yaml"))
ENV = {"AZURE_API_BASE": "https://acme-sweden.openai.azure.com/", "AZURE_API_VERSION": "2024-10-21"}
EVERY = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def converted(path: Path) -> Converted:
    tree = read_yaml(path.read_bytes(), path.name)
    return convert(tree, ENV)


def loaded(made: Converted) -> Config:
    env = {name: f"value-of-{name}" for name in made.variables}
    return load_config(read_yaml(made.text.encode(), "penstock.yaml"), env)


def whole(made: Converted) -> str:
    return made.text + "\n# What differs:\n" + "".join(f"# {note}\n" for note in made.notes)


def test_there_are_enough() -> None:
    assert len(FILES) >= 10


@EVERY
def test_what_becomes_of_it(path: Path) -> None:
    assert whole(converted(path)) == (FOLDER / "expected" / path.name).read_text()


@EVERY
def test_the_result_loads_with_its_variables_set(path: Path) -> None:
    made = converted(path)
    assert made.problems == []
    config = loaded(made)
    assert config.providers
    referred = set(re.findall(r"env:([A-Z0-9_]+)", made.text))
    assert referred == set(made.variables)


@EVERY
def test_no_secret_is_repeated(path: Path) -> None:
    told = whole(converted(path))
    assert "CANARY" not in told
    assert path.stem not in ("literal", "guardrails") or "CANARY" in path.read_text()


# What changes nothing: it holds anyway, or only names something for other entries of the file.
SILENT = re.compile(r"model_info\.mode$|environment_variables\.")


def keys_of(data: Any) -> Iterator[tuple[str, list[Any]]]:
    """Every key of the sections and of the entries of the model list: its path, and the steps to it."""
    for section, entries in data.items():
        if isinstance(entries, dict):
            for key in entries:
                yield f"{section}.{key}", [section, key]
        elif section == "model_list":
            for index, entry in enumerate(entries):
                for part, inner in entry.items():
                    for key in inner if isinstance(inner, dict) else ():
                        yield f"{section}[{index}].{part}.{key}", [section, index, part, key]
        else:
            yield section, [section]


def changed(value: Any) -> Any:
    """Something else of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 2 + 1
    if isinstance(value, str):
        return value + "2"
    return [*value, "more"] if isinstance(value, list) else {**value, "more": 1}


def with_change(data: Any, steps: list[Any]) -> Any:
    made = copy.deepcopy(data)
    inner = made
    for step in steps[:-1]:
        inner = inner[step]
    inner[steps[-1]] = changed(inner[steps[-1]])
    return made


@EVERY
def test_nothing_is_dropped_silently(path: Path) -> None:
    """Whatever is changed in the file changes the result, or what is said of it; but for secrets, which never show."""
    data = plain(open_tree(path).root)
    before = whole(convert(from_mapping(data), ENV))
    tried = 0
    for name, steps in keys_of(data):
        inner = data
        for step in steps:
            inner = inner[step]
        if SILENT.search(name) or "CANARY" in str(inner) or inner in ({}, []):
            continue
        tried += 1
        assert whole(convert(from_mapping(with_change(data, steps)), ENV)) != before, f"{name} is lost without a word"
    assert tried > 2 or path.stem == "nothing"


@EVERY
def test_what_is_not_taken_over_stays_as_a_comment(path: Path) -> None:
    """What is said to be of a later version is a comment in the result, with its line in the file."""
    made = converted(path)
    for note in made.notes:
        if "not in this version" in note.message and "patterns of names" not in note.message:
            line = note.place.line
            here = rf"^ *# +(line )?{line}: |^#   \d+: model_list: .*{re.escape(note.key.strip(chr(34)))}"
            assert re.search(here, made.text, re.MULTILINE), note


def test_a_model_is_asked_as_before() -> None:
    config = loaded(converted(FOLDER / "azure.yaml"))
    route = config.models["gpt-4o"]
    assert [str(target) for target in route.targets] == ["azure/gpt-4o-eu", "azure-ca/gpt-4o-ca"]
    assert (route.strategy, [route.terms[target].weight for target in route.targets]) == ("weighted", [600, 200])
    assert config.known_as == {"azure/gpt-4o-eu": "openai/gpt-4o"}
    assert config.providers["azure"].region == "eu"
    assert config.providers["azure"].base_url.startswith("https://acme-westeurope.openai.azure.com/openai/deployments/")
    assert config.providers["azure"].api_version == "2024-10-21"


def test_keys_of_one_model_become_a_pool() -> None:
    config = loaded(converted(FOLDER / "keys.yaml"))
    pool = config.providers["openai"].credentials
    assert [(one.api_key.source, one.weight) for one in pool] == [
        ("env:OPENAI_KEY_TEAM_A", 3),
        ("env:OPENAI_KEY_TEAM_B", 1),
    ]
    assert config.models["cheap"].timeouts.total == 30
    assert config.models["cheap"].timeouts.first_token == 5


def test_what_shall_happen_to_calls_is_the_same() -> None:
    config = loaded(converted(FOLDER / "balanced.yaml"))
    chat, mini, small, safe = config.models.values()
    assert [terms.weight for terms in chat.terms.values()] == [9, 0]  # 9, 1 and what is asked when these fail
    assert (chat.strategy, chat.fallback, chat.content_filter) == ("weighted", ("mini", "small", "safe"), True)
    assert (chat.retry.max_attempts, chat.retry.max_total) == (9, 9)
    assert (mini.retry.max_attempts, safe.retry.max_attempts) == (1, 6)
    assert (chat.breaker, mini.breaker) == (
        BreakerRules(failures=1, open=5.0),
        BreakerRules(failures=1, open=90.0, max_open=90.0),
    )
    # What would loop is written out.
    assert mini.fallback == tuple(map(str, chat.targets))
    assert (small.fallback, safe.fallback) == (("groq/llama-3.3-70b-versatile",), ("mini",))
    assert (config.defaults.concurrency, config.defaults.rehearse) == (GateRules(64), 1800.0)


@pytest.mark.parametrize(
    ("strategy", "ours"),
    [
        (None, "weighted"),
        ("simple-shuffle", "weighted"),
        ("least-busy", "least_busy"),
        ("latency-based-routing", "latency"),
        ("cost-based-routing", "cost"),
        ("usage-based-routing-v2", "least_busy"),
        ("of-its-own", "weighted"),
    ],
)
def test_strategies(strategy: str | None, ours: str) -> None:
    models = [
        {"model_name": "a", "litellm_params": {"model": model, "api_key": "os.environ/A"}}
        for model in ("openai/x", "groq/y", "mistral/z")
    ]
    made = convert(from_mapping({"model_list": models, "router_settings": {"routing_strategy": strategy}}), {})
    route = loaded(made).models["a"]
    assert (made.problems, route.strategy, len(route.targets), route.terms) == ([], ours, 3, {})


@pytest.mark.parametrize(
    ("params", "weights"),
    [
        ([{"weight": 9}, {"weight": 1}, {}], [9, 1, 0]),
        ([{"weight": 9}, {"rpm": 600}, {}], [9, 0, 0]),
        ([{"rpm": 600}, {"rpm": 200, "weight": 7}, {"tpm": 5}], [600, 200, 0]),
        ([{}, {"weight": 3}, {"rpm": 2}], [1, 1, 1]),
        ([{"weight": 4}, {"weight": 4}, {"weight": 4}], [1, 1, 1]),
        ([{"weight": 2, "order": 2}, {"weight": 3}, {"weight": 1}], [3, 1, 0]),
        ([{"order": 3}, {"order": 2}, {"order": 1}], [1, 1, 1]),
        ([{"weight": 0.7}, {"weight": 0.3}, {}], [7, 3, 0]),
        ([{"weight": 0.5}, {"weight": 2}, {"weight": 0.125}], [4, 16, 1]),
        ([{"weight": 0.5}, {"weight": 0.5}, {"weight": 0.5}], [1, 1, 1]),
        ([{"weight": 0.0001}, {"weight": 9}, {}], [1, 9000, 0]),
    ],
)
def test_weights_and_orders(params: list[dict[str, float]], weights: list[int]) -> None:
    """By what the first one says of itself, as `litellm/router_strategy/simple_shuffle.py` has it (1116dd5)."""
    models = [
        {"model_name": "a", "litellm_params": {"model": f"{vendor}/x", "api_key": "os.environ/A", **said}}
        for vendor, said in zip(("openai", "groq", "mistral"), params, strict=True)
    ]
    route = loaded(convert(from_mapping({"model_list": models}), {})).models["a"]
    assert [route.terms[target].weight if target in route.terms else 1 for target in route.targets] == weights
    orders = [said.get("order", 1) for said in params]
    assert route.strategy == ("weighted" if orders.count(min(orders)) > 1 else "ordered")
    listed = sorted(zip(orders, ("openai", "groq", "mistral"), strict=True), key=lambda pair: pair[0])
    assert [target.provider for target in route.targets] == [vendor for _, vendor in listed]


def test_fractions_among_the_keys_of_one_model() -> None:
    models = [
        {
            "model_name": "a",
            "litellm_params": {"model": "openai/x", "api_key": f"os.environ/K{part}", "weight": part / 4},
        }
        for part in (1, 2, 3)
    ]
    made = convert(from_mapping({"model_list": models}), {})
    assert [key.weight for key in loaded(made).providers["openai"].credentials] == [1, 2, 3]


def test_what_stands_beside_the_parameters_is_told() -> None:
    entry = {"model_name": "a", "litellm_params": {"model": "openai/x"}, "weight": 7, "rpm": 5, "colour": "red"}
    made = convert(from_mapping({"model_list": [entry]}), {})
    said = {note.key: note.message for note in made.notes}
    assert said["weight"] == said["rpm"] == "stands beside litellm_params: move it there, and it is taken over"
    assert said["colour"] == "is no key of a model there"
    comments = [line.strip() for line in made.text.splitlines() if line.strip().startswith("#")]
    assert sum("weight: 7" in line or "colour: red" in line for line in comments) == 2


@pytest.mark.parametrize(
    "fallbacks",
    [
        {"fallbacks": [{"a": ["b"]}, {"b": ["a"]}]},
        {"fallbacks": [{"a": ["b"]}, {"b": ["c"]}, {"c": ["a", "b"]}]},
        {"fallbacks": [{"a": ["a"]}]},
        {"default_fallbacks": ["a", "b"]},
        {"default_fallbacks": ["a"], "fallbacks": [{"a": ["b"]}]},
        {"default_fallbacks": ["a", "a"], "fallbacks": [{"a": ["b", "c"]}, {"*": ["c"]}]},
        {"content_policy_fallbacks": [{"*": ["a"]}, {"a": ["b"]}], "context_window_fallbacks": [{"b": ["c"]}]},
    ],
)
def test_fallbacks_that_loop_are_undone(fallbacks: dict[str, Any]) -> None:
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name * 3}", "api_key": "os.environ/A"}}
        for name in "abc"
    ]
    made = convert(from_mapping({"model_list": models, "litellm_settings": fallbacks}), {})
    assert made.problems == []
    assert any(route.fallback for route in loaded(made).models.values()) or fallbacks == {"fallbacks": [{"a": ["a"]}]}


def test_gemini_at_a_vertex_address_is_not_taken_for_googles_api() -> None:
    base = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/publishers/google"
    key = "os.environ/GEMINI_API_KEY"
    models = [
        {"model_name": "a", "litellm_params": {"model": "gemini/gemini-2.5-pro", "api_base": base, "api_key": key}},
        {"model_name": "b", "litellm_params": {"model": "gemini/gemini-2.5-pro", "api_key": key}},
    ]
    made = convert(from_mapping({"model_list": models}), {})
    assert [note.message for note in made.notes if note.key == '"a"'] == [f"left out: {ABSENT['vertex_ai']}"]
    assert list(loaded(made).models) == ["b"]


@pytest.mark.parametrize("base", ["", "/", "/v1beta", "/v1beta/openai/"])
def test_geminis_address_in_either_form_is_the_catalogues(base: str) -> None:
    params = {"model": "gemini/gemini-2.5-pro", "api_base": f"https://generativelanguage.googleapis.com{base}"}
    made = convert(from_mapping({"model_list": [{"model_name": "a", "litellm_params": params}]}), {})
    assert loaded(made).providers["gemini"].base_url == load_catalogue()["gemini"].url


def test_wildcards_are_asked_by_provider_and_model() -> None:
    config = loaded(converted(FOLDER / "wildcard.yaml"))
    assert {"openai", "anthropic", "gemini", "house"} <= set(config.providers)
    assert config.providers["house"].base_url == "https://llm.house.example/v1"
    assert config.models == {}


def test_prices_are_by_the_million_tokens() -> None:
    config = loaded(converted(FOLDER / "budgets.yaml"))
    assert config.prices == {"openai/gpt-4o": {"input": 2_500_000, "cache_read": 1_250_000, "output": 10_000_000}}
    assert loaded(converted(FOLDER / "caching.yaml")).prices == {
        "openai/text-embedding-3-small": {"input": 20_000, "output": 0}
    }


@pytest.mark.parametrize(
    ("cost", "price"),
    [
        (2.5e-06, "2.5"),
        (1e-05, "10"),
        (0, "0"),
        (1.5e-07, "0.15"),
        (0.1 + 0.2, "300000"),
        (1, "1000000"),
    ],
)
def test_a_price_is_what_was_written_times_a_million(cost: float, price: str) -> None:
    node = from_mapping({"input_cost_per_token": round(cost, 12)}).root
    assert isinstance(node.value, dict)
    assert read_costs(node.value) == {"input": price, "output": "0"}


@pytest.mark.parametrize("cost", [1e-13, -1, 2, "1e-6", True, None, float("nan"), float("inf")])
def test_a_price_that_cannot_be_said_is_none(cost: object) -> None:
    node = from_mapping({"input_cost_per_token": cost}).root
    assert isinstance(node.value, dict)
    assert read_costs(node.value) == {}


def test_each_secret_written_out_has_a_variable_of_its_own() -> None:
    config = loaded(converted(FOLDER / "literal.yaml"))
    sources = {name: provider.api_key.source for name, provider in config.providers.items() if provider.api_key}
    assert sources == {
        "openai": "env:OPENAI_API_KEY",
        "openai-2": "env:OPENAI_API_KEY_2",
        "anthropic": "env:ANTHROPIC_API_KEY",
    }
    assert [str(config.models[name].targets[0]) for name in ("gpt-4o", "gpt-4o-mini", "gpt-4.1")] == [
        "openai/gpt-4o",
        "openai-2/gpt-4o-mini",
        "openai/gpt-4.1",
    ]


def test_addresses_that_nobody_knows_are_to_be_written() -> None:
    made = convert(read_yaml((FOLDER / "azure.yaml").read_bytes(), "azure.yaml"), {})
    assert "https://azure-api-base.invalid" in made.text
    assert any("AZURE_API_BASE, which is not set here: write it out" in str(note) for note in made.notes)
    assert made.problems == []


@pytest.mark.parametrize(
    ("model", "written", "url", "told"),
    [
        (
            "openai/x",
            "http://h.example:8000/v1/chat/completions",
            "http://h.example:8000/v1",
            "/chat/completions is left",
        ),
        ("openai/x", "https://h.example/v1/embeddings/", "https://h.example/v1", "/embeddings is left out"),
        ("openai/x", "h.example:8000/v1", "https://h.example:8000/v1", "has no https://"),
        ("azure/x", "acme.openai.azure.com/", "https://acme.openai.azure.com/openai/", "has no https://"),
        ("openai/x", "http://h.example/v1", "http://h.example/v1", ""),
    ],
)
def test_an_address_as_it_is_copied_from_an_example(model: str, written: str, url: str, told: str) -> None:
    params = {"model": model, "api_base": written, "api_key": "os.environ/OTHER"}
    data = json.dumps({"model_list": [{"model_name": "a", "litellm_params": params}]})
    made = convert(read_yaml(data.encode(), "c.yaml"), {})
    assert [told in str(note) for note in made.notes if "api_base" in str(note)] == ([True] if told else [])
    config = load_config(read_yaml(made.text.encode(), "penstock.yaml"), {"OTHER": "sk-other", **ENV})
    assert next(iter(config.providers.values())).base_url.startswith(url)


ODD: list[Any] = [
    {},
    {"model_list": None},
    {"model_list": "gpt-4o"},
    {"model_list": [None, 3, "x", {}, {"model_name": "a"}, {"model_name": "a", "litellm_params": {}}]},
    {"model_list": [{"model_name": "a", "litellm_params": {"model": ["x"], "api_key": {"a": 1}}}]},
    {
        "model_list": [
            {"model_name": "a", "litellm_params": {"model": "openai/x", "api_base": "no address", "rpm": "many"}}
        ]
    },
    {
        "model_list": [
            {"model_name": "a b\tc*", "litellm_params": {"model": "openai/x y", "timeout": 0.0001, "weight": -1}}
        ]
    },
    {
        "model_list": [
            {"model_name": "a", "litellm_params": {"model": "openai/x", "timeout": True, "max_tokens": "many"}}
        ]
    },
    {"model_list": [{"model_name": "x/*", "litellm_params": {"model": "azure/*"}}] * 2},
    {"general_settings": 3, "litellm_settings": ["a"], "router_settings": {"model_group_alias": ["a"]}},
    {"general_settings": {"master_key": 7, "completion_model": ["x"]}, "environment_variables": ["A"], "include": "x"},
    {"litellm_settings": {"request_timeout": -1, "drop_params": "yes", "callbacks": "otel"}},
    {
        "router_settings": {"num_retries": "many", "allowed_fails": -1, "cooldown_time": "x", "retry_policy": 3},
        "litellm_settings": {"fallbacks": ["a", {"b": "c"}, {"d": [None]}], "default_fallbacks": {"a": 1}},
        "general_settings": {"background_health_checks": True, "health_check_interval": "often"},
    },
    {"router_settings": {"num_retries": 99, "model_group_retry_policy": [1], "cooldown_time": 1e12}},
    {"credential_list": [{"credential_name": 1}], "unknown": {"a": {"api_key": "sk-CANARY123456"}}},
]


@pytest.mark.parametrize("data", ODD)
def test_what_is_odd_raises_nothing_and_still_loads(data: Any) -> None:
    made = convert(from_mapping(data), {})
    assert made.problems == []
    assert loaded(made).providers
    assert "CANARY" not in whole(made)


# --- LiteLLM's names


@pytest.mark.parametrize(
    ("model", "custom", "vendor", "name"),
    [
        ("openai/gpt-4o", "", "openai", "gpt-4o"),
        ("openai/facebook/opt-125m", "", "openai", "facebook/opt-125m"),
        ("gpt-4o", "", "openai", "gpt-4o"),
        ("o3-mini", "", "openai", "o3-mini"),
        ("claude-opus-4-1", "", "anthropic", "claude-opus-4-1"),
        ("gemini-2.5-pro", "", "vertex_ai", "gemini-2.5-pro"),
        ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", "", "bedrock", "us.anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("meta-llama/Llama-3", "openai", "openai", "meta-llama/Llama-3"),
        ("openai/x", "openai", "openai", "x"),
        ("acme/x", "", "acme", "x"),
        ("x", "", "", "x"),
        ("*", "", "*", "*"),
    ],
)
def test_who_serves_a_model(model: str, custom: str, vendor: str, name: str) -> None:
    assert vendor_of(model, custom) == (vendor, name)


def test_every_vendor_is_a_kind() -> None:
    catalogue = load_catalogue()
    assert {vendor.kind for vendor in VENDORS.values()} <= set(catalogue)
    assert not set(VENDORS) & set(ABSENT)
    for vendor in VENDORS.values():
        assert not catalogue[vendor.kind].retired


# --- text


@pytest.mark.parametrize(
    "value",
    [
        *("a", "gpt-4o", "env:A", "env:A?", "127.0.0.1:80", "1", "1.5", "0x1f", "1e3", "true", "No", "null", "~", ""),
        *(" a", "a ", "a: b", "a:", ":a", "- a", "-", "*", "&a", "#a", "a #b", "{a}", "[a]", "a,b", '"a"', "'a'", "é"),
        *("line\nbreak", "\x07", "https://h/v1", "12:30", "2024-10-21", "5s", "64KiB", ".5", "+1", ".inf", "?", "%a"),
        *("@a", "`a", "!a", "|", ">", "llama3.1:8b", "a:b:c"),
        *(0, 7, 1.5, True, False, None, ["a", 1], {"a": ["b: c", None]}, [], {}),
    ],
)  # fmt: skip
def test_yaml_text_means_what_it_was(value: Any) -> None:
    for before, after, meant in (("x: ", "", value), ("x: [", "]", [value]), ("{x: ", "}", value)):
        tree = read_yaml(f"{before}{flow(value)}{after}".encode(), "x.yaml")
        assert plain(tree.root) == {"x": meant}
        assert len(tree.problems) == 0
    if isinstance(value, str):
        assert list(plain(read_yaml(f"{scalar(value)}: 1".encode(), "x.yaml").root)) == [value]
