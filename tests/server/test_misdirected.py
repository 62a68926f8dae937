"""Paths that nothing answers at: what callers write, and the route they are told they meant."""

from __future__ import annotations

import pytest

from penstock.errors import NotAvailable
from penstock.server.misdirected import not_found

BASE = "The base URL ends in /v1."
TWICE = "A client that adds /v1 itself has a base URL that ends before it."


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/chat/completions", f"Did you mean /v1/chat/completions? {BASE}"),
        ("/embeddings", f"Did you mean /v1/embeddings? {BASE}"),
        ("/models", f"Did you mean /v1/models? {BASE}"),
        ("/generate", f"Did you mean /v1/generate? {BASE}"),
        ("/api/v1/chat/completions", f"Did you mean /v1/chat/completions? {BASE}"),
        ("/v1/v1/embeddings", f"Did you mean /v1/embeddings? {TWICE}"),
        ("/v1/v1/models", f"Did you mean /v1/models? {TWICE}"),
        ("/v1/openai/v1/chat/completions", f"Did you mean /v1/chat/completions? {TWICE}"),
        ("/v1/anthropic/v1/messages", "Anthropic's clients add /v1 themselves: end the base URL before it."),
        ("/v1/chat/completions/", "Did you mean /v1/chat/completions?"),
        ("//v1/chat/completions", "Did you mean /v1/chat/completions?"),
        ("/v1//chat/completions", "Did you mean /v1/chat/completions?"),
        ("/V1/Chat/Completions", "Did you mean /v1/chat/completions?"),
        ("/v1/chat%2Fcompletions", "Did you mean /v1/chat/completions?"),
        ("/messages", "Did you mean /v1/messages? Anthropic's clients add /v1 themselves"),
        ("/v1/messages/", "Did you mean /v1/messages?"),
        ("/messages/count_tokens", "Did you mean /v1/messages/count_tokens?"),
        ("/v1/v1/messages", "Anthropic's clients add /v1 themselves: end the base URL before it."),
        ("/anthropic/v1/v1/messages", "Anthropic's clients add /v1 themselves: end the base URL before it."),
        ("/v1/deployments/gpt-4o/chat/completions", "Did you mean /v1/chat/completions, or /openai/deployments/MODEL/"),
        ("/v1", "Routes: /v1/chat/completions, /v1/embeddings, /v1/messages, "),
        ("/favicon.ico", "Routes: /v1/chat/completions, "),
        ("/", "POST /v1/chat/completions or /v1/messages"),
        ("/v1/completions", "Send the prompt as a user's message"),
        ("/completions", "Send the prompt as a user's message"),
        ("/v1/complete", "Send the prompt as a user's message"),
        ("/responses", "Use /v1/chat/completions"),
        ("/openai/responses", "Use /v1/chat/completions"),
        ("/v1/threads/t1/runs", "Use /v1/chat/completions"),
        ("/openai/deployments/a/b/images/generations", "Ask the provider for it"),
        ("/openai/deployments/a/images/generations", "Ask the provider for it"),
        ("/v1/chat/completions/chatcmpl-1", "Penstock stores no answers"),
        ("/v1/chat/completions/chatcmpl-1/messages", "Penstock stores no answers"),
        ("/v1/chat/completions/chat/completions", f"Did you mean /v1/chat/completions? {BASE}"),
        ("/api/v1/keys", "The control plane listens on an address of its own: server.admin"),
        ("/api/chat", "Ollama's clients of OpenAI's API work: their base URL ends in /v1."),
        ("/api/tags", "Ollama's clients of OpenAI's API work"),
        ("/metrics", "The control plane listens on an address of its own"),
        ("/openai/deployments/a/completions", "Send the prompt as a user's message"),
        ("/v1/audio/transcriptions", "Ask the provider for it"),
        ("/v1/moderations", "Ask the provider for it"),
        ("/v1/fine_tuning/jobs", "Ask the provider for it"),
        ("/v1/files", "Send what is in the file with the call"),
        ("/anthropic/v1/messages/batches", "Send the calls one by one"),
        ("/v1beta/models/x:generateContent", "Gemini's models are asked for in OpenAI's words"),
        ("/v1/responses", "Use /v1/chat/completions"),
        ("/v1/responses/resp_1/cancel", "Use /v1/chat/completions"),
    ],
)
def test_what_was_meant(path: str, told: str) -> None:
    error = not_found(path.encode())
    assert error.status == 404
    assert error.do.startswith(told)


@pytest.mark.parametrize(
    "path", ["/v1/responses", "/v1/messages/batches", "/v1/files/f1", "/v1beta/models/x:countTokens"]
)
def test_what_later_versions_have(path: str) -> None:
    error = not_found(path.encode())
    assert isinstance(error, NotAvailable)
    assert error.message == f"{path} is not in this version"


def test_a_long_path_is_told_in_short() -> None:
    assert len(not_found(b"/v1/" + b"x" * 5000).message) < 250
