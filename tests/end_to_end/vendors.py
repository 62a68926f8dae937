"""Which row of the catalogue a recording goes through, and how a user writes that provider.

The recorded request's own path and credential header are what the row must send, so they are read from the recording
here and never from the row.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from penstock.providers.catalogue import Row, load_catalogue
from tests.wire.corpus import Recording, anthropic_shaped, openai_shaped

__all__ = ["AUTH_HEADERS", "OWN_ADDRESS", "Vendor", "model_of", "path_of", "providers", "vendor_of"]

AUTH_HEADERS = ("authorization", "x-api-key", "api-key")

_OPERATION = re.compile(r"/(chat/completions|embeddings|messages(/count_tokens)?)\Z")
_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)\Z")

# Where the corpus' name for a provider is not the kind's; by provider and base path.
_KINDS = {
    ("azure", "/models"): "azure-inference",
    ("bedrock", "/v1"): "bedrock-mantle",
    # OpenAI's dialect at Anthropic, and vectors of signed bytes at Perplexity: no row has them.
    ("anthropic", "chat/completions"): "openai",
    ("perplexity", "embeddings"): "openai",
}
OWN_ADDRESS: Mapping[tuple[str, str], str] = {
    ("openai", "/v1"): "Anthropic's and Perplexity's, which no row has",
    ("huggingface", "/together/v1"): "one provider's route",
    ("huggingface", "/nebius/v1"): "one provider's route",
    ("huggingface", "/novita/v3/openai"): "one provider's route",
    ("deepseek", "/beta"): "what is tried before it is released",
    ("ollama", "/api"): "its own API, of which the gateway passes what it is given",
}
"""By kind and base path: why it is asked at another path than its row says."""


class Vendor(NamedTuple):
    """A provider in the gateway's configuration.

    Attributes:
        name: what callers put before the model.
        kind: its row.
        path: what is written as its base URL's path.
        api_version: what is written as that, "" for nothing.
    """

    name: str
    kind: str
    path: str
    api_version: str = ""

    @property
    def row(self) -> Row:
        return load_catalogue()[self.kind]

    @property
    def auth(self) -> str:
        """Where the credential is sent, by the vendor's word."""
        return {"anthropic": "x-api-key", "azure": "api-key", "azure-inference": "api-key"}.get(
            self.kind, "authorization"
        )

    @property
    def version(self) -> str:
        """The query of its every request."""
        version = self.api_version or {"azure-inference": "2024-05-01-preview"}.get(self.kind)
        return f"api-version={version}" if version else ""

    @property
    def tells_usage(self) -> bool:
        """Whether it tells a stream's usage by itself, and refuses to be asked for it."""
        return self.kind == "mistral"

    def retold(self, messages: Any) -> Any:
        """The messages that it must get: DeepSeek wants a thought before each call."""
        if self.kind != "deepseek":
            return messages
        thought = {"reasoning_content": " "}
        return [thought | message if message.get("tool_calls") else message for message in messages]

    def written(self, origin: str) -> dict[str, Any]:
        """As in a config file, at another host."""
        entry = {"kind": self.kind, "base_url": origin + self.path, "api_key": "env:UP_KEY"}
        return entry | ({"api_version": self.api_version} if self.api_version else {})


def path_of(recording: Recording) -> str:
    """Where it was asked; one client wrote a slash too many, and one recorder took the whole base URL out."""
    path = re.sub("//+", "/", recording.path)
    return "/v1" + path if recording.host == "localhost" and path == "/chat/completions" else path


def model_of(recording: Recording) -> str:
    """What was asked for: the deployment in the path, before the model in the body."""
    deployment = _DEPLOYMENT.search(_OPERATION.sub("", path_of(recording)))
    if deployment is not None:
        return unquote(deployment.group(1))
    return (recording.request or {}).get("model") or "standard"


def vendor_of(recording: Recording) -> Vendor:
    """The provider that answers as it was recorded."""
    path = path_of(recording)
    operation = _OPERATION.search(path)
    assert operation is not None
    base = path[: operation.start()]
    kind = recording.provider
    for key in (base, operation.group(1)):
        kind = _KINDS.get((recording.provider, key), kind)
    if (kind, base) in OWN_ADDRESS and kind != recording.provider:
        return Vendor(f"{recording.provider}.{kind}", kind, base)
    if (kind, base) in OWN_ADDRESS and base != "/v1":
        return Vendor(kind + base.replace("/", "."), kind, base)
    if _DEPLOYMENT.search(base):
        # Some were put together by hand, without the version that Azure asks for.
        version = recording.query.removeprefix("api-version=") or "2024-10-21"
        return Vendor(f"{kind}.{version}", kind, "", version)
    url = load_catalogue()[kind].url
    return Vendor(kind, kind, urlsplit(url).path.removesuffix("/v1") if kind == "anthropic" else urlsplit(url).path)


@functools.cache
def _vendors() -> Mapping[str, Vendor]:
    found = {vendor.name: vendor for vendor in map(vendor_of, [*openai_shaped(), *anthropic_shaped()])}
    for kind in ("openai", "anthropic"):
        found.setdefault(kind, Vendor(kind, kind, "/v1"))
    return found


def providers(origin: str) -> dict[str, Any]:
    """`providers:` of a configuration for every recording."""
    return {vendor.name: vendor.written(origin) for vendor in _vendors().values()}
