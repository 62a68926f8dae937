"""What is said of a path that leads nowhere: mostly a base URL written otherwise, or a route of a later version."""

from __future__ import annotations

import re

from penstock.errors import NotAvailable, NotFound, PenstockError

__all__ = ["not_found"]

_OPENAI = ("/chat/completions", "/embeddings")
_ANTHROPIC = ("/messages", "/messages/count_tokens")
_OURS = ("/models", "/generate")
_ROUTES = ", ".join(f"/v1{tail}" for tail in (*_OPENAI, *_ANTHROPIC, "/generate", "/models"))

# In the contract, not in this version: said so, so that nobody looks for a typo.
_LATER = (
    *("/v1/responses", "/v1/jobs", "/v1/completions", "/v1/messages/batches", "/v1/files", "/v1/batches"),
    *("/v1/audio", "/v1/images", "/v1/moderations", "/v1/rerank", "/v1/realtime", "/v1beta"),
)


def not_found(path: bytes) -> PenstockError:
    """The error for a path that nothing answers at, with the one that was meant where that can be told."""
    shown = path.decode("latin-1")[:200]
    if any(shown == later or shown.startswith(later + "/") for later in _LATER):
        said = "Use /v1/chat/completions; clients call it the chat completions API." if "responses" in shown else ""
        return NotAvailable(f"{shown} is not in this version", do=said or f"Routes: {_ROUTES}.", status=404)
    if shown == "/":
        return NotFound(
            "this is the data plane, it has no page",
            do="POST /v1/chat/completions or /v1/messages; see /v1/models, /healthz.",
        )
    return NotFound(f"there is no {shown}", do=_meant(shown) or f"Routes: {_ROUTES}.")


def _meant(shown: str) -> str:
    """What to do where the end of a path is a route's; else empty."""
    plain = re.sub("/+", "/", shown.lower().replace("%2f", "/")).rstrip("/")
    tail = next((tail for tail in (*_OPENAI, *reversed(_ANTHROPIC), *_OURS) if plain.endswith(tail)), "")
    if not tail:
        return ""
    if tail in _ANTHROPIC and "/v1/v1/" in plain:
        return "Anthropic's clients add /v1 themselves: end the base URL before it."
    if "/deployments/" in plain:
        return f"Did you mean /v1{tail}? Use OpenAI's plain client instead of Azure's, with a base URL ending in /v1."
    said = f"Did you mean /v1{tail}?"
    if tail in _ANTHROPIC:
        return f"{said} Anthropic's clients add /v1 themselves; for others the base URL ends in it."
    return f"{said} The base URL ends in /v1." if plain != f"/v1{tail}" else said
