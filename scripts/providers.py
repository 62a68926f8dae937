"""Write docs/providers.md: the catalogue as a page, drawn from its rows.

tests/house asserts that the file is current (`make docs`), and that its example of a row is a good one.
"""

from __future__ import annotations

from collections.abc import Iterator

from penstock.providers.catalogue import Row, load_catalogue
from scripts.pages import write_pages

__all__ = ["EXAMPLE", "MEANINGS", "draw", "main"]

DIALECTS = {
    "openai_chat": "chat",
    "openai_embeddings": "embeddings",
    "anthropic_messages": "messages",
    "anthropic_count_tokens": "count_tokens",
}
MEANINGS = {
    "no_stream_options": "`stream_options` is left out; the usage comes all the same",
    "max_tokens": "`max_completion_tokens` is said as `max_tokens`",
    "system_role": "the role `developer` is said as `system`",
    "thought_with_calls": "calls of tools without `reasoning_content` get a space as the thought before them",
    "signed_calls": "calls of tools without a thought's signature get Google's word for that",
    "no_store": "`store: false` is left out",
    "no_service_tier": '`service_tier: "auto"` and `"default"` are left out',
    "no_parallel_tool_calls": "`parallel_tool_calls: true` is left out",
    "no_penalties": "penalties of 0 are left out",
    "no_logprobs": "`logprobs: false`, an empty `logit_bias` and `top_logprobs: 0` are left out",
}
_INTRO = """\
# Providers

Drawn from the catalogue by `make docs`; do not edit. Each row is a file in
[src/penstock/providers/catalogue](../src/penstock/providers/catalogue), with the source of what it says.

```yaml
providers:
  mistral: {}                                  # is {api_key: env:MISTRAL_API_KEY}, at the address of the catalogue
  spare:   {kind: mistral, api_key: env:SPARE_KEY}
  vllm:    {base_url: http://10.0.0.7:8000/v1} # sends no credential unless api_key says one
  azure:   {base_url: https://x.openai.azure.com, api_key: env:AZURE_OPENAI_API_KEY}
```

`kind` is the provider's name where it is not written. A model is asked for as `mistral/mistral-small-latest`, and so is
any other that the vendor has. Callers of either dialect may ask any of them; what is translated and what gets lost says
[dialects.md](dialects.md).

Without a configuration, each provider whose variable is set is there. General tokens never switch one on, and
`*_BASE_URL` is ignored. A key from a variable that the catalogue names goes to the address that the catalogue names and
to no other: with a `base_url` of your own, say which `api_key`.
"""
EXAMPLE = """\
name = "acme"                             # the file's name: providers/acme.toml
source = "https://docs.acme.example/api"
url = "https://api.acme.example/v1"       # or url_form = "https://ACCOUNT.acme.example", to be written out in base_url
dialects = ["openai_chat"]
auth = "bearer"                           # bearer, x-api-key, api-key, x-goog-api-key, none
env = "ACME_API_KEY"                      # "" needs no credential
billed = "until_close"                    # what a stream costs that is closed early: input, until_close, full

[headers]
up = ["x-acme-session"]                   # of the caller's, to the provider
down = ["x-acme-region"]                  # of the provider's, to the caller

[[quirks]]
name = "system_role"
source = "https://docs.acme.example/api#roles"
models = ["acme-2*"]                      # of these alone; left out: of all
"""
_OWN = f"""\
A row of your own lies in `providers/` beside the config file, and the configuration says no more than
`providers: {{acme: {{}}}}`. A row of the same name as one of the catalogue's goes before it, so that an upgrade changes
nothing. What is wrong with it is told with file, line and column. Credentials, cookies and what says whose account pays
never pass.

```toml
{EXAMPLE.rstrip()}
```
"""
_FORMS = """\
`base_url` has to be written; its host alone is enough. With an `api_version`, Azure is asked by its older form: the
model is the deployment in the path, and the version stands in the query, whatever the caller's says.
"""
_QUIRKS = """\
What these do not take of their dialect, although its clients send it. A field that asks for nothing but what is done
anyway is left out and named in `x-penstock-dropped`; what would change the answer goes to the vendor, who refuses it in
its own words. Answers pass as they come.
"""
_THINKING = """\
What a model thought in an earlier turn goes back to it where its vendor takes it. From a caller of another dialect it
goes in this field; to all others of OpenAI's dialect it is dropped and named.
"""
_CONTINUES = """\
Where `on_stream_cut` is `resume`, these go on with a stream that breaks off: the conversation ends with what was said
so far, as the assistant's turn. Of Anthropic's models those up to Claude 4.5 do it. What refuses it all the same is
asked for the whole answer, which is passed on from where its text has matched.
"""
_BILLED = """\
What a stream costs that its caller closes before its end: `until_close` what was said until then, `full` the whole
answer all the same. `full` also stands where nobody says. After
<https://openrouter.ai/docs/api-reference/streaming>, which has tried most of them.
"""


def _rows() -> list[Row]:
    rows = (row for row in load_catalogue().values() if not row.in_process)
    return sorted(rows, key=lambda row: row.name)


def _credential(row: Row) -> str:
    if not row.env:
        return "none needed"
    by_default = "" if row.by_default or row.url_form else ", switches nothing on"
    return f"`{row.env}`{by_default}"


def _table(*head: str) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"


def _kinds() -> Iterator[str]:
    yield from _table("kind", "speaks", "key", "address", "source")
    for row in _rows():
        spoken = ", ".join(DIALECTS[name] for name in row.dialects)
        address = row.retired.partition(" (")[0] if row.retired else f"`{row.url or row.url_form}`"
        yield f"| `{row.name}` | {spoken} | {_credential(row)} | {address} | <{row.source}> |"


def _forms() -> Iterator[str]:
    yield from _table("kind", "`base_url`", "is asked at", "with `api_version`")
    for row in _rows():
        if not row.url_form:
            continue
        older = ""
        if row.versioned is not None:
            version = row.versioned.default or "..."
            older = f"`{row.versioned.path}`, `?{row.versioned.query}={version}`"
            older += " where none is written" if row.versioned.default else ""
        yield f"| `{row.name}` | `{row.url_form}` | `{row.version_path or '/'}` | {older} |"


def _quirks() -> Iterator[str]:
    yield from _table("kind", "quirk", "so", "source")
    for row in _rows():
        for quirk in row.quirks:
            models = f" (models {', '.join(f'`{pattern}`' for pattern in quirk.models)})" if quirk.models else ""
            yield f"| `{row.name}` | `{quirk.name}` | {MEANINGS[quirk.name]}{models} | <{quirk.source}> |"


def _headers() -> Iterator[str]:
    yield from _table("kind", "of the caller's", "sent where the caller has none", "of the provider's")
    for row in _rows():
        passing = row.headers
        if passing.up or passing.down:
            up, down = (", ".join(f"`{name}`" for name in names) for names in (passing.up, passing.down))
            added = ", ".join(f"`{name}: {value}`" for name, value in passing.defaults.items())
            yield f"| `{row.name}` | {up} | {added} | {down} |"


def _thinking() -> Iterator[str]:
    yield from _table("kind", "field")
    for row in _rows():
        if row.earlier_thinking:
            yield f"| `{row.name}` | `{row.earlier_thinking}` |"


def _continues() -> Iterator[str]:
    yield from _table("kind", "field of the last message")
    for row in _rows():
        if row.continues:
            yield f"| `{row.name}` | {f'`{row.continued_by}: true`' if row.continued_by else ''} |"


def _billed() -> Iterator[str]:
    yield from _table("billed", "kinds")
    for rule in ("until_close", "full"):
        names = [f"`{row.name}`" for row in _rows() if row.billed == rule and not row.retired]
        yield f"| `{rule}` | {', '.join(names)} |"


def draw() -> dict[str, str]:
    """The page's text, by its name below docs/."""
    sections = [
        ("Kinds", "", _kinds()),
        ("Addresses of one's own", _FORMS, _forms()),
        ("What vendors refuse", _QUIRKS, _quirks()),
        ("Earlier thinking", _THINKING, _thinking()),
        ("Answers that are gone on with", _CONTINUES, _continues()),
        ("Headers that pass", "Besides content-type; no others do.\n", _headers()),
        ("What a closed stream costs", _BILLED, _billed()),
    ]
    lines = [_INTRO.rstrip("\n")]
    for title, text, table in sections:
        lines += ["", f"## {title}", *(["", text.rstrip("\n")] if text else []), "", *table]
    lines += ["", "## Your own", "", _OWN.rstrip("\n"), ""]
    return {"providers.md": "\n".join(lines)}


def main() -> None:
    """Write it."""
    write_pages(draw())


if __name__ == "__main__":
    main()
