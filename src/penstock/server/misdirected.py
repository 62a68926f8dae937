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
_CHAT = "Use /v1/chat/completions; clients call it the chat completions API."
_PROMPT = "Send the prompt as a user's message to /v1/chat/completions."
_SINGLY = "Send the calls one by one, to /v1/chat/completions or /v1/messages."
_INLINE = "Send what is in the file with the call: as an image, a document or text of a message."
_PROVIDER = f"Ask the provider for it, at its own address. Routes: {_ROUTES}."
_LATER = {
    "/messages/batches": _SINGLY,
    **dict.fromkeys(("/responses", "/assistants", "/threads", "/conversations", "/realtime"), _CHAT),
    **dict.fromkeys(("/completions", "/complete"), _PROMPT),
    **dict.fromkeys(("/batches", "/jobs"), _SINGLY),
    **dict.fromkeys(("/files", "/uploads", "/vector_stores"), _INLINE),
    **dict.fromkeys(("/audio", "/images", "/videos", "/moderations", "/rerank", "/fine_tuning"), _PROVIDER),
    **dict.fromkeys(("/evals", "/containers", "/skills", "/chatkit", "/organization", "/organizations"), _PROVIDER),
}
# How a base URL may begin: with a vendor's name, without /v1, with it twice, as Azure's clients have it.
_BEGINS = re.compile(r"(?:/(?:openai|anthropic))?(?:/v1){0,2}(?=/)")
# A deployment's name has a slash where it is provider/model.
_DEPLOYED, _DEPLOYED_BELOW = (re.compile(rf"^/deployments/{name}(?=/)") for name in ("[^/]+", "[^/]+/(?!chat/)[^/]+"))
# Of Ollama's own API (https://github.com/ollama/ollama/blob/main/docs/api.md).
_OLLAMA = frozenset(f"/api/{name}" for name in ("chat", "generate", "tags", "show", "embed", "embeddings", "version"))
# What the control plane has, which listens elsewhere.
_CONTROL = ("/api/", "/metrics", "/dashboard", "/admin", "/ui")


def not_found(path: bytes) -> PenstockError:
    """The error for a path that nothing answers at, with the one that was meant where that can be told."""
    shown = path.decode("latin-1")[:200]
    if (later := _later(shown)) is not None:
        return NotAvailable(f"{shown} is not in this version", do=later, status=404)
    if shown in _OLLAMA:
        do = f"Ollama's clients of OpenAI's API work: their base URL ends in /v1. Routes: {_ROUTES}."
        return NotFound(f"there is no {shown} here, which is Ollama's own", do=do)
    if shown.startswith(_CONTROL) and not shown.endswith((*_OPENAI, *_ANTHROPIC, *_OURS)):
        return NotFound(
            f"there is no {shown} here: this is the data plane",
            do="The control plane listens on an address of its own: server.admin, else 127.0.0.1:8485.",
        )
    if shown == "/":
        return NotFound(
            "this is the data plane, it has no page",
            do="POST /v1/chat/completions or /v1/messages; see /v1/models, /healthz.",
        )
    return NotFound(f"there is no {shown}", do=_meant(shown) or f"Routes: {_ROUTES}.")


def _later(shown: str) -> str | None:
    """What to do instead of a route of a later version; None where it is none."""
    if shown == "/v1beta" or shown.startswith(("/v1beta/", "/gemini/")):
        return f"Gemini's models are asked for in OpenAI's words or Anthropic's. Routes: {_ROUTES}."
    plain = re.sub("/+", "/", shown.lower())
    begin = _BEGINS.match(plain)
    rest = plain[begin.end() :] if begin is not None else plain
    if re.fullmatch("/chat/completions/[^/]+(?:/messages)?", rest):
        return "Penstock stores no answers; GET /v1/requests/ID tells what a call took."
    for end in (rest, _DEPLOYED.sub("", rest, 1), _DEPLOYED_BELOW.sub("", rest, 1)):
        for later, said in _LATER.items():
            if end == later or end.startswith(f"{later}/"):
                return said
    return None


def _meant(shown: str) -> str:
    """What to do where the end of a path is a route's; else empty."""
    plain = re.sub("/+", "/", shown.lower().replace("%2f", "/")).rstrip("/")
    tail = next((tail for tail in (*_OPENAI, *reversed(_ANTHROPIC), *_OURS) if plain.endswith(tail)), "")
    if not tail:
        return ""
    twice = plain.split("/").count("v1") > 1
    if tail in _ANTHROPIC and twice:
        return "Anthropic's clients add /v1 themselves: end the base URL before it."
    if "/deployments/" in plain:
        return f"Did you mean /v1{tail}, or /openai/deployments/MODEL{tail}? Azure's clients add /openai themselves."
    said = f"Did you mean /v1{tail}?"
    if tail in _ANTHROPIC:
        return f"{said} Anthropic's clients add /v1 themselves; for others the base URL ends in it."
    if twice:  # as Together's and Groq's clients do
        return f"{said} A client that adds /v1 itself has a base URL that ends before it."
    return f"{said} The base URL ends in /v1." if plain != f"/v1{tail}" else said
