"""Where the demo is shown: wrapped to the terminal's width, plain in a pipe, paced for whoever reads it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence

import click

from penstock.clock import Clock

__all__ = ["Left", "Screen"]

# Wider lines are hard to read, whatever the terminal's width.
WIDEST = 100
NARROWEST = 40
INDENT = "   "
READING_SECONDS = 0.5
_WORDS = re.compile(r"\s*\S+|\s+")
_ERASE_REST = "\033[K"
_ERASE_LINE_ABOVE = "\033[1A\033[2K"
_LEAVE = ("q", "quit", "exit")


class Left(Exception):
    """Whoever was shown something has seen enough."""


class Screen:
    """Writes to stdout.

    Args:
        hurried: pauses are short, instead of waiting for Enter.

    Attributes:
        is_terminal: somebody may be watching.
    """

    def __init__(self, clock: Clock, *, hurried: bool) -> None:
        self._clock = clock
        self.is_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._hurried = hurried or not sys.stdin.isatty()
        self._colour = self.is_terminal and not os.environ.get("NO_COLOR")  # https://no-color.org
        self.width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size().columns - 1))
        self._column = 0
        # A terminal that is not UTF-8 must not end the demo.
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]

    # --- writing

    def line(self, text: str = "") -> None:
        """A line as it is, of any length: what somebody may copy must not be broken."""
        print(text, flush=True)

    def say(self, text: str, indent: str = "", *, strong: str = "") -> None:
        """A paragraph, the words `strong` in it bold."""
        filled = textwrap.fill(text, self.width, initial_indent=indent, subsequent_indent=indent)
        self.line(filled.replace(strong, self.bold(strong)) if strong else filled)

    def title(self, text: str) -> None:
        """The heading of a step."""
        self.line()
        self.line(self.bold(text))

    def code(self, text: str) -> None:
        """What somebody would write."""
        for row in text.strip("\n").splitlines():
            self.line(f"{INDENT}{self._style(row, fg='cyan')}".rstrip())

    def answer(self, text: str) -> None:
        """What a model said."""
        self.line()
        self.say(text, INDENT)

    def facts(self, facts: Sequence[str]) -> None:
        """What there is to know about an answer, in as few lines as hold it."""
        text = ", ".join(fact for fact in facts if fact)
        for row in textwrap.wrap(text, self.width - len(INDENT)):
            self.line(INDENT + self.dim(row))

    def note(self, text: str) -> None:
        """What there is to say about it beyond what was seen."""
        self.line()
        self.say(text, INDENT)

    def piece(self, text: str) -> None:
        """The next piece of a text that comes bit by bit."""
        for word in _WORDS.findall(text):
            if not self._column:
                self._put(INDENT + word.lstrip())
            elif self._column + len(word) > self.width:
                self._put("\n")
                self._column = 0
                self._put(INDENT + word.lstrip())
            else:
                self._put(word)

    def end_pieces(self) -> None:
        """End that text's last line."""
        if self._column:
            self._put("\n")
        self._column = 0

    def row(self, text: str, *, done: bool) -> None:
        """A row of a table that fills while somebody watches; where nobody does, only when it is `done`."""
        fits = len(click.unstyle(text)) <= self.width
        if self.is_terminal and fits:
            sys.stdout.write(f"\r{text}{_ERASE_REST}")
            sys.stdout.flush()
            self._column = 1
            if done:
                self.end_pieces()
        elif done:
            self.line(text)

    def _put(self, text: str) -> None:
        self._column += len(text)
        sys.stdout.write(text)
        sys.stdout.flush()

    # --- styles

    def bold(self, text: str) -> str:
        """`text`, bold where there is colour."""
        return self._style(text, bold=True)

    def dim(self, text: str) -> str:
        """`text`, dim where there is colour."""
        return self._style(text, dim=True)

    def red(self, text: str) -> str:
        """`text`, red where there is colour."""
        return self._style(text, fg="red")

    def green(self, text: str) -> str:
        """`text`, green where there is colour."""
        return self._style(text, fg="green")

    def yellow(self, text: str) -> str:
        """`text`, yellow where there is colour."""
        return self._style(text, fg="yellow")

    def _style(self, text: str, *, fg: str | None = None, bold: bool | None = None, dim: bool | None = None) -> str:
        return click.style(text, fg=fg, bold=bold, dim=dim) if self._colour else text

    # --- pace

    async def pause(self) -> None:
        """Give time to read; nobody reads a pipe. Raises Left: who reads has seen enough."""
        if not self.is_terminal:
            return
        if self._hurried:
            await self._clock.sleep(READING_SECONDS)
            return
        self.line()
        sys.stdout.write(self.dim("Enter goes on, q ends"))
        sys.stdout.flush()
        typed = await _read_line()
        if not typed:
            self.line()
        if not typed or typed.strip().lower() in _LEAVE:
            raise Left
        # The line that Enter ended, and the blank one before it.
        sys.stdout.write(f"{_ERASE_LINE_ABOVE}{_ERASE_LINE_ABOVE}")


async def _read_line() -> str:
    """A line of stdin, "" at its end, without keeping the loop from its other work."""
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[str] = loop.create_future()
    descriptor = sys.stdin.fileno()

    def read() -> None:
        if not typed.done():
            typed.set_result(sys.stdin.readline())

    loop.add_reader(descriptor, read)
    try:
        return await typed
    finally:
        loop.remove_reader(descriptor)
