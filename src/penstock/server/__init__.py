"""The data plane: HTTP/1.1 in, the gateway's call, HTTP/1.1 out. Moves bytes and knows no policy."""

from __future__ import annotations

from penstock.server.asgi import asgi_app

__all__ = ["asgi_app"]
