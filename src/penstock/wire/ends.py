"""Why an answer ended, in the vocabulary's words, where a server says it in another family's.

Gateways and servers in front of other vendors' models pass those vendors' words on under OpenAI's field; a client that
reads an end of turn there does not run the tools it was asked to run, or takes half an answer for a whole one.
"""

from __future__ import annotations

__all__ = ["plain_end"]

_SAME = {
    "stop": ("eos", "eos_token", "end_turn", "stop_sequence", "complete"),
    # Mistral: https://docs.mistral.ai/api; Anthropic, Gemini, Cohere
    "length": ("model_length", "max_tokens", "max_output_tokens", "model_context_window_exceeded"),
    "tool_calls": ("tool_call", "tool_use", "function_call", "function_calls"),
    # Gemini: https://ai.google.dev/api/generate-content#FinishReason; Azure; Bedrock; Alibaba
    "content_filter": (
        *("refusal", "safety", "recitation", "blocklist", "prohibited_content", "spii", "language", "image_safety"),
        *("content_filtered", "guardrail_intervened", "sensitive"),
    ),
}
_PLAIN = {word: plain for plain, words in _SAME.items() for word in (plain, *words)}


def plain_end(reason: str) -> str:
    """`stop`, `length`, `tool_calls` or `content_filter`; "" for a word that nobody knows."""
    return _PLAIN.get(reason) or _PLAIN.get(reason.lower(), "")
