"""The command line: one file per command, loaded when it is called, so that `--help` answers at once."""

from __future__ import annotations

import errno
import sys
from importlib import import_module
from typing import NoReturn

import click

from penstock.errors import CallerError, ConfigError, PenstockError
from penstock.version import VERSION

__all__ = ["main"]

COMMANDS = {
    "demo": "A tour in two minutes, no key needed.",
    "serve": "Run the gateway.",
    "chat": "Ask a model once; the answer streams to the terminal.",
    "check": "Check a configuration; print it resolved, or its schema.",
    "doctor": "Find what keeps a gateway from working, and say what to do.",
    "simulate": "Run a configuration against simulated traffic and faults.",
    "usage": "What was spent, by model, user, tag and more.",
    "explain": "Tell what became of a request, and why.",
    "rehearse": "One real token through each target and fallback.",
    "deployments": "See how deployments stand; drain, isolate and restore them.",
    "keys": "Make, list, revoke and rotate callers' keys.",
    "tenants": "Make, list and archive tenants.",
    "limits": "How much may be asked for at a time, and what is left.",
    "budgets": "How much may be used, and what is left.",
    "credentials": "Providers' credentials in the store.",
    "admin": "Who may see and steer a gateway; the admin key.",
    "audit": "Who changed what; whether the log was touched.",
    "db": "How the store stands; bring it to this version.",
    "models": "Search models by what they can do and what they cost.",
    "import": "Another gateway's configuration as ours: LiteLLM's.",
    "version": "Show the versions of Penstock and what it runs on.",
}

# In the contract, not in this version: said so, so that nobody looks for a typo.
LATER = frozenset(("prompts",))

# What other tools call them.
OTHERS = {
    **dict.fromkeys(("start", "run", "up", "proxy", "gateway"), "serve"),
    **dict.fromkeys(("validate", "lint", "config"), "check"),
    **dict.fromkeys(("ask", "prompt", "complete"), "chat"),
    **dict.fromkeys(("health", "status", "diagnose"), "doctor"),
    **dict.fromkeys(("cost", "costs", "spend"), "usage"),
    **dict.fromkeys(("log", "logs", "request", "requests", "trace"), "explain"),
    **dict.fromkeys(("team", "teams", "org", "orgs"), "tenants"),
    **dict.fromkeys(("provider", "providers", "targets"), "deployments"),
    "help": "--help",
}

INTERRUPTED = 130


class LazyGroup(click.Group):
    """Knows the commands' names and first lines; imports a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        # A module cannot be called `import`.
        module = "importing" if cmd_name == "import" else cmd_name
        command: click.Command = import_module(f"penstock.cli.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            _refuse(ctx, args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, message="%(prog)s %(version)s")
def _cli() -> None:
    """Penstock: the layer between an application and the LLMs it calls."""


def main() -> None:
    """Run a command. Exit codes: 0 good, 1 failed, 2 bad input or configuration, 130 interrupted."""
    try:
        code = _cli.main(prog_name="penstock", standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except click.ClickException as error:
        if isinstance(error, click.UsageError):
            # Only for those who mistyped.
            from penstock.cli.advice import advised

            error = advised(error, sys.argv[1:])
        error.show()
        code = error.exit_code
    except PenstockError as error:
        _tell(error)
        code = 2 if isinstance(error, (ConfigError, CallerError)) and not _is_taken(error) else 1
    raise SystemExit(code if isinstance(code, int) else 0)


def _refuse(ctx: click.Context, name: str) -> NoReturn:
    if name in LATER:
        ctx.fail(f"'{name}' is not in this version.")
    # Only for those who mistyped: difflib takes its time to load.
    from penstock.routing.nearest import did_you_mean

    meant = f" (did you mean penstock {OTHERS[name]}?)" if name in OTHERS else did_you_mean(name, COMMANDS)
    ctx.fail(f"No such command '{name}'{meant}.")


def _is_taken(error: PenstockError) -> bool:
    # An address or a state in use is the machine's state; the configuration may well be right.
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.EADDRINUSE, errno.EWOULDBLOCK)


def _tell(error: PenstockError) -> None:
    # A wrong configuration is told as compilers do, `file:line:col: message`, which editors can follow.
    click.echo(error.message if isinstance(error, ConfigError) else f"penstock: {error.message}", file=sys.stderr)
    if error.do:
        click.echo(f"  {error.do}", file=sys.stderr)
