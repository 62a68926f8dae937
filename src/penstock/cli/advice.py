"""What to write instead of an option, a word or a command that is none here but is elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import click

__all__ = ["advised"]

_LISTEN = "Write --host and --port, or server.listen in the configuration."
_TLS = "TLS is server.tls in the configuration."
_LOG = "What became of a request is in its log line and in `penstock explain ID`."
_DECLARED = "It stands in the configuration, under providers: and models:."
_OPTIONS = {
    **dict.fromkeys(("--listen", "--bind", "--address", "--addr"), _LISTEN),
    **dict.fromkeys(("--tls", "--cert", "--key", "--ssl", "--ssl-certfile", "--ssl-keyfile"), _TLS),
    **dict.fromkeys(("--debug", "--verbose", "-v", "--log-level", "--detailed_debug"), _LOG),
    **dict.fromkeys(("--model", "--models", "--provider", "--api-key", "--api-base", "--base-url"), _DECLARED),
}
# What holds for a key or a tenant is made by itself.
_SPENT = "A budget is made by itself: penstock budgets create --scope {0} --match NAME --limit '50 USD/month'."
_ALLOWED = "A limit is made by itself: penstock limits create --scope {0} --match NAME --{1}."
_SCOPES = {"keys": "key", "tenants": "tenant"}
_RULES = {
    **dict.fromkeys(("--budget", "--max-budget", "--limit", "--spend", "--spend-limit", "--budget-duration"), _SPENT),
    **dict.fromkeys(("--rpm", "--rpm-limit", "--requests", "--rate-limit", "--rate", "--limits"), "requests 600/min"),
    **dict.fromkeys(("--tpm", "--tpm-limit", "--tokens"), "tokens 200k/min"),
    **dict.fromkeys(("--concurrency", "--max-parallel-requests"), "concurrency 20"),
}
# What the commands under another are called elsewhere; the first that there is.
_VERBS = {
    **dict.fromkeys(("add", "new", "make", "generate"), ("create", "set")),
    **dict.fromkeys(("delete", "rm", "del"), ("remove", "revoke", "archive")),
    **dict.fromkeys(("get", "info", "describe"), ("show",)),
    **dict.fromkeys(("update", "edit", "set"), ("change",)),
    **dict.fromkeys(("migrate",), ("upgrade",)),
}


def advised(error: click.UsageError, typed: Sequence[str]) -> click.UsageError:
    """The same with what to do about it, where that is plain.

    Args:
        typed: the whole command line, but for the program's name.
    """
    name = error.ctx.info_name if error.ctx is not None else ""
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        advice = _option(error.option_name, error.ctx, typed)
        # With ours, click's guess by letters is not worth the line.
        return click.UsageError(f"{error.message} {advice}", error.ctx) if advice else error
    advice = ""
    if error.message.startswith("Got unexpected extra argument"):
        if ".yaml" in error.message or ".yml" in error.message:
            advice = ". A configuration is named by --config FILE."
        elif name == "chat":
            advice = ". Put the prompt in quotes."
    elif error.message.startswith("No such command") and error.ctx is not None:
        if name == "import":
            advice = " Say whose file it is: penstock import litellm FILE."
        elif isinstance(error.ctx.command, click.Group) and error.ctx.parent is not None:
            advice = _verb(error.message.split("'")[1], error.ctx.command)
    return click.UsageError(error.message + advice, error.ctx) if advice else error


def _option(name: str, where: click.Context, typed: Sequence[str]) -> str:
    """What to write for an option that the command has not got, "" where nobody can tell."""
    if isinstance(where.command, click.Group):
        before = typed[: typed.index("serve")] if "serve" in typed else ()
        return f"Options come after the command: penstock serve {' '.join(before)}" if before else ""
    # `-p`, and `--config-file`.
    word = name.strip("-").partition("-")[0]
    for each in where.command.params:
        for option in each.opts:
            if option == f"--{word}" or (len(name) == 2 and option.startswith(f"--{word}")):
                return f"Write {option}."
    if where.info_name == "serve":
        return _OPTIONS.get(name, "")
    scope = _SCOPES.get(where.parent.info_name or "", "") if where.parent is not None else ""
    rule = _RULES.get(name.replace("_", "-"), "") if scope else ""
    return rule.format(scope) if rule == _SPENT or not rule else _ALLOWED.format(scope, rule)


def _verb(wrong: str, group: click.Group) -> str:
    return next((f" Did you mean '{verb}'?" for verb in _VERBS.get(wrong, ()) if verb in group.commands), "")
