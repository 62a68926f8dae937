"""What a call is told to do that got no connection."""

from __future__ import annotations

import ssl

import pytest

from penstock.transport.reasons import unavailable


def invalid(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "as OpenSSL says it"
    return error


def failed(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "x")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "do"),
    [
        (invalid(20), "Name its authority's PEM file as the provider's ca_file."),
        (invalid(10), "Have its certificate renewed; if it is good, set this machine's clock."),
        (invalid(9), "Have its certificate renewed; if it is good, set this machine's clock."),
        (invalid(62), "Write the host in base_url as its certificate names it."),
        (invalid(64), "Write the host in base_url as its certificate names it."),
        (failed("WRONG_VERSION_NUMBER"), "It may speak no TLS: write http:// in base_url, or its TLS port."),
        (failed("INTERNAL_ERROR"), "Check its base_url and that it is up."),
        (ConnectionRefusedError(111, "Connection refused"), "Check its base_url and that it is up."),
    ],
)
def test_what_is_wrong_says_what_to_mend(error: OSError, do: str) -> None:
    assert unavailable(error).do == do
