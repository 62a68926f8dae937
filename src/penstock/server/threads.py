"""The threads beside the loop: the store's, the log's.

They have the interpreter for as long as they compute, up to CPython's switch interval of 5 ms: as long as ten requests
take, and the loop waits. A tenth of it costs them little, since they mostly wait for the disk.
"""

from __future__ import annotations

import sys

__all__ = ["SWITCH_SECONDS", "favour_loop"]

SWITCH_SECONDS = 0.0005


def favour_loop() -> None:
    """Have the loop's thread wait for others no longer than that."""
    sys.setswitchinterval(SWITCH_SECONDS)
