"""The data plane: HTTP/1.1 in, the gateway's call, HTTP/1.1 out. Moves bytes and knows no policy.

The adapter for other servers loads at first use: it reads configurations and opens stores, which a worker, whose
start somebody waits for, never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.server.asgi import asgi_app as asgi_app

__all__ = ["asgi_app"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from penstock.server.asgi import asgi_app

    return asgi_app
