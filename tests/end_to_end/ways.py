"""The ways a vendor's own client reaches a provider through a real gateway process; each test runs along several.

- sim: no config, no key: the gateway's own simulated provider, which speaks as the client does
- openai: a `penstock.yaml` with keys, and a `kind: openai` provider behind a socket
- anthropic: the same gateway and socket, as a `kind: anthropic` provider
- tls: the same gateway, a `kind: openai` provider behind TLS with a private authority

So OpenAI's client along `anthropic`, and Anthropic's along `openai`, is translated both ways.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import anthropic
import openai
from openai.types.chat import ChatCompletionMessageParam

from penstock.providers.simulated import Seen
from tests.end_to_end.certificates import Authority
from tests.end_to_end.process import Served
from tests.end_to_end.providers import Provider

__all__ = ["APP_KEY", "ENV", "NARROW_KEY", "UP_KEY", "Way", "configure", "user"]

APP_KEY = "psk_app_0123456789abcdef"
NARROW_KEY = "psk_narrow_0123456789abcdef"
UP_KEY = "sk-up-0123456789abcdef"
ENV = {"APP_KEY": APP_KEY, "NARROW_KEY": NARROW_KEY, "UP_KEY": UP_KEY}

CONFIG = """\
server: {listen: "127.0.0.1:0", admin: "127.0.0.1:0", max_body: 4MiB}
providers:
  up:     {kind: openai, base_url: "%(plain)s", api_key: "env:UP_KEY"}
  safe:   {kind: openai, base_url: "%(tls)s", api_key: "env:UP_KEY", ca_file: ours.pem}
  wary:   {kind: openai, base_url: "%(tls)s", api_key: "env:UP_KEY", ca_file: theirs.pem}
  public: {kind: openai, base_url: "%(tls)s", api_key: "env:UP_KEY"}
  claude: {kind: anthropic, base_url: "%(plain)s", api_key: "env:UP_KEY"}
  gone:   {kind: openai, base_url: "http://127.0.0.1:1/v1", api_key: "env:UP_KEY"}
models:
  fast:    {targets: [up/small]}
  private: {targets: [safe/small]}
  easy:   {targets: [up/small], untranslatable: drop}
  easygoing: {targets: [claude/small], untranslatable: drop}
  brief:  {targets: [claude/small], default_max_output: 5}
  claude-opus-4-8: {targets: [up/reasoner]}
  gpt-5-codex: {targets: [claude/reasoner]}
  hasty:
    targets: ["up/small:silence"]
    timeouts: {first_token: 200ms, total: 300ms}
default_model: fast
defaults: {retry: off, breaker: off}   # what providers say shall be seen as they say it
auth: required
keys:
  - {name: app, key: "env:APP_KEY", tenant: acme, models: ["*"], user: trusted}
  - {name: narrow, key: "env:NARROW_KEY", models: [fast]}
"""


@dataclass(frozen=True)
class Way:
    """From a client to a provider.

    Attributes:
        gateway: the process between them.
        prefix: before a model's name.
        key: what the client presents.
        provider: the one behind a socket, if it is.
    """

    gateway: Served
    prefix: str
    key: str
    provider: Provider | None

    def model(self, name: str = "small", script: str = "") -> str:
        """A model's public name, with a fault script."""
        return f"{self.prefix}{name}:{script}" if script else f"{self.prefix}{name}"

    def client(self, *, max_retries: int = 0, **options: Any) -> openai.OpenAI:
        """OpenAI's client; `trust_env` is off so that no proxy of this machine comes between."""
        http = openai.DefaultHttpxClient(trust_env=False, verify=_tls())
        given = {"api_key": self.key, "base_url": self.gateway.base_url, "max_retries": max_retries, "timeout": 20.0}
        return openai.OpenAI(**(given | options), http_client=http)

    def async_client(self, *, max_retries: int = 0) -> openai.AsyncOpenAI:
        """The same for asyncio."""
        return openai.AsyncOpenAI(
            api_key=self.key,
            base_url=self.gateway.base_url,
            max_retries=max_retries,
            timeout=20.0,
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False, verify=_tls()),
        )

    def claude(self, *, max_retries: int = 0, **options: Any) -> anthropic.Anthropic:
        """Anthropic's client."""
        http = anthropic.DefaultHttpxClient(trust_env=False, verify=_tls())
        given = {"api_key": self.key, "base_url": self.gateway.url, "max_retries": max_retries, "timeout": 20.0}
        return anthropic.Anthropic(**(given | options), http_client=http)

    def async_claude(self, *, max_retries: int = 0) -> anthropic.AsyncAnthropic:
        """The same for asyncio."""
        return anthropic.AsyncAnthropic(
            api_key=self.key,
            base_url=self.gateway.url,
            max_retries=max_retries,
            timeout=20.0,
            http_client=anthropic.DefaultAsyncHttpxClient(trust_env=False, verify=_tls()),
        )

    def seen(self, model: str) -> Seen | None:
        """The newest request for a model that reached the provider; None where that cannot be looked into."""
        if self.provider is None:
            return None
        vendors = model.removeprefix(self.prefix)
        return self.provider.journal.find(lambda seen: json.loads(seen.body).get("model") == vendors)

    def ended(self, seen: Seen) -> str:
        """How the provider's side of it ended, once it has."""
        assert self.provider is not None
        self.provider.journal.find(lambda each: each is seen and each.ended is not None)
        return seen.outcome


def configure(folder: Path, provider: Provider, tls_provider: Provider, authority: Authority) -> None:
    """Write what the configured gateway needs into its folder."""
    (folder / "penstock.yaml").write_text(CONFIG % {"plain": provider.base_url, "tls": tls_provider.base_url})
    (folder / "ours.pem").write_bytes(authority.file.read_bytes())
    (folder / "theirs.pem").write_bytes(Authority(folder, "theirs").file.read_bytes())


def user(text: str) -> list[ChatCompletionMessageParam]:
    """The messages of a first turn."""
    return [{"role": "user", "content": text}]


@cache
def _tls() -> ssl.SSLContext:
    # Unused, as gateways listen in plain HTTP, but each client would spend 30 ms on one of its own.
    return ssl.create_default_context()
