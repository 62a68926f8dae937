"""A gateway elsewhere, as an engine: it is called like any OpenAI-compatible provider, by the same `Upstream`.

What differs is told here: the model's name is the gateway's to resolve, its own timeouts decide, and its errors
come back as the classes they had over there.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Mapping
from decimal import Decimal
from urllib.parse import urlsplit

import msgspec

from penstock.call import Reply
from penstock.client.engines import Engine, Receipt, chance
from penstock.client.failures import error_of_gateway, last_value
from penstock.clock import Clock, Ids, SystemClock
from penstock.config.schema import Provider
from penstock.errors import ConfigError, PenstockError, ProtocolError, ProviderAnswer, UpstreamError
from penstock.gateway import endpoint_of
from penstock.layers.trace import Opening
from penstock.messages import Request
from penstock.providers.catalogue import Headers, Row
from penstock.providers.deployment import Deployment
from penstock.providers.upstream import Upstream
from penstock.redact import Secret
from penstock.routing.wishes import HEADERS
from penstock.transport.http import Pool
from penstock.transport.proxy import proxy_for
from penstock.wire.dialect import Dialect
from penstock.wire.embeddings import OpenAIEmbeddings
from penstock.wire.openai_chat import OpenAIChat
from penstock.wire.splice import decode_object, encode_object

__all__ = ["Remote", "check_url", "remote"]

# The gateway bounds every wait itself, by its own configuration. These are only for one that died without a word:
# above its defaults, so that its own error arrives first.
_CONNECT_SECONDS = 5.0
_PATIENCE_SECONDS = 660.0

_ID, _ATTEMPTS, _COST = "x-request-id", "x-penstock-attempts", "x-penstock-cost-usd"
_ROW = Row(
    name="penstock",
    url="http://127.0.0.1:8484/v1",
    dialects=("openai_chat", "openai_embeddings"),
    auth="bearer",
    env="",
    headers=Headers(
        up=("x-penstock-task", "x-penstock-tags", *(name.decode() for name in HEADERS)), down=(_ID, _ATTEMPTS, _COST)
    ),
)
# Goes into a header as it is: RFC 9110, section 5.5.
_MONEY = re.compile(r"[0-9]{1,18}\.[0-9]{9}")
_KEY = re.compile(r"[\x21-\x7e]+")


class _Chat(OpenAIChat):
    """OpenAI's dialect, but a model that nobody named is left out: the gateway has its default."""

    def encode_request(
        self, fields: dict[str, msgspec.Raw], model: str, *, stream: bool, ask_usage: bool = True
    ) -> bytes:
        body = super().encode_request(fields, model, stream=stream, ask_usage=ask_usage)
        return body if model else _without_model(body)


class _Embeddings(OpenAIEmbeddings):
    """The same for embeddings."""

    def encode_request(
        self, fields: dict[str, msgspec.Raw], model: str, *, stream: bool = False, ask_usage: bool = True
    ) -> bytes:
        body = super().encode_request(fields, model)
        return body if model else _without_model(body)


_DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (_Chat(), _Embeddings())}


class Remote:
    """A gateway reached by HTTP.

    Args:
        url: its data plane, with or without `/v1`.
        api_key: None where its auth is open.
        ca_file: PEM file to trust instead of the usual roots.
        env: where a proxy may be named.

    Raises:
        ConfigError: the URL, the proxy or the key cannot be used, or the `ca_file` cannot be read.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        ca_file: str | None = None,
        clock: Clock | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        base = check_url(url, api_key)
        secret = None if api_key is None else Secret(api_key, "api_key")
        proxy = proxy_for(base, env or {})
        provider = Provider(
            name="penstock",
            kind="penstock",
            base_url=base,
            api_key=secret,
            ca_file=ca_file,
            proxy=None if proxy is None else Secret(proxy),
        )
        try:
            self._endpoint = endpoint_of(provider, _ROW)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"ca_file {ca_file}: cannot be used: {error.strerror or error}") from error
        except ValueError as error:
            raise ConfigError(f"the proxy that the environment names {error}") from None
        self._clock = clock if clock is not None else SystemClock()
        self.begin = Opening(Ids(self._clock, chance()), self._clock).record
        self._pool = Pool(self._clock)
        self._upstream = Upstream(self._pool, _DIALECTS, self._clock)
        self._url = base

    def __repr__(self) -> str:
        return f"<Remote {self._url} | {self._pool!r}>"

    async def call(self, request: Request) -> Reply:
        """Raises PenstockError: the gateway's own error by its class, or why the gateway cannot be reached."""
        request.target = Deployment(self._endpoint, request.model, _CONNECT_SECONDS)
        request.wait = request.idle = _PATIENCE_SECONDS
        try:
            reply = await self._upstream(request)
        except UpstreamError as error:
            raise _told(error, self._url) from error
        request.record.adopt(request.attempt)
        if reply.streaming:
            reply.on_end(_adopt, request)
        return reply

    def receipt(self, request: Request, reply: Reply) -> Receipt:
        told = dict(reply.headers)
        attempts = told.get(_ATTEMPTS.encode(), b"")
        request_id = told.get(_ID.encode(), b"").decode("latin-1")
        cost = told.get(_COST.encode(), b"").decode("latin-1")
        return Receipt(
            request_id or request.record.id,
            int(attempts) if attempts.isdigit() else 1,
            Decimal(cost) if _MONEY.fullmatch(cost) else None,
        )

    async def open(self) -> None:
        """Nothing to do."""

    async def aclose(self) -> None:
        await self._pool.aclose()

    def abandon(self) -> None:
        """Nothing to do: its connections are gone with their loop."""


def remote(
    url: str, api_key: str | None = None, ca_file: str | None = None, clock: Clock | None = None
) -> Callable[[], Engine]:
    """Check the arguments of a `Remote` now, and make it later. Raises ConfigError."""
    check_url(url, api_key)
    return lambda: Remote(url, api_key, ca_file, clock, os.environ)


def check_url(url: str, api_key: str | None) -> str:
    """The gateway's base URL, ending in `/v1`.

    Raises:
        ConfigError: the URL or the key cannot be used.
    """
    if api_key is not None and not _KEY.fullmatch(api_key):
        raise ConfigError("api_key: it is empty, or holds characters that no key has")
    parts = urlsplit(url)
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc or parts.query or parts.fragment or not url.isascii() or " " in url:
        raise ConfigError("url: write it as http://host:port or https://host", do="Pass the key as api_key.")
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return base if base.endswith("/v1") else f"{base}/v1"


def _adopt(request: Request) -> None:
    request.record.adopt_stream(request.attempt)


def _told(error: UpstreamError, url: str) -> PenstockError:
    if error.answer is not None:
        told = error_of_gateway(error)
        return _told_by_another(error, error.answer, url) if told is error else told
    # Here the provider that could not be reached is the gateway.
    message = error.message.replace("the provider", f"the gateway at {url}")
    do = "It speaks no TLS there: write http://." if "WRONG_VERSION_NUMBER" in message else "Check that it is up."
    return type(error)(message, do=do, retry_after=error.retry_after, status=error.status)


def _told_by_another(error: UpstreamError, answer: ProviderAnswer, url: str) -> PenstockError:
    """The same error; it says so where no gateway and no provider has said it: a proxy, a control plane, a web page."""
    said = last_value(answer.body)
    told = said if isinstance(said, dict) else {}
    of_gateway = b"x-request-id" in answer.headers or told.get("error")
    if of_gateway or (not answer.headers and not isinstance(error, ProtocolError)):
        return error
    do = told.get("do")  # a control plane's problem
    error.message = f"what answers at {url} is no gateway ({answer.status})"
    error.do = (
        do if isinstance(do, str) else "Check the URL; it may be a proxy's page, or the address of something else."
    )
    error.args = (error.message,)
    return error


def _without_model(body: bytes) -> bytes:
    fields = decode_object(body)
    del fields["model"]
    return encode_object(fields)
