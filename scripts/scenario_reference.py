"""Write docs/scenario.md: every key of a scenario, from the table that its reader reads by.

tests/house asserts that the file is current (`make docs`).
"""

from __future__ import annotations

from penstock.testing.simulate.keys import KEYS, REQUIRED
from scripts.key_table import key_table
from scripts.pages import write_pages

__all__ = ["draw", "main"]

TITLES = {
    "scenario": "A scenario",
    "traffic": "traffic.NAME",
    "rate": "traffic.NAME.rate",
    "range": "traffic.NAME.rate.ramp",
    "day": "traffic.NAME.rate.day",
    "spike": "traffic.NAME.rate.spikes[]",
    "spread_of_tokens": "tokens that vary",
    "spread_of_times": "times that vary",
    "spread_of_numbers": "numbers that vary",
    "vendor": "vendors.NAME",
    "fault": "faults[]",
    "expect": "expect",
}

_INTRO = """# Every key of a scenario

Made by `make docs` from the table that `penstock simulate` reads by; do not edit. [Simulating](simulate.md) tells what
a scenario is for and how its report is read.

For an editor:

```sh
penstock simulate --schema > scenario.schema.json
```

and as the first line of the file `# yaml-language-server: $schema=scenario.schema.json`.

| | |
| --- | --- |
| a duration, a time | `250ms` `5s` `2m` `1h`; times count from the beginning |
| a rate | `5/s` `120/min` `300/h` |
| a part | `50%`, or a number from 0 to 1 |
| what varies | one value, a list to draw from, `{median: 400ms, p95: 2s}` or `{least: 100, most: 500}` |
"""

_FAULTS = """
| fault | what happens, to the `share` of requests at `at` |
| --- | --- |
| `outage` | every call is answered with `status` (503), or connections are `refused`, or nothing is said: `silent` |
| `brownout` | some are answered with `status` (529): write `share` |
| `throttle` | 429, with `retry_after` where it is said |
| `slow` | everything takes `factor` times as long |
| `late` | the first output takes `factor` times as long, or `first_token` |
| `cut` | the connection closes after so much of the answer: `after` |
| `stall` | nothing more is said from there on, and the connection stays open |
| `malformed` | what comes at that place is no valid JSON |
| `reset` | the connection is reset before the head of the answer |
| `silence` | the call is taken and never answered |
| `revoke` | 401: the credential is not valid any more |
| `exhaust` | 429 with `insufficient_quota`: the account has nothing left |
| `script` | whatever a [fault script](testing.md) says |
| `clock` | the wall clock jumps by `jump` |
| `kill` | a worker ends with the calls that run at it; a second later another one serves |
| `reload` | every worker takes `config`, or the same configuration again |
"""


def draw() -> dict[str, str]:
    """The file of docs/, by name."""
    lines = [_INTRO.rstrip("\n")]
    for section, title in TITLES.items():
        shown = title if section == "scenario" or " " in title else f"`{title}`"
        lines += [
            "",
            f"## {shown[0].upper() + shown[1:]}",
            "",
            *key_table(KEYS[section], REQUIRED.get(section, ()), TITLES),
        ]
        if section == "fault":
            lines += _FAULTS.rstrip("\n").split("\n")
    return {"scenario.md": "\n".join([*lines, ""])}


def main() -> None:
    """Write it."""
    write_pages(draw())


if __name__ == "__main__":
    main()
