"""Every dialect by its name: the one table to add a new one to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from penstock.wire.dialect import Dialect
from penstock.wire.embeddings import OpenAIEmbeddings
from penstock.wire.openai_chat import OpenAIChat

__all__ = ["DIALECTS"]

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {dialect.name: dialect for dialect in (OpenAIChat(), OpenAIEmbeddings())}
)
