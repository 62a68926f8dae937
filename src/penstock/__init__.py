"""Penstock: the layer between an application and the LLMs it calls.

`from penstock import Penstock, SyncPenstock`, the errors and the values they speak in. Names load at first use, so
that importing the package alone costs next to nothing; a new public name is a row in the table.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # type checkers take it as true; `typing` itself takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any

    from penstock.call import Call, Layer, Reply
    from penstock.client import Penstock, Stream, SyncPenstock, SyncStream
    from penstock.config.yaml_file import open_config as open_config
    from penstock.errors import (
        BudgetExceeded,
        CallerError,
        CircuitOpen,
        ConfigError,
        Conflict,
        ContentFiltered,
        ContextTooLong,
        DeadlineExceeded,
        EveryDeploymentFailed,
        Forbidden,
        InvalidRequest,
        LargerThanLimit,
        LimitError,
        NotAvailable,
        NotFound,
        Overloaded,
        PenstockError,
        PolicyError,
        ProtocolError,
        RateLimited,
        StreamInterrupted,
        TooLarge,
        Unauthenticated,
        Unavailable,
        UnknownModel,
        UnknownPrice,
        UpstreamContextTooLong,
        UpstreamCredential,
        UpstreamError,
        UpstreamNotFound,
        UpstreamQuota,
        UpstreamRateLimited,
        UpstreamRefused,
        UpstreamTimeout,
    )
    from penstock.events import Event, ToolCallDelta
    from penstock.messages import Embeddings, Message, Request, Response, ToolCall, Usage
    from penstock.version import VERSION as __version__  # noqa: N811

__all__ = [
    "BudgetExceeded",
    "Call",
    "CallerError",
    "CircuitOpen",
    "ConfigError",
    "Conflict",
    "ContentFiltered",
    "ContextTooLong",
    "DeadlineExceeded",
    "Embeddings",
    "Event",
    "EveryDeploymentFailed",
    "Forbidden",
    "InvalidRequest",
    "LargerThanLimit",
    "Layer",
    "LimitError",
    "Message",
    "NotAvailable",
    "NotFound",
    "Overloaded",
    "Penstock",
    "PenstockError",
    "PolicyError",
    "ProtocolError",
    "RateLimited",
    "Reply",
    "Request",
    "Response",
    "Stream",
    "StreamInterrupted",
    "SyncPenstock",
    "SyncStream",
    "TooLarge",
    "ToolCall",
    "ToolCallDelta",
    "Unauthenticated",
    "Unavailable",
    "UnknownModel",
    "UnknownPrice",
    "UpstreamContextTooLong",
    "UpstreamCredential",
    "UpstreamError",
    "UpstreamNotFound",
    "UpstreamQuota",
    "UpstreamRateLimited",
    "UpstreamRefused",
    "UpstreamTimeout",
    "Usage",
    "__version__",
]

_HOMES = {
    "penstock.call": ("Call", "Layer", "Reply"),
    "penstock.client": ("Penstock", "Stream", "SyncPenstock", "SyncStream"),
    # Not public. The YAML parser loads as slowly as all the rest, and this is the one place for late imports.
    "penstock.config.yaml_file": ("open_config",),
    "penstock.events": ("Event", "ToolCallDelta"),
    "penstock.messages": ("Embeddings", "Message", "Request", "Response", "ToolCall", "Usage"),
}
# Every other name is an error's.
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__ and name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "__version__":
        found = import_module("penstock.version").VERSION
    else:
        found = getattr(import_module(_HOME.get(name, "penstock.errors")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
