"""The order of the layers is written once, in gateway's docstring; the stack that runs must agree with it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from penstock import gateway
from penstock.call import Call, Reply
from penstock.clock import SystemClock, SystemRandom
from penstock.config.load import load_config
from penstock.messages import Request
from penstock.stores.state import Registry

NUMBERED = re.compile(r"^(\d+)\. (\w+):", re.MULTILINE)


def written(docstring: str) -> list[str]:
    """The names of a numbered list, which counts from 1 without a gap."""
    rows = NUMBERED.findall(docstring)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    return [name for _, name in rows]


def running(call: Call) -> list[str]:
    """The files of the layers of a stack, from the outside in; each layer holds the next as `_call`."""
    names = []
    inner: object = call
    while inner is not None:
        inner = getattr(inner, "__self__", inner)  # a stack holds its layers as methods
        names.append(type(inner).__module__.rpartition(".")[2])
        inner = getattr(inner, "_call", None)
    return names


class Wrapped:
    """A layer that only hands on."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def __call__(self, request: Request) -> Reply:
        return await self._call(request)


def test_the_docstring_the_table_and_the_stack_agree() -> None:
    stack = gateway.Gateway(load_config(None, {}), SystemClock(), SystemRandom())
    assert written(gateway.__doc__ or "") == list(gateway.LAYERS)
    assert running(stack.call) == [layer for layer in gateway.LAYERS if layer not in gateway.SELDOM]


SOFT = {"scope": "key", "limit": "1 USD/day", "hard": False, "on_soft": {"downgrade": "sim/small"}}
ENV = {"K": "sk-0123456789abcdef0123456789abcdef"}
KEYED = {"providers": {"sim": {}}, "auth": "required", "keys": [{"name": "k", "key": "env:K"}]}


def test_a_shortcut_leads_past_what_only_decides_who_asks_and_for_what() -> None:
    names = running(gateway.Gateway(load_config(KEYED, ENV), SystemClock(), SystemRandom()).call)
    assert names.count("shortcut") == 2
    assert [name for name in names if name != "shortcut"] == [
        layer for layer in gateway.LAYERS if layer not in gateway.SELDOM
    ]
    past = names[names.index("shortcut") + 1 : names.index("attempts") - 1]
    assert past == ["authenticate", "deadline", "budget", "route"]


@pytest.mark.parametrize(
    "more",
    [
        {"limits": [{"scope": "tenant", "requests": "600/min"}]},
        {"limits": [{"scope": "user", "concurrency": 5}]},
        {"admission": {"most": 100}},
        {"admission": {"repeats": {"same": 100}}},
        {"budgets": [{"scope": "request", "limit": "1 USD"}]},
        {"budgets": [SOFT]},
        {"auth": "open"},
    ],
    ids=str,
)
def test_there_is_none_where_a_layer_looks_at_each_request(more: dict[str, Any]) -> None:
    config = load_config({**KEYED, **more}, ENV)
    assert "shortcut" not in running(gateway.Gateway(config, SystemClock(), SystemRandom()).call)


def test_there_is_none_where_the_user_has_layers_of_their_own() -> None:
    shared = gateway.Shared(Registry(), layers=(Wrapped,))
    stack = gateway.Gateway(load_config(KEYED, ENV), SystemClock(), SystemRandom(), shared=shared)
    assert "shortcut" not in running(stack.call)


LIMITED = {
    "providers": {"sim": {}},
    "auth": "open",
    "limits": [{"scope": "tenant", "requests": "600/min"}, {"scope": "user", "concurrency": 5}],
    "models": {"two": {"targets": ["sim/x", "sim/y"], "hedge": {"after": "1s"}}},
}


def test_each_that_is_seldom_there_stands_where_the_list_has_it() -> None:
    shared = gateway.Shared(Registry(), layers=(Wrapped,))
    stack = gateway.Gateway(load_config(LIMITED, {}), SystemClock(), SystemRandom(), shared=shared)
    assert running(stack.call) == list(gateway.LAYERS)
    assert repr(stack).startswith(f"<Gateway {' > '.join(gateway.LAYERS)} |")


def test_a_users_own_layers_stand_where_the_list_has_them() -> None:
    shared = gateway.Shared(Registry(), layers=(Wrapped, Wrapped))
    stack = gateway.Gateway(load_config(None, {}), SystemClock(), SystemRandom(), shared=shared)
    names = running(stack.call)
    assert names.count("own") == 2
    others = gateway.SELDOM - {"own"}
    assert list(dict.fromkeys(names)) == [layer for layer in gateway.LAYERS if layer not in others]


def test_layers_are_counted_from_the_outside_in() -> None:
    async def answer(request: Request) -> Reply:
        raise NotImplementedError

    assert running(Wrapped(Wrapped(answer))) == ["test_order", "test_order", "builtins"]
    assert written("Layers:\n\n1. trace: a\n2. record: b\n\nText 3. no: c") == ["trace", "record"]
