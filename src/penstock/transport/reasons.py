"""Why there is no connection, and what to do about it, in the words of the system, of TLS and of a proxy."""

from __future__ import annotations

import ssl

from penstock.errors import Unavailable

__all__ = ["ProxyRefusal", "proxy_out_of_reach", "reason", "unavailable"]

# What OpenSSL's verification says of an authority it does not know: self-signed, alone or in a chain, no issuer.
# https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/
_UNKNOWN_AUTHORITY = frozenset((18, 19, 20, 21))
_OUT_OF_DATE = frozenset((9, 10))
_OTHER_NAME = frozenset((62, 64))


class ProxyRefusal(OSError):
    """A proxy that cannot be reached or does not open the tunnel; `strerror` says why."""

    def __init__(self, why: str) -> None:
        super().__init__(0, why)


def proxy_out_of_reach(error: OSError) -> ProxyRefusal:
    """What failed before the proxy was asked for anything."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return ProxyRefusal(f"the proxy's certificate is not valid: {error.verify_message}")
    return ProxyRefusal(f"the proxy cannot be reached ({reason(error)})")


def unavailable(error: OSError) -> Unavailable:
    """What a call is told that got no connection."""
    return Unavailable(f"no connection to the provider: {reason(error)}", do=_do(error))


def reason(error: OSError) -> str:
    """The error in a few words, without an address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"the TLS handshake failed ({error.reason})"
    if error.strerror:
        return error.strerror
    # Loops raise it with a message of their own, or none.
    return "it closed the connection" if isinstance(error, ConnectionError) else type(error).__name__


def _do(error: OSError) -> str:
    if isinstance(error, ProxyRefusal):
        return "Check the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names, or except the provider by NO_PROXY."
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _UNKNOWN_AUTHORITY:
        return "Name its authority's PEM file as the provider's ca_file."
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _OUT_OF_DATE:
        return "Have its certificate renewed; if it is good, set this machine's clock."
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _OTHER_NAME:
        return "Write the host in base_url as its certificate names it."
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return "It may speak no TLS: write http:// in base_url, or its TLS port."
    return "Check its base_url and that it is up."
