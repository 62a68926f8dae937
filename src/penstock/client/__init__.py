"""The library's face: `Penstock` for asyncio, `SyncPenstock` for everybody else.

Both hold the same three things: what was asked (`asking`), where it goes (`engines`: a gateway in this process, or
one elsewhere) and the answer being read (`reading`). Imports the gateway and what is below it.
"""

from __future__ import annotations

from penstock.client.penstock import Penstock, Stream
from penstock.client.sync import SyncPenstock, SyncStream

__all__ = ["Penstock", "Stream", "SyncPenstock", "SyncStream"]
