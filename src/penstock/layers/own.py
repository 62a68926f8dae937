"""A layer of the user's own, behind a fence: what it raises by mistake is told with its name, and never to a caller.

It is given a `Call` and gives one (`call.py`). The call it is given returns a `Reply` or raises a `PenstockError`,
nothing else; what a layer raises of that kind reaches the caller as any other error of ours.
"""

from __future__ import annotations

import logging
import traceback

from penstock.call import Call, Layer, Reply, bound
from penstock.errors import ConfigError, PenstockError
from penstock.messages import Request

__all__ = ["Own", "what_failed"]

log = logging.getLogger("penstock.layers")


class Own:
    """Runs one layer.

    Args:
        layer: makes a call of a call.
        name: as the configuration has it.

    Raises:
        ConfigError: the layer fails as it is made, or gives nothing that can be called.
    """

    def __init__(self, call: Call, layer: Layer, name: str) -> None:
        self._call = call
        self._name = name
        try:
            made = layer(self._inner)
        except Exception as error:
            told = f"it failed as it was made: {what_failed(error)}"
            raise ConfigError(
                f"layers: '{name}': {told}", do="Mend it; a layer is called with the next Call."
            ) from error
        if not callable(made):
            raise ConfigError(
                f"layers: '{name}': it gives a {type(made).__name__}, which cannot be called",
                do="A layer takes a Call and gives a Call.",
            )
        self._layered = bound(made)
        self._given: dict[str, list[Reply]] = {}

    async def __call__(self, request: Request) -> Reply:
        """Raises PenstockError: its own, that of what is inside, or one that says only that something failed."""
        id = request.record.id
        given = self._given[id] = []
        try:
            reply = await self._layered(request)
            if not isinstance(reply, Reply):
                raise TypeError(f"it answered with a {type(reply).__name__}, not with a Reply")
        except BaseException as error:
            for each in given:  # what it took and did not hand on, nobody else closes
                each.close()
            if isinstance(error, PenstockError) or not isinstance(error, Exception):
                raise
            log.error("request %s: the layer %s failed", id, self._name, exc_info=error)
            raise _failed(request) from error
        finally:
            del self._given[id]
        return reply

    async def _inner(self, request: Request) -> Reply:
        try:
            reply = await self._call(request)
            given = self._given.get(request.record.id)
            if given is not None:
                given.append(reply)
            return reply
        except PenstockError:
            raise
        except Exception as error:
            # Told here, so that no layer outside is blamed for it.
            log.error("request %s failed inside Penstock", request.record.id, exc_info=error)
            raise _failed(request) from error


def what_failed(error: Exception) -> str:
    """An exception in one line, with the place where it was raised."""
    where = ""
    if error.__traceback__ is not None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f" ({frame.filename}:{frame.lineno})"
    return f"{type(error).__name__}: {error}{where}"


def _failed(request: Request) -> PenstockError:
    error = PenstockError("something failed inside this gateway", do=f"Report it with the id {request.record.id}.")
    error.code = "internal_error"
    return error
