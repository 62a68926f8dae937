"""A certificate and its key as two PEM files: made into a TLS context, or why not, in an operator's words."""

from __future__ import annotations

import os
import ssl

__all__ = ["load_pair", "out_of_date", "why_not"]

# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED:
# https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/
_UNTIMELY = {9: "does not hold yet", 10: "has expired"}
_MAX_BYTES = 1 << 20


def load_pair(cert: str, key: str) -> ssl.SSLContext:
    """What a listener speaks TLS with.

    Raises:
        OSError, ValueError: the pair cannot be used; `why_not` says why.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    # A passphrase would be asked for on the terminal, and the whole process would wait for it.
    context.load_cert_chain(cert, key, password=lambda: b"")
    return context


def why_not(cert: str, key: str, error: Exception) -> str:
    """Why `load_pair` failed. OpenSSL says `PEM lib` to most of it."""
    found: dict[str, bytes] = {}
    for path in (cert, key):
        try:
            with open(path, "rb") as file:
                found[path] = file.read(_MAX_BYTES)
        except (OSError, ValueError) as unread:
            return f"{path} cannot be read: {getattr(unread, 'strerror', None) or 'not a path'}"
    if b"-----BEGIN CERTIFICATE-----" not in found[cert] and b"-----BEGIN TRUSTED CERT" not in found[cert]:
        return f"{cert} holds no certificate in PEM"
    if b" PRIVATE KEY-----" not in found[key]:
        return f"{key} holds no private key in PEM"
    if b"BEGIN ENCRYPTED PRIVATE KEY-----" in found[key] or b"Proc-Type: 4,ENCRYPTED" in found[key]:
        return f"{key} is under a passphrase; without one: openssl pkey -in {os.path.basename(key)} -out NEW"
    reason = getattr(error, "reason", None)
    if reason == "KEY_VALUES_MISMATCH":
        return "the key is not that of the certificate, which has to be the first in its file"
    return str(reason or getattr(error, "strerror", None) or "one of them is damaged")


def out_of_date(context: ssl.SSLContext, cert: str) -> str:
    """What a caller with the right time will say of the certificate's own; empty where that is in order."""
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname = False
    asking.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        asking.load_verify_locations(cafile=cert)
        caller, server = asking.wrap_bio(down, up), context.wrap_bio(up, down, server_side=True)
        for end in (caller, server, caller):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    except ssl.SSLCertVerificationError as error:
        return _UNTIMELY.get(error.verify_code, "")
    except OSError:
        return ""  # what else is wrong with it is not this function's
    return ""
