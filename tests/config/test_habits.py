"""Wrong turns that people bring along from other tools: each is told in words that say what to write here."""

from __future__ import annotations

import pytest

from penstock.config.habits import KIND_SYNONYMS, foreign_file, reference_meant
from penstock.config.load import load_config
from penstock.config.yaml_file import read_yaml
from penstock.errors import ConfigError
from penstock.providers.catalogue import load_catalogue

ENV = {"OPENAI_API_KEY": "sk-openai"}
OPEN = "auth: open\nproviders: {openai: {}}\n"


def told(text: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(read_yaml(text if isinstance(text, bytes) else text.encode(), "p.yaml"), ENV)
    return str(caught.value).split("\n")


def test_a_configuration_of_litellms_names_the_command_that_reads_it() -> None:
    text = "model_list:\n  - {model_name: a, litellm_params: {model: openai/a}}\nlitellm_settings: {callbacks: [x]}\n"
    (line,) = told(text)
    assert line.startswith("p.yaml:1:1: this is a configuration of LiteLLM's: penstock import litellm p.yaml > pen")


def test_a_configuration_of_litellms_under_our_name_is_not_written_over() -> None:
    said = foreign_file(["model_list"], "/etc/penstock.yaml")
    assert "mv /etc/penstock.yaml litellm.yaml, then penstock import litellm litellm.yaml > /etc/penstock.yaml" in said


def test_a_configuration_in_portkeys_form_says_what_to_write() -> None:
    (line,) = told(
        '{"strategy": {"mode": "fallback"}, "targets": [{"provider": "openai", "api_key": "sk-1234567890"}]}'
    )
    assert "Portkey" in line
    assert "models: {NAME: {targets: [provider/model]" in line
    assert "sk-" not in line


@pytest.mark.parametrize(
    "written",
    [
        *("${MY_KEY}", "$MY_KEY", "${MY_KEY:-none}", "${MY_KEY?must be set}", "${{ secrets.MY_KEY }}", "${env:MY_KEY}"),
        *("os.environ/MY_KEY", "os.getenv/MY_KEY", "process.env.MY_KEY", "{{ env.MY_KEY }}", "{{MY_KEY}}", "%MY_KEY%"),
        *("env.MY_KEY", "ENV:MY_KEY", "env/MY_KEY", "MY_KEY", " ${MY_KEY} ", "{{ .Values.MY_KEY }}"),
    ],
)
def test_a_reference_in_anothers_words_is_told_in_ours(written: str) -> None:
    assert reference_meant(written) == ' (did you mean "env:MY_KEY"?)'


@pytest.mark.parametrize(
    "written",
    [
        *("sk-proj-4Qm2vT8sX1kR7dLw", "$ecret", "$SECRETPASS", "PASSW0RD", "AKIAIOSFODNN7EXAMPLE", "ABCD_EFGH_IJKL"),
        *("${", "%20", "", "Bearer sk-1", "gsk_4Qm2vT8sX1kR7dLw", "$2b$12$abcdefghijklmnopqrstuv", None, 7),
    ],
)
def test_what_may_be_the_secret_itself_is_never_repeated(written: object) -> None:
    assert reference_meant(written) == ""


def test_typographic_quotes_around_a_reference_are_told() -> None:
    (line,) = told("auth: open\nproviders:\n  openai: {api_key: \u201cenv:OPENAI_API_KEY\u201d}\n")
    assert line.endswith('(did you mean "env:OPENAI_API_KEY", with plain quotes or none?)')


def test_every_synonym_of_a_kind_leads_to_one_that_is() -> None:
    assert set(KIND_SYNONYMS.values()) <= set(load_catalogue())
    assert not set(KIND_SYNONYMS) & set(load_catalogue())
    assert all(word == word.lower() for word in KIND_SYNONYMS)


@pytest.mark.parametrize(("kind", "meant"), [("Claude", "anthropic"), ("azure_openai", "azure"), ("aws", "bedrock")])
def test_a_kind_by_its_other_name_is_known(kind: str, meant: str) -> None:
    (line,) = told(f"auth: open\nproviders: {{x: {{kind: {kind}, api_key: none, base_url: http://h/v1}}}}\n")
    assert f'unknown kind "{kind}" (did you mean "{meant}"?)' in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # What is no YAML.
        ("a: {b: ${X}}", "1:9: not valid YAML: expected ',' or '}', but got '{'; a variable is written env:NAME"),
        ("a: {b: env: X}", "1:11: not valid YAML: expected ',' or '}', but got ':'; env:NAME and file:PATH have no sp"),
        ("a:\n  b: env: X", "2:9: not valid YAML: mapping values are not allowed here; env:NAME and file:PATH have no"),
        ("a:\n  b: 1\n    c: 2", "3:6: not valid YAML: mapping values are not allowed here; this line is indented too"),
        ('a: 1\nb: "x\nc: 2\n', "4:1: not valid YAML: found unexpected end of stream; what begins on line 2 is not cl"),
        ("a: [1,\n  2\nb: 3\n", "3:2: not valid YAML: expected ',' or ']', but got ':'; what begins on line 1 is not"),
        ("a: 1\n---\nb: 2\n", "2:1: not valid YAML: expected a single document in the stream but found another docume"),
        ("a: " + "[" * 3000, "p.yaml: not valid YAML: brackets are nested too deep"),
        ("a: 1".encode("utf-16"), "1:1: not valid UTF-8; it begins as UTF-16 does: save it as UTF-8"),
        # What stands in another form, or in another place.
        ("providers:\n  - openai", "2:3: a mapping is expected here, not a list: openai: {api_key: env:OPENAI_API_KEY"),
        ("providers:\n  openai: env:OPENAI_API_KEY", "2:11: a mapping is expected here: {api_key: env:OPENAI_API_KEY}"),
        ("providers:\n  vllm: http://h:1/v1", "2:9: a mapping is expected here: {base_url: ...}"),
        ("providers:\n  openai: sk-1234567890", "2:11: a mapping is expected here: {api_key: env:NAME}"),
        ("providers:\n  openai:{a: b}", "2:3: a space belongs behind the colon: openai: {...}"),
        ("providers: {openai: {api_key:sk-1234567890}}", "1:22: a space belongs behind the colon: api_key: ..."),
        ("providers: {openai: {api_key:env:OPENAI_API_KEY}}", "1:22: a space belongs behind the colon: api_key: ..."),
        ("providers:\n  openai:\n  api_key: env:OPENAI_API_KEY", "3:3: api_key is a provider's: indent it by more,"),
        ("providers:\n  openai:\n  base_url: http://h/v1", "3:3: base_url is a provider's: indent it by more,"),
        ("providers:\nopenai: {}", '2:1: unknown key "openai" (write it below providers:, indented'),
        (OPEN + "keys: {app: env:X}", "3:7: a list is expected here: [{name: app, key: env:APP_KEY}]"),
        (OPEN + "keys: sk-1234567890", "3:7: a list is expected here: [{name: app, key: env:APP_KEY}]"),
        (OPEN + "models: [fast]", "3:9: a mapping is expected here, not a list: NAME: {targets: [provider/model]}"),
        (OPEN + "models: {a: openai/gpt-5}", "3:13: write {targets: [openai/gpt-5]}"),
        (OPEN + "models: {a: [openai/gpt-5, openai/gpt-4.1]}", "3:13: write {targets: [openai/gpt-5, openai/gpt-4.1]}"),
        (OPEN + "models: {a: [{x: 1}]}", "3:13: write {targets: [provider/model]}"),
        (OPEN + "models: {a: {targets: ['openai:gpt-5']}}", '"openai:gpt-5" is not provider/model (did you mean "open'),
        (OPEN + "models: {a: {targets: [openai/gpt-5]}, b: {targets: [a]}}", '3:54: "a" is a model of its own, and a'),
        (OPEN + "budgets: [{tenant: acme, limit: 5 USD/day}]", '3:12: unknown key "tenant" (write scope: tenant, matc'),
        (OPEN + "budgets: [{scope: tenant, limit: 5 USD/day, alert_at: 80%}]", "3:55: a list is expected here: [80%]"),
        (OPEN + "limits: [{scope: key, limit: 60/min}]", '3:23: unknown key "limit" (write requests: 600/min, tokens'),
        (OPEN + "server: {ssl: true}", '3:10: unknown key "ssl" (write tls: {cert: cert.pem, key: key.pem}'),
        (OPEN + "port: 8484", '3:1: unknown key "port" (write server: {listen: "127.0.0.1:8484"})'),
        ("providers: {vllm: {base_url: 'https://h/v1', verify: false}}", '1:46: unknown key "verify" (write ca_file:'),
        ("providers: {vllm: {base_url: 'localhost:8000'}}", "name a host: write http://localhost:8000"),
        ("providers: {vllm: {base_url: ' http://h/v1 '}}", "1:30: base_url has spaces around it: leave them out"),
        # Numbers and texts.
        (OPEN + "server: {workers: '4'}", "3:19: workers is a number from 1 to 256: write 4, without quotes"),
        (OPEN + "keys: [{name: 12, key: env:OPENAI_API_KEY}]", 'is expected here, not "12": write it in quotes'),
    ],
)  # fmt: skip
def test_a_wrong_turn_is_told_with_the_way_out(text: str | bytes, said: str) -> None:
    lines = told(text)
    assert any(said in line for line in lines), lines
    assert not any("sk-1234567890" in line for line in lines)


@pytest.mark.parametrize(
    ("target", "meant"),
    [("openai/gpt-5-mni", "openai/gpt-5-mini"), ("openai/openai/gpt-5-mini", "openai/gpt-5-mini")],
)
def test_a_model_that_is_all_but_one_of_the_vendors_is_doubted(target: str, meant: str) -> None:
    tree = read_yaml((OPEN + f"models: {{a: {{targets: [{target}]}}}}").encode(), "p.yaml")
    load_config(tree, ENV)
    assert any(f'(did you mean "{meant}"?)' in doubt for doubt in tree.problems.doubts)


@pytest.mark.parametrize("target", ["openai/gpt-5-mini", "openai/ft:gpt-5-mini:acme::1", "openai/next-years-model"])
def test_a_model_that_is_or_that_nobody_knows_is_not(target: str) -> None:
    tree = read_yaml((OPEN + f"models: {{a: {{targets: [{target}]}}}}").encode(), "p.yaml")
    load_config(tree, ENV)
    assert not tree.problems.doubts


@pytest.mark.parametrize(
    ("kind", "url", "doubted"),
    [
        ("azure", "http://x.openai.azure.com", True),
        ("openai", "http://api.openai.com/v1", True),
        ("azure", "https://x.openai.azure.com", False),
        ("openai", "http://llm.corp.example/v1", False),
        ("azure", "http://localhost:8000", False),
        ("vllm", "http://10.0.0.7:8000/v1", False),
    ],
)
def test_a_vendors_address_by_http_is_doubted(kind: str, url: str, *, doubted: bool) -> None:
    text = f"auth: open\nproviders: {{x: {{kind: {kind}, base_url: '{url}', api_key: env:OPENAI_API_KEY}}}}\n"
    tree = read_yaml(text.encode(), "p.yaml")
    load_config(tree, ENV)
    assert any("the key could be read" in doubt for doubt in tree.problems.doubts) is doubted
