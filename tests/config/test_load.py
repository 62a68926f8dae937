"""What a configuration may say, and the exact lines that tell what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import certifi
import pytest

from penstock.config.load import load_config
from penstock.config.schema import Address, Config, Credential, Defaults, Key, Log, Provider, Route, Server, Timeouts
from penstock.config.tree import Tree
from penstock.config.yaml_file import open_config, read_yaml
from penstock.errors import ConfigError
from penstock.providers.catalogue import load_catalogue
from penstock.redact import Secret
from penstock.routing.names import Target

ENV = {
    "HOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "OPENAI_API_KEY": "sk-openai",
    "APP_KEY": "pk-app-0123456789",
    "OTHER_KEY": "pk-other-0123456789",
    "SAME_KEY": "pk-app-0123456789",
    "SHORT_KEY": "abc",
    "EMPTY": " ",
}
PEM = (
    "it has a line -----BEGIN CERTIFICATE-----; of one that is binary (DER) openssl x509 -inform der -in FILE -out NEW"
    " makes it"
)
OPENAI = "providers: {openai: {}, sim: {}}\n"
OPEN = OPENAI + "auth: open\n"


def tree(text: str) -> Tree:
    return read_yaml(text.encode(), "p.yaml")


def problems(source: Tree | Mapping[str, object], env: Mapping[str, str] = ENV) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(source, env)
    return str(caught.value).split("\n")


FULL = """\
server: {listen: "[::1]:0", admin: localhost:9000, workers: 4, drain: 250ms, max_body: 64KiB, idle: 2m}
providers:
  openai: {api_key: env:OPENAI_API_KEY}
  local: {kind: openai, base_url: "http://10.0.0.7:8000/v1/", api_key: none}
  spare: {kind: openai, base_url: https://spare.example/v1, api_key: "env:SPARE_KEY?"}
  sim:
models:
  fast: {targets: [openai/gpt-5-mini], timeouts: {connect: 1s, first_token: auto}, default_max_output: 32k}
  deep:
    targets:
      - target: local/meta/llama-3
default_model: fast
defaults: {timeouts: {total: 1h, idle: 7s, first_token: 9s}, default_max_output: 4096}
auth: required
keys:
  - {name: app, key: env:APP_KEY, tenant: acme, project: web, models: [fast, "openai/*"], user: trusted}
  - {name: other, key: env:OTHER_KEY}
  - {name: later, key: "env:LATER_KEY?"}
log: {to: calls.log, content: none}
"""


def test_everything_this_version_has() -> None:
    config = load_config(tree(FULL), ENV)
    openai = Secret("sk-openai")
    assert config == Config(
        source="p.yaml",
        server=Server(Address("::1", 0), Address("localhost", 9000), 4, 0.25, 65536, 120.0),
        providers={
            "openai": Provider(name="openai", kind="openai", base_url="https://api.openai.com/v1", api_key=openai),
            "local": Provider(name="local", kind="openai", base_url="http://10.0.0.7:8000/v1"),
            "spare": Provider(
                name="spare", kind="openai", base_url="https://spare.example/v1", off="SPARE_KEY is not set"
            ),
            "sim": Provider(name="sim", kind="sim"),
        },
        models={
            "fast": Route(
                name="fast",
                targets=(Target("openai", "gpt-5-mini"),),
                timeouts=Timeouts(1.0, None, 7.0, 3600.0),
                default_max_output=32_000,
            ),
            "deep": Route(
                name="deep",
                targets=(Target("local", "meta/llama-3"),),
                timeouts=Timeouts(5.0, 9.0, 7.0, 3600.0),
                default_max_output=4096,
            ),
        },
        default_model="fast",
        defaults=config.defaults,
        auth="required",
        keys=(
            Key(
                name="app",
                key=Secret("pk-app-0123456789"),
                tenant="acme",
                project="web",
                models=("fast", "openai/*"),
                trusted_user=True,
                where=config.keys[0].where,
            ),
            Key(name="other", key=Secret("pk-other-0123456789"), where=config.keys[1].where),
        ),
        log=Log(to=str(Path("calls.log").absolute())),
        state=str(Path("penstock.db").absolute()),
        files=(str(Path("providers").absolute()),),
    )
    assert config.defaults == Defaults(timeouts=Timeouts(5.0, 9.0, 7.0, 3600.0), default_max_output=4096)
    assert config.providers["openai"].api_key is not None
    assert config.providers["openai"].api_key.source == "env:OPENAI_API_KEY"


def test_the_same_from_a_dict() -> None:
    config = load_config(
        {"providers": {"sim": None}, "models": {"m": {"targets": ("sim/small",)}}, "auth": "open", "keys": None}, {}
    )
    assert config.models["m"].targets == (Target("sim", "small"),)
    assert config.server == Server()


CREDENTIALS = """\
auth: open
providers:
  ours: {kind: openai, region: us, credentials: [{name: a, api_key: env:OPENAI_API_KEY, weight: 3},
    {name: b, api_key: env:OTHER_KEY}, {name: later, api_key: "env:NOPE?"}]}
  gone: {kind: openai, credentials: [{name: a, api_key: "env:NOPE?"}, {name: b, api_key: "env:GONE?"}]}
  theirs: {kind: openai, base_url: https://else.example, credentials: caller}
  sim: {region: here}
models:
  smart: {targets: [{target: ours/prod-1, is: openai/gpt-5}, {target: sim/x}], regions: [here, us]}
"""


def test_who_pays_and_where_it_is() -> None:
    config = load_config(tree(CREDENTIALS), ENV)
    ours, gone, theirs, sim = config.providers.values()
    assert ours.credentials == (
        Credential(name="a", api_key=Secret("sk-openai"), weight=3),
        Credential(name="b", api_key=Secret("pk-other-0123456789")),
    )
    assert [one.api_key.source for one in ours.credentials] == ["env:OPENAI_API_KEY", "env:OTHER_KEY"]
    assert (ours.region, sim.region, ours.api_key, ours.off) == ("us", "here", None, "")
    assert (gone.credentials, gone.off) == ((), "NOPE is not set, GONE is not set")
    assert (theirs.by_caller, theirs.credentials, theirs.api_key) == (True, (), None)
    assert config.models["smart"].regions == ("here", "us")
    assert config.known_as == {"ours/prod-1": "openai/gpt-5"}


SECRET = (
    "a secret is written as a reference, not as itself: put it in a variable and write env:{}, or in a file and"
    " write file:PATH"
)
NO_KEY = (
    "auth is required, but no key is declared: write keys: [{name: app, key: env:APP_KEY}],"
    " state: sqlite:///penstock.db for those of `penstock keys create`, or auth: open (loopback only)"
)
ADDED = ", which is added to it: leave that out, and what follows it"
COMPATIBLE = "a server that speaks as OpenAI does is written {kind: openai, base_url: ..., api_key: ...}"
CREDENTIAL = "holds characters that no credential has"

POOL = "auth: open\nproviders: {openai: {credentials: "
ONE_OF = "credentials is caller, or a list: [{name: a, api_key: env:KEY_A}, {name: b, api_key: env:KEY_B}]"
HERE = OPEN + "models: {a: {targets: [openai/x], "

BAD_YAML: list[tuple[str, list[str]]] = [
    # The edge.
    ("auth: open\n", ["1:1: no provider is declared: write providers: {sim: {}} to begin without a key"]),
    (OPENAI, [f"1:1: {NO_KEY}"]),
    (OPENAI + "auth: required", [f"2:7: {NO_KEY}"]),
    (OPENAI + 'keys: [{name: a, key: "env:NOPE?"}]', [f"1:1: {NO_KEY}"]),
    (OPENAI + "auth: opne\nkeys: [{name: a, key: env:APP_KEY}]", [
        '2:7: write required or open (did you mean "open"?)']),
    (
        OPEN + "server: {listen: 0.0.0.0:8484}",
        [
            "3:18: auth: open is for loopback addresses, and 0.0.0.0:8484 is none: write auth: required and"
            " keys: [{name: app, key: env:APP_KEY}], or listen on 127.0.0.1"
        ],
    ),
    (
        OPEN + "server: {admin: '[::]:8485'}",
        [
            "3:17: the admin address [::]:8485 can be reached from other machines and has no TLS, which is not in this"
            " version: write 127.0.0.1 and reach it through a tunnel"
        ],
    ),
    (OPEN + "server: {listen: 127.0.0.1:8485}", ["1:1: admin and listen are both 127.0.0.1:8485"]),
    (OPEN + "server: {workers: 0}", ["3:19: workers is a number from 1 to 256"]),
    (OPEN + "server: {workers: 257}", ["3:19: workers is a number from 1 to 256"]),
    (OPEN + "server: {workers: yes}", ["3:19: workers is a number from 1 to 256"]),
    (OPEN + "server: {workers: true}", ["3:19: workers is a number from 1 to 256"]),
    (
        OPEN + "server: {listen: 8484}",
        ['3:18: "8484" is not an address: write host:port, such as 127.0.0.1:8484 or [::1]:8484'],
    ),
    (OPEN + "server: {listen: '::1:84'}", ['3:18: "::1:84" is not an address: write host:port, such as'
                                                   " 127.0.0.1:8484 or [::1]:8484"]),
    (
        OPEN + "server: {listen: localhost:70000}",
        ['3:18: "localhost:70000" is not an address: the port is a number up to 65535'],
    ),
    (OPEN + "server: {idle: 75}", [
        '3:16: "75" is not a duration: write 250ms, 5s, 2m, 1h or 7d (did you mean "75s"?)']),
    (OPEN + "server: {idle: 0s}", ['3:16: "0s" must be more than nothing']),
    (OPEN + "server: {drain: 4000d}", ['3:17: "4000d" is too long: at most 3650d']),
    (OPEN + "server: {max_body: 32MB}", ['3:20: "32MB" is not a size: write 64KiB or 32MiB (did you mean "32MiB"?)']),
    (OPEN + "server: {http: asgi, lisen: x}", [
        '3:10: "http" is not in this version',
        '3:22: unknown key "lisen" (did you mean "listen"?)',
    ]),
    (OPEN + "server: [a]", ["3:9: a mapping is expected here, not a list: key: value"]),
    (OPEN + "log: {to: '', content: full, retention: 30d}", [
        '3:11: text is expected here, not ""',
        '3:24: "full" is not in this version; write none',
        '3:30: "retention" is not in this version',
    ]),
    # Keys.
    (OPENAI + "keys: {name: a}", ["2:7: a list is expected here: [{name: app, key: env:APP_KEY}]"]),
    (OPENAI + "keys: [{name: a}]", ["2:8: a key needs key: {name: app, key: env:APP_KEY}"]),
    (OPENAI + "keys: [{name: a b, key: env:APP_KEY}]", [
        '2:15: a name without spaces is expected here, not "a b"']),
    (OPENAI + "keys: [{name: a, key: none}]", ["2:23: a caller's key cannot be none: write env:APP_KEY"]),
    (OPENAI + "keys: [{name: a, key: pk-literal}]", [f"2:23: {SECRET.format('APP_KEY')}"]),
    (OPENAI + "keys: [{name: a, key: env:NOPE}]", ["2:23: NOPE is not set in the environment"]),
    (OPENAI + "keys: [{name: a, key: env:EMPTY}]", ["2:23: EMPTY is not set in the environment"]),
    (OPENAI + "keys: [{name: a, key: env:A-B}]", [
        "2:23: env: must be followed by the name of a variable, such as env:OPENAI_API_KEY"]),
    (OPENAI + "keys: [{name: a, key: env:APP_KEY}, {name: a, key: env:OTHER_KEY}]", [
        '2:44: two keys are named "a"']),
    (OPENAI + "keys:\n- {name: a, key: env:APP_KEY}\n- {name: b, key: env:SAME_KEY}", [
        '4:18: the keys "a" and "b" have the same value']),
    (OPENAI + "keys: [{name: a, key: env:APP_KEY, models: []}]", [
        "2:44: an empty list allows nothing: leave models out to allow every name under it"]),
    (OPENAI + "models: {fast: {targets: [sim/small]}}\nkeys: [{name: a, key: env:APP_KEY, models: [fsat, x/y]}]", [
        '3:45: key "a" may ask for "fsat", which is no model (did you mean "fast"?)',
        '3:51: key "a" may ask for "x/y", which is no model',
    ]),
    (OPENAI + "models: {fast: {targets: [sim/small]}}\n"
              "keys: [{name: a, key: env:APP_KEY, models: [opnai/*, gpt-*, 'fas*', 's*', '*/x', 'sim/*']}]", [
        '3:45: key "a" may ask for "opnai/*", which no model fits (did you mean "openai/*"?)']),
    ("providers: {own: {kind: openai, base_url: http://h/v1, api_key: none}}\nmodels: {fast: {targets: [own/x]}}\n"
     "keys: [{name: a, key: env:APP_KEY, models: [gpt-*, fsat*]}]", [
        '3:45: key "a" may ask for "gpt-*", which no model fits (did you mean "own/gpt-*"?)',
        '3:52: key "a" may ask for "fsat*", which no model fits (did you mean "fast"?)',
    ]),
    (OPENAI + "keys: [{name: a, key: env:VENDOR_KEY}]", ["2:23: VENDOR_KEY is not set in the environment"]),
    (OPENAI + "keys: [{name: a, key: env:APP_KYE}]", [
        '2:23: APP_KYE is not set in the environment (did you mean "APP_KEY"?)']),
    (OPENAI + "keys: [{name: a, key: env:APP_KEY, roles: admin, user: yes}]", [
        '2:36: unknown key "roles" (did you mean "role" or "routes"?)',
        "2:56: write trusted",
    ]),
    # Providers.
    ("auth: open\nproviders: [{name: openai}]", [
        "2:12: a mapping is expected here, not a list: openai: {api_key: env:OPENAI_API_KEY}"]),
    ("auth: open\nproviders: {a: {kind: vllm, api_base: http://h/v1, type: x}}", [
        '2:29: unknown key "api_base" (did you mean "base_url"?)', '2:52: unknown key "type" (did you mean "kind"?)']),
    ("auth: open\nproviders: {a: {kind: vllm, base_url: http://h/v1/chat/completions}}", [
        f"2:39: base_url ends with /chat/completions{ADDED}"]),
    ("auth: open\nproviders: {azure: {api_key: none, base_url: https://x/openai/deployments/a/embeddings}}", [
        f"2:46: base_url ends with /embeddings{ADDED}"]),
    ("auth: open\nproviders: {anthropic: {api_key: none, base_url: https://h/v1/messages/}}", [
        f"2:50: base_url ends with /messages{ADDED}"]),
    ("auth: open\nproviders: {}", [
        "2:1: no provider is declared: write providers: {sim: {}} to begin without a key"]),
    ("auth: open\nproviders: {a/b: {kind: sim}}", ['2:13: a provider\'s name has no slash and no space: "a/b"',
        "2:1: no provider is declared: write providers: {sim: {}} to begin without a key"]),
    ("auth: open\nproviders: {opnai: {}}", [
        f'2:13: unknown kind "opnai" (did you mean "openai"?); {COMPATIBLE}']),
    ("auth: open\nproviders: {a: {kind: vertex}}", [
        f'2:23: the kind "vertex" is not in this version; {COMPATIBLE}']),
    ("auth: open\nproviders: {github: {}}", [
        "2:13: GitHub Models was switched off on 2026-07-30 (https://github.com/orgs/community/discussions/203602)"]),
    ("auth: open\nproviders: {azure: {api_key: none}}", [
        "2:13: base_url is missing: each account of azure has an address of its own,"
        " such as base_url: https://NAME.openai.azure.com"]),
    ("auth: open\nproviders: {azure: {api_key: none, base_url: https://NAME.openai.azure.com}}", [
        "2:46: base_url still is the example: write your own in place of https://NAME.openai.azure.com"]),
    ("auth: open\nproviders: {azure: {base_url: https://x.openai.azure.com}}", [
        "2:13: api_key is missing: write api_key: env:AZURE_OPENAI_API_KEY, or api_key: none to send none"]),
    ("auth: open\nproviders: {azure: {api_key: none, base_url: https://x/openai/v1, api_version: 2024-10-21}}", [
        "2:46: base_url ends with /openai/v1, which takes no api_version: leave one of them out"]),
    ("auth: open\nproviders: {azure: {api_key: none, base_url: https://x/openai/deployments/a}}", [
        "2:46: base_url names a deployment: leave its path out; the model asked for is the deployment",
    ]),
    ("auth: open\nproviders: {vllm: {base_url: http://x:8000/v1/v1/}}", [
        "2:30: base_url ends with /v1 twice: leave one of them out",
    ]),
    ("auth: open\nproviders: {azure: {api_key: none, base_url: https://x/openai/deployments/a, api_version: v/1}}", [
        "2:46: base_url names a deployment: leave its path out; the model asked for is the deployment",
        '2:91: "v/1" is not a version: write 2024-10-21, or 2025-04-01-preview']),
    ("auth: open\nproviders: {azure: {api_key: none, base_url: https://x/openai/deployments/a, api_version: v1}}", [
        "2:46: base_url names a deployment: leave its path out; the model asked for is the deployment"]),
    ("auth: open\nproviders: {openai: {api_version: v1, api_key: none}}", [
        "2:22: openai has no api_version: its base_url says which"]),
    ("auth: open\nproviders: {sim: }\nmodels: {a: {targets: [snowflake/x]}}", [
        '3:24: no provider is named "snowflake"; declare it under providers: snowflake:'
        " {base_url: https://ACCOUNT.snowflakecomputing.com, api_key: env:SNOWFLAKE_TOKEN}"]),
    ("auth: open\nproviders: {sim: }\nmodels: {a: {targets: [ollama/x]}}", [
        '3:24: no provider is named "ollama"; declare it under providers: ollama: {}']),
    ("auth: open\nproviders: {openai: {quirks: us, headers: {}, basurl: x}}", [
        '2:22: "quirks" is not in this version',
        '2:34: "headers" is not in this version',
        '2:47: unknown key "basurl" (did you mean "base_url"?)',
    ]),
    ("auth: open\nproviders: {openai: {api_key: sk-literal}}", [f"2:31: {SECRET.format('OPENAI_API_KEY')}"]),
    ("auth: open\nproviders: {openai: {api_key: 123}}", [f"2:31: {SECRET.format('OPENAI_API_KEY')}"]),
    ("auth: open\nproviders: {openai: {api_key: 'file:'}}", ["2:31: file: must be followed by a path"]),
    ("auth: open\nproviders: {openai: {api_key: file:no/such}}", [
        '2:31: the file "no/such" cannot be read: No such file or directory']),
    ("auth: open\nproviders: {local: {kind: openai, base_url: http://h/v1}}", [
        "2:13: api_key is missing: write api_key: env:NAME, or api_key: none to send none"]),
    ("auth: open\nproviders: {sim: {base_url: http://h, api_key: env:APP_KEY}}", [
        "2:19: sim runs inside Penstock and has no base_url",
        "2:39: sim runs inside Penstock and has no api_key",
    ]),
    ("auth: open\nproviders: {openai: {ca_file: no.pem}}", [
        '2:31: ca_file "no.pem" cannot be read: No such file or directory']),
    ("auth: open\nproviders: {openai: {region: a b}}", [
        '2:30: a name without spaces is expected here, not "a b"']),
    # Credentials.
    (POOL + "caller, api_key: env:APP_KEY}}", [
        "2:22: credentials stand instead of api_key: leave one of them out"]),
    (POOL + "[]}}", [f"2:35: {ONE_OF}"]),
    (POOL + "all}}", [f"2:35: {ONE_OF}"]),
    (POOL + "[{name: a}, {api_key: env:APP_KEY}]}}", [
        "2:36: a credential needs api_key: {name: a, api_key: env:KEY_A}",
        "2:47: a credential needs name: {name: a, api_key: env:KEY_A}",
    ]),
    (POOL + "[{name: a, api_key: none}, {name: 'a#b', api_key: env:APP_KEY, weigth: 3}]}}", [
        "2:55: one of several credentials cannot be none: write env:KEY_A",
        '2:69: a credential\'s name is made of letters, digits, - . and _, not "a#b"',
        '2:98: unknown key "weigth" (did you mean "weight"?)',
    ]),
    (POOL + "[{name: a, api_key: sk-literal, weight: 0}]}}", [
        f"2:55: {SECRET.format('KEY_A')}", "2:75: weight is a number from 1 to 1000000"]),
    (POOL + "[{name: a, api_key: env:APP_KEY}, {name: a, api_key: env:OTHER_KEY},"
            " {name: c, api_key: env:SAME_KEY}]}}", [
        '2:69: two credentials are named "a"', '2:104: the credentials "a" and "c" have the same value']),
    ("auth: open\nproviders: {sim: {credentials: caller}}", ["2:19: sim runs inside Penstock and has no credentials"]),
    # Models.
    (OPEN + "models: {a: {}}", ["3:10: targets is missing: write targets: [provider/model]"]),
    (OPEN + "models: {a: openai/x}", ["3:13: write {targets: [openai/x]}"]),
    (OPEN + "models: {a: {targets: openai/x}}", ["3:23: targets is a list: write [openai/x]"]),
    (OPEN + "models: {a: {targets: []}}", ["3:23: targets is empty: write targets: [provider/model]"]),
    (OPEN + "models: {a: {targets: [openai]}}", ['3:24: "openai" is not provider/model']),
    (OPEN + "models: {a: {targets: [gpt-5-mini, {model: openai/gpt-5}]}}", [
        '3:24: "gpt-5-mini" is not provider/model (did you mean "openai/gpt-5-mini"?)',
        "3:36: target is missing: write {target: provider/model}",
        '3:37: unknown key "model" (did you mean "target"?)']),
    (OPEN + "models: {a: {targets: [/x, openai/]}}", [
        '3:24: "/x" is not provider/model', '3:28: "openai/" is not provider/model']),
    (OPEN + "models: {a: {targets: [opnai/x]}}", ['3:24: no provider is named "opnai" (did you mean "openai"?)']),
    ("auth: open\nproviders: {sim: {}}\nmodels: {a: {targets: [openai/x]}}", [
        '3:24: no provider is named "openai"; declare it under providers: openai: {api_key: env:OPENAI_API_KEY}']),
    (OPEN + "models: {a: {targets: [{target: sim/small, region: eu}]}}", [
        '3:44: "region" is not in this version']),
    (OPEN + "models: {a: {targets: [{}]}}", ["3:24: target is missing: write {target: provider/model}"]),
    (OPEN + "models: {'a*': {targets: [sim/small]}}", ['3:10: a model\'s name has no space and no *: "a*"']),
    (OPEN + "models: {a: {targets: [sim/small], cache: {}, budget: 1, timeouts: {idle: off, throughput: 1}}}", [
        '3:36: "cache" is not in this version',
        '3:47: unknown key "budget" (write budgets: [{scope: model, match: NAME, limit: 50 USD/day}])',
        '3:75: "off" is not a duration: write 250ms, 5s, 2m, 1h or 7d',
        '3:80: "throughput" is not in this version',
    ]),
    (OPEN + "models: {fast: {targets: [sim/small]}}\ndefault_model: fats", [
        '4:16: default_model "fats" is not under models (did you mean "fast"?)']),
    (OPEN + "models: {a: {targets: [sim/small], default_max_output: 0}}", [
        '3:56: "0" is not a number of things: write 8192, 64k or 1M']),
    (OPEN + "defaults: {default_max_output: many}", ['3:32: "many" is not a number of things: write 8192, 64k or 1M']),
    (OPEN + "defaults: {default_max_output: yes}", ['3:32: "yes" is not a number of things: write 8192, 64k or 1M']),
    (OPEN + "defaults: {default_max_output: 1.5}", ['3:32: "1.5" is not a number of things: write 8192, 64k or 1M']),
    (OPEN + "defaults: {rate_limit: 3}", [
        '3:12: unknown key "rate_limit" (write limits: [{scope: model, requests: 600/min}])']),
    (OPENAI + "keys: [{name: a, key: env:APP_KEY, charge: winner}]", [
        '2:36: unknown key "charge" (write tenants: [{name: TENANT, charge: winner}])']),
    # Where targets are, and what they are.
    (HERE + "regions: [eu, us]}}", [
        '3:24: the provider "openai" has no region, and this model may use "eu" or "us": write providers: openai:'
        " {region: eu}"]),
    (HERE.replace("openai: {}", "openai: {region: EU}") + "regions: [eu]}}", [
        '3:24: "openai" is in "EU", and this model may use "eu" (did you mean "eu"?)']),
    (HERE + "regions: []}}", ["3:44: an empty list allows no region: leave regions out to allow every one"]),
    (HERE + "regions: eu}}", ["3:44: a list is expected here: [eu]"]),
    (OPEN + "defaults: {regions: [eu]}", ['3:12: "regions" is not in this version']),
    (OPEN + "models: {a: {targets: [{target: sim/x, is: gpt-5}]}, b: {targets: [{target: sim/y, is: opnai/gpt-5}]}}", [
        '3:44: "gpt-5" is not kind/model: write is: openai/gpt-5',
        '3:88: no kind of provider is named "opnai" (did you mean "openai"?)',
    ]),
    (OPEN + "models:\n  a: {targets: [{target: sim/x, is: openai/o3}]}\n"
            "  b: {targets: [{target: sim/x, is: openai/o4}]}", [
        "5:37: sim/x cannot be openai/o4: on line 4 it is openai/o3"]),
    # The whole.
    (OPEN + "shared: x\nguardrials: []\nauht: open\nbudgtes: []", [
        '3:1: "shared" is not in this version',
        '4:1: unknown key "guardrials" (did you mean "guardrails"? It is not in this version)',
        '5:1: unknown key "auht" (did you mean "auth"?)',
        '6:1: unknown key "budgtes" (did you mean "budgets"?)',
    ]),
    (OPEN + "hedge: off\nmodels: {a: {targets: [{target: sim/x, breaker: off}], probe: 3s}}", [
        '3:1: unknown key "hedge" (it stands under models: {NAME: {hedge: ...}}, or defaults)',
        '4:40: unknown key "breaker" (it stands under models: {NAME: {breaker: ...}}, or defaults)',
        '4:56: unknown key "probe" (it stands under providers: {NAME: {probe: ...}})',
    ]),
    (OPEN + "auth: required", ['3:1: duplicate key "auth", first on line 2']),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BAD_YAML)
def test_what_is_wrong_is_told_with_its_place(text: str, expected: list[str]) -> None:
    assert sorted(problems(tree(text))) == sorted(f"p.yaml:{line}" for line in expected)


def test_problems_stand_in_the_order_of_the_file() -> None:
    found = problems(tree("keys: [{name: a}]\nlog: 1\nproviders: {sim: {x: 1}}\nserver: 2"))
    assert [line.split(":")[1] for line in found] == ["1", "2", "3", "4"]


BAD_DICTS: list[tuple[dict[str, object], list[str]]] = [
    ({"providers": {"sim": {}}}, [f"config: {NO_KEY}"]),
    (
        {"providers": {"sim": {}}, "auth": "open", "models": {"fast": {"targets": ["sim/a", "sim"], "budget": 1}}},
        [
            'models.fast.budget: unknown key "budget"'
            " (write budgets: [{scope: model, match: NAME, limit: 50 USD/day}])",
            'models.fast.targets[1]: "sim" is not provider/model',
        ],
    ),
    (
        {"providers": {"openai": {"api_key": "sk-literal"}}, "auth": "open"},
        [f"providers.openai.api_key: {SECRET.format('OPENAI_API_KEY')}"],
    ),
    ({"providers": {"sim": {}, 1: {}}, "auth": "open"}, ["providers: the key 1 is not a string"]),
]


@pytest.mark.parametrize(("source", "expected"), BAD_DICTS)
def test_what_is_wrong_with_a_dict_is_told_by_its_path(source: dict[str, object], expected: list[str]) -> None:
    assert sorted(problems(source)) == expected


def test_a_dict_that_contains_itself_ends() -> None:
    loop: dict[str, object] = {"providers": {"sim": {}}, "auth": "open"}
    loop["server"] = loop
    assert any("nested too deep" in line for line in problems(loop))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ftp://h/v1", "base_url must begin with http:// or https:// and name a host"),
        ("http:///v1", "base_url must begin with http:// or https:// and name a host"),
        ("api.openai.com/v1", "base_url must begin with http:// or https:// and name a host"),
        ("http://me:hunter2@h/v1", "base_url holds a user name or password: leave it out and write api_key: env:NAME"),
        ("http://h/v1?key=hunter2", "base_url has a query or a fragment: leave it out"),
        ("http://h/v1#hunter2", "base_url has a query or a fragment: leave it out"),
        ("http://h/v1#", "base_url has a query or a fragment: leave it out"),
        ("http://h:hunter2/v1", "base_url is not a URL: its host or port cannot be read"),
        ("http://h:0/v1", "base_url has port 0"),
        ("http://h/ hunter2", "base_url is not a URL: write http://host:port/v1 or https://..."),
        ("http://h\r\nx: hunter2/", "base_url is not a URL: write http://host:port/v1 or https://..."),
    ],
)
def test_base_urls_that_are_refused_without_being_shown(url: str, expected: str) -> None:
    source = {"auth": "open", "providers": {"a": {"kind": "openai", "base_url": url, "api_key": "none"}}}
    assert problems(source) == [f"providers.a.base_url: {expected}"]


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("https://api.anthropic.com", "https://api.anthropic.com/v1"),
        ("https://api.anthropic.com/v1/", "https://api.anthropic.com/v1"),
        ("http://h:8000", "http://h:8000/v1"),
        ("https://h/anthropic/", "https://h/anthropic/v1"),
        ("https://h/anthropic/v1", "https://h/anthropic/v1"),
    ],
)
def test_anthropics_base_url_is_written_with_or_without_its_version(written: str, url: str) -> None:
    source = {"auth": "open", "providers": {"anthropic": {"base_url": written, "api_key": "none"}}}
    assert load_config(source, ENV).providers["anthropic"].base_url == url


def test_openais_base_url_is_taken_as_it_is_written() -> None:
    source = {"auth": "open", "providers": {"a": {"kind": "openai", "base_url": "http://h:8000", "api_key": "none"}}}
    assert load_config(source, ENV).providers["a"].base_url == "http://h:8000"


def test_anthropic_by_its_name_alone() -> None:
    source = {"auth": "open", "providers": {"anthropic": {}, "same": {"kind": "anthropic"}}}
    config = load_config(source, {"ANTHROPIC_API_KEY": "sk-ant"})
    for name in ("anthropic", "same"):
        provider = config.providers[name]
        assert (provider.kind, provider.base_url) == ("anthropic", "https://api.anthropic.com/v1")
        assert provider.api_key == Secret("sk-ant")
    written = {"anthropic": {"base_url": "https://api.anthropic.com"}}
    assert load_config({"auth": "open", "providers": written}, {"ANTHROPIC_API_KEY": "sk-ant"}).providers[
        "anthropic"
    ].api_key == Secret("sk-ant")


def test_the_vendors_key_goes_to_the_vendors_address_alone() -> None:
    same = {"auth": "open", "providers": {"a": {"kind": "openai", "base_url": "https://api.openai.com/v1/"}}}
    assert load_config(same, ENV).providers["a"].api_key == Secret("sk-openai")
    assert problems(same, {}) == ["providers.a: OPENAI_API_KEY is not set in the environment"]
    other = {"auth": "open", "providers": {"a": {"kind": "openai", "base_url": "https://api.openai.com.evil/v1"}}}
    assert problems(other) == [
        "providers.a: api_key is missing: write api_key: env:NAME, or api_key: none to send none"
    ]


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text("sk-from-file\n")
    (tmp_path / "ca.pem").write_bytes(Path(certifi.where()).read_bytes())
    path = tmp_path / "penstock.yaml"
    path.write_text("auth: open\nproviders: {openai: {api_key: file:secrets/key, ca_file: ca.pem}}\nlog: {to: l.log}")
    config = open_config(path, {})
    key = config.providers["openai"].api_key
    assert key is not None
    assert (key.reveal(), key.source) == ("sk-from-file", "file:secrets/key")
    assert config.providers["openai"].ca_file == str(tmp_path / "ca.pem")
    assert config.log.to == str(tmp_path / "l.log")


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (b"", "is empty"),
        (b"two\nlines", f"{CREDENTIAL}: it has a line break in it"),
        (b"Bearer sk-1", f"{CREDENTIAL}: it begins with Bearer, which is added to it"),
        (b"two words", f"{CREDENTIAL}: it has a space in it"),
        (
            "schlüssel".encode(),
            f"{CREDENTIAL}: it has one that is not ASCII, such as an ellipsis or a typographic quote",
        ),
        (b"x" * 65537, "too large"),
    ],
)
def test_secret_files_that_hold_no_credential(tmp_path: Path, written: bytes, reason: str) -> None:
    (tmp_path / "key").write_bytes(written)
    source = {"auth": "open", "providers": {"openai": {"api_key": f"file:{tmp_path / 'key'}"}}}
    (line,) = problems(source)
    assert reason in line
    assert written.decode() not in line or not written


def test_ca_files(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("not a certificate")
    written: dict[str, object] = {"kind": "openai", "api_key": "none", "ca_file": str(path)}
    source = {"auth": "open", "providers": {"a": written}}
    assert problems(source) == [f'providers.a.ca_file: ca_file "{path}" holds no PEM certificate: {PEM}']
    for damaged in ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):  # fmt: skip
        path.write_text(damaged)
        (line,) = problems(source)
        assert line.startswith(f'providers.a.ca_file: ca_file "{path}" holds no certificate that can be read')
        assert ("openssl x509 -noout -text -in FILE" in line) is ("PRIVATE KEY" not in damaged)
        assert ("a private key" in line) is ("PRIVATE KEY" in damaged)
    assert load_config(source, ENV, check_files=False).providers["a"].ca_file == str(path)
    written["base_url"] = "http://h/v1"
    assert problems(source) == ["providers.a.ca_file: ca_file is for https, and base_url is http"]


def test_the_library_needs_no_key_and_no_address() -> None:
    source = {"providers": {"sim": {}}, "server": {"admin": "10.0.0.1:1"}}
    assert load_config(source, {}, serving=False).auth == "required"
    assert len(problems(source)) == 2


def test_a_missing_file() -> None:
    with pytest.raises(ConfigError, match=r"^no/such.yaml: cannot be read: No such file or directory$"):
        open_config("no/such.yaml", {})


def test_without_a_file_each_provider_whose_key_is_there() -> None:
    keys = {row.env: f"k-{row.name}" for row in load_catalogue().values() if row.env}
    config = load_config(None, keys)
    on = {name for name, row in load_catalogue().items() if row.by_default}
    assert set(config.providers) == {*on, "sim"}
    assert {"mistral", "groq", "gemini", "openrouter"} <= on
    # General tokens, and those whose account is part of the address.
    assert not {"github", "huggingface", "cloudflare", "azure", "bedrock", "snowflake", "ollama", "vllm"} & on
    for name in on:
        provider = config.providers[name]
        assert provider.api_key == Secret(keys[load_catalogue()[name].env])
        assert provider.base_url == load_catalogue()[name].url
    assert config.default_model is None


def test_without_a_file_there_is_sim() -> None:
    config = load_config(None, {"OPENAI_BASE_URL": "http://evil", "GITHUB_TOKEN": "t", "OPENAI_API_KEY": " "})
    assert config == Config(
        source="(built in)",
        providers={"sim": Provider(name="sim", kind="sim")},
        state=str(Path("penstock.db").absolute()),
        default_model="sim/small",
        auth="open",
    )


def test_without_a_file_a_key_in_the_environment_switches_its_provider_on() -> None:
    config = load_config(None, {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "http://evil"})
    assert list(config.providers) == ["openai", "sim"]
    assert config.providers["openai"].base_url == load_catalogue()["openai"].url
    assert config.providers["openai"].api_key == Secret("sk-1")
    # Nobody with a real key shall take simulated text for an answer.
    assert config.default_model is None
