"""Write docs/config.md: every key of `penstock.yaml`, from the table that the loader reads by.

tests/house asserts that the file is current (`make docs`), tests/config that its examples and defaults are right.
"""

from __future__ import annotations

from collections.abc import Iterator

from penstock.config.keys import KEYS, REQUIRED, TITLES
from penstock.config.later import SECTIONS, TAKEN
from scripts.key_table import key_table
from scripts.pages import write_pages

__all__ = ["draw", "main"]

_INTRO = """# penstock.yaml

Made by `make docs` from the table that the loader reads by; do not edit.

Without `--config FILE` (or `PENSTOCK_CONFIG`) it is `./penstock.yaml`; without that one the built-in configuration:
every provider whose key is in the environment, and `sim`. `penstock check` tells what is wrong with a file as
`file:line:column: message`, `penstock check --resolved` what it comes to and where each value comes from.
For an editor:

```sh
penstock check --schema > penstock.schema.json
```

and as the first line of the file `# yaml-language-server: $schema=penstock.schema.json`.

```yaml
server: {listen: "127.0.0.1:8484", drain: 60s}
providers:
  openai:    {api_key: env:OPENAI_API_KEY, region: us}
  anthropic: {api_key: "env:ANTHROPIC_API_KEY?"}              # may be unset: then it is off
  mine:      {kind: openai, base_url: https://10.0.0.7:8000/v1, api_key: none}
  pooled:    {kind: openai, credentials: [{name: a, api_key: env:KEY_A, weight: 3}, {name: b, api_key: env:KEY_B}]}
  theirs:    {kind: anthropic, credentials: caller}           # each caller pays with a key of their own
models:
  fast:  {targets: [openai/gpt-5-mini], regions: [us]}
  smart: {targets: [anthropic/claude-sonnet-4-5, pooled/gpt-5], timeouts: {first_token: 30s}, untranslatable: drop}
  split: {strategy: weighted, targets: [{target: openai/gpt-5, weight: 9}, mine/gpt-5], fallback: [smart], breaker: off}
  prod:  {targets: [{target: mine/prod-1, is: openai/gpt-5}]}  # a deployment whose name says no model
default_model: fast
defaults: {retry: {max_attempts: 2}, on_stream_cut: resume}
keys:
  - {name: app, key: env:APP_KEY, models: [fast, "openai/*"], tenant: acme, user: trusted}
  - {name: trial, key: env:TRIAL_KEY, tenant: free-1, expires: 2027-01-31, limits: [{requests: 60/min}]}
limits:
  - {scope: tenant, requests: 600/min, tokens: 200k/min, concurrency: 50}
  - {scope: tenant, match: bigco, tokens: 2M/min}
budgets:                                                      # see budgets.md
  - {scope: tenant, match: "free-*", limit: 50 USD/day, zone: Europe/Berlin, alert_at: [0.5, 0.8]}
  - {scope: user, limit: 2M tokens/day}
state: sqlite:///penstock.db
```

## How values are written

| | |
| --- | --- |
| a duration | `250ms` `5s` `2m` `1h` `7d` |
| a size | `512B` `64KiB` `32MiB` `1GiB` |
| a number | `8192` `64k` `1M` |
| a part | `0.02` `2%` |
| a rate | `600/min` `200k/min` `10/s` `5000/h` `1M/day` |
| a budget | `50 USD/day` `2M tokens/week` `1000 requests/month`; of one request `0.05 USD` `20k tokens` |
| a reference to a secret | `env:NAME`, `env:NAME?` (may be unset), `file:PATH`, `none`. Never the secret itself. |
| a path | counts from the file's folder |
| a pattern | `*` stands for anything: `openai/*` |

Whatever stands under `defaults:` holds for every model that does not say otherwise; of what has several parts, such as
`breaker`, for every part that it does not say. Numbers that contradict each other (`first_token` above `total`, `open`
above `max_open`) are refused where they stand; one that was said elsewhere is cut to what is said on the model.

A key that is not known is refused, with the nearest one that is; so is one that a later version will have.
"""


def draw() -> dict[str, str]:
    """The file of docs/, by name."""
    lines = [_INTRO.rstrip("\n")]
    for section, title in TITLES.items():
        lines += [
            "",
            f"## {title if section == 'config' else f'`{title}`'}",
            "",
            *key_table(KEYS[section], REQUIRED.get(section, ()), TITLES),
        ]
    return {"config.md": "\n".join([*lines, "", *_later(), ""])}


def _later() -> Iterator[str]:
    yield "## Not in this version"
    yield ""
    yield "Refused by name, so that nobody believes that they hold:"
    yield ""
    for section, title in TITLES.items():
        if SECTIONS[section].later:
            yield f"- {title if section == 'config' else f'`{title}`'}: {_words(SECTIONS[section].later)}"
    yield f"- anywhere: {_words(sorted(TAKEN))}"


def _words(words: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def main() -> None:
    """Write it."""
    write_pages(draw())


if __name__ == "__main__":
    main()
