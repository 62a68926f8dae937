"""`penstock chat`: one call, its answer on stdout and nothing else there; all other words go to stderr."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypedDict, Unpack

import click

if TYPE_CHECKING:
    from penstock.client import Penstock
    from penstock.config.schema import Config
    from penstock.errors import PenstockError
    from penstock.events import Event
    from penstock.messages import Response

__all__ = ["command"]

# What a terminal may take for a command of its own, when a model (or whoever wrote its prompt) says it: all control
# characters but tab and newline.
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}


class Options(TypedDict):
    """The command line, as click hands it over."""

    model: str | None
    system: str | None
    user: str | None
    as_json: bool
    path: str | None
    gateway: str | None
    key_env: str | None


@click.command(short_help="Ask a model once.")
@click.argument("prompt")
@click.option("-m", "--model", metavar="NAME", help="Which model; without it the config's default_model.")
@click.option("--system", metavar="TEXT", help="A system prompt.")
@click.option("--user", metavar="NAME", help="Who it is for; goes to the provider as OpenAI's `user`.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end, instead of the text as it comes.")
@click.option("--config", "path", metavar="FILE", help="penstock.yaml; without one ./penstock.yaml, else the default.")
@click.option("--gateway", metavar="URL", help="Ask a running gateway, instead of calling the provider from here.")
@click.option("--key-env", metavar="NAME", help="The variable that holds the gateway's key.")
def command(prompt: str, **options: Unpack[Options]) -> None:
    """Ask a model once; the answer streams to the terminal. A PROMPT of - is read from stdin.

    Without a config file every provider whose key is in the environment can be asked, and the simulated one. Ctrl-C
    stops the call at the provider too.
    """
    words = _read_stdin() if prompt == "-" else prompt
    if not words.strip():
        raise click.UsageError("The prompt is empty.")
    asyncio.run(_chat(_engine(options), words, options))


# --- whom to ask


def _engine(options: Options) -> AbstractAsyncContextManager[Penstock]:
    """A `Penstock`, not yet open; raises ConfigError, click.UsageError."""
    # Loads the engine, which `--help` need not wait for.
    from penstock.cli.settings import find_config, find_folder
    from penstock.cli.usage import STORE
    from penstock.client import Penstock
    from penstock.config.schema import BUILT_IN
    from penstock.errors import ConfigError

    url, key_env = options["gateway"], options["key_env"]
    if url is None:
        if key_env is not None:
            raise click.UsageError("--key-env is for --gateway: name the gateway too.")
        # Where a gateway has kept its books, what this costs belongs into them.
        kept = (find_folder(options["path"], os.environ) / STORE).exists()
        config, _ = find_config(options["path"], serving=False, kept=kept)
        if options["model"] is None and config.source == BUILT_IN and config.default_model is not None:
            _hint(f"No provider's key is set, so {config.default_model} answers, which is simulated.")
        return _in_process(config)
    if options["path"] is not None:
        raise click.UsageError("--config and --gateway exclude each other: a gateway has its own configuration.")
    key = os.environ.get(key_env, "").strip() if key_env is not None else None
    if key == "":
        raise click.UsageError(f"The variable {key_env} that --key-env names is not set.")
    try:
        return Penstock.connect(url, key)
    except ConfigError as error:  # in the library's words
        what, _, why = str(error).partition(": ")
        raise click.UsageError(f"{'--gateway' if what == 'url' else f'The key in {key_env}'}: {why}.") from None


@asynccontextmanager
async def _in_process(config: Config) -> AsyncIterator[Penstock]:
    from penstock.client import Penstock
    from penstock.client.engines import open_engine
    from penstock.clock import SystemClock, SystemRandom

    engine = open_engine(_bookable(config), SystemClock(), SystemRandom())
    try:
        await engine.open()
        yield Penstock.upon(engine)
    finally:
        await engine.aclose()


def _bookable(config: Config) -> Config:
    """The same; without its store where a gateway has that: it is that one's alone to write."""
    import msgspec

    from penstock.config.keeping import MEMORY
    from penstock.errors import ConfigError
    from penstock.stores.lock import StateLock

    if config.state == MEMORY:
        return config
    try:
        StateLock(Path(config.state).parent).release()
    except ConfigError as error:
        if not isinstance(error.__cause__, BlockingIOError):
            raise
        _hint("A gateway runs here, and has this call not in its books: --gateway URL asks it.")
        return msgspec.structs.replace(config, state=MEMORY)
    return config


# --- the call


async def _chat(engine: AbstractAsyncContextManager[Penstock], prompt: str, options: Options) -> None:
    from penstock.clock import SystemClock
    from penstock.errors import PenstockError

    clock = SystemClock()
    screen = _Screen(quiet=options["as_json"])
    started = clock.monotonic()
    async with engine as llm:
        try:
            asked = llm.stream(prompt, model=options["model"], system=options["system"], user=options["user"])
            async with asked as stream:
                async for event in stream:
                    screen.show(event)
        except PenstockError as error:
            raise _helped(error, options) from None
        finally:
            screen.end()
    reply = stream.reply
    if options["as_json"]:
        print(json.dumps(_as_json(reply), ensure_ascii=False))
    else:
        screen.note(_summary(reply, clock.monotonic() - started))


def _helped(error: PenstockError, options: Options) -> PenstockError:
    """The same error; with the name that was meant, where the model is not there and none was offered yet."""
    from penstock.cli.meant import meant_model
    from penstock.cli.settings import find_config
    from penstock.errors import UnknownModel, UpstreamNotFound

    asked = options["model"]
    if isinstance(error, UnknownModel | UpstreamNotFound) and asked is not None and options["gateway"] is None:
        # The error may have told already what is meant, or which variable is not set.
        told = "did you mean" in error.message or "is switched off" in error.message
        if meant := "" if told else meant_model(asked, find_config(options["path"], serving=False)[0]):
            error.do = f"{meant} {error.do[:1].upper()}{error.do[1:]}".strip()
        elif error.message.endswith("_KEY is not set"):
            error.do = f"set it, or {error.do}"
    return error


def _as_json(reply: Response) -> dict[str, Any]:
    import msgspec

    told = {
        "text": reply.text,
        "finish_reason": reply.finish_reason,
        "model": reply.model,
        "usage": msgspec.to_builtins(reply.usage),
        "request_id": reply.request_id,
        "attempts": reply.attempts,
        "cost_usd": None if reply.cost_usd is None else f"{reply.cost_usd:.9f}",
    }
    if reply.message.refusal:
        told["refusal"] = reply.message.refusal
    return told


def _summary(reply: Response, seconds: float) -> str:
    usage = reply.usage
    about = "about " if usage.estimated else ""
    cost = "" if reply.cost_usd is None else f", ${reply.cost_usd:f}"
    told = f"{reply.model}: {about}{usage.input_tokens} + {usage.output_tokens} tokens{cost}, {seconds:.1f} s"
    return told if reply.finish_reason in ("stop", None) else f"{told}, ended by {reply.finish_reason}"


class _Screen:
    """What is shown while the answer comes.

    Args:
        quiet: show nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._out_is_terminal, self._err_is_terminal = sys.stdout.isatty(), sys.stderr.isatty()
        self._last = ""
        self._thinking = False
        for stream in (sys.stdout, sys.stderr):
            # A lone surrogate, or a terminal that is not UTF-8, must not end the answer.
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]

    def show(self, event: Event) -> None:
        """Show a piece of the answer, or of the reasoning before it."""
        if self._quiet or event.choice:
            return
        if event.kind in ("text", "refusal"):
            self._stop_thinking()
            _write(sys.stdout, event.text, harmless=self._out_is_terminal)
            self._last = event.text or self._last
        elif event.kind == "reasoning" and self._err_is_terminal:
            self._thinking = True
            _write(sys.stderr, _dim(event.text.translate(_CONTROLS)))

    def end(self) -> None:
        """End the line that the answer left open, however it ended."""
        self._stop_thinking()
        if self._last and not self._last.endswith("\n"):
            _write(sys.stdout, "\n")
        self._last = ""

    def note(self, text: str) -> None:
        """A line about the answer, for somebody who watches."""
        _hint(text.translate(_CONTROLS))

    def _stop_thinking(self) -> None:
        if self._thinking:
            self._thinking = False
            _write(sys.stderr, "\n")


def _hint(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(_dim(text), err=True)


def _write(stream: TextIO, text: str, *, harmless: bool = False) -> None:
    stream.write(text.translate(_CONTROLS) if harmless else text)
    stream.flush()


def _dim(text: str) -> str:
    # https://no-color.org
    return text if os.environ.get("NO_COLOR") else click.style(text, dim=True)


def _read_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"stdin is not valid UTF-8 (byte {error.start}).") from None
