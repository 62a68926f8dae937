"""A thread with an event loop of its own, which runs coroutines for threads that wait for them.

The thread is a daemon and ends before the interpreter does: `stop` runs at exit. Nothing here survives a fork; a
child must make its own.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, Generic, TypeVar

__all__ = ["Background"]

T = TypeVar("T")

# Windows lets nobody interrupt a wait, so that Ctrl-C is seen only between two of them.
_WAIT_SECONDS = 1.0
_CLOSED = "this SyncPenstock is closed"


class Background:
    """The thread and its loop, running from the start.

    Args:
        closing: run on the loop when it stops, after every task has been cancelled.

    Attributes:
        pid: the process it runs in.
    """

    def __init__(self, closing: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.pid = os.getpid()
        self._closing = closing
        self._lock = threading.RLock()
        self._stopped = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="penstock", daemon=True)
        self._thread.start()
        atexit.register(self.stop)

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the loop and wait for its result; an interrupt of the wait cancels it.

        Raises:
            RuntimeError: it is stopped, or called from its own thread.
            whatever the coroutine raises.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("a blocking call on the thread that would have to answer it")
        errand = _Errand(work)
        self._post(errand.start)
        try:
            return errand.wait()
        except BaseException:
            if not errand.future.done():
                self._post(errand.cancel)
                errand.future.exception()
            raise

    def finish(self, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Run a coroutine that cleans up and wait for it; nothing is left to clean where the loop has stopped.

        On the loop's own thread, where the garbage collector may have called, it is not waited for.
        """
        try:
            if threading.current_thread() is self._thread:
                self._post(_Errand(work).start)
            else:
                self.run(work)
        except RuntimeError:
            if self.usable:
                raise

    @property
    def usable(self) -> bool:
        """Whether it runs, in this process."""
        return not self._stopped and self.pid == os.getpid()

    def stop(self, *, wait: bool = True) -> None:
        """Cancel what runs, close, end the thread, and wait for that; further calls do nothing."""
        if self.pid != os.getpid():
            return
        with self._lock:
            if not self._stopped:
                self._stopped = True
                self._loop.call_soon_threadsafe(self._loop.stop)
        atexit.unregister(self.stop)
        if wait and threading.current_thread() is not self._thread:
            self._thread.join()

    def _post(self, callback: Callable[[], object]) -> None:
        # Under the lock, so that whatever is posted stands before the stop, and ends with it.
        with self._lock:
            if not self.usable:
                raise RuntimeError(_CLOSED)
            self._loop.call_soon_threadsafe(callback, context=copy_context())

    def _serve(self) -> None:
        loop = self._loop
        try:
            loop.run_forever()
            loop.run_until_complete(self._wind_up(asyncio.all_tasks(loop)))
        finally:
            loop.close()

    async def _wind_up(self, tasks: set[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._closing()
        await self._loop.shutdown_asyncgens()


class _Errand(Generic[T]):
    """A coroutine on its way to the loop, and its result on the way back."""

    __slots__ = ("_task", "_work", "future")

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self.future: Future[T] = Future()
        self._work = work
        self._task: asyncio.Task[T] | None = None

    def start(self) -> None:
        """On the loop: begin."""
        self._task = asyncio.get_running_loop().create_task(self._work())
        self._task.add_done_callback(self._settle)

    def cancel(self) -> None:
        """On the loop: stop; the future is settled once it has."""
        if self._task is not None:
            self._task.cancel()

    def wait(self) -> T:
        """The result, or what was raised."""
        while True:
            try:
                return self.future.result(_WAIT_SECONDS)
            except TimeoutError:
                if self.future.done():
                    return self.future.result()

    def _settle(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.future.set_exception(RuntimeError(_CLOSED))
        elif (error := task.exception()) is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(task.result())
