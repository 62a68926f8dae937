"""The way to each provider: a connection as the gateway would open it, by TCP, proxy and TLS, and then closed.

Nothing is sent unless it is asked for; then one GET of the list of models, which costs nothing anywhere.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable
from typing import NamedTuple

from penstock.cli.checkup.asking import ask_for_models
from penstock.cli.checkup.findings import Finding, fail, note, ok
from penstock.cli.checkup.machine import CLOCK, say_time
from penstock.clock import Clock
from penstock.config.kinds import rows_of
from penstock.config.schema import Config, Provider
from penstock.errors import PenstockError, UpstreamTimeout
from penstock.gateway import endpoint_of
from penstock.providers.catalogue import Row
from penstock.providers.listing import CONNECT_SECONDS
from penstock.transport.http import Connection, Origin, Pool
from penstock.transport.reasons import ProxyRefusal

__all__ = ["Reached", "check_base_url", "check_providers"]

PROVIDER, BASE_URL, PROXY, CERTIFICATE, KEY = "provider", "base_url", "proxy", "certificate", "key"
# What OpenSSL's verification says: https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/
_NOT_YET, _EXPIRED, _SELF_SIGNED, _SELF_SIGNED_ROOT, _NO_ISSUER, _UNVERIFIED = 9, 10, 18, 19, 20, 21
_HOST, _ADDRESS = 62, 64
# Ends of URLs that clients add themselves to a base URL.


class Reached(NamedTuple):
    """What came of the way to one provider.

    Attributes:
        models: those it says it has; empty where it was not asked or did not say.
    """

    provider: str
    findings: list[Finding]
    models: list[str]


async def check_providers(config: Config, clock: Clock, *, ask: bool) -> list[Reached]:
    """Every provider that is on and is not in this process, all at the same time.

    Args:
        ask: also ask for the list of models, with the provider's own key.
    """
    pool = Pool(clock)
    try:
        rows = rows_of(config)
        wanted = [each for each in config.providers.values() if each.base_url and not each.off]
        return list(await asyncio.gather(*(_reach(each, rows[each.kind], pool, clock, ask=ask) for each in wanted)))
    finally:
        await pool.aclose()


def check_base_url(provider: Provider) -> Iterable[Finding]:
    """What can be seen of a base URL without going there."""
    url = provider.base_url
    if url.count("/") == 2 and provider.kind == "openai":
        yield note(
            BASE_URL, provider.name, f"{url} has no path", f"Most servers that speak as OpenAI does want {url}/v1"
        )


async def _reach(provider: Provider, row: Row, pool: Pool, clock: Clock, *, ask: bool) -> Reached:
    findings = list(check_base_url(provider))
    models: list[str] = []
    endpoint = endpoint_of(provider, row)
    connection: Connection | None = None
    started = clock.monotonic()
    try:
        connection = await pool.connect(endpoint.origin, CONNECT_SECONDS)
        took = f"{(clock.monotonic() - started) * 1e3:.0f} ms"
        findings.append(ok(PROVIDER, provider.name, f"{_way(endpoint.origin, provider)} in {took}"))
        if ask:
            asked, models = await ask_for_models(provider, row, pool, clock)
            findings += asked
    except PenstockError as error:
        findings.append(_explain(provider, endpoint.origin, error, clock, vendors=provider.base_url == row.url))
    finally:
        if connection is not None:
            connection.discard()
    return Reached(provider.name, findings, models)


def _way(origin: Origin, provider: Provider) -> str:
    how = "TCP and TLS" if origin.tls is not None else "TCP"
    if provider.proxy is not None:
        reached = "the proxy answers; the way behind it is not known" if origin.rewrite is not None else how
        return f"{origin.host}:{origin.port} by the proxy {provider.proxy.source}: {reached}"
    return f"{origin.host}:{origin.port}: {how}"


# --- what went wrong


def _explain(provider: Provider, origin: Origin, error: PenstockError, clock: Clock, *, vendors: bool) -> Finding:
    """`vendors`: whether it is the vendor's own address, which the user has not written."""
    cause, name, where = error.__cause__, provider.name, f"{origin.host}:{origin.port}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _explain_certificate(provider, cause, where, clock)
    if isinstance(cause, ProxyRefusal) or (provider.proxy is not None and not isinstance(cause, ssl.SSLError)):
        by = provider.proxy.source if provider.proxy is not None else "the proxy"
        fix = f"Correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or go there directly: export NO_PROXY={origin.host}"
        if cause is not None and isinstance(cause.__cause__, ssl.SSLCertVerificationError):
            fix = "If it is in order, write ca_file: FILE with the PEM certificate of the proxy's authority."
        return fail(PROXY, name, f"{where} by the proxy {by}: {error.message}", fix)
    if isinstance(cause, ssl.SSLError):
        if cause.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
            fix = f"Write base_url: {provider.base_url.replace('https:', 'http:', 1)}"
            return fail(BASE_URL, name, f"{where} does not speak TLS", fix)
        return fail(CERTIFICATE, name, f"{where}: {error.message}", "Ask whoever runs it which TLS it speaks.")
    if isinstance(cause, socket.gaierror):
        told = f"{origin.host} has no address: {cause.strerror}"
        if vendors:
            fix = "This machine has no network or no DNS; where a proxy is the way out, export HTTPS_PROXY=http://host:port"
            return fail(PROVIDER, name, told, fix)
        fix = "Correct the host in base_url; if it is right, this machine's DNS (/etc/resolv.conf) does not know it."
        return fail(BASE_URL, name, told, fix)
    if isinstance(cause, ConnectionRefusedError) and not vendors:
        fix = "Correct the port in base_url, or start the server."
        return fail(BASE_URL, name, f"nothing listens at {where}", fix)
    if isinstance(error, UpstreamTimeout):
        fix = "A firewall may drop it: allow this machine to reach it, or name a proxy in HTTPS_PROXY."
        return fail(PROVIDER, name, f"{where} does not answer within {CONNECT_SECONDS:g} s", fix)
    return fail(PROVIDER, name, f"{where}: {error.message}", "Check base_url, and the network between.")


def _explain_certificate(provider: Provider, cause: ssl.SSLCertVerificationError, where: str, clock: Clock) -> Finding:
    code, name = cause.verify_code, provider.name
    told = f"{where}: its certificate is not valid: {cause.verify_message}"
    if code in (_NOT_YET, _EXPIRED):
        now = say_time(clock.wall())
        fix = "Set this machine's clock (timedatectl set-ntp true); if it is right, the server needs a new certificate."
        return fail(CLOCK, name, f"{told}; this machine's clock says {now}", fix)
    if code in (_HOST, _ADDRESS):
        fix = "Write the host in base_url as the certificate names it, or have one made for this name."
        return fail(CERTIFICATE, name, told, fix)
    if code in (_SELF_SIGNED, _SELF_SIGNED_ROOT, _NO_ISSUER, _UNVERIFIED):
        fix = "A private authority, or a proxy that reads TLS: write ca_file: FILE with its PEM certificate."
        if provider.ca_file is not None:
            fix = f"{provider.ca_file} does not hold the authority that signed it: put that one in."
        return fail(CERTIFICATE, name, told, fix)
    return fail(CERTIFICATE, name, told, "Have the server's certificate renewed, or write ca_file: FILE.")
