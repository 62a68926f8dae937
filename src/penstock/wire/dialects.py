"""Every dialect by its name: the tables to add a new one to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from penstock.wire.anthropic_count_tokens import AnthropicCountTokens
from penstock.wire.anthropic_messages import AnthropicMessages
from penstock.wire.dialect import ChatDialect, Dialect, Inbound, InboundChat
from penstock.wire.embeddings import OpenAIEmbeddings
from penstock.wire.generate import Generate
from penstock.wire.openai_chat import OpenAIChat

__all__ = ["CALLERS", "CHAT", "DIALECTS", "GENERATE", "estimate"]

_OPENAI_CHAT, _ANTHROPIC_MESSAGES, _COUNT_TOKENS = OpenAIChat(), AnthropicMessages(), AnthropicCountTokens()
_ALL: tuple[Dialect, ...] = (_OPENAI_CHAT, OpenAIEmbeddings(), _ANTHROPIC_MESSAGES, _COUNT_TOKENS)

# What providers speak.
DIALECTS: Mapping[str, Dialect] = MappingProxyType({dialect.name: dialect for dialect in _ALL})

# Those in which conversations are held, so that they can be translated to.
CHAT: Mapping[str, ChatDialect] = MappingProxyType(
    {dialect.name: dialect for dialect in (_OPENAI_CHAT, _ANTHROPIC_MESSAGES)}
)

# Penstock's own contract: spoken by callers only.
GENERATE = Generate()

# What callers speak, where it can be translated from.
CALLERS: Mapping[str, InboundChat] = MappingProxyType({**CHAT, GENERATE.name: GENERATE})

_SPOKEN: tuple[Inbound, ...] = (*_ALL, GENERATE)
for _dialect in _SPOKEN:
    # What an object has itself is read in a fifth of the time that its class's takes, and this is read at each request.
    vars(_dialect).update(name=_dialect.name)


def estimate(dialect: str, fields: dict[str, msgspec.Raw]) -> bytes | None:
    """The answer to a request that needs no model, where the provider has no such thing; None for all others."""
    return _COUNT_TOKENS.estimate_body(fields) if dialect == _COUNT_TOKENS.name else None
