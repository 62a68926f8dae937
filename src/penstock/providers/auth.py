"""How a credential is put on a request, by the scheme the catalogue names."""

from __future__ import annotations

from penstock.redact import Secret

__all__ = ["auth_headers"]


def auth_headers(scheme: str, credential: Secret | None) -> dict[str, str]:
    """The headers that carry `credential`; none without one."""
    if credential is None or scheme == "none":
        return {}
    if scheme == "x-api-key":
        return {"x-api-key": credential.reveal()}
    return {"authorization": f"Bearer {credential.reveal()}"}
