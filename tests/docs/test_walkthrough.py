"""docs/walkthrough.md, with stand-ins for the vendors: three people set Penstock up, wrong turns and all.

The vendors are gateways of simulated models that speak their APIs and know one key of each; the addresses that the
page's files name are led there. All else is as the page says it.
"""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.docs.pages import Reader, fences, is_followed
from tests.end_to_end.certificates import Authority
from tests.end_to_end.process import Served
from tests.house.trees import ROOT

NAME = "docs/walkthrough.md"
VENDORS = """\
providers: {sim: {}}
models:
  gpt-5-mini: {targets: [sim/small]}
  claude-sonnet-4-5: {targets: [sim/large]}
  prod-1: {targets: [sim/large]}
keys:
  - {name: openai, key: "env:OPENAI"}
  - {name: anthropic, key: "env:ANTHROPIC"}
  - {name: azure, key: "env:AZURE"}
"""
OWN = """\
server: {tls: {cert: provider.pem, key: provider.pem}}
providers: {sim: {}}
models: {llama: {targets: [sim/small]}}
keys: [{name: own, key: "env:VLLM"}]
"""
KEYS = {
    "OPENAI": "sk-proj-4Qm2vT8sX1kR7dLwN9bY3cHf",
    "ANTHROPIC": "sk-ant-api03-7tG5rE2wQ9zXcVbN",
    "AZURE": "7tG5rE2wQ9zXcVbN4Qm2vT8s",
    "VLLM": "corp-8sX1kR7dLwN9bY3c",
}
# A vendor's provider; what is added stands behind all that the page wrote, so that places in messages are the page's.
PROVIDER = re.compile(r"^( +(?:openai|anthropic): +\{[^}\n]*)\}", re.MULTILINE)


class Walker(Reader):
    """A reader whose vendors are the stand-ins.

    Attributes:
        vendors: the stand-in for those that are known by name.
        leads: an address as the page writes it -> where its stand-in listens.
        base_url: where the vendors' own addresses lead.
        authority: the file of the company's authority.
        ports: where a gateway listens by a file that does not say where: those that the page names may be somebody
            else's just now.
    """

    vendors: Served
    leads: dict[str, str]
    base_url: str
    authority: Path
    ports: tuple[int, int]

    def _begin(self) -> None:
        super()._begin()
        self.ports = free_ports()
        self.env["CORP_CA"] = str(self.authority)

    def _write(self, name: str, text: str) -> None:
        super()._write(name, self._led(text) if name.endswith(".yaml") else text)

    def _run(self, command: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
        done = super()._run(command, text)
        for file in self.folder.glob("*.yaml"):  # which a script has written
            led = self._led(file.read_text())
            if led != file.read_text():
                file.write_text(led)
        return done

    def _led(self, text: str) -> str:
        for page, there in self.leads.items():
            text = text.replace(page, there)
        listen, admin = self.ports
        own = f'server: {{listen: "127.0.0.1:{listen}", admin: "127.0.0.1:{admin}"}}\n'
        text = text.replace(own, "")  # which stands behind what the page has added since
        if "\nproviders:" in f"\n{text}" and "server:" not in text:
            text += own
        to = f', base_url: "{self.base_url}"}}'
        return PROVIDER.sub(lambda found: found[0] if "base_url" in found[0] else found[1] + to, text)

    def _there(self, text: str) -> str:
        where = self.base_url.removeprefix("http://").removesuffix("/v1")
        text = super()._there(text)
        for port, named in zip(self.ports, ("8484", "8485"), strict=True):
            text = text.replace(f":{port}", f":{named}")
        text = text.replace(f"{where}: TCP in", "api.openai.com:443: TCP and TLS in")
        for page, there in self.leads.items():
            text = text.replace(there.partition("://")[2], page.partition("://")[2])
        return text


def free_ports() -> tuple[int, int]:
    """Two that nobody listens on."""
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


@pytest.fixture
def walker(tmp_path: Path) -> Iterator[Walker]:
    folders = [tmp_path / name for name in ("vendors", "own", "home", "authority")]
    for folder in folders:
        folder.mkdir()
    vendors, own, home, _ = folders
    authority = Authority(own, "corp-root")
    authority.server_context()
    (vendors / "penstock.yaml").write_text(VENDORS)
    (own / "penstock.yaml").write_text(OWN)
    Walker.authority = authority.file
    with Served(vendors, env=KEYS) as served, Served(own, env=KEYS) as mine, closing(Walker(home)) as made:
        made.vendors, made.base_url = served, served.base_url
        made.leads = {"https://acme.openai.azure.com": served.url, "https://models.corp.example:8443": mine.url}
        yield made


def test_the_walk(walker: Walker) -> None:
    for fence in filter(is_followed, fences(NAME, (ROOT / NAME).read_text())):
        wrong = walker.follow(fence)
        assert not wrong, wrong
    # It was the stand-in that answered, for all of them.
    asked = [line for line in walker.vendors.lines if line["status"] == 200]
    assert {line["key"] for line in asked} >= {"openai", "anthropic", "azure"}


def test_no_key_is_ever_repeated() -> None:
    """What the page says is compared with what was said; so it is enough that the page repeats none."""
    for fence in fences(NAME, (ROOT / NAME).read_text()):
        for line in fence.code.splitlines() if fence.language == "console" else []:
            if not line.startswith(("$ ", "> ")):
                assert not any(key in line for key in KEYS.values())
