"""The garbage collector in a process that serves.

Nearly everything a request leaves behind is freed by its reference count; what waits in batches (ended requests, log
lines) only looks like growth to the collector, which then goes over young objects again and again.
"""

from __future__ import annotations

import gc

__all__ = ["settle_collector"]

# Allocations less frees between two looks at the youngest objects (Python's own: 700). What a cycle may hold until
# then is at most as many objects, some megabytes.
YOUNG = 20_000


def settle_collector() -> None:
    """What lives now lives as long as the process: have it left alone, and the rest looked at less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)
