"""How an imported configuration is written down: ours as YAML, what is not in this version as comments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from penstock.config.yaml_text import flow, scalar

__all__ = ["Model", "Written", "write"]


class Model(NamedTuple):
    """One entry of `models:`.

    Attributes:
        targets: as they are written.
        policies: its other keys.
        later: what stays a comment: the line, and what stood there.
    """

    targets: list[Any]
    policies: dict[str, Any]
    later: list[tuple[int, str]]


class Written(NamedTuple):
    """Everything that is written. `master` is "" where callers need no key."""

    source: str
    providers: dict[str, dict[str, Any]]
    models: dict[str, Model]
    prices: dict[str, dict[str, str]]
    default_model: str
    defaults: dict[str, Any]
    master: str
    limits: list[dict[str, Any]]
    budgets: list[dict[str, Any]]
    variables: list[str]
    later: list[tuple[int, str]]


def write(written: Written) -> str:
    """The text of a `penstock.yaml`."""
    return "\n".join((*_head(written), *_body(written), *_later(written), ""))


def _head(written: Written) -> Iterator[str]:
    yield f"# Made from {written.source} by `penstock import litellm`."
    if written.variables:
        yield f"# Set before it is used: {', '.join(written.variables)}."
    yield "# LiteLLM listens on 0.0.0.0:4000, Penstock on 127.0.0.1:8484; to keep the former:"
    yield '# server: {listen: "0.0.0.0:4000"}'


def _body(written: Written) -> Iterator[str]:
    yield ""
    yield "providers:"
    for name, entry in (written.providers or {"sim": {}}).items():
        yield f"  {scalar(name)}: {flow(entry)}"
    if written.models:
        yield ""
        yield "models:"
        for name, model in written.models.items():
            yield from _model(name, model)
    if written.prices:
        yield "prices:"
        for target, units in written.prices.items():
            yield f"  {scalar(target)}: {{{', '.join(f'{unit}: {price}' for unit, price in units.items())}}}"
    if written.default_model:
        yield f"default_model: {scalar(written.default_model)}"
    if written.defaults:
        yield f"defaults: {flow(written.defaults)}"
    yield ""
    if written.master:
        yield "keys:"
        yield f"  - {flow({'name': 'master', 'key': written.master, 'models': ['*']})}"
    else:
        yield "auth: open"
    for name, rules in (("limits", written.limits), ("budgets", written.budgets)):
        if rules:
            yield f"{name}:"
            yield from (f"  - {flow(rule)}" for rule in rules)


def _model(name: str, model: Model) -> Iterator[str]:
    entry: Mapping[str, Any] = {"targets": model.targets, **model.policies}
    yield f"  {scalar(name)}: {flow(entry)}"
    for line, text in sorted(model.later):
        yield f"    # line {line}: {text}"


def _later(written: Written) -> Iterator[str]:
    if written.later:
        yield ""
        yield f"# Not taken over from {written.source}, each with its line there:"
        for line, text in written.later:
            yield f"#   {line}: {text}"
