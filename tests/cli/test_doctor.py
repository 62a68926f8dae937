"""`penstock doctor`: each of the ten commonest mistakes is made, and the fix is named; no key is ever shown."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager, redirect_stderr, redirect_stdout
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from penstock.cli import _cli
from penstock.cli.checkup.machine import check_clock
from penstock.cli.checkup.names import check_models
from penstock.cli.checkup.settings import check_credentials
from penstock.clock import SystemClock
from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.testing import FakeClock, ScriptedUpstream, SimulatedProvider, SimulatedServer
from tests.cli.beside import beside
from tests.cli.running import Ran, penstock
from tests.cli.terminal import terminal
from tests.end_to_end.certificates import Authority
from tests.end_to_end.process import PENSTOCK, Served, environment

SERVER = "server: {{listen: '127.0.0.1:{}', admin: '127.0.0.1:{}'}}"
FAST = "models: {fast: {targets: [sim/small]}}\n"
KEY = "psk_test_0123456789abcdef"


def write(folder: Path, text: str) -> None:
    """A penstock.yaml on ports that nobody else has."""
    with closing(socket.create_server(("127.0.0.1", 0))) as one, closing(socket.create_server(("127.0.0.1", 0))) as two:
        ports = one.getsockname()[1], two.getsockname()[1]
    server = "" if "server:" in text else f"{SERVER.format(*ports)}\n"
    auth = "" if "auth:" in text or "keys:" in text else "auth: open\n"
    (folder / "penstock.yaml").write_text(server + auth + text)


def upstream(base_url: str, **more: str) -> str:
    fields = {"kind": "openai", "base_url": base_url, "api_key": "env:UP_KEY", **more}
    inner = ", ".join(f'{name}: "{value}"' for name, value in fields.items())
    return f"providers: {{up: {{{inner}}}}}\nmodels: {{fast: {{targets: [up/small]}}}}\n"


@contextmanager
def standing(folder: Path, env: Mapping[str, str]) -> Iterator[None]:
    """As somebody in that folder, with that environment."""
    before, home = dict(os.environ), Path.cwd()
    os.environ.clear()
    os.environ.update(environment(**env))
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(home)
        os.environ.clear()
        os.environ.update(before)


def doctor(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """The findings; and what holds of every run. In this process: a new one for each would take a minute in all."""
    out, err = io.StringIO(), io.StringIO()
    with standing(folder, {"UP_KEY": KEY, **(env or {})}), redirect_stdout(out), redirect_stderr(err):
        try:
            code = _cli.main(["doctor", "--json", *arguments], standalone_mode=False)
        except SystemExit as end:
            code = end.code
    assert err.getvalue() == ""
    assert KEY not in out.getvalue()
    told = json.loads(out.getvalue())
    bad = [finding for finding in told["findings"] if finding["status"] == "fail"]
    assert all(finding["fix"] for finding in told["findings"] if finding["status"] != "ok")
    assert told["ok"] == (not bad)
    assert code == (1 if bad else 0)
    found: list[dict[str, Any]] = told["findings"]
    return found


def failure(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The one thing that is wrong."""
    found = doctor(folder, *arguments, env=env)
    bad = [finding for finding in found if finding["status"] == "fail"]
    assert len(bad) == 1, bad
    return bad[0]


def the(found: list[dict[str, Any]], check: str, subject: str = "") -> dict[str, Any]:
    (one,) = [each for each in found if each["check"] == check and subject in each["subject"]]
    return one


@contextmanager
def simulated(**options: Any) -> Iterator[SimulatedServer]:
    tls = options.pop("tls", None)
    with beside(SimulatedServer(SimulatedProvider(SystemClock(), **options), tls=tls)) as server:
        yield server


# --- nothing wrong


def test_all_is_well(tmp_path: Path) -> None:
    with simulated(key=KEY) as provider:
        write(tmp_path, upstream(provider.base_url))
        found = doctor(tmp_path)
        assert {each["status"] for each in found} == {"ok"}
        assert re.search(r"127\.0\.0\.1:\d+: TCP in \d+ ms", the(found, "provider")["told"])
        assert the(found, "key")["told"] == "set, by env:UP_KEY"
        # It was connected to, and asked nothing.
        assert provider.provider.journal.requests == 0
    assert [path.name for path in tmp_path.iterdir()] == ["penstock.yaml"]


def test_asking_costs_nothing(tmp_path: Path) -> None:
    with simulated(key=KEY) as provider:
        write(tmp_path, upstream(provider.base_url))
        found = doctor(tmp_path, "--ask")
        assert {each["status"] for each in found} == {"ok"}
        (seen,) = provider.provider.journal.log
        assert (seen.method, seen.path, seen.body) == ("GET", "/v1/models", b"")


def test_without_a_config(tmp_path: Path) -> None:
    found = doctor(tmp_path)
    key = the(found, "key")
    assert key["status"] == "note"
    assert "only the simulated provider answers" in key["told"]
    assert "Export OPENAI_API_KEY" in key["fix"]
    assert "UP_KEY" not in key["fix"]
    meant = the(doctor(tmp_path, env={"GROQ_KEY": "gsk_0123456789"}), "key")
    assert "GROQ_KEY is set, which is nobody's: is GROQ_API_KEY meant?" in meant["fix"]


# --- 1: a key is not set, or is none


def test_a_key_is_unset(tmp_path: Path) -> None:
    write(tmp_path, "providers:\n  openai: {api_key: env:OPENAI_API_KEY}\n")
    bad = failure(tmp_path, env={"OPENAI_KEY": "sk-proj-0123456789"})
    assert bad["check"] == "key"
    assert re.fullmatch(r"penstock\.yaml:\d+:\d+", bad["subject"])
    assert "OPENAI_API_KEY is not set" in bad["told"]
    assert "OPENAI_KEY is set: is it the one that was meant?" in bad["fix"]
    assert "export OPENAI_API_KEY=" in bad["fix"]
    assert "env:OPENAI_API_KEY?" in bad["fix"]


def test_a_key_is_set_under_a_name_that_nobody_reads(tmp_path: Path) -> None:
    key = the(doctor(tmp_path, env={"ANTHROPIC_APIKEY": "sk-ant-0123456789"}), "key")
    assert "ANTHROPIC_APIKEY is set, which is nobody's" in key["fix"]


def test_a_key_in_quotes(tmp_path: Path) -> None:
    with simulated() as provider:
        write(tmp_path, upstream(provider.base_url))
        bad = failure(tmp_path, env={"UP_KEY": f'"{KEY}"'})
    assert (bad["check"], bad["subject"]) == ("key", "up")
    assert "Take the quotes out" in bad["fix"]


def test_the_other_vendors_key(tmp_path: Path) -> None:
    found = doctor(tmp_path, env={"OPENAI_API_KEY": "sk-ant-0123456789", "ANTHROPIC_API_KEY": "sk-proj-0123456789"})
    assert "Give it an OpenAI key, or write kind: anthropic" in the(found, "key", "openai")["fix"]
    assert "Give it an Anthropic key, or write kind: openai" in the(found, "key", "anthropic")["fix"]


def test_a_key_that_is_refused(tmp_path: Path) -> None:
    with simulated(key="another") as provider:
        write(tmp_path, upstream(provider.base_url))
        assert {each["status"] for each in doctor(tmp_path)} == {"ok"}  # nothing was asked
        bad = failure(tmp_path, "--ask")
    assert bad["check"] == "key"
    assert "401, it refuses env:UP_KEY" in bad["told"]
    assert "Put a valid key there" in bad["fix"]


def test_a_provider_that_wants_a_key_after_all(tmp_path: Path) -> None:
    with simulated(key="another") as provider:
        write(tmp_path, f"providers: {{up: {{kind: vllm, base_url: '{provider.base_url}'}}}}\nauth: open\n")
        bad = failure(tmp_path, "--ask")
    assert bad["check"] == "key"
    assert "401, it wants a key" in bad["told"]
    assert bad["fix"].startswith("Write api_key: env:NAME on the provider")


POOL = """\
providers:
  pooled:
    kind: openai
    base_url: %(url)s
    credentials: [{name: a, api_key: env:UP_KEY}, {name: b, api_key: env:OTHER_KEY}]
  theirs: {kind: openai, base_url: "%(url)s", credentials: caller}
auth: open
"""


def test_every_key_of_a_pool_is_asked_with_and_a_callers_own_is_not(tmp_path: Path) -> None:
    with simulated(key=KEY) as provider:
        write(tmp_path, POOL % {"url": provider.base_url})
        env = {"OTHER_KEY": "sk-other-0123456789"}
        told = [each["told"] for each in doctor(tmp_path, env=env) if each["check"] == "key"]
        assert told[:2] == ["set, by env:UP_KEY", "set, by env:OTHER_KEY"]
        assert told[2].startswith("each caller brings their own")
        bad = failure(tmp_path, "--ask", env=env)
        assert "401, it refuses env:OTHER_KEY" in bad["told"]
        assert provider.provider.journal.requests == 2


def test_a_row_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "providers").mkdir()
    row = 'name = "acme"\nsource = "x"\nurl = "{}"\ndialects = ["openai_chat"]\nenv = "ACME_KEY"\n'
    with simulated(key=KEY) as provider:
        (tmp_path / "providers" / "acme.toml").write_text(row.format(provider.base_url))
        write(tmp_path, "providers: {acme: {}}\nauth: open\n")
        found = doctor(tmp_path, "--ask", env={"ACME_KEY": KEY})
        assert "fail" not in {each["status"] for each in found}
        assert "accepted" in [each["told"] for each in found if each["check"] == "key"][-1]


@pytest.mark.parametrize("value", ["<your-key>", "your-api-key-here", "sk-...", "${OPENAI_API_KEY}", "xxxxxxxx"])
def test_a_placeholder_is_no_key(value: str) -> None:
    (found,) = check_credentials(keyed(value))
    assert (found.status, found.told) == ("fail", "what env:UP_KEY leads to is a placeholder, and no key")
    assert value not in found.told + found.fix


def test_a_whole_line_of_an_env_file_is_no_key() -> None:
    (found,) = check_credentials(keyed("UP_KEY=sk-proj-4Qm2vT8sX1kR7dLw"))
    assert (found.status, found.told) == ("fail", "what env:UP_KEY leads to begins with a variable's name")


@pytest.mark.parametrize("value", ["sk-proj-4Qm2vT8sX1kR7dLw", "EMPTY", "my-vllm-key", "c2VjcmV0Cg==", "ABC123=="])
def test_what_may_be_a_key_is_one(value: str) -> None:
    assert [each.status for each in check_credentials(keyed(value))] == ["ok"]


def keyed(value: str) -> Config:
    own = {"kind": "openai", "base_url": "http://10.0.0.7:8000/v1", "api_key": "env:UP_KEY"}
    return load_config({"auth": "open", "providers": {"up": own}}, {"UP_KEY": value}, serving=False)


def test_a_key_that_may_be_unset(tmp_path: Path) -> None:
    write(tmp_path, 'providers: {sim: {}, openai: {api_key: "env:OPENAI_API_KEY?"}}\ndefault_model: sim/small\n')
    key = the(doctor(tmp_path), "key", "openai")
    assert (key["status"], key["told"]) == ("note", "switched off: OPENAI_API_KEY is not set")


def test_a_key_in_the_store(tmp_path: Path) -> None:
    write(tmp_path, "providers: {sim: {}, openai: {api_key: store:main}}\ndefault_model: sim/small\n")
    key = the(doctor(tmp_path), "key", "openai")
    assert (key["status"], key["told"]) == ("note", "main in the store, which a running gateway reads")
    assert "penstock credentials" in key["fix"]


# --- 2: the base URL is wrong


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_nothing_listens_there(tmp_path: Path) -> None:
    port = free_port()
    write(tmp_path, upstream(f"http://127.0.0.1:{port}/v1"))
    bad = failure(tmp_path)
    assert (bad["check"], bad["subject"]) == ("base_url", "up")
    assert bad["told"] == f"nothing listens at 127.0.0.1:{port}"
    assert "Correct the port in base_url, or start the server" in bad["fix"]


def test_a_host_that_nobody_knows(tmp_path: Path) -> None:
    write(tmp_path, upstream("https://provider.invalid/v1"))
    bad = failure(tmp_path)
    assert bad["check"] == "base_url"
    assert "provider.invalid has no address" in bad["told"]
    assert "Correct the host in base_url" in bad["fix"]


def test_https_where_http_is_spoken(tmp_path: Path) -> None:
    with simulated() as provider:
        write(tmp_path, upstream(provider.base_url.replace("http:", "https:")))
        bad = failure(tmp_path)
        assert bad["check"] == "base_url"
        assert "does not speak TLS" in bad["told"]
        assert bad["fix"] == f"Write base_url: {provider.base_url}"


def test_http_where_https_is_spoken(tmp_path: Path) -> None:
    with simulated(tls=Authority(tmp_path, "root").server_context()) as provider:
        write(tmp_path, upstream(provider.base_url.replace("https:", "http:")))
        bad = failure(tmp_path, "--ask")
    assert bad["check"] in ("base_url", "provider")
    assert "base_url" in bad["fix"]


@pytest.mark.parametrize("end", ["/chat/completions", "/messages", "/embeddings"])
def test_a_whole_endpoint_as_base_url(tmp_path: Path, end: str) -> None:
    with simulated() as provider:
        write(tmp_path, upstream(provider.base_url + end))
        bad = failure(tmp_path)
        assert f"ends with {end}, which is added to it: leave that out" in bad["told"]
        assert bad["fix"] == "Mend the file at that place."


def test_a_base_url_without_its_path(tmp_path: Path) -> None:
    with simulated() as provider:
        bare = provider.base_url.removesuffix("/v1")
        write(tmp_path, upstream(bare))
        hint = the(doctor(tmp_path), "base_url")
        assert (hint["status"], hint["fix"]) == ("note", f"Most servers that speak as OpenAI does want {bare}/v1")
    page = b"HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\n<p/>"
    with beside(ScriptedUpstream(page)) as scripted:
        write(tmp_path, upstream(scripted.base_url.replace("/v1", "/vi")))
        bad = failure(tmp_path, "--ask")
    assert "404 and no list of models" in bad["told"]
    assert "want it to end with /v1" in bad["fix"]


def test_a_variable_that_is_for_clients(tmp_path: Path) -> None:
    hint = the(doctor(tmp_path, env={"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}), "base_url")
    assert hint["status"] == "note"
    assert "Penstock does not read it" in hint["told"]
    assert "base_url: ..." in hint["fix"]


# --- 3: the proxy


def test_a_proxy_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, upstream("https://10.0.0.7:8000/v1"))
    proxy = f"http://user:{KEY}@127.0.0.1:{free_port()}"
    bad = failure(tmp_path, env={"HTTPS_PROXY": proxy})
    assert (bad["check"], bad["subject"]) == ("proxy", "up")
    assert f"by the proxy http://127.0.0.1:{proxy.rpartition(':')[2]}" in bad["told"]
    assert "Correct HTTPS_PROXY" in bad["fix"]
    assert "export NO_PROXY=10.0.0.7" in bad["fix"]


class Refusing(asyncio.Protocol):
    """A proxy's connection that opens no tunnel."""

    def __init__(self, status: int) -> None:
        self._status = status

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert isinstance(self._transport, asyncio.Transport)
        known = data.startswith(b"CONNECT 10.0.0.7:8000 ")
        self._transport.write(b"HTTP/1.1 %d No\r\ncontent-length: 0\r\n\r\n" % (self._status if known else 500))


@asynccontextmanager
async def refusing_proxy(status: int) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(lambda: Refusing(status), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(("status", "told"), [(407, "wants other credentials"), (403, "status 403")])
def test_a_proxy_that_refuses(tmp_path: Path, status: int, told: str) -> None:
    with beside(refusing_proxy(status)) as port:
        write(tmp_path, upstream("https://10.0.0.7:8000/v1"))
        bad = failure(tmp_path, env={"HTTPS_PROXY": f"http://127.0.0.1:{port}"})
    assert bad["check"] == "proxy"
    assert told in bad["told"]
    assert "export NO_PROXY=10.0.0.7" in bad["fix"]


# --- 4: the clock


@pytest.mark.parametrize("days", [(1, 2), (-2, -1)])
def test_a_certificate_of_another_time(tmp_path: Path, days: tuple[int, int]) -> None:
    authority = Authority(tmp_path, "root")
    with simulated(tls=authority.server_context(days=days)) as provider:
        write(tmp_path, upstream(provider.base_url, ca_file="root.pem"))
        bad = failure(tmp_path)
    assert (bad["check"], bad["subject"]) == ("clock", "up")
    assert re.search(r"this machine's clock says \d{4}-\d\d-\d\d \d\d:\d\d UTC", bad["told"])
    assert "Set this machine's clock" in bad["fix"]


@pytest.mark.parametrize(("hours", "how"), [(-5, "ahead of"), (5, "behind")])
def test_a_clock_that_is_off(tmp_path: Path, hours: int, how: str) -> None:
    body = b'{"data": [{"id": "small"}]}'
    date = formatdate(SystemClock().wall() + hours * 3600, usegmt=True).encode()
    with beside(
        ScriptedUpstream(b"HTTP/1.1 200 OK\r\ndate: %b\r\ncontent-length: %d\r\n\r\n%b" % (date, len(body), body))
    ) as up:
        write(tmp_path, upstream(up.base_url))
        bad = failure(tmp_path, "--ask")
    assert bad["check"] == "clock"
    assert re.search(rf"clock is (1799\d|1800\d) s {how} up's", bad["told"])
    assert "timedatectl set-ntp true" in bad["fix"]


def test_a_clock_before_what_is_there(tmp_path: Path) -> None:
    file, clock = tmp_path / "penstock.yaml", FakeClock()
    file.touch()
    os.utime(file, (clock.wall(), clock.wall()))
    assert check_clock(clock, [file, tmp_path / "none"]).status == "ok"
    os.utime(file, (clock.wall(), clock.wall() + 3 * 86400))
    bad = check_clock(clock, [file])
    assert bad.status == "fail"
    assert "Set the clock" in bad.fix


# --- 5: the port is taken


@pytest.mark.parametrize(("which", "option"), [("listen", "--port"), ("admin", "--admin-port")])
def test_a_port_is_taken(tmp_path: Path, which: str, option: str) -> None:
    other = {"listen": "admin", "admin": "listen"}[which]
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        write(
            tmp_path,
            f"server: {{{which}: '127.0.0.1:{port}', {other}: '127.0.0.1:{free_port()}'}}\nproviders: {{sim: {{}}}}\n",
        )
        bad = failure(tmp_path)
    assert (bad["check"], bad["subject"]) == ("port", f"{which} 127.0.0.1:{port}")
    assert bad["told"] == "in use by another program"
    assert f"penstock serve {option} 0" in bad["fix"]
    assert f"sport = :{port}" in bad["fix"]


def test_an_address_of_another_machine(tmp_path: Path) -> None:
    server = f"server: {{listen: '192.0.2.1:8484', admin: '127.0.0.1:{free_port()}'}}\n"
    write(tmp_path, server + "keys: [{name: app, key: env:UP_KEY}]\nproviders: {sim: {}}\n" + FAST)
    bad = failure(tmp_path)
    assert bad["check"] == "port"
    assert "an address of this machine" in bad["fix"]


# --- 6: a certificate


def test_a_private_authority(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path, "root"), Authority(tmp_path, "other")
    with simulated(tls=authority.server_context()) as provider:
        write(tmp_path, upstream(provider.base_url))
        bad = failure(tmp_path)
        assert bad["check"] == "certificate"
        assert "write ca_file: FILE" in bad["fix"]
        write(tmp_path, upstream(provider.base_url, ca_file=other.file.name))
        assert "other.pem does not hold the authority that signed it" in failure(tmp_path)["fix"]
        write(tmp_path, upstream(provider.base_url, ca_file=authority.file.name))
        assert "TCP and TLS in" in the(doctor(tmp_path), "provider")["told"]


def test_a_certificate_of_another_host(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "root")
    with simulated(tls=authority.server_context("127.0.0.2")) as provider:
        write(tmp_path, upstream(provider.base_url, ca_file="root.pem"))
        bad = failure(tmp_path)
    assert bad["check"] == "certificate"
    assert "Write the host in base_url as the certificate names it" in bad["fix"]


def test_the_gateways_own_certificate(tmp_path: Path) -> None:
    Authority(tmp_path, "root").server_context()
    (tmp_path / "server.pem").write_bytes((tmp_path / "provider.pem").read_bytes())
    Authority(tmp_path, "other").server_context()
    server = "server: {listen: '127.0.0.1:%d', admin: '127.0.0.1:%d', tls: {cert: %s, key: %s}}"
    for cert, good in (("provider.pem", True), ("server.pem", False)):
        write(tmp_path, server % (free_port(), free_port(), cert, "provider.pem") + "\nproviders: {sim: {}}\n")
        found = doctor(tmp_path)
        assert (the(found, "certificate")["status"] == "ok") == good
    assert "Give a PEM certificate chain and its key" in the(found, "certificate")["fix"]
    Authority(tmp_path, "past").server_context(days=(-3, -1))
    write(tmp_path, server % (free_port(), free_port(), "provider.pem", "provider.pem") + "\nproviders: {sim: {}}\n")
    bad = the(doctor(tmp_path), "certificate")
    assert (bad["status"], bad["told"].rpartition("/")[2]) == ("fail", "provider.pem has expired")


# --- 7: no route


def test_a_name_that_leads_nowhere(tmp_path: Path) -> None:
    write(
        tmp_path,
        'providers: {sim: {}, openai: {api_key: "env:OPENAI_API_KEY?"}}\n'
        "models: {fast: {targets: [openai/gpt-5-mini]}, slow: {targets: [sim/large]}}\n",
    )
    bad = failure(tmp_path)
    assert (bad["check"], bad["subject"]) == ("route", "fast")
    assert "openai is switched off (OPENAI_API_KEY is not set)" in bad["told"]
    assert "Switch openai on, or give the model a target elsewhere" in bad["fix"]


def test_a_key_that_may_ask_for_nothing(tmp_path: Path) -> None:
    write(tmp_path, "providers: {sim: {}}\nkeys: [{name: app, key: env:UP_KEY}]\n")
    bad = failure(tmp_path)
    assert (bad["check"], bad["subject"]) == ("route", "key app")
    assert "Declare names under models:" in bad["fix"]


# --- 8: a model's name is misspelt


def test_a_misspelt_model(tmp_path: Path) -> None:
    write(
        tmp_path, "providers: {sim: {}}\nmodels: {fast: {targets: [sim/smal]}, odd: {targets: ['sim/small:cut=5']}}\n"
    )
    bad = failure(tmp_path)
    assert (bad["check"], bad["subject"]) == ("model", "fast")
    assert 'sim has no model "smal" (did you mean "small"?)' in bad["told"]
    assert bad["fix"] == "Write one of: small, large, embed."


def test_a_misspelt_model_of_a_real_provider(tmp_path: Path) -> None:
    with simulated(key=KEY) as provider:
        write(tmp_path, upstream(provider.base_url).replace("up/small", "up/smal"))
        assert {each["status"] for each in doctor(tmp_path)} == {"ok"}  # nobody was asked
        bad = failure(tmp_path, "--ask")
    assert 'up has no model "smal" (did you mean "small"?)' in bad["told"]


def test_a_deployment_is_no_model_that_azure_lists() -> None:
    azure = {"kind": "azure", "base_url": "https://x.openai.azure.com", "api_key": "none"}
    written = {
        "auth": "open",
        "providers": {"az": azure, "own": {"kind": "vllm"}},
        "models": {"a": {"targets": ["az/prod-1"]}, "b": {"targets": ["own/lama"]}},
    }
    config = load_config(written, {}, serving=False)
    assert list(check_models(config, {})) == []
    deployment, own = check_models(config, {"az": ["gpt-5-2025-08-07"], "own": ["llama"]})
    assert (deployment.status, own.status) == ("note", "fail")
    assert deployment.told == 'az lists no deployments, so "prod-1" was not looked for'
    assert "penstock rehearse --now" in deployment.fix
    assert own.told == 'own has no model "lama" (did you mean "llama"?)'


def test_a_model_that_this_version_does_not_know(tmp_path: Path) -> None:
    models = "models: {fast: {targets: [openai/gpt-5-mni]}, smart: {targets: [openai/gpt-5]}}"
    write(tmp_path, f"providers: {{openai: {{api_key: env:UP_KEY}}}}\n{models}\n")
    hint = the(doctor(tmp_path), "model")
    assert (hint["status"], hint["subject"]) == ("note", "fast")
    assert "gpt-5-mini" in hint["told"]


def test_a_misspelt_name_in_the_config(tmp_path: Path) -> None:
    write(tmp_path, "providers: {sim: {}}\nmodels: {fast: {targets: [sim/small]}}\ndefault_model: fsat\n")
    bad = failure(tmp_path)
    assert bad["check"] == "config"
    assert 'did you mean "fast"?' in bad["told"]


# --- 9: the state is locked


def test_a_gateway_runs_here_already(tmp_path: Path) -> None:
    """Not a fault: it is told whose the state and the port are, and how it would be stopped."""
    with Served(tmp_path) as served:
        found = doctor(tmp_path)
        state = the(found, "state")
        assert state["status"] == "note"
        assert f"process {served.process.pid}, control plane {served.admin_url}" in state["told"]
        assert f"kill {served.process.pid}" in state["fix"]
        server = f"server: {{listen: '127.0.0.1:{served.port}', admin: '{served.admin_url.removeprefix('http://')}'}}\n"
        write(tmp_path, server + "providers: {sim: {}}\n")
        assert the(doctor(tmp_path), "port", "listen")["status"] == "note"


LOCK = """
import sys
from pathlib import Path
from penstock.stores.lock import StateLock
lock = StateLock(Path.cwd())
print("locked", flush=True)
sys.stdin.read()
"""


def test_the_state_is_locked(tmp_path: Path) -> None:
    write(tmp_path, "providers: {sim: {}}\nmodels: {fast: {targets: [sim/small]}}\n")
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCK], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        bad = failure(tmp_path)
        assert (bad["check"], bad["told"]) == ("state", f"locked by process {holder.pid}, which does not serve")
        assert f"Stop process {holder.pid}" in bad["fix"]
        holder.communicate()
    (tmp_path / "penstock.lock").write_text(json.dumps({"pid": holder.pid, "admin": "http://127.0.0.1:1"}))
    assert the(doctor(tmp_path), "state")["status"] == "ok"  # its owner is gone


# --- 10: the limit of open files


def limited(folder: Path, files: int) -> dict[str, Any]:
    script = f'ulimit -n {files} && exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *PENSTOCK, "doctor", "--json"], cwd=folder, capture_output=True, env=environment()
    )
    return the(json.loads(done.stdout)["findings"], "files")


def test_too_few_open_files(tmp_path: Path) -> None:
    write(tmp_path, "providers: {sim: {}}\nmodels: {fast: {targets: [sim/small]}}\n")
    bad = limited(tmp_path, 256)
    assert bad["status"] == "fail"
    assert bad["told"].startswith("256, which has room for 64 connections")
    assert "ulimit -Hn 65536" in bad["fix"]
    assert limited(tmp_path, 2048)["status"] == "note"


def test_more_connections_than_open_files(tmp_path: Path) -> None:
    server = "server: {max_connections: 5000, listen: '127.0.0.1:%d', admin: '127.0.0.1:%d'}"
    write(tmp_path, server % (free_port(), free_port()) + "\nproviders: {sim: {}}\n")
    bad = limited(tmp_path, 9000)
    assert "max_connections is 5000" in bad["told"]
    assert "LimitNOFILE=10128" in bad["fix"]


# --- how it is told


def test_in_a_pipe_each_thing_is_a_line(tmp_path: Path) -> None:
    write(tmp_path, "providers: {sim: {}}\nmodels: {fast: {targets: [sim/smal]}}\n")
    ran: Ran = penstock(tmp_path, "doctor")
    assert ran.code == 1
    assert "\x1b" not in ran.out
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith((" ", "1 "))] == [
        "ok", "ok", "FAIL", "ok", "ok", "ok", "ok", "ok",
    ]  # fmt: skip
    bad = next(number for number, line in enumerate(lines) if line.startswith("FAIL  model"))
    assert lines[bad + 1].strip() == "fix: Write one of: small, large, embed."
    assert lines[-1] == "1 thing keeps a gateway here from working as it should."


def test_on_a_terminal_it_is_wrapped(tmp_path: Path) -> None:
    write(tmp_path, upstream(f"http://127.0.0.1:{free_port()}/v1"))
    with terminal(tmp_path, "doctor", env={"UP_KEY": KEY}) as shown:
        assert shown.wait() == 1
        assert "\x1b[31m\x1b[1mFAIL" in shown.shown
        # A path is not broken: somebody may want to copy it.
        assert max(len(line) for line in shown.text.splitlines() if str(tmp_path) not in line) <= 80
        assert KEY not in shown.text


def test_a_config_that_is_not_there(tmp_path: Path) -> None:
    bad = failure(tmp_path, env={"PENSTOCK_CONFIG": "nope.yaml"})
    assert (bad["subject"], bad["told"]) == ("nope.yaml", "cannot be read: No such file or directory")
    assert "PENSTOCK_CONFIG" in bad["fix"]


def test_a_config_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text("auth: open\nproviders: {sim: {}}\nmodls: {}\nserver: {prot: 1}\n")
    found = doctor(tmp_path)
    bad = [finding for finding in found if finding["status"] == "fail"]
    assert [finding["subject"] for finding in bad] == ["penstock.yaml:3:1", "penstock.yaml:4:10"]
    assert 'did you mean "models"' in bad[0]["told"]
    assert the(found, "files")
