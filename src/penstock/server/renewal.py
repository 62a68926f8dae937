"""Fresh processes on demand (SIGUSR2): every worker is replaced, one after another, and no request is lost by it.

For what only a new process takes, such as memory that is given back, or a mended package. The supervisor itself stays
as it is: another version of Penstock is another `serve`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from penstock.errors import PenstockError

__all__ = ["Renewal"]


class Renewal:
    """Renews the workers when asked, once at a time.

    Args:
        renew: replaces them all; raises PenstockError or OSError where it cannot.
        tell: is told what became of it, in words.
    """

    def __init__(self, renew: Callable[[], Awaitable[None]], tell: Callable[[str], object]) -> None:
        self._renew = renew
        self._tell = tell
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def ask(self) -> None:
        """Begin, unless it is being done or given up."""
        if self._closed:
            self._tell("the workers are not renewed any more: the gateway stops")
        elif self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="renewal")
        else:
            self._tell("the workers are being renewed already")

    def close(self) -> None:
        """Give it up for good; a worker that was not replaced yet stays."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._renew()
        except (PenstockError, OSError) as error:
            self._tell(f"the workers were not all renewed: {error}")
        else:
            self._tell("every worker was renewed")
