"""What people bring along from other tools, and how the same is said here: asked only about what is wrong. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from penstock.routing.nearest import quoted

__all__ = ["KIND_SYNONYMS", "OF_OTHERS", "foreign_file", "reference_meant", "why_no_credential", "yaml_mending"]

KIND_SYNONYMS: dict[str, str] = {
    **dict.fromkeys(("claude", "anthropic-claude"), "anthropic"),
    **dict.fromkeys(("gpt", "chatgpt", "openai-compatible", "openai_compatible", "openai-like", "custom"), "openai"),
    **dict.fromkeys(("azure_openai", "azure-openai", "azureopenai", "azure_ai", "azure-ai", "aoai"), "azure"),
    **dict.fromkeys(("google", "google-ai-studio", "googleai", "google_genai"), "gemini"),
    **dict.fromkeys(("aws", "aws-bedrock", "amazon", "amazon-bedrock"), "bedrock"),
    **dict.fromkeys(("grok", "x.ai", "x-ai"), "xai"),
    **dict.fromkeys(("lm-studio", "lm_studio"), "lmstudio"),
    **dict.fromkeys(("llamacpp", "llama-cpp", "llama_cpp"), "llama.cpp"),
    **dict.fromkeys(("together_ai", "togetherai"), "together"),
    **dict.fromkeys(("fireworks_ai", "fireworks-ai"), "fireworks"),
    **dict.fromkeys(("simulated", "mock", "fake"), "sim"),
}
"""What others call a kind of provider, in lower case."""

_LISTEN = 'server: {listen: "127.0.0.1:8484"}'
_SERVED = "tls: {cert: cert.pem, key: key.pem}"
_VERIFIED = "ca_file: FILE, with the PEM certificate of a private authority; certificates are always verified"
_DEPLOYMENT = "models: {NAME: {targets: [PROVIDER/DEPLOYMENT]}}; a deployment is the model of its target"
_PROVIDERS = ("anthropic", "azure", "bedrock", "deepseek", "gemini", "groq", "mistral", "openai", "sim", "vllm")
_SCOPES = ("global", "provider", "deployment", "model", "tenant", "project", "key", "user", "task", "tag")

OF_OTHERS: dict[tuple[str, str], str] = {
    **{("config", name): _LISTEN for name in ("port", "host", "bind", "address")},
    **{("config", name): f"it below providers:, indented: providers: {{{name}: ...}}" for name in _PROVIDERS},
    **{("server", name): _LISTEN for name in ("port", "host", "bind", "address")},
    **{("provider", name): _VERIFIED for name in ("verify", "verify_ssl", "ssl_verify", "insecure", "skip_verify")},
    **{
        ("provider", name): _DEPLOYMENT
        for name in ("deployment", "deployment_name", "deployment_id", "azure_deployment")
    },
    **{("provider", name): "models: {NAME: {targets: [PROVIDER/MODEL]}}" for name in ("model", "models")},
    **{("provider", name): "timeouts: {total: 60s} on a model or under defaults" for name in ("timeout",)},
    **{(part, name): f"scope: {name}, match: NAME" for part in ("budget", "limit") for name in _SCOPES},
    ("limit", "limit"): "requests: 600/min, tokens: 200k/min or concurrency: 50",
    **{("server", name): _SERVED for name in ("ssl", "https", "cert", "certfile", "ssl_certfile", "certificate")},
    **{("budget", name): "limit: 50 USD/month, which says both" for name in ("period", "duration", "budget_duration")},
}
"""What to write instead of a key that others have, by the section it stands in."""

# A reference to a variable as shells, Compose, Helm, GitHub, LiteLLM and programs write it.
_NAME = r"(?P<name>[A-Za-z_][A-Za-z0-9_]{0,63})"
_REFERENCES = tuple(
    re.compile(form)
    for form in (
        rf"\$\{{{{?\s*(?:env\.|env:|secrets\.|vars\.)?{_NAME}\s*(?::?[-?+=][^}}]*)?\}}}}?",
        rf"\{{\{{\s*(?:\$?\.?(?:env|ENV|secrets|Values)\.)?{_NAME}\s*\}}\}}",
        rf"(?:os\.environ|os\.getenv|process\.env|ENV|Env|env)[./:]{_NAME}",
        rf"%{_NAME}%",
        # In capitals, and called what secrets are called: anything else may be one itself.
        r"\$?(?P<name>(?:[A-Z0-9]{1,20}_){0,5}(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD)(?:_[A-Z0-9]{1,8})?)",
    )
)
_QUOTES = "\"'\u201c\u201d\u2018\u2019\u00ab\u00bb\u201e"


def reference_meant(written: object) -> str:
    """` (did you mean "env:NAME"?)` for a reference in another tool's words; "" for what may be the secret itself."""
    plain = written.strip().strip(_QUOTES) if isinstance(written, str) else ""
    if plain.startswith("env:") and plain != written:
        return f" (did you mean {quoted(plain[:80])}, with plain quotes or none?)"
    for form in _REFERENCES:
        if (found := form.fullmatch(plain)) is not None:
            return f" (did you mean {quoted('env:' + found['name'])}?)"
    return ""


def why_no_credential(found: str) -> str:
    """Which characters those are, and how they come there; the credential itself is never repeated."""
    if found.lower().startswith("bearer "):
        return ": it begins with Bearer, which is added to it"
    if "\n" in found or "\r" in found:
        return ": it has a line break in it"
    if not found.isascii():
        return ": it has one that is not ASCII, such as an ellipsis or a typographic quote"
    return ": it has a space in it" if " " in found else ""


def foreign_file(names: Collection[str], source: str) -> str:
    """What to do where a whole file is another tool's; empty where it is not."""
    if "model_list" in names:
        path = source if " " not in source else quoted(source)
        command = f"penstock import litellm {path} > penstock.yaml"
        if Path(source).name == "penstock.yaml":  # which a shell would empty before it is read
            command = f"mv {path} litellm.yaml, then penstock import litellm litellm.yaml > {path}"
        return f"this is a configuration of LiteLLM's: {command} says it in Penstock's words, and lists what differs"
    if {"strategy", "targets"} <= set(names) and "providers" not in names:
        return (
            "this is a gateway's configuration in Portkey's form: write the targets' providers under providers:,"
            " and models: {NAME: {targets: [provider/model], strategy: ordered}}"
        )
    return ""


_SPACED = re.compile(r"\b(?:env|file): +\S")
_TEMPLATE = re.compile(r"\$\{|\{\{")
_UNSPACED = re.compile(r"[A-Za-z0-9_-]:[\[{]")
_WORDS: Mapping[str, str] = {
    "'\\t'": "indent with spaces, not with tabs",
    "<block end>": "this line is indented otherwise than those it belongs to",
    "found another document": "write one document: leave out the --- and what follows",
}


def yaml_mending(told: str, line: str, opened: int) -> str:
    """What to do about the mistakes that are made most in YAML, with a semicolon before it; else nothing.

    Args:
        told: the parser's own words.
        line: the text of the line at which it stopped.
        opened: the line on which what it was reading begins, 0 where it is the same.
    """
    said = next((mending for words, mending in _WORDS.items() if words in told), "")
    if not said and _TEMPLATE.search(line):
        said = "a variable is written env:NAME, without ${...} or {{...}}"
    elif not said and _SPACED.search(line):
        said = "env:NAME and file:PATH have no space behind the colon"
    elif not said and opened:
        said = f"what begins on line {opened} is not closed"
    elif not said and _UNSPACED.search(line):
        said = "a space belongs behind the colon"
    elif not said and "mapping values are not allowed" in told:
        said = "this line is indented too far, or its text has a colon and needs quotes"
    return f"; {said}" if said else ""
