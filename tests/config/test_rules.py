"""`limits:`, `budgets:` and what stands beside them: the rules they come to, and each mistake told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from penstock.config import amounts
from penstock.config.load import load_config
from penstock.config.parcel import decode_config, encode_config
from penstock.config.resolved import resolved
from penstock.config.schema import AdmissionRules, Alerts, Config, Key, Tenant, Webhook
from penstock.redact import Secret
from penstock.reservation import RequestBudget, Rule, RuleKind, Scope, Unit
from penstock.routing.admission import Repeats
from penstock.routing.scopes import Facts, Rules
from tests.config.test_load import ENV, problems, tree
from tests.config.test_resolved import anywhere

HEAD = """\
providers: {openai: {}, own: {kind: openai, base_url: "http://h/v1", api_key: none}}
models: {fast: {targets: [openai/gpt-5-mini]}, deep: {targets: [openai/gpt-5]}, mine: {targets: [own/x]}}
keys: [{name: app, key: env:APP_KEY, tenant: acme, user: trusted, models: [fast, deep, mine]}]
"""
PRICED = HEAD + "prices: {own/x: {input: 1, output: 10}}\n"
LIMIT = HEAD + "limits:\n- "
BUDGET = PRICED + "budgets:\n- "

EVERYTHING = """\
providers: {sim: {}}
models: {fast: {targets: [sim/small]}, slow: {targets: [sim/large]}}
keys:
  - name: app
    key: env:APP_KEY
    tenant: acme
    user: trusted
    expires: 2027-01-31
    addresses: [10.0.0.0/8, 192.168.1.7]
    routes: [chat, models]
    max_output: 4k
    priority: low
    role: viewer
    limits: [{requests: 60/min, queue: 5s}]
    budgets: [{limit: 5 USD/day}, {scope: request, limit: 0.05 USD, on_low_budget: refuse}]
  - {name: other, key: env:OTHER_KEY, expires: "2027-01-31T18:00:00+01:00"}
limits:
  - {scope: tenant, requests: 600/min, tokens: 200k/min, concurrency: 50}
  - {scope: tenant, match: [bigco, "free-*"], tokens: 2M/min, kind: strict}
  - {scope: deployment, match: "sim/*", requests: 10/s, burst: 5}
  - {scope: user, tokens: 1M/h, kind: leaky, queue: 1500ms}
budgets:
  - {scope: tenant, match: "free-*", limit: 50 USD/day, zone: Europe/Berlin, alert_at: [0.5, 80%, 0.999999]}
  - {scope: user, limit: 1.5M tokens/week, on_low_budget: refuse}
  - {scope: global, limit: 1000 requests/month, hard: false, on_soft: throttle, alert_at: []}
  - {scope: model, match: slow, limit: 0.01 USD/minute, hard: false, on_soft: {downgrade: fast}}
  - {scope: request, limit: 20k tokens}
tenants: [{name: acme, charge: winner, weight: 3, projects: [web]}, {name: bigco}]
state: sqlite:///data/penstock.db
alerts: {webhook: {url: "https://h.example/x?y=1", secret: env:HOOK_SECRET}, anomaly: off}
admission: {most: 500, queue: 0, loop_lag: off, repeats: {per: 2m}}
"""


def loaded(text: str, *, serving: bool = True) -> Config:
    return load_config(tree(text), ENV, serving=serving)


def said(scope: Scope, kind: RuleKind, unit: Unit, limit: int, line: int, **more: Any) -> Rule:
    return Rule("", scope, kind, unit, limit, where=f"p.yaml:{line}", **more)


LATE = (800_000, 1_000_000)
EVERY = [
    said("tenant", "burst", "requests", 600, 18, seconds=60, burst=600),
    said("tenant", "burst", "tokens", 200_000, 18, seconds=60, burst=200_000),
    said("tenant", "concurrency", "requests", 50, 18),
    said("tenant", "strict", "tokens", 2_000_000, 19, match="bigco", seconds=60),
    said("tenant", "strict", "tokens", 2_000_000, 19, match="free-*", seconds=60),
    said("deployment", "burst", "requests", 10, 20, match="sim/*", seconds=1, burst=5),
    said("user", "leaky", "tokens", 1_000_000, 21, seconds=3600, queue=1.5),
    said("key", "burst", "requests", 60, 14, match="app", seconds=60, burst=60, queue=5.0),
    said(
        *("tenant", "budget", "usd", 50_000_000_000, 23),
        match="free-*",
        period="day",
        zone="Europe/Berlin",
        alert_at=(500_000, 800_000, 999_999),
    ),
    said("user", "budget", "tokens", 1_500_000, 24, period="week", clamp=False, alert_at=LATE),
    said("global", "budget", "requests", 1000, 25, period="month", hard=False, throttle=True),
    said(
        *("model", "budget", "usd", 10_000_000, 26),
        match="slow",
        period="minute",
        hard=False,
        alert_at=LATE,
        downgrade="fast",
    ),
    said("key", "budget", "usd", 5_000_000_000, 15, match="app", period="day", alert_at=LATE),
]


def test_every_rule() -> None:
    assert [msgspec.structs.replace(rule, id="") for rule in loaded(EVERYTHING).rules] == EVERY


def test_everything_beside_them() -> None:
    config = loaded(EVERYTHING)
    assert config.request_budgets == (
        RequestBudget("tokens", 20_000, where="p.yaml:27"),
        RequestBudget("usd", 50_000_000, "app", clamp=False, where="p.yaml:15"),
    )
    assert config.tenants == (
        Tenant(name="acme", charge="winner", weight=3, projects=("web",), where="p.yaml:28"),
        Tenant(name="bigco", where="p.yaml:28"),
    )
    assert config.state.endswith("/data/penstock.db")
    assert config.alerts == Alerts(
        webhook=Webhook("https://h.example/x?y=1", Secret(ENV["HOOK_SECRET"])), anomaly=False
    )
    assert config.admission == AdmissionRules(most=500, queue=0, loop_lag=None, repeats=Repeats(20, 120.0))
    app, other = config.keys
    assert app == Key(
        name="app",
        key=Secret("pk-app-0123456789"),
        tenant="acme",
        trusted_user=True,
        expires=1_801_353_600,
        addresses=("10.0.0.0/8", "192.168.1.7/32"),
        routes=("chat", "models"),
        max_output=4000,
        priority="low",
        role="viewer",
        where="p.yaml:4",
    )
    assert other.expires == 1_801_353_600 + 17 * 3600


def test_it_travels_to_workers_whole() -> None:
    config = loaded(EVERYTHING)
    assert decode_config(encode_config(config)) == config


def test_resolved_it_is_the_same() -> None:
    read = tree(EVERYTHING)
    config = load_config(read, ENV)
    text = resolved(config, read)
    assert ENV["HOOK_SECRET"] not in text
    again = loaded(text)
    assert anywhere(again) == anywhere(config)


def test_resolved_each_rule_has_its_place() -> None:
    read = tree(
        HEAD + "limits:\n- {scope: tenant, requests: 5/min, concurrency: 2}\nbudgets: [{scope: user, limit: 1 USD/day}]"
    )
    lines = [line.rstrip() for line in resolved(load_config(read, ENV), read).splitlines()]
    start = lines.index("limits:")
    assert [" ".join(line.split()) for line in lines[start : start + 8]] == [
        "limits:",
        "- scope: tenant # p.yaml:5",
        'requests: "5/min" # p.yaml:5',
        "- scope: tenant # p.yaml:5",
        "concurrency: 2 # p.yaml:5",
        "budgets:",
        "- scope: user # p.yaml:6",
        'limit: "1 USD/day" # p.yaml:6',
    ]


# --- what identifies a rule


def ids(text: str) -> list[str]:
    return [rule.id for rule in loaded(text).rules]


def test_ids_are_stable_names() -> None:
    assert ids(EVERYTHING) == [
        "burst tenant requests 60s",
        "burst tenant tokens 60s",
        "concurrency tenant requests",
        "strict tenant tokens 60s bigco",
        "strict tenant tokens 60s free-*",
        "burst deployment requests 1s sim/*",
        "leaky user tokens 3600s",
        "burst key requests 60s app",
        "budget tenant usd day@Europe/Berlin free-*",
        "budget user tokens week@UTC",
        "budget global requests month@UTC",
        "budget model usd minute@UTC slow",
        "budget key usd day@UTC app",
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("requests: 600/min, tokens", "requests: 900/min, tokens"),
        ("burst: 5}", "burst: 9}"),
        ("queue: 1500ms", "queue: 9s"),
        ("concurrency: 50", "concurrency: 5"),
        ("50 USD/day", "70 USD/day"),
        ("alert_at: [0.5, 80%, 0.999999]", "alert_at: [0.4]"),
        ("hard: false, on_soft: throttle, alert_at: []", "hard: true"),
        ("on_soft: {downgrade: fast}", "on_soft: alert"),
        ("1.5M tokens/week, on_low_budget: refuse", "2M tokens/week"),
        ("limits:\n  - {scope: tenant,", "limits:\n  # moved\n\n  - {scope: tenant,"),
    ],
)
def test_a_rule_that_is_changed_goes_on_where_it_stood(before: str, after: str) -> None:
    assert before in EVERYTHING
    changed = EVERYTHING.replace(before, after)
    assert ids(changed) == ids(EVERYTHING)
    assert loaded(changed).rules != loaded(EVERYTHING).rules


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('match: "free-*", limit', 'match: "paid-*", limit'),
        ("50 USD/day", "50 USD/week"),
        ("50 USD/day", "50k tokens/day"),
        ("Europe/Berlin", "Europe/Paris"),
        ("kind: leaky", "kind: burst"),
        ("1M/h", "1M/min"),
        ("scope: user, limit", "scope: task, limit"),
    ],
)
def test_what_makes_another_rule_of_it(before: str, after: str) -> None:
    assert before in EVERYTHING
    assert ids(EVERYTHING.replace(before, after)) != ids(EVERYTHING)


def test_no_two_accounts_have_one_name() -> None:
    text = LIMIT + "{scope: tag, match: 'a=b|c', requests: 5/min}\n- {scope: tag, match: 'a=b%7Cc', requests: 5/min}"
    names = ids(text)
    assert names == ["burst tag requests 60s a=b%7Cc", "burst tag requests 60s a=b%257Cc"]
    assert not any("|" in name for name in names)


def test_a_list_is_a_rule_for_each() -> None:
    rules = Rules(loaded(EVERYTHING).rules)
    held = {rule.id: value for rule, value in rules.of(Facts("free-1", user="u", model="fast"))}
    assert held == {
        "burst tenant requests 60s": "free-1",
        "strict tenant tokens 60s free-*": "free-1",
        "concurrency tenant requests": "free-1",
        "leaky user tokens 3600s": "free-1/u",
        "budget tenant usd day@Europe/Berlin free-*": "free-1",
        "budget user tokens week@UTC": "free-1/u",
        "budget global requests month@UTC": "",
    }


# --- where state is kept


def test_state_is_a_file_for_whoever_serves_and_memory_for_a_library(tmp_path: Any) -> None:
    source = {"providers": {"sim": {}}, "auth": "open"}
    assert load_config(source, {}).state.endswith("/penstock.db")
    assert load_config(source, {}, serving=False).state == "memory"
    assert load_config({**source, "state": "memory"}, {}).state == "memory"
    assert load_config({**source, "state": f"sqlite:///{tmp_path}/x.db"}, {}, serving=False).state == f"{tmp_path}/x.db"
    env = {"WHERE": f"sqlite:///{tmp_path}/y.db"}
    assert load_config({**source, "state": "env:WHERE"}, env, serving=False).state == f"{tmp_path}/y.db"


def test_a_password_of_a_store_is_never_shown() -> None:
    told = problems(tree(HEAD + "state: env:DATABASE_URL"), {**ENV, "DATABASE_URL": "postgresql://u:hunter2@h/d"})
    assert told == ["p.yaml:4:8: postgresql:// is not in this version; write sqlite:///penstock.db or memory"]
    told = problems(tree(HEAD + "state: env:DATABASE_URL"), {**ENV, "DATABASE_URL": "mysql://u:hunter2@h/d"})
    assert told == [
        'p.yaml:4:8: what "env:DATABASE_URL" leads to is no place for state: write sqlite:///penstock.db or memory'
    ]


# --- what is wrong

SCOPES = "write one of global, provider, deployment, model, tenant, project, key, user, task, tag"
RATES = "write 600/min, 200k/min, 10/s, 5000/h or 1M/day"
BUDGETS = "write 50 USD/day, 2M tokens/day or 1000 requests/month"
STATE = "write sqlite:///penstock.db or memory"
FEW = "10 tokens are fewer than one request has: at least 17, or nobody is ever admitted"
SOFT = "{scope: model, match: fast, limit: 5 USD/day, hard: false, on_soft: {downgrade: %s}}"
FIRST = "{scope: tenant, limit: 5 USD/day, "

BAD: list[tuple[str, list[str]]] = [
    # Whom it is for.
    (LIMIT + "{scope: tennant, requests: 600/min}", [
        f'5:11: "tennant" is no scope (did you mean "tenant"?): {SCOPES}']),
    (LIMIT + "{scope: 5, requests: 600/min}", [f"5:11: {SCOPES}"]),
    (LIMIT + "{requests: 600/min}", ["5:3: scope is missing: write {scope: tenant, requests: 600/min}"]),
    (LIMIT + "{scope: request, concurrency: 5}", [f"5:11: request is a scope of budgets: {SCOPES}"]),
    (LIMIT + "{scope: global, match: x, concurrency: 5}", [
        "5:19: scope: global is everything there is: leave match out"]),
    (LIMIT + "{scope: tenant, match: [], concurrency: 5}", [
        "5:26: an empty list matches nothing: leave match out for each value"]),
    (LIMIT + "{scope: tenant, match: [a, a, 'b c'], concurrency: 5}", [
        '5:30: "a" stands there twice', '5:33: a name without spaces is expected here, not "b c"']),
    (LIMIT + "{scope: provider, match: opnai, concurrency: 5}", [
        '5:28: no provider is named "opnai" (did you mean "openai"?)']),
    (LIMIT + "{scope: provider, match: [openai, opnai], concurrency: 5}", [
        '5:37: no provider is named "opnai" (did you mean "openai"?)']),
    (LIMIT + "{scope: deployment, match: openai, concurrency: 5}", [
        '5:30: "openai" is no deployment: write provider/model (did you mean "openai/gpt-5"?)']),
    (LIMIT + "{scope: deployment, match: opnai/gpt-4, concurrency: 5}", [
        '5:30: "opnai/gpt-4" is no deployment: write provider/model (did you mean "openai/gpt-4" or "openai/gpt-5" or'
        ' "own/gpt-4"?)']),
    (LIMIT + "{scope: model, match: fsat, concurrency: 5}", [
        '5:25: "fsat" is no model that can be asked for (did you mean "fast"?)']),
    (LIMIT + "{scope: tag, match: feature, concurrency: 5}", [
        '5:23: "feature" is no tag: write name=value, or name=*']),
    # How much.
    (LIMIT + "{scope: tenant}", [
        "5:3: it limits nothing: write requests: 600/min, tokens: 200k/min or concurrency: 50"]),
    (LIMIT + "{scope: tenant, requests: 600}", [f'5:29: "600" is not a rate: {RATES} (did you mean "600/min"?)']),
    (LIMIT + "{scope: tenant, requests: 600 rpm, tokens: 200K tokens per minute}", [
        f'5:29: "600 rpm" is not a rate: {RATES} (did you mean "600/min"?)',
        f'5:46: "200K tokens per minute" is not a rate: {RATES} (did you mean "200k/min"?)']),
    (LIMIT + "{scope: tenant, requests: $5/min}", [f'5:29: "$5/min" is not a rate: {RATES}']),
    (LIMIT + "{scope: tenant, requests: 0/min}", ['5:29: "0/min" allows nothing: write more than 0, or leave it out']),
    (LIMIT + "{scope: tenant, requests: -5/min}", [f'5:29: "-5/min" is not a rate: {RATES}']),
    (LIMIT + "{scope: tenant, requests: 1.5/min}", ['5:29: "1.5/min" is too fine: the smallest part is one']),
    (LIMIT + "{scope: tenant, requests: [5]}", [f"5:29: a list is not a rate: {RATES}"]),
    (LIMIT + "{scope: tenant, requests: 999999999999M/min}", [
        '5:29: "999999999999M/min" is too much: at most 1000000000M requests']),
    (LIMIT + "{scope: tenant, tokens: 10/min}", [f"5:27: {FEW}"]),
    (LIMIT + "{scope: tenant, tokens: 5k/min, burst: 10}", [f"5:42: {FEW}"]),
    (LIMIT + "{scope: tenant, tokens: 5k/min, requests: 5/min, burst: 100}", [
        "5:52: burst is so many requests or so many tokens, and both stand here: write two limits"]),
    (LIMIT + "{scope: tenant, tokens: 5k/h, kind: strict}", [
        "5:27: strict is by the minute: write tokens: 5k/min, or kind: burst"]),
    (LIMIT + "{scope: tenant, tokens: 5k/min, kind: strict, burst: 1k}", [
        "5:49: kind: strict lets nothing come at once: leave burst out, or write kind: burst"]),
    (LIMIT + "{scope: tenant, tokens: 5k/min, kind: stirct}", [
        '5:41: write burst or strict or leaky (did you mean "strict"?)']),
    (LIMIT + "{scope: tenant, concurrency: 0}", ["5:32: concurrency is a number from 1 to 1000000"]),
    (LIMIT + "{scope: tenant, concurrency: 5, burst: 3, kind: strict}", [
        "5:35: burst is for rates: concurrency has none, leave it out",
        "5:45: kind is for rates: concurrency has none, leave it out"]),
    (LIMIT + "{scope: tenant, requests: 5/min, queue: 0s}", ['5:43: "0s" must be more than nothing']),
    (LIMIT + "{scope: tenant, requests: 5/min, tpm: 5}", ['5:36: unknown key "tpm" (did you mean "tokens"?)']),
    (LIMIT + "{scope: tenant, requests: 5/min, period: day}", [
        '5:36: unknown key "period" (limit has: scope, match, requests, tokens, concurrency, kind, burst, queue)']),
    # Two of the same.
    (LIMIT + "{scope: tenant, requests: 5/min}\n- {scope: tenant, match: '*', requests: 9/min, kind: strict}", [
        "6:3: a limit of requests by the minute for each tenant stands there twice: on line 5 as well, and only one can"
        " hold"]),
    (LIMIT + "{scope: global, concurrency: 5}\n- {scope: global, concurrency: 9}", [
        "6:3: a limit of calls at a time for everything stands there twice: on line 5 as well, and only one can hold"]),
    (HEAD.replace("tenant: acme", "limits: [{requests: 9/s}]") + "limits: [{scope: key, match: app, requests: 5/s}]", [
        '3:47: a limit of requests by the second for key "app" stands there twice: on line 4 as well, and only one can'
        " hold"]),
    (BUDGET + FIRST + "}\n- {scope: tenant, limit: 6 USD/day, zone: Europe/Berlin}", [
        "7:3: a limit of dollars by the day for each tenant stands there twice: on line 6 as well, and only one can"
        " hold"]),
    (BUDGET + "{scope: request, limit: 5 USD}\n- {scope: request, limit: 6 USD}", [
        "7:3: a limit of dollars for one request stands there twice: on line 6 as well, and only one can hold"]),
    # Budgets.
    (BUDGET + "{scope: tenant}", ["6:3: limit is missing: write limit: 50 USD/day"]),
    (BUDGET + "{limit: 5 USD/day}", ["6:3: scope is missing: write {scope: tenant, limit: 50 USD/day}"]),
    (BUDGET + "{scope: tenant, limit: $50/day}", [
        f'6:26: "$50/day" is not a budget: {BUDGETS} (did you mean "50 USD/day"?)']),
    (BUDGET + "{scope: tenant, limit: 2m tokens per month}", [
        f'6:26: "2m tokens per month" is not a budget: {BUDGETS} (did you mean "2M tokens/month"?)']),
    (BUDGET + "{scope: tenant, limit: 1_000 calls a week}", [
        f'6:26: "1_000 calls a week" is not a budget: {BUDGETS} (did you mean "1000 requests/week"?)']),
    (BUDGET + "{scope: tenant, limit: 50}", [f'6:26: "50" is not a budget: {BUDGETS}']),
    (BUDGET + "{scope: tenant, limit: 5 USD}", [f'6:26: "5 USD" is not a budget: {BUDGETS}']),
    (BUDGET + "{scope: tenant, limit: 50 EUR/day}", [
        f'6:26: "50 EUR/day" is not a budget: {BUDGETS}; money is reckoned in USD alone, as prices are']),
    (BUDGET + "{scope: tenant, limit: 50 €/day}", [
        f'6:26: "50 €/day" is not a budget: {BUDGETS}; money is reckoned in USD alone, as prices are']),
    (BUDGET + "{scope: tenant, limit: 50 pounds a day}", [
        f'6:26: "50 pounds a day" is not a budget: {BUDGETS}; money is reckoned in USD alone, as prices are']),
    (BUDGET + "{scope: tenant, limit: 5 USD/year}", [f'6:26: "5 USD/year" is not a budget: {BUDGETS}']),
    (BUDGET + "{scope: tenant, limit: 0 USD/day}", [
        '6:26: "0 USD/day" allows nothing: write more than 0, or leave it out']),
    (BUDGET + "{scope: tenant, limit: -1 USD/day}", [f'6:26: "-1 USD/day" is not a budget: {BUDGETS}']),
    (BUDGET + "{scope: tenant, limit: 0.1 tokens/day}", [
        '6:26: "0.1 tokens/day" is too fine: the smallest part is one']),
    (BUDGET + "{scope: tenant, limit: 10 tokens/day}", [f"6:26: {FEW}"]),
    (BUDGET + "{scope: tenant, limit: 9999999999 USD/day}", [
        '6:26: "9999999999 USD/day" is too much: at most 1000000000 USD']),
    # 16 tokens of output at 2 dollars a million, one of input at 0.25: 32,250 nano-dollars.
    (BUDGET + "{scope: tenant, limit: 0.000032 USD/day}", [
        "6:26: 0.000032 USD is less than one request costs: the cheapest target takes 0.00003225 USD for 16 tokens of"
        " output"]),
    (BUDGET + "{scope: request, limit: 0.000032 USD}", [
        "6:27: 0.000032 USD is less than one request costs: the cheapest target takes 0.00003225 USD for 16 tokens of"
        " output"]),
    (BUDGET + FIRST + "zone: Europe/Berln}", [
        '6:43: "Europe/Berln" is no time zone that is known here (did you mean "Europe/Berlin"?)']),
    (BUDGET + FIRST + "zone: New York}", [
        '6:43: "New York" is no time zone that is known here (did you mean "America/New_York"?)']),
    (BUDGET + FIRST + "zone: ../../etc/passwd}", [
        '6:43: "../../etc/passwd" is no time zone that is known here: write UTC, or a name such as Europe/Berlin']),
    (BUDGET + FIRST + "zone: Europe}", [
        '6:43: "Europe" is no time zone that is known here: write UTC, or a name such as Europe/Berlin']),
    (BUDGET + FIRST + "alert_at: [0.8, 0.5]}", ["6:53: 50% stands behind 80%: write them in order, each once"]),
    (BUDGET + FIRST + "alert_at: [0.5, 0.5]}", ["6:53: 50% stands behind 50%: write them in order, each once"]),
    (BUDGET + FIRST + "alert_at: [0.5, 1.5]}", [
        '6:53: "1.5" is not a part of a whole: write 0.5 or 50% (did you mean "1.5%"?)']),
    (BUDGET + FIRST + "alert_at: 0.5}", ["6:47: a list is expected here: [...]"]),
    (BUDGET + FIRST + "hard: yes}", ['6:43: write true or false, not "yes"']),
    (BUDGET + FIRST + "on_low_budget: shrink}", ["6:52: write clamp or refuse"]),
    (BUDGET + FIRST + "on_soft: throttle}", [
        "6:37: on_soft is for a budget that is not hard: write hard: false, or leave it out"]),
    (BUDGET + FIRST + "hard: false, on_soft: thottle}", ["6:59: write alert, throttle or {downgrade: MODEL}"]),
    (BUDGET + FIRST + "hard: false, on_soft: {}}", ["6:59: downgrade is missing: write {downgrade: MODEL}"]),
    (BUDGET + SOFT % "fsat", ['6:83: downgrade leads to "fsat", which is no model (did you mean "fast"?)']),
    (BUDGET + SOFT % "fast", ["6:83: downgrade loops: fast -> fast"]),
    (BUDGET + SOFT % "deep" + "\n- " + SOFT.replace("fast", "deep") % "mine" + "\n- " + SOFT.replace("fast", "mine")
     % "fast", ["6:83: downgrade loops: fast -> deep -> mine -> fast"]),
    (BUDGET + "{scope: request, limit: 5 USD/day}", [
        '6:27: "5 USD/day" is not what one request may use: write 0.05 USD, or 20k tokens (did you mean "5 USD"?)']),
    (BUDGET + "{scope: request, limit: 5 USD, hard: false, match: x}", [
        "6:34: hard is not for scope: request: it holds for each request alone",
        "6:47: match is not for scope: request: it holds for each request alone"]),
    # At a key.
    (HEAD.replace("tenant: acme", "limits: [{scope: user, requests: 9/s}], budgets: [{limit: 5}]"), [
        '3:48: unknown key "scope" (a limit of a key has: requests, tokens, concurrency, kind, burst, queue)',
        f'3:96: "5" is not a budget: {BUDGETS}']),
    (HEAD.replace("tenant: acme", "budgets: [{scope: user, limit: 5 USD/day}]"), [
        "3:56: at a key it is for that key alone: leave scope out, or write request"]),
    (HEAD.replace("name: app", "name: 'a*'").replace("tenant: acme", "limits: [{requests: 9/s}]"), [
        '3:48: "a*" would be a pattern here: give the key a name without *']),
    (HEAD.replace("tenant: acme", "tenant: a/b, expires: soon, max_output: 0, priority: urgent, role: amdin"), [
        '3:46: "a/b" cannot be a tenant\'s name: it has no slash, and - stands for none',
        '3:60: "soon" is not a time: write 2027-01-31, or 2027-01-31T18:00:00+01:00',
        '3:78: "0" is not a number of things: write 8192, 64k or 1M',
        "3:91: write critical or high or normal or low or sheddable",
        '3:105: write viewer or operator or tenant_admin or admin (did you mean "admin"?)']),
    (HEAD.replace("tenant: acme", "expires: 2027-01-31T18:00:00, addresses: [], routes: [caht], role: admin"), [
        '3:47: "2027-01-31T18:00:00" is not a time: write 2027-01-31, or 2027-01-31T18:00:00+01:00',
        "3:79: an empty list allows no address: leave addresses out to allow every one",
        '3:92: write one of chat, embeddings, count_tokens, models (did you mean "chat"?)']),
    (HEAD.replace("tenant: acme", "expires: 9999-12-31T23:59:59-14:00"), [
        '3:47: "9999-12-31T23:59:59-14:00" is not a time: write 2027-01-31, or 2027-01-31T18:00:00+01:00']),
    # Who pays, who is told, where it is kept.
    (HEAD + "tenants: [{name: a, charge: atempts}, {name: a}, {name: x/y, weight: 0}, {}, {name: '-'}]", [
        '4:29: write attempts or winner (did you mean "attempts"?)',
        '4:46: two tenants are named "a"',
        '4:57: "x/y" cannot be a tenant\'s name: it has no slash, and - stands for none',
        "4:70: weight is a number from 1 to 1000000",
        "4:74: a tenant needs a name: {name: acme}",
        '4:85: "-" cannot be a tenant\'s name: it has no slash, and - stands for none']),
    (HEAD + "alerts: {webhook: {url: https://x.y/z, secret: env:EMPTY}}", [
        "4:48: EMPTY is not set in the environment"]),
    (HEAD + "alerts: {webhook: {url: https://x.y/z, secret: none}}", [
        "4:48: a webhook without a secret can be forged by anybody: write env:ALERT_SECRET"]),
    (HEAD + "alerts: {webhook: {url: https://x.y/z, secret: env:APP_KEY}}", [
        '4:48: "env:APP_KEY": the webhook\'s secret must begin with whsec_, and go on with 24 to 64 bytes in base64']),
    (HEAD + "alerts: {webhook: {url: https://x.y/z, secret: 'env:NOPE?'}}", [
        "4:48: NOPE is not set, and a webhook needs its secret: set it, or leave the webhook out"]),
    (HEAD + "alerts: {webhook: {url: https://x.y/z}}", [
        "4:19: a webhook needs secret: {url: https://hooks.example.com/penstock, secret: env:ALERT_SECRET}"]),
    (HEAD + "alerts: {webhook: {url: http://x.y/z, secret: env:HOOK_SECRET}}", [
        "4:25: url must begin with https://: http is for loopback addresses"]),
    (HEAD + "alerts: {webhook: {url: https://u:hunter2@x.y/z, secret: env:HOOK_SECRET}}", [
        "4:25: url holds a user name or password: leave it out; the receiver knows us by the signature"]),
    (HEAD + "alerts: {anomaly: yes}", ["4:19: write on or off"]),
    (HEAD + "state: postgresql://h/d", [f"4:8: postgresql:// is not in this version; {STATE}"]),
    (HEAD + "state: sqlite://x.db", [
        f'4:8: "sqlite://x.db" is no place for state (did you mean "sqlite:///x.db"?): {STATE}']),
    (HEAD + "state: penstock.db", [
        f'4:8: "penstock.db" is no place for state (did you mean "sqlite:///penstock.db"?): {STATE}']),
    (HEAD + "state: memroy", [f'4:8: "memroy" is no place for state (did you mean "memory"?): {STATE}']),
    (HEAD + "state: redis://h", [f'4:8: "redis://h" is no place for state: {STATE}']),
    (HEAD + "state: 5", [f"4:8: this is no place for state: {STATE}"]),
    (HEAD + "state: 'env:NOPE?'", [f"4:8: NOPE is not set, and state: stands nowhere else: {STATE}"]),
    (HEAD + "shared: env:REDIS_URL", ['4:1: "shared" is not in this version']),
    (HEAD + "admission: {most: 0, queue: -1, loop_lag: 0s, repeats: {same: 1}}", [
        "4:19: most is a number from 1 to 1000000",
        "4:29: queue is a number from 0 to 1000000",
        '4:43: "0s" must be more than nothing',
        "4:63: same is a number from 2 to 1000000"]),
    (HEAD + "admission: on", ["4:12: write off, or {most: 500, queue: 1000}"]),
    (HEAD + "admission: {repeats: on}", ["4:22: write off, or {same: 20, per: 1m}"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BAD)
def test_what_is_wrong_is_told_with_its_place(text: str, expected: list[str]) -> None:
    assert problems(tree(text)) == [f"p.yaml:{line}" for line in expected]


def test_a_webhook_on_this_machine_needs_no_tls() -> None:
    text = HEAD + "alerts: {webhook: {url: 'http://127.0.0.1:9/x', secret: env:HOOK_SECRET}}"
    assert loaded(text).alerts.webhook == Webhook("http://127.0.0.1:9/x", Secret(ENV["HOOK_SECRET"]))


def test_what_all_models_lead_to_is_no_loop() -> None:
    every = BUDGET + SOFT.replace("match: fast, ", "") % "fast"
    assert len(loaded(every).rules) == 1
    assert len(loaded(every + "\n- {scope: model, match: fast, limit: 9 USD/day}").rules) == 2
    assert problems(tree(every + "\n- " + SOFT % "deep")) == ["p.yaml:6:70: downgrade loops: fast -> deep -> fast"]


# --- what is doubtful

HOUR = "{scope: tenant, limit: 10 USD/hour}"
FORGETS = PRICED + "state: memory\nbudgets:\n- "
LEDGER = "with state: memory there is no ledger that tells how fast it is used (state: sqlite:///penstock.db)"
UNKNOWN = "no model or deployment is known that"
NO_KEY = "no key that is declared may ask for anything but the names under models"
DOUBTS: list[tuple[str, list[str]]] = [
    (BUDGET + HOUR + "\n- {scope: tenant, limit: 10 USD/day}", [
        "6:26: 10 USD/hour can never act: 10 USD/day is used up before it"]),
    # An hour is there 25 times where the clock is set back.
    (BUDGET + HOUR + "\n- {scope: tenant, limit: 249.999999999 USD/day}", []),
    (BUDGET + HOUR + "\n- {scope: tenant, limit: 250 USD/day}", [
        "7:26: 250 USD/day can never act: 10 USD/hour allows no more than that"]),
    (BUDGET + "{scope: tenant, limit: 10 USD/week}\n- {scope: tenant, limit: 60 USD/month}", [
        "7:26: 60 USD/month can never act: 10 USD/week allows no more than that"]),
    (BUDGET + "{scope: tenant, limit: 10 USD/week}\n- {scope: tenant, limit: 59.99 USD/month}", []),
    (BUDGET + HOUR + "\n- {scope: tenant, limit: 20k tokens/day}", []),
    # Exactly what the least call costs.
    (BUDGET + "{scope: tenant, limit: 0.00003225 USD/day}\n- {scope: request, limit: 0.00003225 USD}", []),
    (HEAD.replace("user: trusted", "budgets: [{scope: request, limit: 1k tokens}]")
     + "budgets: [{scope: request, limit: 2k tokens}]", []),
    (HEAD.replace("user: trusted", "limits: [{requests: 5/s}]") + "auth: open", []),
    (LIMIT + "{scope: tenant, match: acme, concurrency: 5}", []),
    (BUDGET + HOUR + "\n- {scope: tenant, match: x, limit: 5 USD/day}", []),
    (BUDGET + HOUR + "\n- {scope: tenant, limit: 5 USD/day, hard: false}", []),
    (LIMIT + "{scope: tenant, requests: 10/s}\n- {scope: tenant, requests: 600/min}", [
        "6:29: requests: 600/min can never act: requests: 10/s allows no more than that"]),
    (LIMIT + "{scope: tenant, requests: 10/s}\n- {scope: tenant, requests: 500/min}", []),
    (LIMIT + "{scope: tenant, requests: 500/min}\n- {scope: tenant, requests: 500/h}", [
        "5:29: requests: 500/min can never act: requests: 500/h allows no more than that"]),
    (LIMIT + "{scope: provider, match: 'opn*', concurrency: 5}", [
        '5:28: "opn*" can never act: no provider fits it (did you mean "own" or "openai"?)']),
    (LIMIT + "{scope: provider, match: 'zz*', concurrency: 5}", [
        '5:28: "zz*" can never act: no provider fits it']),
    # Of some deployments nobody but the caller knows: only what is nearly a known one is doubted.
    (LIMIT + "{scope: deployment, match: openai/gpt-5-mni, concurrency: 5}", [
        f'5:30: {UNKNOWN} "openai/gpt-5-mni" could be about (did you mean "openai/gpt-5-mini"?)']),
    (LIMIT + "{scope: deployment, match: [openai/gpt-5-mini, openai/gpt-5-mni*], concurrency: 5}", [
        f'5:50: {UNKNOWN} "openai/gpt-5-mni*" could be about (did you mean "openai/gpt-5-mini"?)']),
    (LIMIT + "{scope: deployment, match: [openai/gpt-4o, 'openai/gpt*', own/another], concurrency: 5}", []),
    (LIMIT + "{scope: deployment, match: openai/claude-opus-4-1, concurrency: 5}", []),
    (LIMIT + "{scope: model, match: 'fst*', concurrency: 5}", [
        '5:25: "fst*" can never act: no model fits it (did you mean "fast"?)']),
    (LIMIT + "{scope: model, match: [fast, 'de*'], concurrency: 5}", []),
    # A model is the name that is asked for.
    (LIMIT + "{scope: model, match: gpt-5-mini, concurrency: 5}", [f'5:25: "gpt-5-mini" can never act: {NO_KEY}']),
    (LIMIT + "{scope: model, match: openai/gpt-5, concurrency: 5}", [
        f'5:25: "openai/gpt-5" can never act: {NO_KEY}: to hold for what they lead to, write scope: deployment']),
    (LIMIT.replace("mine]", "mine, 'openai/*']") + "{scope: model, match: openai/gpt-5, concurrency: 5}", []),
    (BUDGET.replace("mine]", "mine, 'openai/*']") + "{scope: model, match: openai/gpt-5-mni, limit: 5 USD/day}", [
        f'6:25: {UNKNOWN} "openai/gpt-5-mni" could be about (did you mean "openai/gpt-5-mini"?)']),
    (LIMIT + "{scope: deployment, match: 'azure/*', concurrency: 5}", [
        '5:30: "azure/*" can never act: no deployment fits it']),
    (LIMIT + "{scope: deployment, match: ['openai/*', '*gpt*', 'op*'], concurrency: 5}", []),
    (LIMIT + "{scope: tenant, match: acmee, concurrency: 5}", [
        '5:26: no tenant of the name "acmee" is declared (did you mean "acme"?)']),
    (LIMIT + "{scope: tenant, match: globex, concurrency: 5}", []),
    (LIMIT + "{scope: key, match: ap, concurrency: 5}", [
        '5:23: no key of the name "ap" is declared (did you mean "app"?)']),
    (HEAD + "tenants: [{name: acmee}]", [
        '3:46: no tenant of the name "acme" is declared (did you mean "acmee"?)']),
    (HEAD.replace("user: trusted, ", "") + "limits: [{scope: user, concurrency: 5}]", [
        "4:18: it holds for all calls together: of no key the user that its calls name is believed (user: trusted)"]),
    (HEAD.replace("user: trusted, ", "") + "limits: [{scope: user, match: u1, concurrency: 5}]", [
        "4:18: it can never act: of no key the user that its calls name is believed (user: trusted)"]),
    (HEAD + "auth: open\nlimits: [{scope: tenant, concurrency: 5}, {scope: task, concurrency: 5}]", [
        "5:18: it holds for all calls together: with auth: open no call has a tenant"]),
    (BUDGET + FIRST + "hard: false, on_low_budget: clamp}", [
        "6:50: on_low_budget never holds: the budget is not hard, so nothing is too much for it"]),
    (BUDGET + "{scope: tenant, limit: 5 requests/day, on_low_budget: clamp}", [
        "6:42: on_low_budget never holds: a request cannot be made smaller than one"]),
    (BUDGET + FIRST + "hard: false, alert_at: []}", [
        "6:3: it does nothing: it is not hard, alert_at is empty, and on_soft says nothing"]),
    (HEAD + "budgets: [{scope: tenant, limit: 5 USD/day}]", [
        "4:34: nobody knows what own/x costs, so no call goes there while this holds: declare it under prices:"
        " {own/x: {input: ..., output: ...}}"]),
    (HEAD + "budgets: [{scope: request, limit: 5 USD}]", [
        "4:35: nobody knows what own/x costs, so no call goes there while this holds: declare it under prices:"
        " {own/x: {input: ..., output: ...}}"]),
    (HEAD + "budgets: [{scope: tenant, limit: 5 USD/day, hard: false}]", [
        "4:34: nobody knows what own/x costs, so it is not counted: declare it under prices: {own/x: {input: ...,"
        " output: ...}}"]),
    (HEAD + "budgets: [{scope: tenant, limit: 5k tokens/day}]", []),
    # What goes by the ledger, where there is none.
    (FORGETS + FIRST + "hard: false, on_soft: throttle}", [f"7:50: throttle never acts: {LEDGER}"]),
    (FORGETS + FIRST + "alert_at: [0.5]}", [f"7:37: nobody is told: {LEDGER}"]),
    (FORGETS + FIRST[:-2] + "}", []),
    (BUDGET + FIRST + "alert_at: [0.5]}", []),
    (FORGETS.replace("budgets:\n- ", "alerts: {anomaly: on}"), [
        "6:19: unusual spend is never seen: with state: memory there is no ledger of the past"]),
    (FORGETS.replace("budgets:\n- ", "alerts: {anomaly: off}"), []),
    # Who may ask for what is not listed may find something cheaper.
    (BUDGET.replace("[fast, deep, mine]", '["*"]') + "{scope: tenant, limit: 0.000032 USD/day}", [
        "6:26: 0.000032 USD is less than one request costs: the cheapest target takes 0.00003225 USD for 16 tokens of"
        " output"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), DOUBTS)
def test_what_can_never_act_is_doubted(text: str, expected: list[str]) -> None:
    read = tree(text)
    load_config(read, ENV)
    assert read.problems.doubts == [f"p.yaml:{line}" for line in expected]


def test_a_librarys_own_calls_are_believed() -> None:
    read = tree(HEAD + "auth: open\nlimits: [{scope: tenant, concurrency: 5}, {scope: user, concurrency: 5}]")
    load_config(read, ENV, serving=False)
    assert read.problems.doubts == []


def test_whoever_waits_for_a_place_waits_as_long_as_is_said() -> None:
    (seats,) = loaded(LIMIT + "{scope: tag, match: 'a=*', concurrency: 5, queue: 2s}").rules
    assert (seats.kind, seats.limit, seats.queue) == ("concurrency", 5, 2.0)


# --- amounts

AMOUNTS: list[tuple[str, tuple[Any, ...]]] = [
    ("50 USD/day", (50_000_000_000, "usd", "day")),
    ("0.000000001 USD/minute", (1, "usd", "minute")),
    ("1.5k USD/month", (1_500_000_000_000, "usd", "month")),
    ("2M tokens/week", (2_000_000, "tokens", "week")),
    ("1000 requests/hour", (1000, "requests", "hour")),
    # 0.1 and 0.2 of a float are neither.
    ("0.1 USD/day", (100_000_000, "usd", "day")),
    ("999999999.999999999 USD/day", (999_999_999_999_999_999, "usd", "day")),
]


@pytest.mark.parametrize(("text", "expected"), AMOUNTS)
def test_amounts_are_exact(text: str, expected: Sequence[object]) -> None:
    found = amounts.allowance(text)
    assert tuple(found) == tuple(expected)
    assert amounts.allowance(amounts.allowance_text(*found)) == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("600/min", (600, 60)),
        ("200k/min", (200_000, 60)),
        ("1.5k/h", (1500, 3600)),
        ("10/s", (10, 1)),
        ("1M/day", (1_000_000, 86_400)),
    ],
)
def test_rates(text: str, expected: tuple[int, int]) -> None:
    found = amounts.rate(text)
    assert tuple(found) == expected
    assert amounts.rate(amounts.rate_text(*found)) == found
