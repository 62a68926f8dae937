"""Write docs/errors.md: every code, what it means and what to do, as the classes in errors.py say it.

tests/house asserts that the page is current (`make docs`) and that each class says what to do.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

from penstock import errors
from penstock.errors import PenstockError
from penstock.wire.dialects import CALLERS
from scripts.pages import write_pages

__all__ = ["Told", "branches", "draw", "main", "told"]

# What each branch of the tree is about, for whoever looks for a code.
_BRANCHES = {
    "CallerError": "The request is wrong: mend it before sending it again.",
    "LimitError": "The request is fine; there is no room for it now.",
    "UpstreamError": "The provider failed, or what it said could not be used.",
    "PolicyError": "Penstock itself decided not to go on.",
}

_INTRO = """# Errors

Made by `make docs` from the classes themselves; do not edit.

Every error says in one sentence what happened and in the next what to do. Its first split says whose fault it was.
`retryable` says whether the same request may succeed later; where that is known, `retry-after` says when. Where a retry
cannot help, `x-should-retry: false` tells both vendors' clients to stop.

A call that failed has an `x-request-id` like any other; the log line of that id has the code under `error`.

## How they come

OpenAI's clients raise their own classes by the status; the code is in `error.code`:

```json
{openai}
```

Anthropic's clients likewise; the code is in `error.details.error_code`:

```json
{anthropic}
```

`/v1/generate` answers with the error's status; its body has every field of an answer, and among them

```json
{generate}
```

The library raises the classes below; all are importable from `penstock`:

```python run
from penstock import CallerError, SyncPenstock, UnknownModel, UpstreamError

with SyncPenstock() as llm:
    try:
        llm.generate("Hello", model="sim/smal:status=503")
    except UnknownModel as error:
        print(error.code, error.message, error.do)
    except CallerError as error:
        print("mine to mend:", error.message)
    except UpstreamError as error:
        print("theirs:", error.code, "again later:", error.retryable, error.retry_after)
```

A stream that has begun has its status already. What breaks it is told in it: OpenAI's and Anthropic's clients raise on
the event, the library raises `StreamInterrupted` or the error that the provider sent.

A provider's own error reaches callers of its own dialect as it came, but for what concerns the operator's account with
it: that becomes `upstream_credential` or `upstream_quota`, and says nothing of the account.
"""

_END = """
## Before there is a request

`ConfigError` ({meaning}) ends `serve` and `check` with exit code 2 and one `file:line:col: message` a line; an address
or a state in use ends it with 1. {do}

`internal_error` (500) is a bug in Penstock: please tell us the request's id and the traceback in the log.
"""


class Told:
    """What a class says of itself.

    Attributes:
        meaning, do: in sentences; `do` is "" where it says nothing.
    """

    def __init__(self, kind: type[PenstockError]) -> None:
        text = inspect.cleandoc(kind.__doc__ or "")
        paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
        self.meaning = paragraphs[0]
        self.do = next((each.removeprefix("Do: ") for each in paragraphs if each.startswith("Do: ")), "")


def told(name: str) -> Told:
    """What the class of that name says."""
    return Told(getattr(errors, name))


def branches() -> Iterator[tuple[str, list[type[PenstockError]]]]:
    """Each branch of the tree by its name, and its errors in the order of errors.py; each code once."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PenstockError)]
    seen: set[str] = set()
    for branch in _BRANCHES:
        root, found = getattr(errors, branch), []
        for kind in kinds:
            if issubclass(kind, root) and kind is not root and kind.code not in seen:
                seen.add(kind.code)
                found.append(kind)
        yield branch, found


def draw() -> dict[str, str]:
    """The file of docs/, by name."""
    example = errors.UnknownModel(
        'unknown model "fsat" (did you mean "fast"?)', do="ask for one of: fast, smart", param="model"
    )
    told_by = {
        caller.partition("_")[0]: json.dumps(_short(json.loads(dialect.encode_error(example, "01a216b0"))), indent=2)
        for caller, dialect in CALLERS.items()
    }
    text = _INTRO
    for name, shown in told_by.items():
        text = text.replace(f"{{{name}}}", shown)
    lines = [text]
    for branch, kinds in branches():
        lines += [f"## {_BRANCHES[branch]}", "", f"`{branch}`", "", *_table(kinds), ""]
    config = told("ConfigError")
    lines.append(_END.strip("\n").format(meaning=config.meaning.rstrip(".").lower(), do=config.do))
    return {"errors.md": "\n".join([*lines, ""])}


def _short(body: dict[str, Any]) -> dict[str, Any]:
    """Without the fields that an answer has and an error leaves empty."""
    kept = ("contract", "type", "request_id", "status", "error")
    return {name: body[name] for name in kept if name in body}


def _table(kinds: list[type[PenstockError]]) -> Iterator[str]:
    yield "| code | status | retryable | what it means | what to do |"
    yield "| --- | --- | --- | --- | --- |"
    for kind in kinds:
        said = Told(kind)
        names = f'<a id="{kind.code}"></a>`{kind.code}`<br>`{kind.__name__}`'
        openai = json.loads(CALLERS["openai_chat"].encode_error(kind("x"), ""))["error"]["code"]
        if openai != kind.code:
            names += f"<br>OpenAI: `{openai}`"
        cells = [names, str(kind.status), "yes" if kind.retryable else "no", said.meaning, said.do]
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def main() -> None:
    """Write it."""
    write_pages(draw())


if __name__ == "__main__":
    main()
