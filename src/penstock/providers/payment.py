"""Each caller's own credential, passed on to a provider that is asked with it."""

from __future__ import annotations

import re

from penstock.errors import Unauthenticated
from penstock.messages import Caller
from penstock.providers.auth import Scheme, auth_headers
from penstock.providers.deployment import Deployment
from penstock.redact import Secret

__all__ = ["CallersOwn"]

# As config/reader.py has it: RFC 9110, section 5.5, visible ASCII only.
_CREDENTIAL = re.compile(r"[\x21-\x7e]+")


class CallersOwn:
    """Passes each caller's own credential on, and no other to nobody (`credentials: caller`).

    Args:
        scheme: how the provider takes a credential.
        keyless: callers need no key of Penstock's, so that what stands in the usual header is the provider's. Else it
            is Penstock's own key, and the provider's only where Penstock's came in `x-penstock-key`.
    """

    def __init__(self, scheme: Scheme, *, keyless: bool) -> None:
        self._scheme = scheme
        self._keyless = keyless

    def paid(self, deployment: Deployment, caller: Caller) -> Deployment:
        """The deployment with the caller's credential.

        Raises:
            Unauthenticated: there is none, or it is none.
        """
        own = caller.provider_credential
        if own is None and self._keyless and b"x-penstock-key" not in caller.headers:
            own = caller.credential
        if own is None or not _CREDENTIAL.fullmatch(own):
            raise Unauthenticated(
                f"{deployment.endpoint.name} is asked with each caller's own credential, and none came",
                do="Send the provider's key in its usual header, and Penstock's own in x-penstock-key.",
            )
        return deployment.at(deployment.endpoint.carrying(auth_headers(self._scheme_of(caller), Secret(own))))

    def _scheme_of(self, caller: Caller) -> Scheme:
        # Anthropic's clients send a token (ANTHROPIC_AUTH_TOKEN, Claude Code's own) as Bearer and a key as x-api-key;
        # other clients know Bearer alone: https://platform.claude.com/docs/en/api/sdks/python
        if b"anthropic-version" in caller.headers and b"authorization" in caller.headers:
            return "bearer"
        return self._scheme
