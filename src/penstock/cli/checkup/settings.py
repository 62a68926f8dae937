"""The configuration: whether it can be read, and whether the environment says what it was meant to say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from penstock.cli.checkup.findings import Finding, fail, note, ok
from penstock.config.schema import BUILT_IN, Config, Provider
from penstock.config.stored import stored_of
from penstock.errors import ConfigError
from penstock.providers.catalogue import load_catalogue
from penstock.redact import Secret
from penstock.routing.nearest import nearest

__all__ = ["check_credentials", "check_environment", "explain_config_error"]

CONFIG, KEY = "config", "key"
_UNSET = re.compile(r": ([A-Za-z_][A-Za-z0-9_]*) is not set in the environment(?: \(did you mean .*)?$")
_KEY_WORD = re.compile(r"(?i)key|token|secret")
# As examples have it, or as a template that nobody filled in: <your-key>, sk-..., ${KEY}.
_PLACEHOLDER = re.compile(r"^[<{$]|\.\.\.|^x{4}|^(?:your|insert|replace|todo|placeholder)(?![a-z])", re.I)
_NAMED = re.compile(r"(?:export\s+)?[A-Z][A-Z0-9_]{2,}=[^=]")
_QUOTES = "\"'"
# How the vendors' own keys begin: https://platform.claude.com/docs/en/api/overview, and what OpenAI has issued.
_ANTHROPIC = "sk-ant-"


def explain_config_error(error: ConfigError, env: Mapping[str, str]) -> Iterator[Finding]:
    """A finding for each line of a configuration's error."""
    for line in error.message.splitlines():
        place, colon, told = line.partition(": ")
        unset = _UNSET.search(line)
        if unset:
            near = "" if "did you mean" in told else _similar(unset[1], env)
            meant = f"{near} is set: is it the one that was meant? Else e" if near else "E"
            fix = f"{meant}xport {unset[1]}=..., or write env:{unset[1]}? to do without what it is for until then."
            yield fail(KEY, place, told, fix)
        else:
            fix = error.do or "Mend the file at that place."
            if "cannot be read" in told and not place[-1:].isdigit():
                fix = "Name the file with --config; where PENSTOCK_CONFIG names another, unset that."
            yield fail(CONFIG, place if colon else "", told if colon else line, fix)


def check_environment(config: Config, env: Mapping[str, str]) -> Iterator[Finding]:
    """What the variables of this shell mean to that configuration."""
    real = [provider for provider in config.providers.values() if provider.base_url and not provider.off]
    told = f"{_counted(len(config.providers), 'provider')}, {_counted(len(config.models), 'model')},"
    yield ok(CONFIG, config.source, f"{told} auth: {config.auth}")
    if config.source == BUILT_IN and not real:
        names = dict.fromkeys(row.env for row in load_catalogue().values() if row.env)
        found = ((_similar(name, env), name) for name in names)
        near = next((f"{set_} is set, which is nobody's: is {name} meant? " for set_, name in found if set_), "")
        yield note(
            KEY,
            "",
            "no provider's key is set, so only the simulated provider answers",
            f"{near}Export OPENAI_API_KEY, ANTHROPIC_API_KEY or another vendor's (docs/providers.md), or write a"
            " penstock.yaml; nothing to do if that is what you want.",
        )
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        if env.get(name) and config.source == BUILT_IN:
            yield note(
                "base_url",
                name,
                "is set, and Penstock does not read it: it is for clients",
                "To reach another server, write providers: {NAME: {kind: openai, base_url: ...}} in a penstock.yaml.",
            )


def check_credentials(config: Config) -> Iterator[Finding]:
    """Whether each provider's key looks like one; what it is, is never told."""
    for provider in config.providers.values():
        names = stored_of(provider)
        if names and provider.off:
            told = f"{' and '.join(names)} in the store, which a running gateway reads"
            yield note(KEY, provider.name, told, f"penstock credentials list shows it; set {names[0]} stores it.")
        elif provider.off:
            fix = f"Export it, or take {provider.name} out of the file."
            yield note(KEY, provider.name, f"switched off: {provider.off}", fix)
        elif provider.api_key is not None:
            yield _check_key(provider, provider.api_key)
        elif provider.by_caller:
            yield ok(KEY, provider.name, "each caller brings their own, and Penstock's key in x-penstock-key")
        else:
            yield from (_check_key(provider, each.api_key) for each in provider.credentials)


def _check_key(provider: Provider, key: Secret) -> Finding:
    value, source = key.reveal(), key.source
    if value[0] in _QUOTES or value[-1] in _QUOTES:
        fix = "Take the quotes out of the value; a .env file read by docker or systemd keeps them."
        return fail(KEY, provider.name, f"what {source} leads to stands in quotes, which belong to no key", fix)
    if _PLACEHOLDER.search(value):
        fix = "Put the key itself there, as its vendor shows it."
        return fail(KEY, provider.name, f"what {source} leads to is a placeholder, and no key", fix)
    if _NAMED.match(value):
        fix = "Leave out what stands before the equals sign."
        return fail(KEY, provider.name, f"what {source} leads to begins with a variable's name", fix)
    if value.startswith(_ANTHROPIC) and "api.openai.com" in provider.base_url:
        fix = "Give it an OpenAI key, or write kind: anthropic."
        return fail(KEY, provider.name, f"{source} holds a key of Anthropic's, and this is OpenAI's API", fix)
    if value.startswith("sk-proj-") and "api.anthropic.com" in provider.base_url:
        fix = "Give it an Anthropic key, or write kind: openai."
        return fail(KEY, provider.name, f"{source} holds a key of OpenAI's, and this is Anthropic's API", fix)
    return ok(KEY, provider.name, f"set, by {source}")


def _similar(name: str, env: Mapping[str, str]) -> str:
    """A variable that is set and looks like the one that is not, such as OPENAI_KEY for OPENAI_API_KEY."""
    vendor = name.partition("_")[0]
    candidates = [each for each in env if each.startswith(vendor) and _KEY_WORD.search(each) and env[each].strip()]
    return next(iter(nearest(name, candidates, 1)), "")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
